//! Word problems: a story is read clause by clause into amounts, rates and costs, and the question picks the
//! expression that answers it.
//!
//! A story counts as understood only if every number in it is part of that expression, or is of something that was
//! not asked for.

mod clause;
mod mention;

mod telling;
mod trade;
mod world;

mod money;
mod question;

mod lexicon;

use self::clause::{Clause, clauses};
use self::question::Question;
use self::world::World;
use super::expr::Expr;
use super::lexer::Token;
use super::number;
use super::words::Words;

const FRACTIONS: Words = Words("half third quarter fourth fifth sixth eighth tenth");

/// Clauses of a story that is read.
const CLAUSES_MAX: usize = 40;

/// The expression that answers a story's question, and the unit that it is in.
pub(super) fn solve(tokens: &[Token]) -> Option<(Expr, Option<String>)> {
    if tokens.windows(2).any(|pair| pair[0].word() == Some("all") && pair[1].word() == Some("but")) {
        return None;
    }
    let clauses = clauses(tokens);
    let asking: Vec<&Clause<'_>> = clauses.iter().filter(|clause| clause.is_question).collect();
    let first = asking.first()?;
    if clauses.len() > CLAUSES_MAX {
        return None;
    }
    let units =
        clauses.iter().flat_map(Clause::quantities).filter_map(|quantity| quantity.unit.clone()).collect();
    let mut world = World::asked(Question::counted(first), units);
    for clause in clauses.iter().filter(|clause| !clause.is_question) {
        world.tell(clause)?;
    }
    world.asked_from = world.accounts.len();
    for clause in &asking {
        world.tell(clause)?;
    }
    let mut whole = (*first).clone();
    let last = asking.last()?;
    let (start, end) = (first.start, last.start + last.tokens.len());
    if asking.len() > 1 && start < end {
        whole.tokens = &tokens[start..end];
    }
    let answers = Question::new(&whole, &world).answers(&mut world);
    answers.into_iter().find(|(expr, unit)| uses_all(tokens, expr, &world, unit.as_deref()))
}

/// Whether each number of the story is in the expression, or is of something that somebody has beside what was
/// asked for.
fn uses_all(tokens: &[Token], expr: &Expr, world: &World, unit: Option<&str>) -> bool {
    let mut used = Vec::new();
    leaves(expr, &mut used);
    if expr.is_number() {
        // What the story says itself needs no question: something was not understood.
        return false;
    }
    let may_leave = world.rates.is_empty() && world.costs.is_empty();
    tokens.iter().enumerate().filter_map(|(at, token)| Some((at, token.number()?))).all(|(at, number)| {
        if let Some(place) = used.iter().position(|known| *known == number::canonical(number)) {
            used.swap_remove(place);
            return true;
        }
        let is_aside = world.accounts.iter().any(|account| {
            let is_other = unit
                .is_some_and(|unit| account.unit != unit && !account.noun.iter().any(|noun| noun == unit));
            is_other && account.is_had && account.value == Expr::Number(number.clone())
        });
        // "1 pair", "one third": one of it is it.
        let is_single = || world.accounts.iter().any(|account| account.value.is(1));
        let is_share = || {
            tokens
                .get(at + 1)
                .is_some_and(|next| next.is_sign('/') || next.word().is_some_and(|word| FRACTIONS.has(word)))
        };
        (number.as_u64() == Some(1) && (is_share() || is_single())) || (may_leave && is_aside)
    })
}

fn leaves(expr: &Expr, into: &mut Vec<String>) {
    match expr {
        Expr::Number(number) => into.push(number::canonical(number)),
        Expr::Apply(_, a, b) => {
            leaves(a, into);
            leaves(b, into);
        }
        Expr::Asked(_) | Expr::Unknown => {}
    }
}

#[cfg(test)]
mod tests;
