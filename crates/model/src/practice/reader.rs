//! A cursor over tokens that either takes a phrase whole or does not move.

use serde_json::Number;

use super::expr::Expr;
use super::lexer::Token;
use super::words::Words;

/// What a name such as `x`, "a number" or "my age" stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// A number that the human is asked for.
    Asked,
    /// The unknown of an equation, the same one throughout.
    Unknown,
    /// Nothing: there are numbers only.
    None,
}

#[derive(Debug, Clone)]
pub(super) struct Reader<'t> {
    pub(super) tokens: &'t [Token],
    pub(super) at: usize,
    pub(super) names: Names,
    /// How deep in brackets and functions.
    pub(super) depth: usize,
    /// What "it" and "the result" stand for.
    pub(super) so_far: Option<Expr>,
    pub(super) used_so_far: bool,
    /// The letter that the unknown goes by, once there is one.
    pub(super) letter: Option<String>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(tokens: &'t [Token], names: Names) -> Self {
        Self { tokens, at: 0, names, depth: 0, so_far: None, used_so_far: false, letter: None }
    }

    pub(super) fn peek(&self, ahead: usize) -> Option<&'t Token> {
        self.tokens.get(self.at + ahead)
    }

    /// The word that is `ahead` of the cursor, or nothing.
    pub(super) fn word(&self, ahead: usize) -> &'t str {
        self.peek(ahead).and_then(Token::word).unwrap_or("")
    }

    pub(super) fn sign(&mut self, sign: char) -> bool {
        let found = self.peek(0).is_some_and(|token| token.is_sign(sign));
        self.at += usize::from(found);
        found
    }

    pub(super) fn number(&mut self) -> Option<Number> {
        let number = self.peek(0)?.number()?.clone();
        self.at += 1;
        Some(number)
    }

    /// Takes one of the phrases, each given as words with spaces; the first that fits.
    pub(super) fn eat(&mut self, phrases: &[&str]) -> bool {
        let length = phrases.iter().find_map(|phrase| {
            let mut count = 0;
            for word in phrase.split(' ') {
                if self.word(count) != word {
                    return None;
                }
                count += 1;
            }
            Some(count)
        });
        self.at += length.unwrap_or(0);
        length.is_some()
    }

    /// Takes one of the phrases, which have a `|` between each two.
    pub(super) fn eat_one(&mut self, phrases: &str) -> bool {
        phrases.split('|').any(|phrase| self.eat(&[phrase]))
    }

    /// Takes words of the set, as many as there are.
    pub(super) fn skip(&mut self, set: Words) {
        while set.has(self.word(0)) {
            self.at += 1;
        }
    }

    /// Runs `read`, and stays where it is if that finds nothing.
    pub(super) fn attempt<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let (at, depth, used) = (self.at, self.depth, self.used_so_far);
        let found = read(self);
        if found.is_none() {
            (self.at, self.depth, self.used_so_far) = (at, depth, used);
        }
        found
    }
}
