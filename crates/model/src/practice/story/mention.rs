//! The amounts that a clause names: with what they count, what they are per, and shares and factors of others.

use super::clause::{Clause, is_naming, is_noun_here};
use super::lexicon::{Verb, at_first, is_length, is_money, is_time, unit, verb};
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

impl Quantity {
    pub(super) fn is_money(&self) -> bool {
        self.unit.as_deref().is_some_and(is_money)
    }

    /// Things that are counted: neither money, nor so much per something.
    pub(super) fn is_counted(&self) -> bool {
        self.per.is_none() && self.unit.is_some() && !self.is_money()
    }
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

/// Finds every mention in a clause, and what it says "each" of.
pub(super) fn mentions(clause: &mut Clause<'_>) {
    Scan { tokens: clause.tokens, at: 0, clause }.run();
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
        if self.half_unit() || self.factor() {
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
        false
    }

    /// "Half an hour" is an amount, not a share.
    fn half_unit(&mut self) -> bool {
        let noun = unit(self.word(2));
        let is_measure =
            is_time(&noun) || matches!(noun.as_str(), "kilogram" | "liter" | "kilometer" | "mile");
        if self.word(0) != "half" || !matches!(self.word(1), "a" | "an") || !is_measure {
            return false;
        }
        self.at += 3;
        self.push(Expr::int(1).over(Expr::int(2)), vec![noun], 0);
        true
    }

    /// "twice as many", "half as much", "3 times as old".
    fn factor(&mut self) -> bool {
        const MEASURES: Words = Words("many much old long far fast big expensive tall");
        let (factor, length) = match self.word(0) {
            "half" => (Some(Expr::int(1).over(Expr::int(2))), 1),
            "twice" | "double" => (Some(Expr::int(2)), 1),
            "thrice" => (Some(Expr::int(3)), 1),
            _ => (self.number(0).filter(|_| self.word(1) == "times"), 2),
        };
        let Some(factor) =
            factor.filter(|_| self.word(length) == "as" && MEASURES.has(self.word(length + 1)))
        else {
            return false;
        };
        self.clause.mentions.push(Mention::Factor(factor));
        self.at += length + 2;
        true
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
        if self.word(1) == "than" && matches!(self.word(0), "more" | "fewer" | "less") {
            // "5 dollars more than Kim".
            compared = if self.word(0) == "more" { 1 } else { -1 };
        }
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
        let question = at_first(counted, self.clause.owner().as_deref());
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
        const PASSED: Words = Words("the his her my their about only just exactly another a all");
        let mut before = self.tokens[..at].iter().rev().map(|token| token.word().unwrap_or(""));
        let preposition = before.find(|word| !PASSED.has(word)).unwrap_or("").to_owned();
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
