//! The smallest parts of an expression: numbers, brackets, functions in words, and names for numbers.

use super::arithmetic::Term;
use super::expr::{Expr, Op, pairwise};
use super::lexer::Token;
use super::reader::{Names, Reader};
use super::words::Words;

/// Words that a noun phrase does not go past.
const STOPS: Words = Words(
    "of in on at by to from with and or then than plus minus times divided multiplied over is are \
     was were be equals equal less more squared cubed percent per each what how when if for into as \
     the a an it that among between away after before you i raised increased decreased reduced take \
     off please not cost costs will do does who where why which first next so but because while \
     until since have has had can would",
);

pub(super) const ORDINALS: [&str; 9] =
    ["second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];

impl<'t> Reader<'t> {
    pub(super) fn primary(&mut self) -> Option<Term> {
        for currency in ['$', '€', '£', '¥'] {
            self.sign(currency);
        }
        if let Some(number) = self.number() {
            return self.behind_number(Expr::Number(number));
        }
        if self.sign('(') {
            let inner = self.sum()?;
            return self.sign(')').then_some(Term::Plain(inner));
        }
        if self.sign('√') {
            return self.operand().map(|of| Term::Plain(of.root()));
        }
        if self.sign('π') || self.eat(&["pi", "π"]) {
            return Some(Term::Plain(pi()));
        }
        if let Some(function) = self.attempt(Self::function) {
            return Some(Term::Plain(function));
        }
        self.attempt(Self::name).map(Term::Plain)
    }

    /// What may stand right behind a number: a percent sign, a fraction's word, a currency.
    fn behind_number(&mut self, number: Expr) -> Option<Term> {
        if let Some(parts) = self.attempt(Self::fraction_word) {
            return self.share(number, parts).map(Term::Plain);
        }
        for currency in ['$', '€', '£', '¥'] {
            self.sign(currency);
        }
        self.eat(&["dollars", "dollar", "euros", "euro", "bucks"]);
        self.percent_or(number)
    }

    pub(super) fn percent_or(&mut self, number: Expr) -> Option<Term> {
        if !self.sign('%') && !self.eat(&["percent", "per cent", "pct"]) {
            return Some(Term::Plain(number));
        }
        let of = self.attempt(|reader| {
            reader.skip(Words("tip tax vat commission interest"));
            if !reader.eat(&["of", "on"]) {
                return None;
            }
            reader.operand()
        });
        if let Some(of) = of {
            return Some(Term::Plain(of.percent(number)));
        }
        Some(Term::Percent(number))
    }

    /// A percentage by itself, or "20% off 50" and "20% more than 50".
    pub(super) fn share_of(&mut self, percent: Expr) -> Option<Expr> {
        let op = if self.eat(&["off of", "off", "less than", "fewer than"]) {
            Op::Subtract
        } else if self.eat(&["more than", "on top of"]) {
            Op::Sum
        } else {
            return Some(percent.over(Expr::int(100)));
        };
        let whole = self.operand()?;
        Some(Expr::apply(op, whole.clone(), whole.percent(percent)))
    }

    /// "half", "third", "quarters" …: in how many parts.
    pub(super) fn fraction_word(&mut self) -> Option<i64> {
        let word = self.word(0);
        let parts = match word {
            "half" | "halves" => 2,
            "quarter" | "quarters" => 4,
            _ => {
                let single = word.strip_suffix('s').unwrap_or(word);
                let place = ORDINALS.iter().position(|ordinal| *ordinal == single && *ordinal != "second")?;
                i64::try_from(place).ok()? + 2
            }
        };
        self.at += 1;
        Some(parts)
    }

    /// `count` of `parts` equal parts of what follows.
    fn share(&mut self, count: Expr, parts: i64) -> Option<Expr> {
        self.skip(Words("of"));
        let of = self.operand()?;
        let shares = if count.is(1) { of } else { of.times(count) };
        Some(shares.over(Expr::int(parts)))
    }

    /// One operand of a function or a share: as tight as a power.
    pub(super) fn operand(&mut self) -> Option<Expr> {
        match self.unary()? {
            Term::Plain(expr) => Some(expr),
            Term::Percent(_) => None,
        }
    }

    /// An item of a list: as loose as a sum, a percentage being a share of one.
    pub(super) fn list(&mut self) -> Option<Vec<Expr>> {
        let mut items = vec![self.sum()?];
        loop {
            let item = self.attempt(|reader| {
                let is_separated =
                    reader.sign(',') | reader.eat(&["and", "with", "to", "&"]) | reader.sign('&');
                is_separated.then(|| reader.sum())?
            });
            match item {
                Some(item) if items.len() < 200 => items.push(item),
                Some(_) => return None,
                None => return Some(items),
            }
        }
    }

    fn function(&mut self) -> Option<Expr> {
        self.skip(Words("the a an"));
        if self.eat(&["square root of", "square root", "sqrt of", "sqrt", "root of"]) {
            return match self.attempt(Self::operand) {
                Some(of) => Some(of.root()),
                None => self.result().map(Expr::root),
            };
        }
        if self.eat(&["cube root of", "third root of"]) {
            return Some(self.operand()?.power(Expr::int(1).over(Expr::int(3))));
        }
        if self.eat(&["square of"]) {
            return Some(self.operand()?.power(Expr::int(2)));
        }
        if self.eat(&["cube of"]) {
            return Some(self.operand()?.power(Expr::int(3)));
        }
        if self.eat(&["factorial of"]) {
            return factorial(&self.operand()?);
        }
        for (word, factor) in [("double", 2), ("twice", 2), ("triple", 3), ("thrice", 3), ("quadruple", 4)] {
            if self.eat(&[word]) {
                self.skip(Words("of"));
                return Some(Expr::int(factor).times(self.operand()?));
            }
        }
        if let Some(parts) = self.attempt(Self::fraction_word) {
            return self.share(Expr::int(1), parts);
        }
        if self.eat(&["difference between", "difference of"]) {
            let [a, b] = self.pair()?;
            // Between 4 and 10 there is 6, not −6.
            let is_backward =
                matches!((&a, &b), (Expr::Number(a), Expr::Number(b)) if a.as_f64() < b.as_f64());
            return Some(if is_backward { b.minus(a) } else { a.minus(b) });
        }
        if self.eat(&["quotient of", "ratio of", "ratio between"]) {
            let [a, b] = self.pair()?;
            return Some(a.over(b));
        }
        if self.eat(&["sum of", "total of"]) {
            return Some(pairwise(Op::Sum, self.items()?));
        }
        if self.eat(&["product of"]) {
            return Some(pairwise(Op::Multiply, self.items()?));
        }
        if self.eat(&["average of", "mean of", "average value of"]) {
            let items = self.items()?;
            let count = i64::try_from(items.len()).ok()?;
            return Some(pairwise(Op::Sum, items).over(Expr::int(count)));
        }
        None
    }

    fn pair(&mut self) -> Option<[Expr; 2]> {
        <[Expr; 2]>::try_from(self.items()?).ok()
    }

    /// At least two items: given ones, or "two numbers" that are to be asked for.
    pub(super) fn items(&mut self) -> Option<Vec<Expr>> {
        self.skip(Words("the these those"));
        if let Some(asked) = self.attempt(Self::several_asked) {
            return Some(asked);
        }
        self.attempt(|reader| {
            reader.skip(Words("following numbers"));
            reader.sign(':');
            reader.list().filter(|items| items.len() > 1)
        })
    }

    /// "two numbers", "three numbers".
    pub(super) fn several_asked(&mut self) -> Option<Vec<Expr>> {
        const PLACES: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
        let count = self.number()?.as_u64().filter(|count| (2..=5).contains(count))?;
        if self.names != Names::Asked || !self.eat(&["numbers", "given numbers", "other numbers"]) {
            return None;
        }
        let count = usize::try_from(count).ok()?;
        Some(
            PLACES[..count].iter().map(|place| Expr::Asked(format!("What is the {place} number?"))).collect(),
        )
    }

    /// What "it" stands for.
    fn result(&mut self) -> Option<Expr> {
        let so_far = self.so_far.clone()?;
        self.used_so_far = true;
        Some(so_far)
    }

    /// A name for a number: "it", `x`, "a number", "my age", "the bill".
    fn name(&mut self) -> Option<Expr> {
        const RESULTS: &str = "the result|the answer|the sum|the product|the total|the difference|the quotient|it|\
                               that number|that result|that sum|that|this|what you get|the outcome|this result";
        if self.so_far.is_some() && self.eat_one(RESULTS) {
            return self.result();
        }
        match self.names {
            Names::Unknown => self.unknown(),
            Names::Asked => self.asked_for(),
            Names::None => None,
        }
    }

    /// The unknown of an equation, which goes by one letter throughout.
    fn unknown(&mut self) -> Option<Expr> {
        const NUMBERS: &str = "a number|the number|some number|what number|which number|a certain number|\
                               an unknown number|this number|that number|my number|what";
        if self.eat_one(NUMBERS) {
            return Some(Expr::Unknown);
        }
        let letter =
            self.letter().filter(|letter| self.letter.as_deref().is_none_or(|known| known == *letter))?;
        self.letter = Some(letter.to_owned());
        self.at += 1;
        Some(Expr::Unknown)
    }

    /// A number that the human knows, and how it is asked for.
    fn asked_for(&mut self) -> Option<Expr> {
        const NUMBERS: &str =
            "a number|some number|any number|the number|a given number|a certain number|my number";
        if self.eat(&["another number", "a second number"]) {
            return Some(Expr::Asked("Which other number?".to_owned()));
        }
        if self.eat_one(NUMBERS) {
            return Some(Expr::Asked("Which number?".to_owned()));
        }
        if let Some(letter) = self.letter() {
            self.at += 1;
            return Some(Expr::Asked(format!("What is {letter}?")));
        }
        let owner = match self.word(0) {
            "my" | "our" => "your",
            word @ ("his" | "her" | "their" | "the") => word,
            _ => return None,
        };
        self.at += 1;
        let mut noun = Vec::new();
        while let Some(token) = self.peek(0).filter(|token| is_noun(token) && noun.len() < 3) {
            noun.push(token.word()?);
            self.at += 1;
            if self.eat(&["'s"]) {
                noun.push("'s");
            }
        }
        let noun = noun.join(" ").replace(" 's", "'s");
        (!noun.is_empty()).then(|| Expr::Asked(format!("What is {owner} {noun}?")))
    }

    fn letter(&self) -> Option<&'t str> {
        let is_glued = self.peek(0)?.is_glued;
        Some(self.word(0)).filter(|word| is_letter(word, is_glued))
    }
}

pub(super) fn pi() -> Expr {
    super::number::from_f64(std::f64::consts::PI).map_or_else(|| Expr::int(3), Expr::Number)
}

/// The product of 1 to `of`, which has to be a small literal.
pub(super) fn factorial(of: &Expr) -> Option<Expr> {
    let Expr::Number(number) = of else { return None };
    let count = number.as_i64().filter(|count| (0..=20).contains(count))?;
    Some(if count < 2 { Expr::int(1) } else { pairwise(Op::Multiply, (1..=count).map(Expr::int).collect()) })
}

/// Whether `word` is a letter that numbers go by. `a` and `i` are words, unless they stand right behind a number.
pub(super) fn is_letter(word: &str, is_glued: bool) -> bool {
    let is_single = word.len() == 1 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    is_single && (is_glued || !matches!(word, "a" | "i"))
}

/// Whether `token` is a word that a noun phrase may hold.
pub(super) fn is_noun(token: &Token) -> bool {
    token.word().is_some_and(|word| !STOPS.has(word) && word != "'s")
}
