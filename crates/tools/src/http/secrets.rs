//! Values that came from the environment, and their removal from everything that is kept or shown.

use serde_json::{Map, Value};

/// Shorter values are words and flags, not secrets; taking them out would only spoil results.
const SECRET_BYTES_MIN: usize = 4;
const REDACTED: &str = "[redacted]";

/// The secrets of one call. It has no `Debug`.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Also adds the words of `secret`, because a server that is sent `Bearer abcdef` may send back `abcdef`, and how
    /// each is written inside of JSON.
    pub(super) fn add(&mut self, secret: &str) {
        let words = secret.split_whitespace().filter(|word| word.len() >= 8);
        for secret in words.chain((secret.len() >= SECRET_BYTES_MIN).then_some(secret)) {
            let written = Value::from(secret).to_string();
            self.0.push(written[1..written.len() - 1].to_owned());
            self.0.push(secret.to_owned());
        }
        // The longest first, so that no part of one is left when another is inside of it.
        self.0.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.0.dedup();
    }

    /// For a text that was cut: the beginning of a secret at its end goes too.
    pub(super) fn redact_cut(&self, text: String) -> String {
        let mut text = self.redact_text(text);
        let begun = self.0.iter().flat_map(|secret| {
            let beginnings = secret.char_indices().map(|(end, _)| &secret[..end]);
            beginnings.filter(|beginning| beginning.len() >= SECRET_BYTES_MIN && text.ends_with(beginning))
        });
        let begun = begun.map(str::len).max();
        if let Some(begun) = begun {
            text.truncate(text.len() - begun);
            text.push_str(REDACTED);
        }
        text
    }

    pub(super) fn redact_text(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), REDACTED) } else { text }
        })
    }

    pub(super) fn redact(&self, value: Value) -> Value {
        if self.0.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.redact_text(text)),
            Value::Array(items) => items.into_iter().map(|item| self.redact(item)).collect(),
            Value::Object(members) => {
                let members: Map<String, Value> = members
                    .into_iter()
                    .map(|(name, value)| (self.redact_text(name), self.redact(value)))
                    .collect();
                Value::Object(members)
            }
            Value::Number(number) => {
                let text = number.to_string();
                if self.0.contains(&text) {
                    Value::String(REDACTED.to_owned())
                } else {
                    Value::Number(number)
                }
            }
            Value::Null | Value::Bool(_) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_taken_out_wherever_they_stand() {
        let mut secrets = Secrets::default();
        secrets.add("Bearer token-12345");
        secrets.add("token-12345-long");
        secrets.add("987654321");
        secrets.add("on");
        assert_eq!(
            secrets.redact(
                json!({"token-12345": ["got Bearer token-12345!", 987_654_321, 987_654_322], "on": true})
            ),
            json!({"[redacted]": ["got [redacted]!", "[redacted]", 987_654_322], "on": true})
        );
        assert_eq!(
            secrets.redact_text("x token-12345-long x token-12345".to_owned()),
            "x [redacted] x [redacted]"
        );
    }

    #[test]
    fn a_secret_with_odd_characters_is_found_in_unparsed_json_too() {
        let mut secrets = Secrets::default();
        secrets.add("to\"ken\\1");
        let text = r#"{"a": "to\"ken\\1", broken"#.to_owned();
        assert_eq!(secrets.redact_text(text), r#"{"a": "[redacted]", broken"#);
        assert_eq!(secrets.redact(json!("to\"ken\\1")), json!("[redacted]"));
    }

    #[test]
    fn the_beginning_of_a_secret_at_a_cut_goes_too() {
        let mut secrets = Secrets::default();
        secrets.add("abcabcdef");
        assert_eq!(secrets.redact_cut("x abcabcdef abcabc".to_owned()), "x [redacted] [redacted]");
        assert_eq!(secrets.redact_cut("x abcabd abc".to_owned()), "x abcabd abc");
        assert_eq!(Secrets::default().redact_cut("x abc".to_owned()), "x abc");
    }
}
