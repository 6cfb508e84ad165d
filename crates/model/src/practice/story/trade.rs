//! Verbs that change amounts: buying and selling, getting and giving, sharing.

use super::clause::Clause;
use super::lexicon::{at_first, is_money, is_pronoun, is_time, plural, unit};
use super::mention::{Mention, Per, Quantity};
use super::world::{Account, Place, World};
use crate::practice::expr::{Expr, Op};
use crate::practice::lexer::Token;
use crate::practice::words::Words;

const BUYING: Words = Words("buy buys bought buying order orders ordered get gets got rents rent rented");

impl World {
    /// "Tickets cost $12", "4 pencils cost $2", "$12 for adults".
    pub(super) fn cost(&mut self, clause: &Clause<'_>, quantities: &[Quantity]) {
        let counted = quantities
            .iter()
            .find(|quantity| quantity.is_counted() && !quantity.unit.as_deref().is_some_and(is_time));
        let subject = clause.owner().filter(|subject| !is_money(subject));
        for quantity in quantities {
            let Some(money) = quantity.unit.clone() else {
                // "A ticket costs 12": in whatever money.
                let money = self.currency.clone().unwrap_or_else(|| "$".to_owned());
                let priced = Quantity { unit: Some(money), ..quantity.clone() };
                self.price(clause, &priced, counted, subject.as_ref());
                continue;
            };
            if is_money(&money) {
                self.price(clause, quantity, counted, subject.as_ref());
            } else if clause.is_question || quantities.len() == 1 {
                self.push(self.owner.clone().as_ref(), quantity, false);
            }
        }
    }

    fn price(
        &mut self,
        clause: &Clause<'_>,
        money: &Quantity,
        counted: Option<&Quantity>,
        subject: Option<&String>,
    ) {
        let behind = audience(clause, money);
        match (&money.per, counted) {
            (Some(Per::Unit(per)), _) => self.rate(money, per, 0),
            (_, Some(counted)) if !clause.is_question => {
                let each = if counted.value.is(1) {
                    money.value.clone()
                } else {
                    money.value.clone().over(counted.value.clone())
                };
                let per = counted.unit.clone().unwrap_or_default();
                self.rate(&Quantity { value: each, ..money.clone() }, &per, 0);
            }
            _ => {
                let per = behind
                    .or_else(|| subject.cloned())
                    .or_else(|| self.counted().map(|account| account.unit.clone()))
                    .unwrap_or_else(|| "item".to_owned());
                self.rate(money, &per, 0);
            }
        }
    }

    pub(super) fn gain(
        &mut self,
        clause: &Clause<'_>,
        quantities: &mut Vec<Quantity>,
        owner: Option<&String>,
    ) -> Option<()> {
        let word = if clause.word.is_empty() { self.word.as_str() } else { clause.word };
        if BUYING.has(word) && quantities.iter().any(Quantity::is_money) {
            return self.buy(quantities, owner);
        }
        multiply_each(quantities);
        if quantities.is_empty() && clause.mentions.is_empty() {
            self.name_all(clause, quantities, owner);
            return Some(());
        }
        for quantity in quantities.iter() {
            self.change_by(quantity, owner, 1, clause)?;
        }
        Some(())
    }

    /// Things at a price: what they cost is paid.
    fn buy(&mut self, quantities: &[Quantity], owner: Option<&String>) -> Option<()> {
        let counted: Vec<&Quantity> = quantities.iter().filter(|quantity| quantity.is_counted()).collect();
        let money: Vec<&Quantity> = quantities.iter().filter(|quantity| quantity.is_money()).collect();
        let [money] = money.as_slice() else { return None };
        let cost = match (&money.per, counted.as_slice()) {
            (Some(_), [count]) => count.value.clone().times(money.value.clone()),
            (None, [] | [_]) => money.value.clone(),
            (Some(Per::Unit(per)), []) => {
                self.rate(money, per, 0);
                return Some(());
            }
            _ => return None,
        };
        self.pay(cost, owner);
        for quantity in counted {
            let place = quantity.unit.as_ref().and_then(|unit| self.find(unit, owner));
            match place {
                Some(place) => {
                    self.accounts[place].value =
                        self.accounts[place].value.clone().plus(quantity.value.clone())
                }
                None => {
                    self.push(owner, quantity, false);
                }
            }
        }
        self.last = Some(Place::Costs);
        Some(())
    }

    fn pay(&mut self, cost: Expr, owner: Option<&String>) {
        let currency = self.currency.clone().unwrap_or_else(|| "$".to_owned());
        if let Some(place) = self.find(&currency, owner) {
            self.accounts[place].value = self.accounts[place].value.clone().minus(cost.clone());
        }
        self.costs.push(cost);
        self.last = Some(Place::Costs);
    }

    pub(super) fn lose(
        &mut self,
        clause: &Clause<'_>,
        quantities: &mut Vec<Quantity>,
        owner: Option<&String>,
    ) -> Option<()> {
        multiply_each(quantities);
        let recipient = clause.recipient();
        for mention in &clause.mentions {
            match mention {
                Mention::Share { count, parts } => self.lose_share(count, parts, clause)?,
                Mention::Rest => self.change(|_| Expr::int(0))?,
                Mention::Quantity(_) | Mention::Factor(_) | Mention::Percent(_) => {}
            }
        }
        for quantity in quantities.iter() {
            let is_paid = quantity.is_money() && quantity.per.is_none();
            if is_paid && quantity.preposition == "with" {
                // What is handed over is not what it costs.
                self.push(owner, quantity, false);
                continue;
            }
            if is_paid
                && !matches!(clause.word, "gives" | "gave" | "give" | "lost" | "loses" | "lends" | "lent")
            {
                self.pay(quantity.value.clone(), owner);
                continue;
            }
            let receiver = recipient.and_then(|name| self.receiver(name, owner));
            // Somebody else gives it to the one that it is about.
            let is_gift = receiver.is_some_and(|place| self.accounts[place].owner.as_ref() != owner)
                && quantity
                    .unit
                    .as_ref()
                    .is_none_or(|unit| receiver.is_some_and(|place| self.accounts[place].unit == *unit));
            if let (true, Some(place)) = (is_gift, receiver) {
                let value = self.accounts[place].value.clone();
                self.accounts[place].value = value.plus(quantity.value.clone());
                let unit = self.accounts[place].unit.clone();
                let own = self
                    .accounts
                    .iter()
                    .position(|account| account.unit == unit && account.owner.as_ref() == owner);
                if let Some(own) = own {
                    let value = self.accounts[own].value.clone();
                    self.accounts[own].value = value.minus(quantity.value.clone());
                }
                self.last = Some(Place::Account(place));
                continue;
            }
            self.change_by(quantity, owner, -1, clause)?;
        }
        Some(())
    }

    /// The account of whoever is given something.
    fn receiver(&self, name: &str, owner: Option<&String>) -> Option<usize> {
        let others = |account: &Account| account.owner.as_ref() != owner && !account.is_tally;
        if is_pronoun(name) {
            let found: Vec<usize> =
                (0..self.accounts.len()).filter(|place| others(&self.accounts[*place])).collect();
            let [only] = found.as_slice() else { return None };
            return Some(*only);
        }
        self.accounts.iter().position(|account| account.owner.as_deref() == Some(name) && !account.is_tally)
    }

    fn lose_share(&mut self, count: &Expr, parts: &Expr, clause: &Clause<'_>) -> Option<()> {
        let noun = clause.words().skip_while(|word| *word != "of").skip(1).map(unit);
        let named: Vec<String> = noun.collect();
        if let Some(place) =
            self.accounts.iter().position(|account| named.contains(&account.unit) && !account.is_tally)
        {
            self.last = Some(Place::Account(place));
        }
        let (count, parts) = (count.clone(), parts.clone());
        self.change(|value| {
            if count.is(1) && parts.is(2) {
                return value.over(parts);
            }
            let share = if count.is(1) { value.clone() } else { value.clone().times(count) };
            value.minus(share.over(parts))
        })
    }

    pub(super) fn sell(
        &mut self,
        clause: &Clause<'_>,
        quantities: &[Quantity],
        owner: Option<&String>,
    ) -> Option<()> {
        let money = quantities.iter().find(|quantity| quantity.is_money());
        let counted: Vec<&Quantity> =
            quantities.iter().filter(|quantity| !quantity.is_money() && quantity.per.is_none()).collect();
        if let (Some(money), []) = (money, counted.as_slice()) {
            // "A cake sells for $5."
            let goods = clause.tokens[clause.verb_at + 1..].iter().find_map(Token::word).map(unit);
            let goods =
                goods.filter(|goods| !matches!(goods.as_str(), "for" | "at")).or_else(|| clause.owner());
            let per = money.per.clone().or_else(|| goods.clone().map(Per::Unit));
            self.price(clause, &Quantity { per, ..money.clone() }, None, goods.as_ref());
            return Some(());
        }
        if let (Some(money), [count]) = (money, counted.as_slice()) {
            let income = if money.per.is_some() {
                count.value.clone().times(money.value.clone())
            } else {
                money.value.clone()
            };
            let earned = Quantity { value: income, per: None, ..money.clone() };
            let place = money.unit.as_ref().and_then(|unit| self.find(unit, owner));
            match place {
                Some(place) => {
                    self.accounts[place].value = self.accounts[place].value.clone().plus(earned.value)
                }
                None => {
                    self.push(owner, &earned, false);
                }
            }
        }
        for mention in &clause.mentions {
            if let Mention::Share { count, parts } = mention {
                self.lose_share(count, parts, clause)?;
            }
        }
        for quantity in counted {
            self.change_by(quantity, owner, -1, clause)?;
        }
        Some(())
    }

    /// Adds to what is there, or takes from it; names a new amount where there is none yet.
    fn change_by(
        &mut self,
        quantity: &Quantity,
        owner: Option<&String>,
        sign: i8,
        clause: &Clause<'_>,
    ) -> Option<()> {
        if let Some(Per::Unit(per)) = &quantity.per {
            let has_account = quantity.unit.as_ref().is_some_and(|unit| self.find(unit, owner).is_some());
            self.rate(quantity, per, if has_account { sign } else { 0 });
            return Some(());
        }
        let place = match &quantity.unit {
            Some(unit) => self.find(unit, owner).or_else(|| {
                // "3 shirts" of "12 blue shirts", "2 pupils" of a class of students: only what is named alike.
                self.accounts.iter().position(|account| account.noun.contains(unit) && !account.is_tally)
            }),
            None => match self.last {
                Some(Place::Account(place)) => Some(place),
                _ => self.accounts.iter().rposition(|account| !account.is_tally && !is_money(&account.unit)),
            },
        };
        if let Some(place) = place {
            let value = self.accounts[place].value.clone();
            // Of what is sold, more is sold.
            let op = if sign > 0 || self.accounts[place].is_tally { Op::Sum } else { Op::Subtract };
            self.accounts[place].value = Expr::apply(op, value, quantity.value.clone());
            self.last = Some(Place::Account(place));
            return Some(());
        }
        let is_time = quantity.unit.as_deref().is_some_and(is_time);
        if let Some((holder, noun)) =
            self.bare.take().filter(|(_, noun)| quantity.unit.as_ref().is_none_or(|unit| unit == noun))
        {
            let question = at_first(&noun, holder.as_deref());
            let op = if sign > 0 { Op::Sum } else { Op::Subtract };
            let value = Expr::apply(op, Expr::Asked(question), quantity.value.clone());
            let known = Quantity { value, noun: vec![noun.clone()], unit: Some(noun), ..quantity.clone() };
            self.push(holder.as_ref(), &known, false);
            return Some(());
        }
        quantity.unit.as_ref()?;
        if quantity.compared != 0 && !clause.is_question {
            // More than what?
            return None;
        }
        self.push(owner, quantity, sign < 0 && !is_time)?;
        Some(())
    }

    /// "24 cookies among 6 kids", "the rest in boxes of 6".
    pub(super) fn share(
        &mut self,
        clause: &Clause<'_>,
        quantities: &mut Vec<Quantity>,
        owner: Option<&String>,
    ) {
        quantities.retain(|quantity| {
            let is_parts = matches!(
                quantity.preposition.as_str(),
                "among" | "amongst" | "between" | "with" | "by" | "into" | "to"
            );
            if is_parts && quantity.per.is_none() && quantity.unit.is_some() {
                let with_oneself = quantity.preposition == "with";
                let value = quantity.value.clone();
                let parts = if with_oneself { value.plus(Expr::int(1)) } else { value };
                self.parts = Some((parts, quantity.unit.clone().unwrap_or_default()));
            }
            !is_parts || quantity.per.is_some()
        });
        for quantity in quantities.iter() {
            // "In boxes of 6", "in groups of 4".
            let container =
                (quantity.preposition == "of" && quantity.at >= 2 && quantity.at > clause.verb_at)
                    .then(|| clause.tokens[quantity.at - 2].word().map(unit))
                    .flatten();
            match (container, &quantity.per) {
                (Some(container), None) => {
                    let top =
                        quantity.unit.clone().or_else(|| self.current().map(|account| account.unit.clone()));
                    let inside = Quantity { unit: top, ..quantity.clone() };
                    self.rate(&inside, &container, 0);
                }
                (_, Some(Per::Unit(per))) => {
                    let per = per.clone();
                    self.rate(quantity, &per, 0);
                }
                _ => {
                    // "12 friends share a $180 bill": who shares is counted first.
                    let has_money = quantities.iter().any(Quantity::is_money);
                    let is_sharer = quantity.is_counted()
                        && self.parts.is_none()
                        && (has_money
                            || quantities.len() == 2 && quantity.at < 2
                            || quantities.len() == 1 && quantity.at < clause.verb_at && self.last.is_some());
                    if is_sharer {
                        self.parts =
                            Some((quantity.value.clone(), quantity.unit.clone().unwrap_or_default()));
                    } else {
                        self.push(owner, quantity, false);
                    }
                }
            }
        }
        if self.parts.is_none() {
            self.parts = self.sharers(clause, quantities.is_empty());
        }
    }

    /// Among how many something is shared, where the clause has no number for it.
    fn sharers(&self, clause: &Clause<'_>, is_without_amount: bool) -> Option<(Expr, String)> {
        const AMONG: Words = Words("among between with amongst");
        let words: Vec<&str> = clause.words().collect();
        let Some(place) = words.iter().position(|word| AMONG.has(word)) else {
            // "Three friends earn $240 and split it."
            return self
                .counted()
                .filter(|_| is_without_amount)
                .map(|known| (known.value.clone(), known.unit.clone()));
        };
        let word = words[place + 1..].last().filter(|_| self.rates.is_empty())?;
        let noun = unit(word);
        let is_with = words[place] == "with";
        if is_with && noun == *word {
            // "With her brother": two of them.
            return Some((Expr::int(2), noun));
        }
        // "Among my friends": how many is not said.
        let asked = Expr::Asked(format!("How many {} are there?", plural(&noun)));
        Some((if is_with { asked.plus(Expr::int(1)) } else { asked }, noun))
    }
}

/// Whom a price is for: "$12 for adults".
fn audience(clause: &Clause<'_>, money: &Quantity) -> Option<String> {
    let words = clause.tokens.get(money.at..)?;
    let place = words.iter().position(|token| token.word() == Some("for"))?;
    let next = words.get(place + 1)?;
    let next = if matches!(next.word(), Some("a" | "an" | "one" | "each" | "every")) {
        words.get(place + 2)?
    } else {
        next
    };
    next.word().map(unit)
}

/// "3 friends eat 2 slices each" takes 6 slices: a count and what each of them does.
fn multiply_each(quantities: &mut Vec<Quantity>) {
    let place = quantities.iter().position(|quantity| matches!(quantity.per, Some(Per::Unit(_))));
    let Some(place) = place else { return };
    let Some(Per::Unit(per)) = quantities[place].per.clone() else { return };
    let count =
        quantities.iter().position(|quantity| quantity.per.is_none() && quantity.unit.as_ref() == Some(&per));
    let Some(count) = count else { return };
    let value = quantities[count].value.clone().times(quantities[place].value.clone());
    quantities[place] = Quantity { value, per: None, ..quantities[place].clone() };
    quantities.remove(count);
}
