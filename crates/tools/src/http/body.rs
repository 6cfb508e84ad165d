//! The body of an answer: read up to a bound, and given back as JSON or text without secrets.

use reqwest::Response;
use serde_json::Value;
use tokio::time::Instant;

use super::root_cause;
use super::secrets::Secrets;
use crate::output::{FULL_BYTES_MAX, Output, Text};

/// Bytes that are read of the body of an answer that says success.
pub const HTTP_BODY_BYTES_MAX: usize = FULL_BYTES_MAX;
/// Bytes that are read of the body of any other answer.
pub(super) const ERROR_BODY_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a body that is read as JSON. The model is shown only the beginning of a longer one, as text; read as JSON
/// it might take many times its length in memory.
const JSON_BYTES_MAX: usize = 256 * 1024;

/// What was read, and why it ends where it does.
pub(super) struct Body {
    bytes: Vec<u8>,
    /// `None`: the body is whole.
    cut: Option<String>,
}

/// Reads until the end, `bytes_max` or `ends_at`, whichever comes first. It never fails: the answer's status is known,
/// and what there is of the body is kept.
pub(super) async fn read(mut response: Response, bytes_max: usize, ends_at: Instant) -> Body {
    let mut bytes = Vec::new();
    let cut = loop {
        match tokio::time::timeout_at(ends_at, response.chunk()).await {
            Ok(Ok(None)) => break None,
            Ok(Ok(Some(chunk))) => {
                let room = bytes_max - bytes.len();
                bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    break Some(format!("longer than {bytes_max} bytes"));
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
    pub(super) fn into_output(self, secrets: &Secrets) -> Output {
        if self.cut.is_none() && self.bytes.is_empty() {
            return Value::Null.into();
        }
        if self.cut.is_none()
            && self.bytes.len() <= JSON_BYTES_MAX
            && let Ok(value) = serde_json::from_slice(&self.bytes)
        {
            return secrets.redact(value).into();
        }
        Output::Text(self.into_text(secrets))
    }

    /// An error's body, ready to follow its status.
    pub(super) fn into_explanation(self, secrets: &Secrets) -> String {
        let Text { text, lacks } = self.into_text(secrets);
        match (text.trim(), lacks) {
            ("", _) => String::new(),
            (text, None) => format!(": {text}"),
            (text, Some(why)) => format!(": {text}… [cut after {} bytes: {why}]", text.len()),
        }
    }

    fn into_text(self, secrets: &Secrets) -> Text {
        let mut text = String::from_utf8(self.bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        if self.cut.is_none() {
            return Text { text: secrets.redact_text(text), lacks: None };
        }
        // A cut may fall inside a character.
        text.truncate(text.trim_end_matches('\u{fffd}').len());
        Text { text: secrets.redact_cut(text), lacks: self.cut }
    }
}
