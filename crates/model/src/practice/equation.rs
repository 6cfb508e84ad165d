//! Linear and quadratic equations in one unknown. Both sides become coefficients, each an expression of its own;
//! whatever is more than a sign or a term that is not there is left to the tools.

use serde_json::Number;

use super::expr::{Expr, Op};
use super::lexer::Token;
use super::number::{neat, to_f64};
use super::plan::{Halt, Plan};
use super::reader::{Names, Reader};
use super::words::Words;

/// `coefficients[n]` belongs to the unknown to the power of n.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Equation {
    pub(super) unknown: String,
    /// `None` when it is beyond a quadratic.
    coefficients: Option<[Expr; 3]>,
}

/// Words around an equation that do not belong to it.
const FRAME: Words = Words(
    "solve for the equation find value values of what is are if when where given that such please \
     can you could me tell and then roots root solutions solution zeros zeroes calculate determine \
     compute all real quadratic linear following must be get number i need to know help with how \
     much work out this unknown variable let so in by a thanks using your tools hey hi",
);

/// More of them, where the unknown is "a number".
const ASKING: &[&str] =
    &["my", "was", "did", "think", "thinking", "am", "have", "start", "original", "started", "do", "has"];

/// The equation that a text asks to be solved.
pub(super) fn find(tokens: &[Token]) -> Option<Equation> {
    letters(tokens).or_else(|| words(tokens))
}

/// "2x + 3 = 11", with words of [`FRAME`] around it.
fn letters(tokens: &[Token]) -> Option<Equation> {
    let asks_roots = tokens
        .iter()
        .any(|token| matches!(token.word(), Some("roots" | "zeros" | "zeroes" | "solutions" | "root")));
    let has_equals = tokens.iter().any(|token| token.is_sign('='))
        || tokens.iter().any(|token| matches!(token.word(), Some("equals" | "equal")));
    if !has_equals && !asks_roots {
        return None;
    }
    let is_frame = |token: &Token, letter: &str| match token.word() {
        Some(word) => FRAME.has(word) || word == letter,
        None => is_punctuation(token),
    };
    (0..tokens.len().min(40)).find_map(|start| {
        let mut reader = Reader::new(&tokens[start..], Names::Unknown);
        let left = reader.sum()?;
        let is_equals = reader.sign('=') || reader.eat(&["equals", "is equal to", "equal to", "equal", "is"]);
        if !is_equals && (has_equals || !asks_roots) {
            return None;
        }
        let right = if is_equals { reader.sum()? } else { Expr::int(0) };
        // "Any number" written out would be no letter.
        let unknown = reader.letter.clone()?;
        let rest = &tokens[start + reader.at..];
        let framed = tokens[..start].iter().chain(rest).all(|token| is_frame(token, &unknown));
        framed.then(|| Equation::new(unknown, &left, &right))
    })
}

/// "Twice a number plus 3 is 11", "I think of a number, multiply it by 3 and get 21. What is the number?"
fn words(tokens: &[Token]) -> Option<Equation> {
    let is_about_number =
        tokens.iter().zip(tokens.iter().skip(1)).any(|(before, token)| {
            token.word() == Some("number")
                && matches!(
                    before.word(),
                    Some("a" | "what" | "which" | "the" | "certain" | "some" | "unknown" | "my")
                )
        }) || tokens.iter().any(|token| matches!(token.word(), Some("what" | "x" | "y" | "n")));
    let has_verb = |token: &Token| {
        matches!(
            token.word(),
            Some("is" | "equals" | "gives" | "get" | "makes" | "give" | "gets" | "got" | "equal" | "are")
        )
    };
    if !is_about_number || !tokens.iter().any(has_verb) {
        return None;
    }
    (0..tokens.len().min(25)).find_map(|start| {
        let is_framed = tokens[..start].iter().all(|token| match token.word() {
            Some(word) => FRAME.has(word) || ASKING.contains(&word),
            None => is_punctuation(token),
        });
        if !is_framed {
            return None;
        }
        let mut reader = Reader::new(&tokens[start..], Names::Unknown);
        let (left, right) = reader.described()?;
        let rest = &tokens[start + reader.at..];
        let letter = reader.letter.as_deref();
        let is_question = rest.iter().all(|token| match token.word() {
            Some(word) => FRAME.has(word) || ASKING.contains(&word) || Some(word) == letter,
            None => is_punctuation(token),
        });
        let is_asked = left.has_unknown() || right.has_unknown();
        (is_question && is_asked)
            .then(|| Equation::new(letter.unwrap_or("the number").to_owned(), &left, &right))
    })
}

fn is_punctuation(token: &Token) -> bool {
    [',', ':', '.', '?', ';', '!'].iter().any(|sign| token.is_sign(*sign))
}

impl Reader<'_> {
    /// What is done to the number, and what comes out.
    fn described(&mut self) -> Option<(Expr, Expr)> {
        self.skip_links();
        self.so_far = Some(self.clause()?);
        for _ in 0..20 {
            let next = self.attempt(|reader| {
                reader.skip_links();
                reader.skip(Words("i you we"));
                reader.used_so_far = false;
                let next = reader.clause()?;
                (reader.used_so_far && next.fits()).then_some(next)
            });
            let Some(next) = next else { break };
            self.so_far = Some(next);
        }
        self.skip_links();
        self.skip(Words("i you we the result answer to which"));
        let left = self.so_far.clone()?;
        if !self.sign('=')
            && !self.eat(&[
                "is equal to",
                "equals",
                "is",
                "gives",
                "give",
                "gets",
                "get",
                "got",
                "makes",
                "will be",
                "are",
            ])
        {
            return None;
        }
        self.so_far = None;
        Some((left, self.sum()?))
    }
}

impl Equation {
    fn new(unknown: String, left: &Expr, right: &Expr) -> Self {
        let coefficients = polynomial(left).and_then(|left| Some(subtract(left, polynomial(right)?)));
        Self { unknown, coefficients }
    }

    /// The sentence that solves it.
    ///
    /// # Errors
    /// [`Halt`] for what has to be called first, or when it cannot be solved.
    pub(super) fn solve(&self, plan: &Plan<'_>) -> Result<String, Halt> {
        let Some([c, b, a]) = &self.coefficients else {
            return Err(Halt::Never(
                "I can solve linear and quadratic equations in one unknown, and this is another kind"
                    .to_owned(),
            ));
        };
        let known = plan.values(&[a, b, c])?;
        let [a, b, c] = [0, 1, 2].map(|place| Expr::Number(known[place].clone()));
        if !a.is(0) {
            return self.quadratic(plan, a, b, c);
        }
        if !b.is(0) {
            let root = plan.values(&[&c.negated().over(b)])?;
            return Ok(format!("{} = {}", self.unknown, neat(&root[0])));
        }
        Ok(if c.is(0) {
            format!("Every number solves it: {} drops out and both sides are equal", self.unknown)
        } else {
            format!("It has no solution: {} drops out and the two sides are not equal", self.unknown)
        })
    }

    fn quadratic(&self, plan: &Plan<'_>, a: Expr, b: Expr, c: Expr) -> Result<String, Halt> {
        let square = b.clone().power(Expr::int(2));
        let product = Expr::int(4).times(a.clone()).times(c);
        let twice_a = Expr::int(2).times(a);
        // All that can be worked out side by side goes into the same turn.
        let known = plan.values(&[&square.minus(product), &twice_a])?;
        let discriminant = to_f64(&known[0]);
        let [discriminant_expr, twice_a] = [0, 1].map(|place| Expr::Number(known[place].clone()));
        if discriminant < 0.0 {
            return Ok(format!(
                "It has no real solutions: the discriminant is {}, which is negative",
                neat(&known[0])
            ));
        }
        if discriminant == 0.0 {
            let root = plan.values(&[&b.negated().over(twice_a)])?;
            return Ok(format!("{} = {} (a double root)", self.unknown, neat(&root[0])));
        }
        let minus_b = b.negated();
        let root = discriminant_expr.root();
        let one = minus_b.clone().minus(root.clone()).over(twice_a.clone());
        let other = minus_b.plus(root).over(twice_a);
        let mut roots: Vec<Number> = plan.values(&[&one, &other])?;
        roots.sort_by(|one, other| to_f64(one).total_cmp(&to_f64(other)));
        let [one, other] = [0, 1].map(|place| neat(&roots[place]));
        Ok(format!("{0} = {one} or {0} = {other}", self.unknown))
    }
}

type Polynomial = [Expr; 3];

/// `None` for what is no polynomial of degree two at most.
fn polynomial(expr: &Expr) -> Option<Polynomial> {
    let zero = || Expr::int(0);
    match expr {
        Expr::Unknown => Some([zero(), Expr::int(1), zero()]),
        Expr::Number(_) | Expr::Asked(_) => Some([expr.clone(), zero(), zero()]),
        Expr::Apply(_, a, b) if !a.has_unknown() && !b.has_unknown() => Some([expr.clone(), zero(), zero()]),
        Expr::Apply(op, a, b) => {
            if *op == Op::Power {
                let Expr::Number(exponent) = &**b else { return None };
                let base = polynomial(a)?;
                return match exponent.as_i64()? {
                    0 => Some([Expr::int(1), zero(), zero()]),
                    1 => Some(base),
                    2 => multiply(&base, &base),
                    _ => None,
                };
            }
            if *op == Op::Root {
                return None;
            }
            let (a, b) = (polynomial(a)?, polynomial(b)?);
            match op {
                Op::Sum => {
                    let [a0, a1, a2] = a;
                    let [b0, b1, b2] = b;
                    Some([add(a0, b0), add(a1, b1), add(a2, b2)])
                }
                Op::Subtract => Some(subtract(a, b)),
                Op::Multiply => multiply(&a, &b),
                Op::Divide if b[1].is(0) && b[2].is(0) => {
                    let [divisor, ..] = b;
                    Some(a.map(
                        |part| if part.is(0) && !divisor.is(0) { part } else { part.over(divisor.clone()) },
                    ))
                }
                Op::Divide | Op::Power | Op::Root => None,
            }
        }
    }
}

fn subtract(a: Polynomial, b: Polynomial) -> Polynomial {
    let [a0, a1, a2] = a;
    let [b0, b1, b2] = b;
    [take(a0, b0), take(a1, b1), take(a2, b2)]
}

fn multiply(a: &Polynomial, b: &Polynomial) -> Option<Polynomial> {
    let mut product: Vec<Expr> = (0..5).map(|_| Expr::int(0)).collect();
    for (n, a) in a.iter().enumerate() {
        for (m, b) in b.iter().enumerate() {
            let sum = std::mem::replace(&mut product[n + m], Expr::int(0));
            product[n + m] = add(sum, factor(a.clone(), b.clone()));
        }
    }
    let too_high = product.split_off(3);
    let is_low = too_high.iter().all(|part| part.is(0));
    is_low.then(|| <[Expr; 3]>::try_from(product).ok())?
}

// A term that is not there needs no tool.

fn add(a: Expr, b: Expr) -> Expr {
    if a.is(0) {
        b
    } else if b.is(0) {
        a
    } else {
        a.plus(b)
    }
}

fn take(a: Expr, b: Expr) -> Expr {
    if b.is(0) {
        a
    } else if a.is(0) {
        b.negated()
    } else {
        a.minus(b)
    }
}

fn factor(a: Expr, b: Expr) -> Expr {
    if a.is(0) || b.is(0) {
        Expr::int(0)
    } else if a.is(1) {
        b
    } else if b.is(1) {
        a
    } else if a.is(-1) {
        b.negated()
    } else if b.is(-1) {
        a.negated()
    } else {
        a.times(b)
    }
}
