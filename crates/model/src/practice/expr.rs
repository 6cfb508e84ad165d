//! What is to be computed: a tree whose inner nodes are calls of the math tools, each carried out by its tool alone.

use std::fmt;

use serde_json::{Number, Value, json};

use super::number;

/// How deep a tree may be, which bounds every recursion over one.
const CHAIN_MAX: usize = 200;
/// Numbers and operations of a tree.
const NODES_MAX: usize = 2000;

/// One of the math tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Sum,
    Subtract,
    Multiply,
    Divide,
    Power,
    /// Of its first operand; the second is not looked at.
    Root,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Number(Number),
    /// A number that only the human knows, and the question to be put.
    Asked(String),
    /// The unknown of an equation.
    Unknown,
    Apply(Op, Box<Expr>, Box<Expr>),
}

impl Op {
    pub(super) const ALL: [Self; 6] =
        [Self::Sum, Self::Subtract, Self::Multiply, Self::Divide, Self::Power, Self::Root];

    pub(super) const fn tool(self) -> &'static str {
        match self {
            Self::Sum => "sum_numbers",
            Self::Subtract => "subtract_numbers",
            Self::Multiply => "multiply_numbers",
            Self::Divide => "divide_numbers",
            Self::Power => "power",
            Self::Root => "square_root",
        }
    }

    pub(super) fn arguments(self, a: &Number, b: &Number) -> Value {
        match self {
            Self::Power => json!({ "base": a, "exponent": b }),
            Self::Root => json!({ "x": a }),
            Self::Sum | Self::Subtract | Self::Multiply | Self::Divide => json!({ "a": a, "b": b }),
        }
    }
}

impl Expr {
    pub(super) fn int(value: i64) -> Self {
        Self::Number(value.into())
    }

    pub(super) fn apply(op: Op, a: Self, b: Self) -> Self {
        Self::Apply(op, Box::new(a), Box::new(b))
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self::apply(Op::Sum, self, other)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self::apply(Op::Subtract, self, other)
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self::apply(Op::Multiply, self, other)
    }

    pub(super) fn over(self, other: Self) -> Self {
        Self::apply(Op::Divide, self, other)
    }

    pub(super) fn power(self, exponent: Self) -> Self {
        Self::apply(Op::Power, self, exponent)
    }

    pub(super) fn root(self) -> Self {
        Self::apply(Op::Root, self, Self::int(0))
    }

    /// `percent` percent of this.
    pub(super) fn percent(self, percent: Self) -> Self {
        self.times(percent).over(Self::int(100))
    }

    /// A literal's sign is its own; anything else is taken from zero.
    pub(super) fn negated(self) -> Self {
        match &self {
            Self::Number(number) => {
                let text = number.to_string();
                let negated = text.strip_prefix('-').map_or_else(|| format!("-{text}"), str::to_owned);
                number::from_text(&negated).map_or(Self::int(0).minus(self), Self::Number)
            }
            _ => Self::int(0).minus(self),
        }
    }

    pub(super) fn is(&self, value: i64) -> bool {
        matches!(self, Self::Number(number) if number.as_f64() == Some(value as f64))
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Number(_))
    }

    pub(super) fn has_unknown(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::Apply(_, a, b) => a.has_unknown() || b.has_unknown(),
            Self::Number(_) | Self::Asked(_) => false,
        }
    }

    /// Whether it is small enough to be worked on. What is made of an expression may hold it twice, so whatever grows
    /// one step by step has to look after each.
    pub(super) fn fits(&self) -> bool {
        fn count(expr: &Expr, depth: usize, left: &mut usize) -> bool {
            *left = left.saturating_sub(1);
            match expr {
                _ if *left == 0 || depth == 0 => false,
                Expr::Apply(_, a, b) => count(a, depth - 1, left) && count(b, depth - 1, left),
                _ => true,
            }
        }
        count(self, CHAIN_MAX, &mut { NODES_MAX })
    }

    /// The same value from a flatter tree, so that more calls go in one turn: a chain of four or more terms or
    /// factors is worked out in pairs.
    pub(super) fn balanced(&self) -> Self {
        let Self::Apply(op, a, b) = self else { return self.clone() };
        let all = |parts: Vec<&Self>| pairwise(Op::Sum, parts.into_iter().map(Self::balanced).collect());
        match op {
            Op::Sum | Op::Subtract => {
                let (mut plus, mut minus) = (Vec::new(), Vec::new());
                self.terms(false, &mut plus, &mut minus);
                if plus.len() + minus.len() >= 4 {
                    return if minus.is_empty() { all(plus) } else { all(plus).minus(all(minus)) };
                }
            }
            Op::Multiply => {
                let mut factors = Vec::new();
                self.factors(&mut factors);
                if factors.len() >= 4 {
                    return pairwise(*op, factors.into_iter().map(Self::balanced).collect());
                }
            }
            Op::Divide | Op::Power | Op::Root => {}
        }
        Self::apply(*op, a.balanced(), b.balanced())
    }

    /// The terms of a sum, by sign. The first one always adds.
    fn terms<'e>(&'e self, is_negative: bool, plus: &mut Vec<&'e Self>, minus: &mut Vec<&'e Self>) {
        match self {
            Self::Apply(op @ (Op::Sum | Op::Subtract), a, b) => {
                a.terms(is_negative, plus, minus);
                b.terms(is_negative != (*op == Op::Subtract), plus, minus);
            }
            _ => if is_negative { minus } else { plus }.push(self),
        }
    }

    fn factors<'e>(&'e self, factors: &mut Vec<&'e Self>) {
        match self {
            Self::Apply(Op::Multiply, a, b) => {
                a.factors(factors);
                b.factors(factors);
            }
            _ => factors.push(self),
        }
    }
}

/// All of `parts` under one operation, as a tree that is as flat as can be.
pub(super) fn pairwise(op: Op, parts: Vec<Expr>) -> Expr {
    let mut parts = parts;
    while parts.len() > 1 {
        let mut pairs = Vec::with_capacity(parts.len().div_ceil(2));
        let mut rest = parts.into_iter();
        while let Some(first) = rest.next() {
            pairs.push(match rest.next() {
                Some(second) => Expr::apply(op, first, second),
                None => first,
            });
        }
        parts = pairs;
    }
    parts.pop().unwrap_or_else(|| Expr::int(0))
}

/// How tightly an expression holds together: sum, product, power, atom.
fn strength(expr: &Expr) -> u8 {
    match expr {
        Expr::Apply(Op::Sum | Op::Subtract, ..) => 0,
        Expr::Apply(Op::Multiply | Op::Divide, ..) => 1,
        Expr::Apply(Op::Power, ..) => 2,
        // A sign in front is not a part of the digits.
        Expr::Number(number) if number.to_string().starts_with('-') => 0,
        Expr::Apply(Op::Root, ..) | Expr::Number(_) | Expr::Asked(_) | Expr::Unknown => 3,
    }
}

/// As on paper: `(17 + 5) × 3 ÷ 4`.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (op, a, b) = match self {
            Self::Number(number) => return f.write_str(&number::neat(number)),
            Self::Asked(_) => return f.write_str("?"),
            Self::Unknown => return f.write_str("x"),
            Self::Apply(op, a, b) => (*op, a, b),
        };
        let side = |f: &mut fmt::Formatter<'_>, part: &Self, least: u8| {
            if strength(part) < least { write!(f, "({part})") } else { write!(f, "{part}") }
        };
        let own = strength(self);
        // A first term may have a sign; everything behind an operator needs brackets around one.
        let first_is_literal = a.is_number() && own < 2;
        match op {
            Op::Root => {
                f.write_str("√")?;
                return side(f, a, 3);
            }
            Op::Power => side(f, a, 3)?,
            _ => side(f, a, if first_is_literal { 0 } else { own })?,
        }
        f.write_str(match op {
            Op::Sum => " + ",
            Op::Subtract => " − ",
            Op::Multiply => " × ",
            Op::Divide => " ÷ ",
            Op::Power | Op::Root => "^",
        })?;
        let least = match op {
            Op::Sum if !b.is_number() => 0,
            Op::Multiply if !matches!(**b, Self::Apply(Op::Divide, ..)) => 1,
            Op::Power => 3,
            _ => own + 1,
        };
        side(f, b, least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(value: i64) -> Expr {
        Expr::int(value)
    }

    fn depth(expr: &Expr) -> usize {
        match expr {
            Expr::Apply(_, a, b) => 1 + depth(a).max(depth(b)),
            _ => 0,
        }
    }

    #[test]
    fn a_tree_that_grows_without_end_is_noticed() {
        let mut expr = n(1);
        while expr.fits() {
            expr = expr.clone().plus(expr);
        }
        let mut nodes = 0;
        let mut open = vec![&expr];
        while let Some(Expr::Apply(_, a, b)) = open.pop() {
            nodes += 1;
            open.extend([&**a, &**b]);
        }
        assert!(nodes <= 2 * NODES_MAX);
        assert!(!(0..300).map(n).fold(n(1), Expr::plus).fits());
        assert!((0..150).map(n).fold(n(1), Expr::plus).fits());
    }

    #[test]
    fn trees_read_as_on_paper() {
        for (expr, text) in [
            (n(17).plus(n(5)).times(n(3)).over(n(4)), "(17 + 5) × 3 ÷ 4"),
            (n(1).minus(n(2).minus(n(3))), "1 − (2 − 3)"),
            (n(1).minus(n(2)).minus(n(3)), "1 − 2 − 3"),
            (n(1).plus(n(2).times(n(3))), "1 + 2 × 3"),
            (n(8).over(n(4).over(n(2))), "8 ÷ (4 ÷ 2)"),
            (n(8).times(n(4).over(n(2))), "8 × (4 ÷ 2)"),
            (n(2).power(n(3).power(n(2))), "2^(3^2)"),
            (n(-2).power(n(2)), "(-2)^2"),
            (n(-2).plus(n(-3)), "-2 + (-3)"),
            (n(9).plus(n(16)).root().plus(n(4).root()), "√(9 + 16) + √4"),
        ] {
            assert_eq!(expr.to_string(), text);
        }
    }

    #[test]
    fn long_chains_are_worked_out_in_pairs() {
        let sum = (2..=16).map(n).fold(n(1), Expr::plus);
        assert_eq!((depth(&sum), depth(&sum.balanced())), (15, 4));
        let mixed = n(1).minus(n(2)).plus(n(3)).minus(n(4).minus(n(5)));
        assert_eq!(mixed.balanced().to_string(), "1 + 3 + 5 − (2 + 4)");
        let product = (2..=8).map(n).fold(n(1), Expr::times);
        assert_eq!(depth(&product.balanced()), 3);
        let short = n(1).minus(n(2)).minus(n(3));
        assert_eq!(short.balanced(), short);
    }

    #[test]
    fn signs_of_literals_are_flipped_without_a_tool() {
        assert_eq!(n(5).negated(), n(-5));
        assert_eq!(n(-5).negated(), n(5));
        assert_eq!(n(0).negated(), n(0));
        assert_eq!(n(1).plus(n(2)).negated().to_string(), "0 − (1 + 2)");
    }
}
