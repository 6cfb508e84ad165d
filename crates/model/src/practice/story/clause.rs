//! A story cut into clauses: who each is about, and what happens in it.

use super::lexicon::{Verb, is_pronoun, unit, verb};
use super::mention::{Mention, Quantity, mentions};
use crate::practice::lexer::{Kind, Token};
use crate::practice::words::Words;

#[derive(Debug, Clone)]
pub(super) struct Clause<'t> {
    pub(super) tokens: &'t [Token],
    /// Where they begin in the story.
    pub(super) start: usize,
    pub(super) is_question: bool,
    pub(super) verb: Option<Verb>,
    /// Place of the verb among the tokens.
    pub(super) verb_at: usize,
    /// The verb's own word.
    pub(super) word: &'t str,
    /// Words in front of the verb.
    pub(super) subject: Vec<&'t str>,
    pub(super) mentions: Vec<Mention>,
    /// "each box", "every box".
    pub(super) each: Option<String>,
}

impl<'t> Clause<'t> {
    pub(super) fn words(&self) -> impl Iterator<Item = &'t str> + use<'t> {
        self.tokens.iter().filter_map(Token::word)
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.words().any(|known| known == word)
    }

    pub(super) fn has_any(&self, words: Words) -> bool {
        self.words().any(|known| words.has(known))
    }

    pub(super) fn quantities(&self) -> impl Iterator<Item = &Quantity> {
        self.mentions.iter().filter_map(|mention| match mention {
            Mention::Quantity(quantity) => Some(quantity),
            _ => None,
        })
    }

    /// Who or what the clause is about, "i" being whoever tells it; `None` where another pronoun or nothing says so.
    pub(super) fn owner(&self) -> Option<String> {
        let named = self.subject.iter().rposition(|word| is_naming(word));
        let pronoun = self.subject.iter().rposition(|word| is_pronoun(word));
        match (named, pronoun) {
            (Some(named), pronoun) if pronoun.is_none_or(|pronoun| pronoun < named) => {
                Some(unit(self.subject[named]))
            }
            (_, Some(pronoun)) if matches!(self.subject[pronoun], "i" | "we") => Some("i".to_owned()),
            _ => None,
        }
    }

    /// Whether the subject is any thing of its kind, as in "a bottle holds 2 liters".
    pub(super) fn is_any(&self) -> bool {
        matches!(self.subject.as_slice(), ["a" | "an" | "each" | "every", _])
    }

    /// Who gets it: "to Ben", "gives Ben 5".
    pub(super) fn recipient(&self) -> Option<&'t str> {
        self.tokens.windows(2).find_map(|pair| {
            let name = pair[1].word()?;
            let is_somebody = pair[1].is_capital || matches!(name, "him" | "her" | "them" | "me" | "us");
            let leads = pair[0].word().is_some_and(|word| word == "to" || word == self.word);
            (leads && is_somebody && !self.word.is_empty()).then_some(name)
        })
    }
}

pub(super) fn is_naming(word: &str) -> bool {
    const NOT: Words = Words(
        "if after how many much what when at the a an then and but each every also first of later \
         now in on for does do did will would can more so next by to from with all 's one please \
         morning day week month year hour far long fast old that not only today yesterday tomorrow \
         monday tuesday wednesday thursday friday saturday sunday stop again suddenly altogether \
         together total out up off per since where is are was",
    );
    !word.is_empty() && !is_pronoun(word) && !NOT.has(word) && verb(word).is_none()
}

/// Every clause of `tokens`, in order.
pub(super) fn clauses(tokens: &[Token]) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = Vec::new();
    let mut end = 0;
    for sentence in tokens.split_inclusive(|token| ['.', '?', '!'].iter().any(|sign| token.is_sign(*sign))) {
        let start = end;
        end += sentence.len();
        let mut is_question = false;
        for (from, until, link) in segments(sentence) {
            let segment = &sentence[from..until];
            if matches!(link, "if" | "when" | "given" | "after" | "since" | "because") {
                is_question = false;
            }
            is_question |= asks(segment);
            clauses.push(clause(segment, start + from, is_question));
        }
    }
    clauses
}

/// Whether a segment puts the question.
fn asks(segment: &[Token]) -> bool {
    let words: Vec<&str> = segment.iter().filter_map(Token::word).collect();
    words.iter().any(|word| *word == "how" || *word == "what" || *word == "which")
        || matches!(
            words.first(),
            Some(&("find" | "calculate" | "compute" | "determine" | "work" | "convert"))
        ) && words.len() > 1
}

/// The segments of a sentence between commas and conjunctions, each with the word that leads to it.
fn segments(sentence: &[Token]) -> Vec<(usize, usize, &str)> {
    const LINKS: Words = Words("and then but while so if when because given since who which plus after");
    let mut cuts: Vec<(usize, usize, &str)> = vec![(0, 0, "")];
    for (at, token) in sentence.iter().enumerate() {
        let is_comma = [',', ';', ':', '.', '?', '!'].iter().any(|sign| token.is_sign(*sign));
        if let Some(word) = token.word().filter(|word| LINKS.has(word)) {
            cuts.push((at, at + 1, word));
        } else if is_comma {
            cuts.push((at, at + 1, ""));
        } else if token.word() == Some("that")
            && sentence.get(at + 1).and_then(Token::word).and_then(verb).is_some()
        {
            cuts.push((at, at + 1, "that"));
        }
    }
    let mut segments: Vec<(usize, usize, &str)> = Vec::new();
    for (nth, (_, start, link)) in cuts.iter().enumerate() {
        let end = cuts.get(nth + 1).map_or(sentence.len(), |next| next.0);
        if *start >= end {
            // "…, and": the word says more than the comma.
            continue;
        }
        let says = says(&sentence[*start..end]);
        match segments.last_mut() {
            // A piece of a list of names, or of an enumeration that goes on.
            Some(last) if !says || !self::says(&sentence[last.0..last.1]) => last.1 = end,
            _ => segments.push((*start, end, link)),
        }
    }
    segments
}

/// Whether a segment says something by itself: has an amount or a verb.
fn says(segment: &[Token]) -> bool {
    segment.iter().enumerate().any(|(at, token)| match &token.kind {
        Kind::Number(_) => true,
        Kind::Word(word) => {
            verb(word).is_some() && !is_noun_here(segment, at)
                || matches!(word.as_str(), "half" | "third" | "quarter" | "some" | "how" | "what")
        }
        Kind::Sign(_) => false,
    })
}

/// Whether the verb at `at` is a noun here: "4 drinks at", "a cut of".
pub(super) fn is_noun_here(tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).map(|place| &tokens[place]);
    let next = tokens.get(at + 1);
    let behind_number = before.is_some_and(|token| token.number().is_some());
    let before_end = next.is_none_or(|token| {
        token.word().is_none_or(|word| {
            matches!(word, "at" | "for" | "with" | "each" | "in" | "per" | "of") || verb(word).is_some()
        })
    });
    behind_number
        && before_end
        && !matches!(tokens[at].word(), Some("each" | "leave" | "get" | "join" | "die" | "left"))
}

fn clause(tokens: &[Token], start: usize, is_question: bool) -> Clause<'_> {
    let places: Vec<usize> = (0..tokens.len())
        .filter(|at| tokens[*at].word().and_then(verb).is_some() && !is_noun_here(tokens, *at))
        .collect();
    // "are sold", "has eaten": the last of the verbs says it; "is 12 years old" has one only.
    let place = places.first().copied().map(|first| {
        let is_auxiliary = matches!(tokens[first].word().and_then(verb), Some(Verb::Be | Verb::Have));
        places
            .iter()
            .copied()
            .find(|next| is_auxiliary && *next > first && *next <= first + 2)
            .unwrap_or(first)
    });
    let word = place.and_then(|place| tokens[place].word()).unwrap_or("");
    let subject: Vec<&str> = tokens[..place.unwrap_or(0)].iter().filter_map(Token::word).collect();
    let mut clause = Clause {
        tokens,
        start,
        is_question,
        verb: meant(tokens, place),
        verb_at: place.unwrap_or(0),
        word,
        subject,
        mentions: Vec::new(),
        each: None,
    };
    if clause.verb == Some(Verb::Be) && clause.subject.last() == Some(&"there")
        || word.is_empty() && clause.has("there")
    {
        clause.verb = Some(Verb::Have);
    }
    if clause.verb.is_none() && clause.has("left") && !is_question {
        clause.verb = Some(Verb::Lose);
        clause.word = "left";
    }
    mentions(&mut clause);
    clause
}

/// What the verb at `place` means with the words behind it: "get" is one thing, "get off" another.
fn meant(tokens: &[Token], place: Option<usize>) -> Option<Verb> {
    let place = place?;
    let word = tokens[place].word()?;
    let behind = |words: &[&str]| {
        tokens[place + 1..].iter().take(4).filter_map(Token::word).any(|word| words.contains(&word))
    };
    let own = verb(word)?;
    let is_moving = matches!(own, Verb::Other | Verb::Gain);
    if is_moving
        && behind(&["off", "away", "out", "home"])
        && !matches!(word, "pick" | "picks" | "picked" | "works" | "work")
    {
        return Some(Verb::Lose);
    }
    let is_next = |words: &[&str]| {
        tokens.get(place + 1).and_then(Token::word).is_some_and(|word| words.contains(&word))
    };
    if matches!(word, "go" | "goes" | "went" | "move" | "moves" | "moved") && is_next(&["in", "on", "into"]) {
        return Some(Verb::Gain);
    }
    if matches!(word, "leaves" | "leave" | "departs") && is_next(&["with"]) {
        return Some(Verb::Have);
    }
    if matches!(word, "cut" | "cuts" | "broken") && behind(&["into"]) {
        return Some(Verb::Have);
    }
    if matches!(word, "puts" | "put") && behind(&["more", "another"]) {
        return Some(Verb::Gain);
    }
    Some(own)
}
