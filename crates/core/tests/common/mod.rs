//! A run with its history, driven by hand.

#![allow(dead_code, reason = "each test file uses its part")]

use piton_core::{
    Agent, AgentDigest, Command, Context, EffectClass, Epoch, Event, Limits, Next, Refusal, Reply,
    RequestedCall, Run, RunId, ToolKind, ToolSpec, TurnRequest, WorkerId, next, settle,
};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const EPOCH: Epoch = Epoch(1);

pub(crate) fn run_id() -> RunId {
    RunId::from_uuid(Uuid::from_u128(0x0197_f2c4_8a3b_7cc0_9d1e_5f0a_1b2c_3d4e))
}

pub(crate) fn agent() -> Agent {
    let tool = |name: &str, effect, kind| ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        parameters: json!({"type": "object"}),
        effect,
        kind,
    };
    Agent {
        name: "default".to_owned(),
        description: String::new(),
        instructions: String::new(),
        model: "m".to_owned(),
        max_steps: 10,
        limits: Limits::default(),
        tools: vec![
            tool("sum", EffectClass::Pure, ToolKind::Builtin),
            tool("pay", EffectClass::AtMostOnce, ToolKind::Builtin),
            tool("ask_human", EffectClass::Pure, ToolKind::AskHuman),
            tool("final_answer", EffectClass::Pure, ToolKind::FinalAnswer),
        ],
    }
}

/// A run, the events that made it, and the context they make.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) run: Run,
    pub(crate) events: Vec<Event>,
    pub(crate) context: Context,
}

impl World {
    pub(crate) fn launched(max_steps: u32) -> Self {
        Self::limited(max_steps, Limits::default())
    }

    pub(crate) fn limited(max_steps: u32, limits: Limits) -> Self {
        let first = Event::Launched {
            agent: AgentDigest::new("d"),
            agent_name: "default".to_owned(),
            task: "do it".to_owned(),
            max_steps,
            limits,
        };
        let run = Run::begin(&first).expect("a launch");
        let mut context = Context::default();
        context.push(&first);
        Self { agent: agent(), run, events: vec![first], context }
    }

    pub(crate) fn record(&mut self, event: Event) {
        self.run = self.run.clone().apply(&event).expect("a legal event");
        self.context.push(&event);
        self.events.push(event);
    }

    pub(crate) fn command(&mut self, command: &Command) -> Result<(), Refusal> {
        for event in command.decide(&self.run)? {
            self.record(event);
        }
        Ok(())
    }

    /// Records every decision that is due.
    pub(crate) fn settle(&mut self, epoch: Epoch) -> Next {
        let (_, decisions) = settle(self.run.clone(), epoch).expect("decisions are legal");
        for decision in decisions {
            self.record(decision);
        }
        next(&self.run, epoch)
    }

    /// The model replies with these calls; `text` where there are none.
    pub(crate) fn reply(&mut self, text: Option<&str>, calls: &[(&str, &str, &str)]) -> Next {
        let reply = Reply {
            text: text.map(str::to_owned),
            calls: calls
                .iter()
                .map(|(call_id, name, arguments)| RequestedCall {
                    call_id: (*call_id).to_owned(),
                    name: (*name).to_owned(),
                    arguments: (*arguments).to_owned(),
                })
                .collect(),
            ..Reply::default()
        };
        let event =
            reply.record(run_id(), self.run.turns + 1, &self.agent, &self.context, TurnRequest::default(), 1);
        self.record(event);
        self.settle(EPOCH)
    }

    /// The pending tool call returns.
    pub(crate) fn returned(&mut self, result: Value) -> Next {
        let call = self.run.front().expect("a pending call").call.id;
        self.record(Event::ToolReturned { call, result, took_ms: 1, attempt: 1, full_bytes: None });
        self.settle(EPOCH)
    }

    /// The pending tool call fails.
    pub(crate) fn failed(&mut self, error: &str) -> Next {
        let call = self.run.front().expect("a pending call").call.id;
        let error = error.to_owned();
        self.record(Event::ToolFailed { call, error, took_ms: 1, attempt: 1, full_bytes: None });
        self.settle(EPOCH)
    }

    /// The pending `at_most_once` call is begun under `epoch`.
    pub(crate) fn started(&mut self, epoch: Epoch) {
        let call = self.run.front().expect("a pending call").call.id;
        self.record(Event::ToolStarted {
            call,
            arguments_hash: "h".to_owned(),
            worker: WorkerId::new("w-1"),
            epoch,
            attempt: 1,
            at_ms: 0,
        });
    }

    pub(crate) fn kinds(&self) -> String {
        self.events.iter().map(Event::kind).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn context_json(&self) -> String {
        self.context
            .items()
            .iter()
            .map(|item| serde_json::to_string(item).expect("json"))
            .collect::<Vec<_>>()
            .join("\n")
    }
}
