//! The body of an answer: read up to a bound, and given back as JSON or text without secrets.

use piton_core::clip;
use reqwest::Response;
use serde_json::Value;
use tokio::time::Instant;

use super::root_cause;
use super::secrets::Secrets;

/// Bytes that are read of one answer's body.
pub const HTTP_BODY_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a body as an error quotes it.
const EXCERPT_BYTES_MAX: usize = 2_000;

/// What was read, and why it ends where it does.
pub(super) struct Body {
    bytes: Vec<u8>,
    /// `None`: the body is whole.
    cut: Option<String>,
}

/// Reads until the end, the bound or `ends_at`, whichever comes first. It never fails: the answer's status is known,
/// and what there is of the body is kept.
pub(super) async fn read(mut response: Response, ends_at: Instant) -> Body {
    let mut bytes = Vec::new();
    let cut = loop {
        match tokio::time::timeout_at(ends_at, response.chunk()).await {
            Ok(Ok(None)) => break None,
            Ok(Ok(Some(chunk))) => {
                let room = HTTP_BODY_BYTES_MAX - bytes.len();
                bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    break Some(format!("longer than {HTTP_BODY_BYTES_MAX} bytes"));
                }
            }
            Ok(Err(error)) => break Some(format!("the connection broke: {}", root_cause(&error))),
            Err(_) => break Some("the time limit passed".to_owned()),
        }
    };
    Body { bytes, cut }
}

impl Body {
    /// The result of a call that went well.
    pub(super) fn into_result(self, secrets: &Secrets) -> Value {
        let Some(cut) = &self.cut else {
            if self.bytes.is_empty() {
                return Value::Null;
            }
            return match serde_json::from_slice(&self.bytes) {
                Ok(value) => secrets.redact(value),
                Err(_) => Value::String(secrets.redact_text(&self.text())),
            };
        };
        let text = secrets.redact_cut(&self.text());
        Value::String(format!("{text}… [cut after {} bytes: {cut}]", self.bytes.len()))
    }

    /// The beginning of an error's body, ready to follow its status.
    pub(super) fn into_excerpt(self, secrets: &Secrets) -> String {
        let text = if self.cut.is_some() {
            secrets.redact_cut(&self.text())
        } else {
            secrets.redact_text(&self.text())
        };
        let text = text.trim();
        if text.is_empty() { String::new() } else { format!(": {}", clip(text, EXCERPT_BYTES_MAX)) }
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        // A cut may fall inside a character.
        let text = if self.cut.is_some() { text.trim_end_matches('\u{fffd}') } else { &text };
        text.to_owned()
    }
}
