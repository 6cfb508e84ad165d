//! What a story says is there: amounts, rates and costs, brought up to date clause by clause.

use super::lexicon::{Verb, conversion, is_money, is_time};
use super::mention::Quantity;
use crate::practice::expr::{Expr, Op, pairwise};

/// An amount that somebody has, or that is named.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) owner: Option<String>,
    /// Words of what is counted, the unit last.
    pub(super) noun: Vec<String>,
    pub(super) unit: String,
    pub(super) value: Expr,
    /// How much was used up or sold rather than how much there is.
    pub(super) is_tally: bool,
    /// Follows from a rate; whoever asks for the parts finds these too.
    pub(super) is_derived: bool,
    /// Said to be had, rather than used, needed or passed.
    pub(super) is_had: bool,
}

impl Account {
    pub(super) fn plain(owner: Option<String>, unit: String, value: Expr) -> Self {
        Self {
            owner,
            noun: vec![unit.clone()],
            unit,
            value,
            is_tally: false,
            is_derived: false,
            is_had: false,
        }
    }
}

/// So much of `top` for each `per`.
#[derive(Debug, Clone)]
pub(super) struct Rate {
    pub(super) top: String,
    pub(super) per: String,
    pub(super) value: Expr,
    /// Whether it adds to (1) or takes from (−1) an amount that is there.
    sign: i8,
    is_used: bool,
}

/// An amount in terms of another: "5 more apples than Anna".
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub(super) owner: Option<String>,
    pub(super) other: Option<String>,
    pub(super) unit: Option<String>,
    pub(super) how: How,
}

#[derive(Debug, Clone)]
pub(super) enum How {
    More(Expr),
    Fewer(Expr),
    Times(Expr),
}

/// What was spoken of last, which "it" and a discount refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Account(usize),
    Rate(usize),
    Costs,
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) accounts: Vec<Account>,
    pub(super) rates: Vec<Rate>,
    /// What was paid.
    pub(super) costs: Vec<Expr>,
    pub(super) relations: Vec<Relation>,
    /// In how many parts something is shared, and what those are.
    pub(super) parts: Option<(Expr, String)>,
    /// The discount or surcharge last taken, as an amount.
    pub(super) percent: Option<Expr>,
    pub(super) last: Option<Place>,
    /// Who it is about.
    pub(super) owner: Option<String>,
    pub(super) currency: Option<String>,
    /// Something that somebody has, of which nobody said how much.
    pub(super) bare: Option<(Option<String>, String)>,
    /// The verb that a clause without one goes on with.
    pub(super) verb: Option<Verb>,
    pub(super) word: String,
    /// Place of the first account that the question names.
    pub(super) asked_from: usize,
    /// Whether a sum of several amounts is given, rather than asked for.
    pub(super) is_sum_given: bool,
    /// What the story counts anywhere.
    units: Vec<String>,
    /// What is asked for, which numbers without a noun count too.
    pub(super) asked: Option<String>,
    /// Accounts of one clause that go together.
    pub(super) pairs: Vec<(usize, usize)>,
}

impl World {
    /// An empty one, for a question about `asked` in a story that counts `units`.
    pub(super) fn asked(asked: Option<String>, units: Vec<String>) -> Self {
        Self { asked, units, ..Self::default() }
    }

    /// Whether the story has an amount of `unit` anywhere.
    pub(super) fn counts(&self, unit: &str) -> bool {
        self.units.iter().any(|known| known == unit)
    }

    pub(super) fn current(&self) -> Option<&Account> {
        match self.last {
            Some(Place::Account(place)) => self.accounts.get(place),
            _ => self.counted(),
        }
    }

    /// What was counted last.
    pub(super) fn counted(&self) -> Option<&Account> {
        self.accounts.iter().rev().find(|account| !is_money(&account.unit) && !account.is_tally)
    }

    pub(super) fn find(&self, unit: &str, owner: Option<&String>) -> Option<usize> {
        let matches = |account: &&Account| account.unit == unit && !account.is_tally;
        let places: Vec<usize> =
            (0..self.accounts.len()).filter(|place| matches(&&self.accounts[*place])).collect();
        places.iter().copied().find(|place| self.accounts[*place].owner.as_ref() == owner).or_else(|| {
            let [only] = places.as_slice() else { return None };
            Some(*only)
        })
    }

    pub(super) fn push(
        &mut self,
        owner: Option<&String>,
        quantity: &Quantity,
        is_tally: bool,
    ) -> Option<usize> {
        let unit = quantity.unit.clone()?;
        self.accounts.push(Account {
            owner: owner.cloned(),
            noun: quantity.noun.clone(),
            unit,
            value: quantity.value.clone(),
            is_tally,
            is_derived: false,
            is_had: matches!(self.verb, Some(Verb::Have | Verb::Be)),
        });
        self.last = Some(Place::Account(self.accounts.len() - 1));
        Some(self.accounts.len() - 1)
    }

    pub(super) fn rate(&mut self, quantity: &Quantity, per: &str, sign: i8) {
        let Some(top) = quantity.unit.clone() else { return };
        self.rates.push(Rate {
            top,
            per: per.to_owned(),
            value: quantity.value.clone(),
            sign,
            is_used: false,
        });
        self.last = Some(Place::Rate(self.rates.len() - 1));
    }

    /// Changes what was spoken of last.
    pub(super) fn change(&mut self, how: impl FnOnce(Expr) -> Expr) -> Option<()> {
        let value = match self.last {
            Some(Place::Account(place)) => &mut self.accounts[place].value,
            Some(Place::Rate(place)) => &mut self.rates[place].value,
            Some(Place::Costs) => {
                let total = pairwise(Op::Sum, std::mem::take(&mut self.costs));
                self.costs.push(total);
                self.costs.last_mut()?
            }
            None => return None,
        };
        *value = how(value.clone());
        value.fits().then_some(())
    }

    /// What follows from an amount and a rate: 6 boxes of 12 eggs are 72 eggs.
    pub(super) fn combine(&mut self) {
        for _ in 0..20 {
            let Some((rate, account)) = self.fitting() else { return };
            self.rates[rate].is_used = true;
            let Rate { top, per, value, sign, .. } = self.rates[rate].clone();
            let count = in_unit(&self.accounts[account], &per);
            let amount = count.times(value);
            let owner = self.accounts[account].owner.clone();
            let place = (sign != 0).then(|| self.find(&top, owner.as_ref())).flatten();
            if let Some(place) = place {
                let op = if sign > 0 { Op::Sum } else { Op::Subtract };
                self.accounts[place].value = Expr::apply(op, self.accounts[place].value.clone(), amount);
                self.last = Some(Place::Account(place));
                continue;
            }
            self.accounts.push(Account { is_derived: true, ..Account::plain(owner, top, amount) });
            self.last = Some(Place::Account(self.accounts.len() - 1));
        }
    }

    /// A rate that is not used yet, and an amount of what it is per.
    fn fitting(&self) -> Option<(usize, usize)> {
        self.rates.iter().enumerate().filter(|(_, rate)| !rate.is_used && !is_money(&rate.per)).find_map(
            |(place, rate)| {
                let is_price = is_money(&rate.top) && !is_time(&rate.per);
                // Prices are looked up when something is asked for; an amount that is there already is not made anew.
                let is_known =
                    self.accounts.iter().any(|account| account.unit == rate.top && !account.is_tally);
                if is_price || (is_known && rate.sign == 0) {
                    return None;
                }
                let exact = self.accounts.iter().rposition(|account| account.unit == rate.per);
                // "8 hours a day" says how many hours there are in these 5 days.
                let is_to_come = self.rates.iter().any(|other| !other.is_used && other.top == rate.per);
                let converted = || {
                    self.accounts.iter().rposition(|account| {
                        conversion(&account.unit, &rate.per)
                            .or_else(|| conversion(&rate.per, &account.unit))
                            .is_some()
                    })
                };
                let account = exact.or_else(|| if is_to_come { None } else { converted() })?;
                Some((place, account))
            },
        )
    }
}

/// An account's value in `unit`, which it is in or can be converted to.
pub(super) fn in_unit(account: &Account, unit: &str) -> Expr {
    let value = account.value.clone();
    if account.unit == unit {
        value
    } else if let Some(count) = conversion(&account.unit, unit) {
        value.times(Expr::int(count))
    } else if let Some(count) = conversion(unit, &account.unit) {
        value.over(Expr::int(count))
    } else {
        value
    }
}
