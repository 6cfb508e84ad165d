//! Bounds on what a tool gives back, so that one call cannot fill the model's context or the store.

use piton_core::{OUTPUT_BYTES_MAX, clip};
use serde_json::Value;

use crate::ToolError;

/// Bytes of an error's text.
const ERROR_BYTES_MAX: usize = 8 * 1024;
/// Room for the marker of [`clip`].
const MARKER_BYTES_MAX: usize = 64;

/// `result` as it is, or, where its JSON is longer than [`OUTPUT_BYTES_MAX`], the beginning of it as a text with a
/// marker that says how much is missing.
pub(crate) fn bounded(result: Value) -> Value {
    let bytes = result.to_string().len();
    if bytes <= OUTPUT_BYTES_MAX {
        return result;
    }
    let text = match result {
        Value::String(text) => text,
        other => other.to_string(),
    };
    // A text grows when it is written as JSON (quotes, control characters), so what counts is its written length.
    let mut room = OUTPUT_BYTES_MAX - MARKER_BYTES_MAX - 2;
    let end = text
        .char_indices()
        .find(|(_, c)| {
            let written = written_bytes(*c);
            let fits = written <= room;
            room = room.saturating_sub(written);
            !fits
        })
        .map_or(text.len(), |(at, _)| at);
    Value::String(clip(&text, end))
}

/// Bytes of a character inside a JSON text as serde_json writes it.
const fn written_bytes(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}

pub(crate) fn bounded_error(error: ToolError) -> ToolError {
    error.map(|text| clip(&text, ERROR_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fits_is_left_as_it_is() {
        let fits = Value::String("x".repeat(OUTPUT_BYTES_MAX - 2));
        assert_eq!(bounded(fits.clone()), fits);
        assert_eq!(bounded(json!({"a": [1, null]})), json!({"a": [1, null]}));
    }

    #[test]
    fn what_is_too_long_is_cut_with_a_marker_and_never_exceeds_the_bound() {
        for text in ["x", "é", "\"", "\u{1}", "\n", "🧗", "a\u{0}"] {
            for result in [json!(text.repeat(OUTPUT_BYTES_MAX)), json!([text.repeat(OUTPUT_BYTES_MAX)])] {
                let cut = bounded(result);
                assert!(cut.as_str().is_some_and(|cut| cut.contains("[cut: ")), "{text:?}");
                let bytes = cut.to_string().len();
                assert!(bytes <= OUTPUT_BYTES_MAX, "{text:?}: {bytes}");
                assert!(bytes > OUTPUT_BYTES_MAX - 128, "{text:?}: {bytes}");
            }
        }
    }

    #[test]
    fn an_error_is_bounded_too() {
        let ToolError::Unknown(text) = bounded_error(ToolError::Unknown("x".repeat(1 << 20))) else {
            panic!("the kind changed");
        };
        assert!(text.len() < ERROR_BYTES_MAX + MARKER_BYTES_MAX);
    }
}
