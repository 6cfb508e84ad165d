//! Questions about money: what is spent, what is left, what things cost.

use super::lexicon::{conversion, is_money, is_time};
use super::question::{Question, TOTAL, sum};
use super::world::{Account, World, in_unit};
use crate::practice::expr::{Expr, Op, pairwise};
use crate::practice::words::Words;

/// Words that ask for money.
const MONEY: Words = Words(
    "cost costs pay paid pays spend spent price bill charge earn earned worth owe money dollar dollars euros",
);

impl Question {
    pub(super) fn is_about_money(&self, world: &World) -> bool {
        let is_counting = self.words.iter().any(|word| word == "many");
        let has_money = world.currency.is_some();
        if is_counting {
            return self.unit.as_deref().is_some_and(is_money);
        }
        self.has(MONEY)
            || (has_money
                && self.says("how much")
                && self.unit.as_deref().is_none_or(|unit| {
                    is_money(unit)
                        || !world.accounts.iter().any(|account| account.noun.iter().any(|noun| noun == unit))
                }))
            || (has_money && self.has(Words("make total save")) && self.unit.is_none())
    }

    pub(super) fn change(&self, world: &World) -> Option<Expr> {
        let currency = world.currency.clone()?;
        let paid = world.accounts.iter().find(|account| account.unit == currency && !account.is_derived)?;
        if !world.costs.is_empty() && is_reduced(&paid.value) {
            return Some(paid.value.clone());
        }
        if !world.costs.is_empty() {
            return Some(paid.value.clone().minus(pairwise(Op::Sum, world.costs.clone())));
        }
        let cost = self.priced(world)?;
        Some(paid.value.clone().minus(cost))
    }

    pub(super) fn money(&self, world: &World) -> Option<Expr> {
        let currency = world.currency.clone().unwrap_or_else(|| "$".to_owned());
        let is_left = self.has(Words("left remain remains remaining now have has still account over"));
        let is_spent = self.has(Words("spend spent pay paid pays cost costs price bill charge owe"));
        let is_rest = self.has(Words("left remaining")) || !is_spent;
        if is_left && is_rest && !self.has(Words("cost costs")) {
            return self.amount(world, &currency);
        }
        if let Some((parts, _)) = &world.parts
            && self.has(Words("each everyone person"))
        {
            return Some(self.money_total(world)?.over(parts.clone()));
        }
        if is_spent || self.has(Words("total worth")) {
            return self.money_total(world).or_else(|| self.price_asked(world));
        }
        self.amount(world, &currency).or_else(|| self.money_total(world)).or_else(|| self.price_asked(world))
    }

    /// What it all comes to.
    pub(super) fn money_total(&self, world: &World) -> Option<Expr> {
        let currency = world.currency.clone()?;
        if !world.costs.is_empty() {
            let paid = pairwise(Op::Sum, world.costs.clone());
            return match self.priced(world) {
                Some(more) if !world.rates.is_empty() => Some(paid.plus(more)),
                _ => Some(paid),
            };
        }
        if let Some(priced) = self.priced(world) {
            return Some(priced);
        }
        let money: Vec<&Account> = world.accounts.iter().filter(|account| account.unit == currency).collect();
        (!money.is_empty()).then(|| sum(&money)).or_else(|| self.proportion(world, &currency))
    }

    /// Everything that has a price, times its price.
    fn priced(&self, world: &World) -> Option<Expr> {
        let mut parts = Vec::new();
        let prices: Vec<_> = world.rates.iter().filter(|rate| is_money(&rate.top)).collect();
        for rate in &prices {
            for account in world.accounts.iter().filter(|account| !account.is_derived) {
                let fits = account.unit == rate.per
                    || account.noun.contains(&rate.per)
                    || conversion(&account.unit, &rate.per).is_some()
                    || conversion(&rate.per, &account.unit).is_some();
                if fits {
                    parts.push(times_price(in_unit(account, &rate.per), rate.value.clone()));
                }
            }
        }
        if parts.is_empty() {
            // A jacket is one jacket; of several things the sum is meant only if it says so.
            let counted = world.accounts.iter().any(|account| !is_money(&account.unit));
            return match prices.as_slice() {
                [only] if !counted => Some(only.value.clone()),
                [_, ..] if !counted && self.has(TOTAL) => {
                    Some(pairwise(Op::Sum, prices.iter().map(|rate| rate.value.clone()).collect()))
                }
                _ => None,
            };
        }
        Some(pairwise(Op::Sum, parts))
    }

    /// The price of the one thing whose price is not said.
    fn price_asked(&self, world: &World) -> Option<Expr> {
        let [only] = world.accounts.as_slice() else { return None };
        if !world.rates.is_empty() || is_money(&only.unit) {
            return None;
        }
        let one = &only.unit;
        let question = if is_time(one) && self.has(Words("earn make earned")) {
            format!("How much is earned per {one}?")
        } else if self.has(Words("earn make earned save")) {
            format!("How much per {one}?")
        } else {
            format!("What does one {one} cost?")
        };
        Some(only.value.clone().times(Expr::Asked(question)))
    }
}

fn times_price(count: Expr, price: Expr) -> Expr {
    if count.is(1) { price } else { count.times(price) }
}

fn is_reduced(value: &Expr) -> bool {
    matches!(value, Expr::Apply(Op::Subtract, ..))
}
