//! Bounds on what a tool gives back, so that one call can fill neither the model's context nor the store. What is cut
//! for the model is kept apart for people, up to a bound of its own.

use std::sync::Arc;

use piton_core::{OUTPUT_BYTES_MAX, clip};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use crate::ToolError;

/// Bytes of one output as it is kept for people.
pub const FULL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of an error's text as the model is shown it: enough to know what to do differently.
const ERROR_BYTES_MAX: usize = 2 * 1024;

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// As the model is shown it: bounded, and with a marker where it was cut.
    pub result: Result<Value, ToolError>,
    /// The whole, where `result` was cut.
    pub full: Option<Full>,
}

/// The whole of an output, to be dropped as soon as it is on disk: few large ones are held at once, and other calls
/// wait for its place.
#[derive(Debug, Clone)]
pub struct Full {
    /// At most [`FULL_BYTES_MAX`] bytes and a marker.
    pub text: Arc<str>,
    _place: Place,
}

/// A place among the large outputs of this process, where one is needed.
pub(crate) type Place = Option<Arc<OwnedSemaphorePermit>>;

impl PartialEq for Full {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Full {}

/// What a tool gave back, before it is bounded.
#[derive(Debug)]
pub(crate) enum Output {
    Value(Value),
    Text(Text),
}

/// A text, and why there is no more of it where that is so.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) lacks: Option<String>,
    pub(crate) place: Place,
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { text, lacks: None, place: None }
    }
}

impl From<Value> for Output {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

/// Bounds what a call came to.
pub(crate) fn bounded(outcome: Result<Output, ToolError>) -> Ended {
    match outcome {
        Ok(Output::Value(Value::String(text))) => Text::from(text).into_ended(),
        Ok(Output::Value(value)) => {
            let text = value.to_string();
            if text.len() <= OUTPUT_BYTES_MAX {
                Ended { result: Ok(value), full: None }
            } else {
                drop(value);
                Text::from(text).into_ended()
            }
        }
        Ok(Output::Text(text)) => text.into_ended(),
        Err(ToolError::Failed(error)) => {
            let shown = ToolError::Failed(clip(&error, ERROR_BYTES_MAX));
            let full = (error.len() > ERROR_BYTES_MAX).then(|| Text::from(error).kept());
            Ended { result: Err(shown), full }
        }
        Err(ToolError::Unknown(why)) => {
            Ended { result: Err(ToolError::Unknown(clip(&why, ERROR_BYTES_MAX))), full: None }
        }
    }
}

impl Text {
    fn into_ended(self) -> Ended {
        let marker = self.marker(self.text.len());
        let whole_bytes = written_bytes(&self.text).saturating_add(written_bytes(&marker) + QUOTES);
        if whole_bytes <= OUTPUT_BYTES_MAX {
            return Ended { result: Ok(Value::String(self.text + &marker)), full: None };
        }
        // A text grows when it is written as JSON (quotes, control characters), so what counts is its written length.
        let mut room = OUTPUT_BYTES_MAX - QUOTES - written_bytes(&self.marker(0)) - self.digits();
        let end = self.text.char_indices().find(|(_, c)| {
            let written = written_bytes_of(*c);
            let fits = written <= room;
            room = room.saturating_sub(written);
            !fits
        });
        let end = end.map_or(self.text.len(), |(at, _)| at);
        let shown = format!("{}{}", &self.text[..end], self.marker(end));
        Ended { result: Ok(Value::String(shown)), full: Some(self.kept()) }
    }

    /// The text as it is kept for people.
    fn kept(mut self) -> Full {
        let end = self.text.floor_char_boundary(FULL_BYTES_MAX);
        let marker = self.marker(end);
        self.text.truncate(end);
        self.text.push_str(&marker);
        Full { text: self.text.into(), _place: self.place }
    }

    /// What follows the first `end` bytes: how much is missing, and why.
    fn marker(&self, end: usize) -> String {
        let all = self.text.len();
        match &self.lacks {
            None if end >= all => String::new(),
            None => format!("… [cut: {end} of {all} bytes shown]"),
            Some(why) if end >= all => format!("… [cut after {all} bytes: {why}]"),
            Some(why) => format!("… [cut: {end} of {all} bytes shown; there was more: {why}]"),
        }
    }

    /// How much longer a marker can get than that of 0 bytes.
    fn digits(&self) -> usize {
        self.text.len().to_string().len()
    }
}

/// Bytes that JSON adds around a text.
const QUOTES: usize = 2;

/// Bytes of a text inside JSON as serde_json writes it.
fn written_bytes(text: &str) -> usize {
    text.chars().map(written_bytes_of).sum()
}

const fn written_bytes_of(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ended(value: Value) -> Ended {
        bounded(Ok(value.into()))
    }

    fn cut(text: String, lacks: &str) -> Ended {
        bounded(Ok(Output::Text(Text { lacks: Some(lacks.to_owned()), ..Text::from(text) })))
    }

    fn shown(ended: &Ended) -> &str {
        ended.result.as_ref().expect("a result").as_str().expect("a text")
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        for fits in [Value::String("x".repeat(OUTPUT_BYTES_MAX - 2)), json!({"a": [1, null]}), json!("")] {
            assert_eq!(ended(fits.clone()), Ended { result: Ok(fits), full: None });
        }
        let ended = cut("{\"id\": 7".to_owned(), "the line broke");
        assert_eq!(shown(&ended), "{\"id\": 7… [cut after 8 bytes: the line broke]");
        assert_eq!(ended.full, None);
    }

    #[test]
    fn what_is_too_long_is_cut_with_a_marker_never_exceeds_the_bound_and_is_kept_whole() {
        for text in ["x", "é", "\"", "\u{1}", "\n", "🧗", "a\u{0}"] {
            let long = text.repeat(OUTPUT_BYTES_MAX);
            for (result, whole) in [
                (json!(long), long.clone()),
                (json!([long]), json!([long]).to_string()),
                (json!({"a": long}), json!({"a": long}).to_string()),
            ] {
                let ended = ended(result);
                let end = format!(" of {} bytes shown]", whole.len());
                assert!(shown(&ended).contains("… [cut: ") && shown(&ended).ends_with(&end), "{text:?}");
                let bytes = json!(shown(&ended)).to_string().len();
                assert!(bytes <= OUTPUT_BYTES_MAX, "{text:?}: {bytes}");
                assert!(bytes > OUTPUT_BYTES_MAX - 64, "{text:?}: {bytes}");
                assert_eq!(ended.full.map(|full| full.text), Some(whole.into()));
            }
        }
    }

    #[test]
    fn what_is_one_byte_too_long_is_cut() {
        let ended = ended(Value::String("x".repeat(OUTPUT_BYTES_MAX - 1)));
        assert!(ended.full.is_some_and(|full| full.text.len() == OUTPUT_BYTES_MAX - 1));
    }

    #[test]
    fn a_long_text_that_was_cut_off_before_says_so_in_both_places() {
        let why = "the \"line\" broke";
        let ended = cut("é".repeat(OUTPUT_BYTES_MAX), why);
        let end = format!(" of {} bytes shown; there was more: {why}]", 2 * OUTPUT_BYTES_MAX);
        assert!(shown(&ended).ends_with(&end), "{}", &shown(&ended)[OUTPUT_BYTES_MAX - 200..]);
        assert!(json!(shown(&ended)).to_string().len() <= OUTPUT_BYTES_MAX);
        let full = ended.full.expect("kept").text;
        assert!(full.ends_with(&format!("é… [cut after {} bytes: {why}]", 2 * OUTPUT_BYTES_MAX)));
    }

    #[test]
    fn what_is_kept_is_bounded_too_and_says_so() {
        let long = format!("x{}", "é".repeat(FULL_BYTES_MAX));
        let full = ended(json!(long)).full.expect("kept").text;
        let end = format!("é… [cut: {} of {} bytes shown]", FULL_BYTES_MAX - 1, long.len());
        assert!(full.len() < FULL_BYTES_MAX + 64 && full.ends_with(&end), "{}", full.len());
    }

    #[test]
    fn an_error_is_bounded_too_and_kept_whole() {
        let long = "x".repeat(1 << 20);
        let ended = bounded(Err(ToolError::Failed(long.clone())));
        let Err(ToolError::Failed(text)) = ended.result else { panic!("the kind changed") };
        assert!(text.len() < ERROR_BYTES_MAX + 64 && text.contains("… [cut: "));
        assert_eq!(ended.full.map(|full| full.text), Some(long.into()));
        let ended = bounded(Err(ToolError::Failed("no".to_owned())));
        assert_eq!(ended, Ended { result: Err(ToolError::Failed("no".to_owned())), full: None });
    }

    #[test]
    fn why_an_outcome_is_unknown_is_bounded() {
        let ended = bounded(Err(ToolError::Unknown("x".repeat(1 << 20))));
        let Err(ToolError::Unknown(text)) = ended.result else { panic!("the kind changed") };
        assert!(text.len() < ERROR_BYTES_MAX + 64);
        assert_eq!(ended.full, None);
    }
}
