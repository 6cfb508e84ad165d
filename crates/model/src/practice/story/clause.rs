//! A story cut into clauses, and what each says: who, what happens, and which amounts it names.

use super::lexicon::{Verb, is_length, is_money, is_pronoun, is_time, unit, verb};
use crate::practice::expr::Expr;
use crate::practice::lexer::{Kind, Token};
use crate::practice::words::Words;

/// What an amount is per.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Per {
    Unit(String),
    /// Of whatever is counted beside it.
    Each,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quantity {
    pub(super) value: Expr,
    /// Singular words of the noun phrase, the counted one last; empty where it goes without saying.
    pub(super) noun: Vec<String>,
    /// The last of `noun`, or a currency.
    pub(super) unit: Option<String>,
    pub(super) per: Option<Per>,
    /// "5 more", "5 fewer" (−1): in comparison with something.
    pub(super) compared: i8,
    /// The preposition in front.
    pub(super) preposition: String,
    /// Place among the clause's tokens.
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mention {
    Quantity(Quantity),
    /// So many parts of so many, of what there is: "half", "a third", "25%".
    Share {
        count: Expr,
        parts: Expr,
    },
    /// "twice as many", "3 times as much".
    Factor(Expr),
    /// A percentage of no amount, such as a discount.
    Percent(Expr),
    /// "the rest".
    Rest,
}

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

    /// Who or what the clause is about; `None` where a pronoun or nothing says so.
    pub(super) fn owner(&self) -> Option<String> {
        let named = self.subject.iter().rev().find(|word| is_naming(word))?;
        (!self.subject.iter().rev().take_while(|word| *word != named).any(|word| is_pronoun(word)))
            .then(|| unit(named))
    }

    /// Who gets it: "to Ben", "gives Ben 5", "from her".
    pub(super) fn recipient(&self) -> Option<&'t str> {
        let words: Vec<&Token> = self.tokens.iter().collect();
        for (at, token) in words.iter().enumerate() {
            let next = words.get(at + 1)?;
            let Some(name) = next.word() else { continue };
            let is_somebody = next.is_capital || matches!(name, "him" | "her" | "them" | "me" | "us");
            let leads = matches!(token.word(), Some("to")) || token.word() == Some(self.word);
            if leads && is_somebody && !self.word.is_empty() {
                return Some(name);
            }
        }
        None
    }
}

fn is_naming(word: &str) -> bool {
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
        || matches!(words.first(), Some(&("find" | "calculate" | "compute" | "determine" | "work")))
            && words.len() > 1
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
fn is_noun_here(tokens: &[Token], at: usize) -> bool {
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
    Scan { tokens, at: 0, clause: &mut clause }.run();
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
    if matches!(word, "cut" | "cuts" | "broken") && behind(&["into"]) {
        return Some(Verb::Have);
    }
    if matches!(word, "puts" | "put") && behind(&["more", "another"]) {
        return Some(Verb::Gain);
    }
    Some(own)
}

/// Adverbs and the like, which no noun phrase goes past.
const ENDS: Words = Words(
    "today yesterday now left altogether total again later first away together equally evenly each \
     apiece daily too also already still only remain remains off long wide tall old high deep ago \
     older younger tomorrow every everyone among through monday tuesday wednesday thursday friday \
     saturday sunday during than as he she they we us her him them me his my its their our out up down back \
     weekly monthly hourly onto under using around inside about there this",
);

struct Scan<'c, 't> {
    tokens: &'t [Token],
    at: usize,
    clause: &'c mut Clause<'t>,
}

impl<'t> Scan<'_, 't> {
    fn word(&self, ahead: usize) -> &'t str {
        self.tokens.get(self.at + ahead).and_then(Token::word).unwrap_or("")
    }

    fn number(&self, ahead: usize) -> Option<Expr> {
        self.tokens.get(self.at + ahead)?.number().cloned().map(Expr::Number)
    }

    fn sign(&self, ahead: usize) -> char {
        match self.tokens.get(self.at + ahead).map(|token| &token.kind) {
            Some(Kind::Sign(sign)) => *sign,
            _ => '\0',
        }
    }

    fn run(&mut self) {
        while self.at < self.tokens.len() {
            if !self.share() && !self.amount() && !self.hole() {
                if matches!(self.word(0), "each" | "every") && self.clause.each.is_none() {
                    self.each();
                }
                if matches!(self.word(0), "rest" | "remainder" | "remaining") {
                    self.clause.mentions.push(Mention::Rest);
                }
                self.at += 1;
            }
        }
    }

    fn each(&mut self) {
        let noun = self.word(1);
        if is_naming(noun) && !ENDS.has(noun) {
            self.clause.each = Some(unit(noun));
        } else if noun == "of" {
            // "Each of the 5 kids has 4 balloons."
            let counted = (2..5).find(|ahead| self.number(*ahead).is_some());
            self.clause.each =
                counted.map(|ahead| unit(self.word(ahead + 1))).filter(|unit| !unit.is_empty());
        }
    }

    /// "half", "a third of", "two thirds", "25% of", "twice as many", "a 20% discount".
    fn share(&mut self) -> bool {
        let fraction = |word: &str| match word.trim_end_matches('s') {
            "half" | "halve" => Some(2),
            "third" => Some(3),
            "quarter" | "fourth" => Some(4),
            "fifth" => Some(5),
            "sixth" => Some(6),
            "eighth" => Some(8),
            "tenth" => Some(10),
            _ => None,
        };
        let is_of =
            |word: &str| !matches!(word, "stop" | "time" | "day" | "place" | "grade" | "floor" | "week");
        if self.word(0) == "half" && matches!(self.word(1), "a" | "an") && self.word(2) != "dozen" {
            // "Half an hour" is an amount.
            let noun = unit(self.word(2));
            if is_time(&noun) || matches!(noun.as_str(), "kilogram" | "liter" | "kilometer" | "mile") {
                let value = Expr::int(1).over(Expr::int(2));
                self.at += 3;
                self.push(value, vec![noun], 0);
                return true;
            }
        }
        if (matches!(self.word(0), "twice" | "double") || self.word(0) == "half" || self.word(0) == "thrice")
            && self.word(1) == "as"
            && matches!(
                self.word(2),
                "many" | "much" | "old" | "long" | "far" | "fast" | "big" | "expensive" | "tall"
            )
        {
            let factor = match self.word(0) {
                "half" => Expr::int(1).over(Expr::int(2)),
                "thrice" => Expr::int(3),
                _ => Expr::int(2),
            };
            self.clause.mentions.push(Mention::Factor(factor));
            self.at += 3;
            return true;
        }
        let (count, skipped) = match self.number(0) {
            Some(count) => (count, 1),
            None => (Expr::int(1), usize::from(self.word(0) == "a")),
        };
        if let Some(parts) = fraction(self.word(skipped))
            && is_of(self.word(skipped + 1))
            && !matches!(self.word(0), "the")
        {
            self.clause.mentions.push(Mention::Share { count, parts: Expr::int(parts) });
            self.at += skipped + 1;
            return true;
        }
        if self.number(0).is_some() && self.sign(1) == '/' && self.number(2).is_some() && self.word(3) == "of"
        {
            let parts = self.number(2).unwrap_or(Expr::int(1));
            self.clause.mentions.push(Mention::Share { count, parts });
            self.at += 3;
            return true;
        }
        if self.number(0).is_some() && (self.sign(1) == '%' || self.word(1) == "percent") {
            self.at += 2;
            let is_share = self.word(0) == "of";
            self.clause.mentions.push(if is_share {
                Mention::Share { count, parts: Expr::int(100) }
            } else {
                Mention::Percent(count)
            });
            return true;
        }
        if self.number(0).is_some() && self.word(1) == "times" && self.word(2) == "as" {
            self.clause.mentions.push(Mention::Factor(count));
            self.at += 3;
            return true;
        }
        false
    }

    /// "12 red apples", "$7 each", "60 km/h", "8 more".
    fn amount(&mut self) -> bool {
        let start = self.at;
        let currency = self.sign(0);
        let is_currency = |sign: char| matches!(sign, '$' | '€' | '£' | '¥');
        if is_currency(currency) && self.number(1).is_some() {
            self.at += 1;
        }
        let Some(mut value) = self.number(0) else {
            self.at = start;
            return false;
        };
        self.at += 1;
        let mut noun = Vec::new();
        let mut compared = 0;
        if is_currency(currency) {
            noun.push(currency.to_string());
        } else if is_currency(self.sign(0)) {
            noun.push(self.sign(0).to_string());
            self.at += 1;
        }
        if self.word(0) == "and" && self.word(1) == "a" && self.word(2) == "half" {
            value = value.plus(Expr::int(1).over(Expr::int(2)));
            self.at += 3;
        }
        if matches!(self.word(0), "more" | "extra" | "additional" | "another" | "further") {
            compared = 1;
            self.at += 1;
        } else if matches!(self.word(0), "fewer" | "less") {
            compared = -1;
            self.at += 1;
        }
        self.skip_of_them();
        let is_money = noun.first().is_some_and(|noun| is_money(noun));
        self.noun_phrase(&mut noun, is_money);
        self.speed(&mut noun);
        if matches!(self.word(0), "older" | "taller" | "longer") {
            compared = 1;
        } else if matches!(self.word(0), "younger" | "shorter" | "cheaper") {
            compared = -1;
        }
        if let Some(count) = self.number(1).filter(|_| self.word(0) == "per") {
            // "6 liters per 100 km".
            value = value.over(count);
            self.at += 2;
            noun.push(format!("/{}", unit(self.word(0))));
            self.at += 1;
        }
        self.push_at(value, noun, compared, start);
        true
    }

    fn skip_of_them(&mut self) {
        if self.word(0) == "of"
            && matches!(self.word(1), "them" | "these" | "those" | "his" | "her" | "the" | "my" | "their")
        {
            self.at += 2;
        }
    }

    /// The words of a noun phrase, in the singular. Of "$80 jacket" the jacket is what costs.
    fn noun_phrase(&mut self, noun: &mut Vec<String>, is_money: bool) {
        let mut words = Vec::new();
        while let Some(token) = self.tokens.get(self.at) {
            let Some(word) = token.word() else { break };
            let is_first = words.is_empty();
            // "9 tomato plants" are things, though plants also do things.
            let is_thing = Words("plants drinks rides packs orders prints seats cuts").has(word) && !is_first;
            let is_verb =
                verb(word).is_some() && !is_thing && !(is_first && is_noun_here(self.tokens, self.at));
            let is_name = is_naming(word) || is_time(&unit(word)) || verb(word).is_some();
            let is_end = ENDS.has(word) || !is_name || words.len() == 4;
            if is_verb || is_end {
                break;
            }
            words.push(unit(word));
            self.at += 1;
        }
        if self.word(0) == "of" && !words.is_empty() && self.number(1).is_none() && is_naming(self.word(1)) {
            // Five bags of rice are five bags; rice is what they may be asked for as.
            words.insert(0, unit(self.word(1)));
            self.at += 2;
        }
        let is_measure =
            |unit: &str| is_time(unit) || is_length(unit) || matches!(unit, "kilogram" | "gram" | "liter");
        if words.len() > 1 && is_measure(&words[0]) {
            // A 50 liter tank is measured in liters.
            words.rotate_left(1);
        }
        if is_money {
            // The currency is the unit.
            for word in words.into_iter().rev() {
                noun.insert(0, word);
            }
        } else {
            noun.extend(words);
        }
    }

    /// "mph" and "kph" are a unit and a per in one.
    fn speed(&mut self, noun: &mut Vec<String>) {
        let (top, per) = match noun.last().map(String::as_str) {
            Some("mph") => ("mile", "hour"),
            Some("kph" | "kmh" | "kmph") => ("kilometer", "hour"),
            _ => return,
        };
        *noun = vec![top.to_owned(), format!("/{per}")];
    }

    /// "some apples": an amount that nobody said.
    fn hole(&mut self) -> bool {
        let skipped = match (self.word(0), self.word(1)) {
            ("some" | "several" | "many", _) => 1,
            ("a", "few" | "bunch") => 2,
            _ => return false,
        };
        if self.clause.is_question
            || (self.word(0) == "many" && !matches!(self.clause.verb, Some(Verb::Have)))
        {
            return false;
        }
        self.at += skipped;
        if self.word(0) == "of" {
            self.at += 1;
        }
        if self.word(0) == "more" {
            self.at += 1;
        }
        let mut noun = Vec::new();
        self.noun_phrase(&mut noun, false);
        let Some(counted) = noun.last() else { return true };
        let question = match self.clause.owner() {
            Some(owner) => {
                format!("How many {} does {} have at first?", super::lexicon::plural(counted), name(&owner))
            }
            None => format!("How many {} are there at first?", super::lexicon::plural(counted)),
        };
        self.push(Expr::Asked(question), noun, 0);
        true
    }

    fn push(&mut self, value: Expr, noun: Vec<String>, compared: i8) {
        let at = self.at;
        self.push_at(value, noun, compared, at);
    }

    fn push_at(&mut self, value: Expr, mut noun: Vec<String>, compared: i8, at: usize) {
        let per = match noun.last().and_then(|last| last.strip_prefix('/')).map(str::to_owned) {
            Some(per) => {
                noun.pop();
                Some(Per::Unit(per))
            }
            None => self.per(&noun),
        };
        let mut before = at;
        while before > 0
            && self.tokens[before - 1].word().is_some_and(|word| {
                matches!(
                    word,
                    "the"
                        | "his"
                        | "her"
                        | "my"
                        | "their"
                        | "about"
                        | "only"
                        | "just"
                        | "exactly"
                        | "another"
                        | "a"
                        | "all"
                )
            })
        {
            before -= 1;
        }
        let preposition =
            before.checked_sub(1).and_then(|place| self.tokens[place].word()).unwrap_or("").to_owned();
        let unit = noun.last().cloned();
        self.clause.mentions.push(Mention::Quantity(Quantity {
            value,
            noun,
            unit,
            per,
            compared,
            preposition,
            at,
        }));
    }

    /// "/h", "per hour", "an hour", "each", "in each box".
    fn per(&mut self, noun: &[String]) -> Option<Per> {
        if self.sign(0) == '/' && is_naming(self.word(1)) {
            let per = unit(self.word(1));
            self.at += 2;
            return Some(Per::Unit(per));
        }
        let start = self.at;
        let is_inside = matches!(self.word(0), "in" | "for" | "to" | "on" | "from" | "into")
            && matches!(self.word(1), "each" | "every");
        if is_inside {
            self.at += 1;
        }
        match self.word(0) {
            "per" => {
                let per = unit(self.word(1));
                self.at += 2;
                Some(Per::Unit(per))
            }
            "apiece" => {
                self.at += 1;
                Some(Per::Each)
            }
            "each" | "every" => {
                let next = self.word(1);
                if next == "of" {
                    // "To each of her 4 friends": those are counted next.
                    self.at += 2;
                    while matches!(self.word(0), "the" | "his" | "her" | "my" | "their" | "our") {
                        self.at += 1;
                    }
                    return Some(Per::Each);
                }
                let is_named = (is_naming(next) || is_time(&unit(next))) && !ENDS.has(next);
                self.at += 1 + usize::from(is_named);
                Some(if is_named { Per::Unit(unit(next)) } else { Per::Each })
            }
            "a" | "an" => {
                let per = unit(self.word(1));
                let is_price = noun.last().is_some_and(|unit| is_money(unit));
                let is_rate = is_time(&per)
                    || is_price && is_naming(self.word(1)) && self.clause.verb != Some(Verb::Lose);
                if is_rate && !noun.is_empty() {
                    self.at += 2;
                    return Some(Per::Unit(per));
                }
                self.at = start;
                None
            }
            "daily" | "weekly" | "monthly" | "hourly" => {
                let per = match self.word(0) {
                    "daily" => "day",
                    "weekly" => "week",
                    "monthly" => "month",
                    _ => "hour",
                };
                self.at += 1;
                Some(Per::Unit(per.to_owned()))
            }
            _ => {
                self.at = start;
                None
            }
        }
    }
}

/// A name with its capital.
pub(super) fn name(owner: &str) -> String {
    let mut chars = owner.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
