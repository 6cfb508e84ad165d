//! Carrying out what a run is owed: tool calls by their effect class, and model calls.

use std::sync::Arc;
use std::time::Duration;

use piton_core::{Context, EffectClass, Event, IllegalEvent, RunId, ToolCall, ToolSpec, TurnRequest, Usage};
use piton_model::{Ask, ModelFailure, Replied};
use piton_store::{FullOutput, StepEnd};
use piton_tools::{Ended, Full, ToolError};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::pace::Place;
use crate::step::{Interrupted, SharedAgent, Step};

/// A model call that takes longer than this is a time to show what the step has so far.
const BLINK: Duration = Duration::from_millis(25);
/// Tries at a call that may be made again when its outcome is unknown.
const REPEATS_MAX: u32 = 3;
/// Before the next of them.
const REPEAT_WAIT: Duration = Duration::from_millis(200);

impl Step<'_> {
    pub(crate) async fn call_tool(
        &mut self,
        agent: &SharedAgent,
        call: &ToolCall,
    ) -> Result<(), Interrupted> {
        let Some(spec) = agent.tool(&call.name) else {
            return Ok(self.record(Event::ToolFailed {
                call: call.id,
                error: format!("Tool {} not found", call.name),
                took_ms: 0,
                attempt: self.claim.attempt,
                full_bytes: None,
            })?);
        };
        match spec.effect {
            EffectClass::AtMostOnce => self.call_at_most_once(spec, call).await,
            EffectClass::Pure | EffectClass::Idempotent => self.call_repeatable(spec, call).await,
        }
    }

    /// A call that may be made again: its result is committed with the step, unless that is a burden to hold.
    async fn call_repeatable(&mut self, spec: &ToolSpec, call: &ToolCall) -> Result<(), Interrupted> {
        let begun = Instant::now();
        let mut tries = 0;
        let (result, full) = loop {
            // After an accepted pause or cancel nothing is begun, be it for the second time.
            if self.is_behind().await? {
                self.commit(StepEnd::GoesOn).await?;
                return Ok(());
            }
            tries += 1;
            let Ended { result, full } = tokio::select! {
                biased;
                () = self.shared.lost.cancelled() => return Err(Interrupted::LeaseLost),
                () = self.shared.drop_calls.cancelled() => return Err(Interrupted::Stopping),
                ended = self.shared.tools.call(spec, &call.arguments, call.id) => ended,
            };
            match result {
                Err(ToolError::Unknown(_)) if tries < REPEATS_MAX => tokio::time::sleep(REPEAT_WAIT).await,
                Err(ToolError::Unknown(why)) => break (Err(format!("{why} ({tries} tries)")), full),
                Err(ToolError::Failed(why)) => break (Err(why), full),
                Ok(result) => break (Ok(result), full),
            }
        };
        // A reply may ask for many calls, and each may have an output as large as is allowed: one is held at a time.
        self.record_end(call, result, full.as_ref(), begun.elapsed())?;
        if full.is_some() {
            self.commit(StepEnd::GoesOn).await?;
        }
        Ok(())
    }

    /// A call that is announced on disk before it is made, and whose result is on disk before anything else begins.
    async fn call_at_most_once(&mut self, spec: &ToolSpec, call: &ToolCall) -> Result<(), Interrupted> {
        self.record(Event::ToolStarted {
            call: call.id,
            arguments_hash: hex::encode(Sha256::digest(call.arguments.as_bytes())),
            worker: self.shared.worker.clone(),
            epoch: self.claim.epoch,
            attempt: self.claim.attempt,
            at_ms: self.shared.clock.now_ms(),
        })?;
        self.commit(StepEnd::GoesOn).await?;
        // A command that came in between was merged, and the announcement dropped: ask anew what is owed.
        let announced = self
            .run
            .front()
            .filter(|front| front.call.id == call.id)
            .and_then(|front| front.started.as_ref())
            .is_some_and(|started| started.epoch == self.claim.epoch);
        if !announced {
            return Ok(());
        }
        if self.shared.lost.is_cancelled() {
            return Err(Interrupted::LeaseLost);
        }
        let begun = Instant::now();
        // Once begun it is awaited, whatever happens: its limit is its own.
        let Ended { result, full } = self.shared.tools.call(spec, &call.arguments, call.id).await;
        match result {
            Err(ToolError::Unknown(reason)) => {
                self.record(Event::OutcomeUnknown { call: call.id, reason })?
            }
            Err(ToolError::Failed(why)) => self.record_end(call, Err(why), full.as_ref(), begun.elapsed())?,
            Ok(result) => self.record_end(call, Ok(result), full.as_ref(), begun.elapsed())?,
        }
        self.commit(StepEnd::GoesOn).await?;
        Ok(())
    }

    fn record_end(
        &mut self,
        call: &ToolCall,
        result: Result<Value, String>,
        full: Option<&Full>,
        took: Duration,
    ) -> Result<(), IllegalEvent> {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let full_bytes = full.map(|full| full.text.len() as u64);
        let (call, attempt) = (call.id, self.claim.attempt);
        self.record(match result {
            Ok(result) => Event::ToolReturned { call, result, took_ms, attempt, full_bytes },
            Err(error) => Event::ToolFailed { call, error, took_ms, attempt, full_bytes },
        })?;
        self.outputs.extend(full.map(|full| FullOutput { call, text: Arc::clone(&full.text) }));
        Ok(())
    }

    /// Asks the model. Returns whether it was asked: not when the run was commanded to rest meanwhile.
    pub(crate) async fn call_model(&mut self, agent: &SharedAgent) -> Result<bool, Interrupted> {
        let context = self.take_context().await?;
        let through_seq = self.run.version;
        let wait = match self.shared.pacer.place(&agent.model).await? {
            Place::In(wait) => wait,
            Place::NotBefore(not_before_ms) => {
                self.put_context(context);
                return Err(Interrupted::Paced { not_before_ms });
            }
        };
        let answer = self.await_model(agent, &context, wait).await;
        let event = match answer? {
            Answer::Dropped => return Ok(false),
            Answer::Failed(failure) => {
                self.spent(agent, failure.tries, Usage::default()).await;
                Event::ModelFailed { error: failure.error, tries: failure.tries }
            }
            Answer::Replied(replied) => {
                let Replied { reply, request } = *replied;
                self.spent(agent, request.tries, reply.usage).await;
                let request = TurnRequest { through_seq, ..request };
                let run: RunId = self.id;
                reply.record(run, self.run.turns + 1, agent, &context, request, self.claim.attempt)
            }
        };
        self.put_context(context);
        self.record(event)?;
        Ok(true)
    }

    /// Not knowing it holds up no run: the limit is passed by a little.
    async fn spent(&self, agent: &SharedAgent, tries: u32, usage: Usage) {
        if let Err(error) = self.shared.pacer.spent(&agent.model, tries, usage).await {
            tracing::warn!(%error, model = agent.model, "what a call used could not be counted");
        }
    }

    /// Waits for the reply. What the step has so far is committed when that takes longer than a blink; a cancel
    /// drops the call.
    async fn await_model(
        &mut self,
        agent: &SharedAgent,
        context: &Context,
        wait: Duration,
    ) -> Result<Answer, Interrupted> {
        let shared = self.shared;
        let ask = Ask {
            model: &agent.model,
            instructions: &agent.instructions,
            items: context.items(),
            tools: &agent.tools,
        };
        let reply = async {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            shared.model.reply(&ask).await
        };
        tokio::pin!(reply);
        tokio::select! {
            biased;
            reply = &mut reply => return Ok(reply.into()),
            () = tokio::time::sleep(BLINK) => {}
        }
        let watching = shared.watch.run(self.id, self.committed_version());
        loop {
            // The call goes on while its run is written.
            if self.has_uncommitted() || self.is_behind().await? {
                let early = {
                    let committed = self.commit(StepEnd::Progress);
                    tokio::pin!(committed);
                    tokio::select! {
                        biased;
                        committed = &mut committed => { committed?; None }
                        reply = &mut reply => { committed.await?; Some(reply) }
                    }
                };
                if let Some(reply) = early {
                    return Ok(reply.into());
                }
                watching.seen(self.committed_version());
                if self.run.status == piton_core::Status::Cancelled
                    || self.run.status == piton_core::Status::Cancelling
                {
                    return Ok(Answer::Dropped);
                }
            }
            tokio::select! {
                biased;
                reply = &mut reply => return Ok(reply.into()),
                () = watching.moved() => {}
                () = shared.drop_calls.cancelled() => return Err(Interrupted::Stopping),
                () = shared.lost.cancelled() => return Err(Interrupted::LeaseLost),
            }
        }
    }
}

/// What became of a model call.
enum Answer {
    Replied(Box<Replied>),
    Failed(ModelFailure),
    /// The run was cancelled meanwhile.
    Dropped,
}

impl From<Result<Replied, ModelFailure>> for Answer {
    fn from(reply: Result<Replied, ModelFailure>) -> Self {
        match reply {
            Ok(replied) => Self::Replied(Box::new(replied)),
            Err(failure) => Self::Failed(failure),
        }
    }
}
