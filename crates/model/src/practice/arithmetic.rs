//! The grammar of an expression, in signs and in words: "(17 + 5) * 3", "the square root of the sum of 9 and 16",
//! "20% of my rent".

use super::expr::{Expr, Op};
use super::lexer::{Token, lex};
use super::operand::{ORDINALS, factorial, is_letter};
use super::reader::{Names, Reader};
use super::words::Words;

/// How deep brackets and functions may be.
const DEPTH_MAX: usize = 60;

/// A number of an expression, or a share of whatever is on its left.
pub(super) enum Term {
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

    pub(super) fn unary(&mut self) -> Option<Term> {
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

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }

    /// Nothing for an expression that is too large to be worked on.
    fn check(&self, expr: &Expr) -> Option<()> {
        expr.fits().then_some(())
    }
}
