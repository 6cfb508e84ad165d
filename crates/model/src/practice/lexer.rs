//! A task's text as tokens: words in lower case, numbers as numbers (written in digits or in words), and signs.

use serde_json::Number;

use super::number;

/// Tokens of a task that are read; a longer one is not understood.
const TOKENS_MAX: usize = 1500;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Number(Number),
    Word(String),
    /// Punctuation and operators, each variant of a sign as the plainest one: `−` is `-`, `×` is `*`.
    Sign(char),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Follows the token before it without a space.
    pub(super) is_glued: bool,
    /// A word that begins with a capital.
    pub(super) is_capital: bool,
}

impl Token {
    pub(super) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<&Number> {
        match &self.kind {
            Kind::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn is_sign(&self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }
}

/// The tokens of `text`, or `None` when there are too many or a number is too large.
///
/// "A hundred and five" is one number if `joins_and`, else two.
pub(super) fn lex(text: &str, joins_and: bool) -> Option<Vec<Token>> {
    let mut scan = Scan { chars: text.chars().collect(), at: 0, is_glued: false, tokens: Vec::new() };
    while let Some(&c) = scan.chars.get(scan.at) {
        if scan.tokens.len() > TOKENS_MAX {
            return None;
        }
        scan.token(c)?;
    }
    Some(spell(scan.tokens, joins_and))
}

struct Scan {
    chars: Vec<char>,
    at: usize,
    is_glued: bool,
    tokens: Vec<Token>,
}

impl Scan {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn push(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, is_glued: self.is_glued, is_capital: false });
        self.is_glued = true;
    }

    fn push_word(&mut self, word: &str, is_capital: bool) {
        self.push(Kind::Word(word.to_owned()));
        if let Some(last) = self.tokens.last_mut() {
            last.is_capital = is_capital;
        }
    }

    fn token(&mut self, c: char) -> Option<()> {
        if c.is_ascii_digit() || (c == '.' && self.peek(1).is_ascii_digit()) {
            return self.number();
        }
        if c.is_alphabetic() || c == '_' {
            self.word();
            return Some(());
        }
        self.at += 1;
        if c.is_whitespace() || c.is_control() {
            self.is_glued = false;
            return Some(());
        }
        let plain = match c {
            '×' | '✕' | '✖' | '∗' | '·' | '⋅' | '•' => '*',
            '*' if self.peek(0) == '*' => {
                self.at += 1;
                '^'
            }
            '÷' | '∕' | '⁄' => '/',
            '−' | '–' => '-',
            '—' => ',',
            '[' | '{' => '(',
            ']' | '}' => ')',
            '-' if self.is_hyphen() => {
                self.is_glued = false;
                return Some(());
            }
            '²' | '³' => {
                self.push(Kind::Sign('^'));
                self.push(Kind::Number(if c == '²' { 2 } else { 3 }.into()));
                return Some(());
            }
            '½' | '¼' | '¾' => return self.fraction(c),
            '"' | '“' | '”' | '`' | '\'' | '’' | '‘' | '\u{200b}' | '\u{feff}' => return Some(()),
            other => other,
        };
        self.push(Kind::Sign(plain));
        Some(())
    }

    /// Digits, with thousands separated by commas or narrow spaces, a fraction and an exponent.
    fn number(&mut self) -> Option<()> {
        let mut text = String::new();
        self.digits(&mut text);
        let is_first_group = text.len() <= 3;
        while is_first_group && text.len() < 18 && self.is_group_of_three() {
            self.at += 1;
            self.digits(&mut text);
        }
        if self.peek(0) == '.' && self.peek(1).is_ascii_digit() {
            text.push('.');
            self.at += 1;
            self.digits(&mut text);
        }
        let sign = usize::from(matches!(self.peek(1), '+' | '-'));
        if matches!(self.peek(0), 'e' | 'E') && self.peek(1 + sign).is_ascii_digit() {
            text.extend(&self.chars[self.at..=self.at + sign]);
            self.at += 1 + sign;
            self.digits(&mut text);
        }
        self.push(Kind::Number(number::from_text(&text)?));
        Some(())
    }

    /// Whether a separator of thousands is next, with just three digits behind it.
    fn is_group_of_three(&self) -> bool {
        matches!(self.peek(0), ',' | '_' | '\'' | '’' | '\u{a0}' | '\u{202f}' | '\u{2009}')
            && (1..=3).all(|place| self.peek(place).is_ascii_digit())
            && !self.peek(4).is_ascii_digit()
    }

    fn digits(&mut self, text: &mut String) {
        while self.peek(0).is_ascii_digit() {
            text.push(self.peek(0));
            self.at += 1;
        }
    }

    /// `½`, or `2½` as one number.
    fn fraction(&mut self, c: char) -> Option<()> {
        let part = match c {
            '½' => 0.5,
            '¼' => 0.25,
            _ => 0.75,
        };
        let whole = self.tokens.last().filter(|_| self.is_glued).and_then(Token::number).map(number::to_f64);
        if whole.is_some() {
            self.tokens.pop();
        }
        self.push(Kind::Number(number::from_f64(whole.unwrap_or(0.0) + part)?));
        Some(())
    }

    fn word(&mut self) {
        let start = self.at;
        while self.peek(0).is_alphabetic() || self.peek(0) == '_' {
            self.at += 1;
        }
        let is_capital = self.chars[start].is_uppercase();
        let word: String = self.chars[start..self.at].iter().flat_map(|c| c.to_lowercase()).collect();
        if !matches!(self.peek(0), '\'' | '’') || !self.peek(1).is_alphabetic() {
            self.push_word(&word, is_capital);
            return;
        }
        let mut end = self.at + 1;
        while self.chars.get(end).is_some_and(|c| c.is_alphabetic()) {
            end += 1;
        }
        let suffix: String = self.chars[self.at + 1..end].iter().flat_map(|c| c.to_lowercase()).collect();
        self.at = end;
        let (base, second) = match suffix.as_str() {
            "s" if matches!(
                word.as_str(),
                "what" | "it" | "that" | "there" | "here" | "how" | "he" | "she" | "who" | "where" | "let"
            ) =>
            {
                (word.as_str(), "is")
            }
            "s" => (word.as_str(), "'s"),
            "re" => (word.as_str(), "are"),
            "m" => (word.as_str(), "am"),
            "ve" => (word.as_str(), "have"),
            "ll" => (word.as_str(), "will"),
            "d" => (word.as_str(), "would"),
            "t" => (word.strip_suffix('n').unwrap_or(&word), "not"),
            _ => (word.as_str(), ""),
        };
        self.push_word(base, is_capital);
        if !second.is_empty() {
            self.is_glued = false;
            self.push_word(second, false);
        }
    }

    /// Whether the `-` just passed joins two words (`twenty-five`, `3-year-old`), rather than subtracting.
    fn is_hyphen(&self) -> bool {
        let next_is_word = self.peek(0).is_alphabetic() && self.peek(1).is_alphabetic();
        let last = self.tokens.last().filter(|_| self.is_glued);
        match last.map(|token| &token.kind) {
            Some(Kind::Word(word)) => {
                next_is_word || (word.chars().count() > 1 && self.peek(0).is_alphabetic())
            }
            Some(Kind::Number(_)) => next_is_word,
            _ => false,
        }
    }
}

/// Turns number words into numbers.
fn spell(tokens: Vec<Token>, joins_and: bool) -> Vec<Token> {
    let texts: Vec<String> = tokens
        .iter()
        .map(|token| match &token.kind {
            Kind::Number(number) => number.to_string(),
            Kind::Word(word) => word.clone(),
            Kind::Sign(sign) => sign.to_string(),
        })
        .collect();
    let words: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut spelled = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        // No number is this many words long.
        let ahead = &words[at..words.len().min(at + 24)];
        let read = match &tokens[at].kind {
            Kind::Sign(_) => None,
            Kind::Number(_) if words.get(at + 1) == Some(&"k") && tokens[at + 1].is_glued => {
                number::from_f64(1000.0 * words[at].parse().unwrap_or(0.0)).map(|number| (number, 2))
            }
            Kind::Word(word) if word == "one" && is_pronoun(&words, at) => None,
            Kind::Word(_) | Kind::Number(_) => number::read(ahead, joins_and),
        };
        match read {
            Some((number, count)) if tokens[at].number().is_none() || count > 1 => {
                spelled.push(Token { kind: Kind::Number(number), ..tokens[at].clone() });
                at += count;
            }
            _ => {
                spelled.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    spelled
}

/// Whether the "one" at `at` stands for a thing, as in "each one", rather than for 1.
fn is_pronoun(words: &[&str], at: usize) -> bool {
    let before = at.checked_sub(1).map_or("", |place| words[place]);
    let after = words.get(at + 1).copied().unwrap_or("");
    let follows =
        matches!(before, "each" | "every" | "this" | "that" | "which" | "no" | "another" | "the" | "any")
            && !number::is_number_word(after);
    follows || matches!(after, "cost" | "costs" | "is" | "get" | "gets" | "has" | "does")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let tokens = lex(text, true).unwrap();
        let shown: Vec<String> = tokens
            .iter()
            .map(|token| match &token.kind {
                Kind::Number(number) => format!("#{number}"),
                Kind::Word(word) => word.clone(),
                Kind::Sign(sign) => sign.to_string(),
            })
            .collect();
        assert_eq!(shown.join(" "), expected, "{text}");
    }

    #[test]
    fn numbers_are_read_as_written() {
        check("1,234,567.5 + .5", "#1234567.5 + #0.5");
        check("3,5 and 1,2345", "#3 , #5 and #1 , #2345");
        check("average of 1, 200", "average of #1 , #200");
        check("2e3 1.5e-3 5e", "#2000 #0.0015 #5 e");
        check("60km/h, 10k", "#60 km / h , #10000");
        check("3x²−5x", "#3 x ^ #2 - #5 x");
        check("2½ cups, ½", "#2.5 cups , #0.5");
        check("7.", "#7 .");
        assert_eq!(lex("1e999", true), None);
    }

    #[test]
    fn words_are_plain() {
        check("What's Anna's? It's 5", "what is anna 's ? it is #5");
        check("I don't, can't, I'm", "i do not , ca not , i am");
        check("twenty-five 3-year-old x-5 5-3 a - b", "#25 #3 year old x - #5 #5 - #3 a - b");
        check("2**3 × 4 ÷ “2”", "#2 ^ #3 * #4 / #2");
    }

    #[test]
    fn number_words_become_numbers() {
        check("two dozen eggs and one hundred and five hens", "#24 eggs and #105 hens");
        check("each one costs five, the one", "each one costs #5 , the one");
        check("one apple and one", "#1 apple and #1");
        check("5 million", "#5000000");
    }
}
