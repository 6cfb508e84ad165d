//! A place in a file that a person wrote: what an error points at.

use std::fmt;
use std::path::{Path, PathBuf};

/// `path:line:column`, both counted from 1, the column in characters. Places of one file sort from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    path: PathBuf,
    line: usize,
    column: usize,
}

impl Place {
    /// Where byte `offset` of `text` is; past the end it is the end.
    pub(crate) fn of(path: &Path, text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

/// The one of `known` that `written` is most like, if it is like any.
pub(crate) fn most_like<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(written, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let at = |offset| Place::of(Path::new("a.toml"), "x\nüb = 1\n", offset).to_string();
        assert_eq!(at(0), "a.toml:1:1");
        assert_eq!(at(2), "a.toml:2:1");
        assert_eq!(at(3), "a.toml:2:1"); // inside of ü
        assert_eq!(at(4), "a.toml:2:2");
        assert_eq!(at(99), "a.toml:3:1");
    }

    #[test]
    fn only_a_likely_name_is_suggested() {
        let known = ["listen", "workers", "api_key"];
        assert_eq!(most_like("lisetn", known), Some("listen"));
        assert_eq!(most_like("worker", known), Some("workers"));
        assert_eq!(most_like("password", known), None);
    }
}
