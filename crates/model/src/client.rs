//! The client: one ask, as many tries as it takes, one reply or one clear failure.

use std::time::{Duration, Instant};

use async_openai::Client;
use piton_core::{Item, Reply, ToolSpec, TurnRequest};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::{Api, Endpoint, ModelConfig, ModelConfigError};
use crate::learned::Learned;
use crate::render::{Renderer, sha256};
use crate::retry::Backoff;
use crate::transport::{Fault, Transport, short};
use crate::wire::{Dialect, Omitted, Route, Said};
use crate::{chat, responses, text_call};

/// What a model is asked.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub model: &'a str,
    /// The system prompt; may be empty.
    pub instructions: &'a str,
    pub items: &'a [Item],
    pub tools: &'a [ToolSpec],
}

/// A reply, and what was sent to get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Replied {
    pub reply: Reply,
    /// `through_seq` is left 0 for the caller, who knows the events.
    pub request: TurnRequest,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct ModelFailure {
    /// One line, fit to be shown: it never holds the key.
    pub error: String,
    /// Requests that were sent.
    pub tries: u32,
}

/// Asks one endpoint for replies. To be shared: it pools connections and remembers what the endpoint lacks.
#[derive(Debug)]
pub struct ModelClient {
    openai: Client<Endpoint>,
    api: Api,
    renderer: Renderer,
    tries_max: u32,
    backoff: Backoff,
    learned: Learned,
}

impl ModelClient {
    /// # Errors
    /// [`ModelConfigError`] names the member of `config` that is not as it should be.
    pub fn new(config: ModelConfig) -> Result<Self, ModelConfigError> {
        if config.timeout_ms == 0 {
            return Err(ModelConfigError::Timeout);
        }
        if config.tries_max == 0 {
            return Err(ModelConfigError::Tries);
        }
        let endpoint = Endpoint::new(&config)?;
        let transport = Transport::new(&config, &endpoint)?;
        Ok(Self {
            openai: Client::build(transport.http(), endpoint).with_http_service(transport),
            api: config.api,
            renderer: Renderer::new(config.reasoning_effort.as_deref(), config.max_output_tokens)?,
            tries_max: config.tries_max,
            backoff: Backoff::default(),
            learned: Learned::default(),
        })
    }

    /// The same client with other waits between its tries.
    #[must_use]
    pub fn with_backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// Asks once, trying again while that may help. Dropping the future gives the ask up.
    ///
    /// What the endpoint does not support is left out and asked anew, which is not held against `tries_max`.
    ///
    /// # Errors
    /// [`ModelFailure`] when the model refused, or no try brought a reply.
    pub async fn reply(&self, ask: &Ask<'_>) -> Result<Replied, ModelFailure> {
        let begun = Instant::now();
        let mut delays = self.backoff.delays();
        let mut route = self.learned.route(self.api, ask.model);
        let mut body = self.body(ask, route);
        let (mut tries, mut failed) = (0, 0);
        loop {
            tries += 1;
            let fault = match self.send(route.dialect, &body).await {
                Ok(answer) => match read(route.dialect, &answer, ask.tools) {
                    Ok(reply) => {
                        self.learned.keep(ask.model, route);
                        return Ok(Replied { reply, request: record(route, &body, tries, begun.elapsed()) });
                    }
                    Err(fault) => fault,
                },
                Err(fault) => fault,
            };
            if let Some(other) = self.adapt(route, &fault) {
                route = other;
                body = self.body(ask, route);
                continue;
            }
            failed += 1;
            if !fault.passes() || failed >= self.tries_max {
                return Err(ModelFailure { error: self.explain(route, &fault), tries });
            }
            let wait = self.backoff.wait(delays.next().unwrap_or_default(), fault.retry_after());
            tracing::warn!(
                tries,
                wait_ms = wait.as_millis(),
                fault = self.shown(&fault),
                "asking the model again"
            );
            tokio::time::sleep(wait).await;
        }
    }

    /// The request, serialized once however often it is sent.
    fn body(&self, ask: &Ask<'_>, Route { dialect, omitted, .. }: Route) -> Box<RawValue> {
        self.renderer.body(ask, dialect, omitted)
    }

    async fn send(&self, dialect: Dialect, body: &RawValue) -> Result<Box<RawValue>, Fault> {
        let answer = match dialect {
            Dialect::Responses => self.openai.responses().create_byot(body).await,
            Dialect::Chat => self.openai.chat().create_byot(body).await,
        };
        answer.map_err(Fault::from)
    }

    /// Another way to ask, where the fault is that this one is not supported. Each step is taken once at most.
    fn adapt(&self, route: Route, fault: &Fault) -> Option<Route> {
        let Omitted { reasoning, tool_choice } = route.omitted;
        if self.api == Api::Auto && route.dialect == Dialect::Responses && fault.is_missing_endpoint() {
            return Some(Route { dialect: Dialect::Chat, omitted: Omitted::default(), fell_back: true });
        }
        if !reasoning && fault.blames("reasoning") {
            return Some(Route { omitted: Omitted { reasoning: true, tool_choice }, ..route });
        }
        if !tool_choice && fault.blames("tool_choice") {
            return Some(Route { omitted: Omitted { reasoning, tool_choice: true }, ..route });
        }
        None
    }

    fn explain(&self, route: Route, fault: &Fault) -> String {
        let shown = self.shown(fault);
        if !fault.is_missing_endpoint() {
            return shown;
        }
        self.learned.forget_missing();
        let missing = match (self.api, route.dialect) {
            (Api::Auto, _) => "neither /responses nor /chat/completions",
            (_, Dialect::Responses) => "no /responses",
            (_, Dialect::Chat) => "no /chat/completions",
        };
        format!("{shown} (the base URL has {missing})")
    }

    /// A fault as it may be shown. The key goes first: cut in half it would no longer be found.
    fn shown(&self, fault: &Fault) -> String {
        short(&self.openai.config().redact(&fault.to_string()))
    }
}

fn record(route: Route, body: &RawValue, tries: u32, took: Duration) -> TurnRequest {
    TurnRequest {
        api: route.dialect.as_str().to_owned(),
        through_seq: 0,
        sha256: sha256(body),
        bytes: body.get().len() as u64,
        tries,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}

/// A reply in the one form that the rest of Piton knows.
fn read(dialect: Dialect, answer: &RawValue, tools: &[ToolSpec]) -> Result<Reply, Fault> {
    let answer: Value = serde_json::from_str(answer.get())
        .map_err(|error| Fault::Unreadable(format!("it is not JSON that can be held ({error})")))?;
    let (mut said, usage) = match dialect {
        Dialect::Responses => responses::read(&answer)?,
        Dialect::Chat => chat::read(&answer)?,
    };
    let mut is_call_in_text = false;
    if said.calls.is_empty() {
        said.calls = text_call::find(&said.text, tools);
        is_call_in_text = !said.calls.is_empty();
    }
    let notes = said.notes(is_call_in_text);
    let Said { text, calls, .. } = said;
    let text = Some(text).filter(|text| !text.trim().is_empty());
    let model = answer["model"].as_str().unwrap_or_default().to_owned();
    Ok(Reply { text, calls, notes, usage, model })
}
