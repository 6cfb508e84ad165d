//! The grammar of an expression, in signs and in words: "(17 + 5) * 3", "the square root of the sum of 9 and 16",
//! "20% of my rent".

use super::expr::{DEPTH_MAX, Expr, Op, pairwise};
use super::lexer::{Token, lex};
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

/// Terms of one sum, or factors of one product.
const CHAIN_MAX: usize = 200;

/// A number of an expression, or a share of whatever is on its left.
enum Term {
    Plain(Expr),
    Percent(Expr),
}

/// The one number, or the sum, that a human's answer comes to.
pub(super) fn answer(text: &str) -> Option<Expr> {
    let tokens = lex(text, true)?;
    if tokens.iter().any(|token| matches!(token.word(), Some("not" | "no" | "never" | "unknown"))) {
        return None;
    }
    if let Some(expr) = super::program::whole(&tokens, Names::None) {
        return Some(expr);
    }
    let mut numbers = tokens.iter().enumerate().filter_map(|(at, token)| Some((at, token.number()?)));
    let (at, number) = numbers.next()?;
    if numbers.next().is_some() {
        return None;
    }
    let before = at.checked_sub(1).map(|place| &tokens[place]);
    let is_negative =
        before.is_some_and(|token| token.is_sign('-') || matches!(token.word(), Some("minus" | "negative")));
    let number = Expr::Number(number.clone());
    Some(if is_negative { number.negated() } else { number })
}

/// Whether `token` is a word that a noun phrase may hold.
pub(super) fn is_noun(token: &Token) -> bool {
    token.word().is_some_and(|word| !STOPS.has(word) && word != "'s")
}

impl Reader<'_> {
    /// Sums and differences of products.
    pub(super) fn sum(&mut self) -> Option<Expr> {
        self.nested(|reader| {
            let left = match reader.product()? {
                Term::Plain(left) => left,
                Term::Percent(percent) => reader.share_of(percent)?,
            };
            reader.sum_from(left)
        })
    }

    /// Goes on with a sum whose first term is known.
    pub(super) fn sum_from(&mut self, mut left: Expr) -> Option<Expr> {
        loop {
            let place = self.at;
            let (op, is_reversed) = if self.sign('+') || self.eat(&["plus", "added to", "increased by"]) {
                (Op::Sum, false)
            } else if self.sign('-') || self.eat(&["minus", "decreased by", "reduced by", "take away"]) {
                (Op::Subtract, false)
            } else if self.eat(&[
                "subtracted from",
                "taken away from",
                "taken from",
                "less than",
                "fewer than",
            ]) {
                (Op::Subtract, true)
            } else if self.eat(&["more than"]) {
                (Op::Sum, true)
            } else if self.eat(&["less"]) {
                (Op::Subtract, false)
            } else {
                return Some(left);
            };
            let Some(right) = self.attempt(Self::product) else {
                self.at = place;
                return Some(left);
            };
            let right = match right {
                Term::Plain(right) => right,
                // A share of what it is added to or taken from.
                Term::Percent(percent) => left.clone().percent(percent),
            };
            left = if is_reversed { Expr::apply(op, right, left) } else { Expr::apply(op, left, right) };
            self.check(&left)?;
        }
    }

    fn product(&mut self) -> Option<Term> {
        let first = self.unary()?;
        match first {
            Term::Plain(left) => self.product_from(left).map(Term::Plain),
            percent @ Term::Percent(_) => Some(percent),
        }
    }

    /// Goes on with a product whose first factor is known.
    pub(super) fn product_from(&mut self, mut left: Expr) -> Option<Expr> {
        loop {
            let place = self.at;
            let op = if self.sign('*')
                || self.eat(&["times as much as", "times as many as", "times", "multiplied by"])
            {
                Op::Multiply
            } else if self.sign('/') || self.eat(&["divided by", "over", "divided into"]) {
                Op::Divide
            } else if self.word(0) == "x" && self.is_times() {
                self.at += 1;
                Op::Multiply
            } else if matches!(left, Expr::Apply(Op::Divide, ..)) && self.eat(&["of"]) {
                // Two thirds of 60, with the division last so that it comes out even.
                let Expr::Apply(_, part, whole) = left else { return None };
                let Some(Term::Plain(of)) = self.attempt(Self::unary) else { return None };
                left = of.times(*part).over(*whole);
                continue;
            } else if self.is_beside(place) {
                Op::Multiply
            } else {
                return Some(left);
            };
            let right = match self.attempt(Self::unary) {
                Some(Term::Plain(right)) => right,
                Some(Term::Percent(percent)) => percent.over(Expr::int(100)),
                None => {
                    self.at = place;
                    return Some(left);
                }
            };
            left = Expr::apply(op, left, right);
            self.check(&left)?;
        }
    }

    /// Whether the `x` at the cursor is a multiplication sign.
    fn is_times(&self) -> bool {
        let follows = self.peek(1).is_some_and(|next| {
            next.number().is_some() || next.is_sign('(') || next.is_sign('√') || next.is_sign('-')
        });
        follows && (self.names != Names::Unknown || self.peek(1).is_some_and(|next| next.number().is_some()))
    }

    /// Whether the factor at the cursor is multiplied by standing beside the last one: `2(3 + 4)`, `3x`.
    fn is_beside(&self, place: usize) -> bool {
        let Some(before) = place.checked_sub(1).map(|last| &self.tokens[last]) else { return false };
        let Some(next) = self.peek(0) else { return false };
        let is_name = self.names != Names::None && is_letter(next.word().unwrap_or(""), next.is_glued);
        let is_factor = before.number().is_some() || before.is_sign(')');
        let is_unknown = before.word().is_some_and(|word| word.chars().count() == 1);
        (is_factor && (next.is_sign('(') || next.is_sign('√') || is_name))
            || (is_unknown && next.is_sign('(') && self.names == Names::Unknown)
    }

    fn unary(&mut self) -> Option<Term> {
        self.nested(|reader| {
            if reader.sign('+') {
                return reader.unary();
            }
            if reader.sign('-') || reader.eat(&["minus", "negative"]) {
                let literal = reader.attempt(|reader| {
                    let number = Expr::Number(reader.number()?);
                    let is_base = reader.peek(0).is_some_and(|token| token.is_sign('^'))
                        || matches!(reader.word(0), "squared" | "cubed" | "to");
                    (!is_base).then(|| number.negated())
                });
                let negated = match literal {
                    Some(literal) => reader.percent_or(literal)?,
                    None => match reader.unary()? {
                        Term::Plain(expr) => Term::Plain(expr.negated()),
                        Term::Percent(_) => return None,
                    },
                };
                return Some(negated);
            }
            match reader.primary()? {
                Term::Plain(base) => reader.power_from(base).map(Term::Plain),
                percent @ Term::Percent(_) => Some(percent),
            }
        })
    }

    /// Goes on with a power whose base is known.
    pub(super) fn power_from(&mut self, mut base: Expr) -> Option<Expr> {
        loop {
            if self.eat(&["squared"]) {
                base = base.power(Expr::int(2));
            } else if self.eat(&["cubed"]) {
                base = base.power(Expr::int(3));
            } else if self.sign('^')
                || self.eat(&[
                    "to the power of",
                    "raised to the power of",
                    "to the power",
                    "raised to the power",
                ])
            {
                let Term::Plain(exponent) = self.unary()? else { return None };
                base = base.power(exponent);
            } else if let Some(exponent) = self.attempt(Self::ordinal_power) {
                base = base.power(exponent);
            } else if self.is_factorial() {
                self.at += 1;
                base = factorial(&base)?;
            } else {
                return Some(base);
            }
            self.check(&base)?;
        }
    }

    /// "to the 5th power", "raised to the third".
    fn ordinal_power(&mut self) -> Option<Expr> {
        self.skip(Words("raised"));
        if !self.eat(&["to the"]) {
            return None;
        }
        let exponent = match self.number() {
            Some(number) if self.eat(&["st", "nd", "rd", "th"]) => Expr::Number(number),
            Some(_) => return None,
            None => {
                let place = ORDINALS.iter().position(|ordinal| *ordinal == self.word(0))?;
                self.at += 1;
                Expr::int(i64::try_from(place).ok()? + 2)
            }
        };
        self.eat(&["power"]);
        Some(exponent)
    }

    /// A `!` right behind a number, unless it ends the sentence of somebody excited ("add 3 and 5!").
    fn is_factorial(&self) -> bool {
        let is_glued = self.peek(0).is_some_and(|token| token.is_sign('!') && token.is_glued);
        let is_formula = || {
            self.tokens
                .iter()
                .filter_map(Token::word)
                .all(|word| matches!(word, "what" | "is" | "the" | "of" | "value"))
        };
        is_glued && (self.peek(1).is_some() || is_formula())
    }

    fn primary(&mut self) -> Option<Term> {
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

    fn percent_or(&mut self, number: Expr) -> Option<Term> {
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
    fn share_of(&mut self, percent: Expr) -> Option<Expr> {
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
        const RESULTS: &[&str] = &[
            "the result",
            "the answer",
            "the sum",
            "the product",
            "the total",
            "the difference",
            "the quotient",
            "it",
            "that number",
            "that result",
            "that sum",
            "that",
            "this",
            "what you get",
            "the outcome",
            "this result",
        ];
        if self.so_far.is_some() && self.eat(RESULTS) {
            return self.result();
        }
        let glued = self.peek(0).is_some_and(|token| token.is_glued);
        if self.names == Names::Unknown {
            const UNKNOWNS: &[&str] = &[
                "a number",
                "the number",
                "some number",
                "what number",
                "which number",
                "a certain number",
                "an unknown number",
                "this number",
                "that number",
                "my number",
                "what",
            ];
            if self.eat(UNKNOWNS) {
                return Some(Expr::Unknown);
            }
            let letter = self.word(0);
            if !is_letter(letter, glued) || self.letter.as_ref().is_some_and(|known| known != letter) {
                return None;
            }
            self.letter = Some(letter.to_owned());
            self.at += 1;
            return Some(Expr::Unknown);
        }
        if self.names == Names::None {
            return None;
        }
        if self.eat(&["another number", "a second number"]) {
            return Some(Expr::Asked("Which other number?".to_owned()));
        }
        if self.eat(&[
            "a number",
            "some number",
            "any number",
            "the number",
            "a given number",
            "a certain number",
            "my number",
        ]) {
            return Some(Expr::Asked("Which number?".to_owned()));
        }
        let letter = self.word(0);
        if is_letter(letter, glued) {
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

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }

    /// Nothing for an expression that is too deep to be worked on.
    fn check(&self, expr: &Expr) -> Option<()> {
        (expr.depth() <= CHAIN_MAX).then_some(())
    }
}

const ORDINALS: [&str; 9] =
    ["second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];

/// Whether `word` is a letter that numbers go by. `a` and `i` are words, unless they stand right behind a number.
fn is_letter(word: &str, is_glued: bool) -> bool {
    let is_single = word.len() == 1 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    is_single && (is_glued || !matches!(word, "a" | "i"))
}

pub(super) fn pi() -> Expr {
    super::number::from_f64(std::f64::consts::PI).map_or_else(|| Expr::int(3), Expr::Number)
}

/// The product of 1 to `of`, which has to be a small literal.
fn factorial(of: &Expr) -> Option<Expr> {
    let Expr::Number(number) = of else { return None };
    let count = number.as_i64().filter(|count| (0..=20).contains(count))?;
    Some(if count < 2 { Expr::int(1) } else { pairwise(Op::Multiply, (1..=count).map(Expr::int).collect()) })
}
