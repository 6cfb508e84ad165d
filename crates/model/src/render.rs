//! Requests as they are sent: rendered once by the client, and again by whoever wants to see what was asked.

use async_openai::types::responses::ReasoningEffort;
use piton_core::TurnRequest;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::client::Ask;
use crate::config::{ModelConfigError, effort};
use crate::wire::{Dialect, Omitted};
use crate::{chat, responses};

/// Renders requests; the same ask gives the same bytes.
#[derive(Debug, Clone)]
pub struct Renderer {
    effort: Option<ReasoningEffort>,
    max_output_tokens: Option<u32>,
}

/// A request that was rendered once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    pub body: String,
    /// Whether its hash is the one recorded: these are the bytes that were sent.
    pub is_same: bool,
}

impl Renderer {
    /// `reasoning_effort` and `max_output_tokens` as [`crate::ModelConfig`] has them.
    ///
    /// # Errors
    /// [`ModelConfigError::ReasoningEffort`] when there is no such effort.
    pub fn new(
        reasoning_effort: Option<&str>,
        max_output_tokens: Option<u32>,
    ) -> Result<Self, ModelConfigError> {
        Ok(Self { effort: effort(reasoning_effort)?, max_output_tokens })
    }

    pub(crate) fn body(&self, ask: &Ask<'_>, dialect: Dialect, omitted: Omitted) -> Box<RawValue> {
        let (effort, limit) = (self.effort.clone(), self.max_output_tokens);
        let body = match dialect {
            Dialect::Responses => {
                serde_json::value::to_raw_value(&responses::Request::new(ask, effort, limit, omitted))
            }
            Dialect::Chat => {
                serde_json::value::to_raw_value(&chat::Request::new(ask, effort, limit, omitted))
            }
        };
        #[expect(clippy::expect_used, reason = "texts and JSON values always have a JSON form")]
        body.expect("a request has a JSON form")
    }

    /// The request that `sent` records. What was left out of it for the model's sake is found by its hash; where none
    /// fits, because settings changed meanwhile, it is as it would be sent today.
    pub fn again(&self, ask: &Ask<'_>, sent: &TurnRequest) -> Again {
        let dialect = if sent.api == Dialect::Chat.as_str() { Dialect::Chat } else { Dialect::Responses };
        let left_out = [(false, false), (true, false), (false, true), (true, true)];
        left_out
            .into_iter()
            .map(|(reasoning, tool_choice)| self.body(ask, dialect, Omitted { reasoning, tool_choice }))
            .find(|body| sha256(body) == sent.sha256)
            .map_or_else(
                || Again {
                    body: self.body(ask, dialect, Omitted::default()).get().to_owned(),
                    is_same: false,
                },
                |body| Again { body: body.get().to_owned(), is_same: true },
            )
    }
}

/// In hex.
pub(crate) fn sha256(body: &RawValue) -> String {
    hex::encode(Sha256::digest(body.get()))
}

#[cfg(test)]
mod tests {
    use piton_core::Item;

    use super::*;

    #[test]
    fn what_was_sent_is_found_by_its_hash_whatever_was_left_out() {
        let items = [Item::user("2+3?")];
        let ask = Ask { model: "m", instructions: "be exact", items: &items, tools: &[] };
        let renderer = Renderer::new(Some("high"), Some(100)).unwrap();
        for (api, dialect) in [("responses", Dialect::Responses), ("chat", Dialect::Chat)] {
            for reasoning in [false, true] {
                let body = renderer.body(&ask, dialect, Omitted { reasoning, tool_choice: false });
                let sent =
                    TurnRequest { api: api.to_owned(), sha256: sha256(&body), ..TurnRequest::default() };
                let expected = Again { body: body.get().to_owned(), is_same: true };
                assert_eq!(renderer.again(&ask, &sent), expected, "{api}, {reasoning}");
            }
        }
        let sent = TurnRequest { api: "chat".to_owned(), sha256: "00".repeat(32), ..TurnRequest::default() };
        assert!(!renderer.again(&ask, &sent).is_same, "other settings are not passed off as what was sent");
    }
}
