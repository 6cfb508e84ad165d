//! The body of an answer: read up to a bound, and given back as JSON or text without secrets.

use std::sync::Arc;

use reqwest::Response;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::root_cause;
use super::secrets::Secrets;
use crate::output::{FULL_BYTES_MAX, Output, Place, Text};

/// Bytes that are read of the body of an answer that says success.
pub const HTTP_BODY_BYTES_MAX: usize = FULL_BYTES_MAX;
/// Bytes that are read of the body of any other answer.
pub(super) const ERROR_BODY_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a body that is read as JSON, and that needs no place among the large ones. The model is shown only the
/// beginning of a longer one, as text; read as JSON it might take many times its length in memory.
const SMALL_BYTES_MAX: usize = 256 * 1024;

/// What was read, and why it ends where it does.
pub(super) struct Body {
    bytes: Vec<u8>,
    /// `None`: the body is whole.
    cut: Option<String>,
    place: Place,
}

/// Reads until the end, `bytes_max` or `ends_at`, whichever comes first. It never fails: the answer's status is known,
/// and what there is of the body is kept. A large one is read on only with one of the places for `large` ones, so that
/// the process holds no more of them than there are.
pub(super) async fn read(
    mut response: Response,
    bytes_max: usize,
    ends_at: Instant,
    large: &Arc<Semaphore>,
) -> Body {
    let mut bytes = Vec::new();
    let mut place = None;
    let cut = loop {
        match timeout_at(ends_at, response.chunk()).await {
            Ok(Ok(None)) => break None,
            Ok(Ok(Some(chunk))) => {
                if bytes.len() + chunk.len() > SMALL_BYTES_MAX && place.is_none() {
                    match timeout_at(ends_at, Arc::clone(large).acquire_owned()).await {
                        Ok(Ok(free)) => place = Some(Arc::new(free)),
                        _ => break Some("other large outputs took up the room for it".to_owned()),
                    }
                }
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
    Body { bytes, cut, place }
}

impl Body {
    /// The result of a call that went well.
    pub(super) fn into_output(self, secrets: &Secrets) -> Output {
        if self.cut.is_none() && self.bytes.is_empty() {
            return Value::Null.into();
        }
        if self.cut.is_none()
            && self.bytes.len() <= SMALL_BYTES_MAX
            && let Ok(value) = serde_json::from_slice(&self.bytes)
        {
            return secrets.redact(value).into();
        }
        Output::Text(self.into_text(secrets))
    }

    /// An error's body, ready to follow its status.
    pub(super) fn into_explanation(self, secrets: &Secrets) -> String {
        let Text { text, lacks, .. } = self.into_text(secrets);
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
            return Text { text: secrets.redact_text(text), lacks: None, place: self.place };
        }
        // A cut may fall inside a character.
        text.truncate(text.trim_end_matches('\u{fffd}').len());
        Text { text: secrets.redact_cut(text), lacks: self.cut, place: self.place }
    }
}
