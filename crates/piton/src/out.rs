//! What commands say to whoever started them. A reader that goes away ends the saying, not the program.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

/// A line on standard output.
pub(crate) fn line(text: impl AsRef<str>) {
    let mut out = io::stdout().lock();
    let _ = out
        .write_all(shown(text.as_ref(), io::stdout().is_terminal()).as_bytes())
        .and_then(|()| out.write_all(b"\n"));
}

/// A line on standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    let mut err = io::stderr().lock();
    let _ = err
        .write_all(shown(text.as_ref(), io::stderr().is_terminal()).as_bytes())
        .and_then(|()| err.write_all(b"\n"));
}

/// JSON on standard output, one value a line.
pub(crate) fn json(value: &Value) {
    line(value.to_string());
}

/// What a model or a tool said must not steer the terminal: control characters and those that turn the direction of
/// writing are made visible.
fn shown(text: &str, is_terminal: bool) -> String {
    if !is_terminal {
        return text.to_owned();
    }
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_terminal_is_not_steered_by_what_is_shown() {
        assert_eq!(shown("a\u{1b}[2Jb\u{202e}c\nd", true), "a\u{fffd}[2Jb\u{fffd}c\nd");
        assert_eq!(shown("a\u{1b}b", false), "a\u{1b}b");
    }
}
