//! What a story says is there: amounts, rates and costs, brought up to date clause by clause.

use super::clause::{Clause, Mention, Per, Quantity, name};
use super::lexicon::{Verb, conversion, is_money, plural, unit};
use crate::practice::expr::{Expr, Op, pairwise};
use crate::practice::lexer::Token;
use crate::practice::words::Words;

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
    bare: Option<(Option<String>, String)>,
    /// The verb that a clause without one goes on with.
    verb: Option<Verb>,
    word: String,
    /// What is asked for, which numbers without a noun count too.
    asked: Option<String>,
    /// Accounts of one clause that go together.
    pub(super) pairs: Vec<(usize, usize)>,
}

const BUYING: Words = Words("buy buys bought buying order orders ordered get gets got rents rent rented");

impl World {
    /// An empty one, for a question about `unit`.
    pub(super) fn asked(unit: Option<String>) -> Self {
        Self { asked: unit, ..Self::default() }
    }

    /// Takes in one clause; `None` when it says something that is not understood.
    pub(super) fn tell(&mut self, clause: &Clause<'_>) -> Option<()> {
        if clause.has_any(Words("not never without except neither nor unless instead")) {
            return None;
        }
        let mut clause = clause.clone();
        if clause.verb.is_none() && !clause.is_question {
            clause.verb = self.verb;
        } else if !clause.is_question {
            self.verb = clause.verb;
            clause.word.clone_into(&mut self.word);
        }
        let owner = clause.owner().or_else(|| self.owner.clone());
        if !clause.is_question && !matches!(clause.verb, Some(Verb::Cost)) {
            self.owner.clone_from(&owner);
        }
        let mut quantities = self.resolved(&clause);
        self.complete_noun(&quantities);
        if let Some(currency) =
            quantities.iter().filter_map(|quantity| quantity.unit.as_ref()).find(|unit| is_money(unit))
        {
            self.currency = Some(currency.clone());
        }
        if self.compare(&clause, &quantities, owner.as_ref()) {
            return Some(());
        }
        let before = self.accounts.len();
        match clause.verb {
            Some(Verb::Share) => self.share(&clause, &mut quantities, owner.as_ref()),
            Some(Verb::Cost) => self.cost(&clause, &quantities),
            Some(Verb::Gain) if !clause.is_question => self.gain(&clause, &mut quantities, owner.as_ref())?,
            Some(Verb::Lose) if !clause.is_question => self.lose(&clause, &mut quantities, owner.as_ref())?,
            Some(Verb::Sell) if !clause.is_question => self.sell(&clause, &quantities, owner.as_ref()),
            Some(Verb::Multiply(factor)) => self.change(|value| value.times(Expr::int(factor)))?,
            Some(Verb::Halve) => self.change(|value| value.over(Expr::int(2)))?,
            Some(Verb::Be) if !clause.is_question => self.be(&clause, &quantities, owner.as_ref())?,
            _ => self.name_all(&clause, &quantities, owner.as_ref()),
        }
        self.pair(&clause, before);
        self.percents(&clause)?;
        self.combine();
        Some(())
    }

    /// "3 red and 5 blue marbles": the red ones are marbles too.
    fn complete_noun(&mut self, quantities: &[Quantity]) {
        const ADJECTIVES: Words = Words(
            "red blue green yellow black white purple pink brown gray grey big small large old new \
             ripe broken fresh long short hot cold adult male female used silver gold",
        );
        let Some(Account { noun, unit, .. }) = self.accounts.last_mut() else { return };
        let head = quantities.first().filter(|next| next.noun.len() > 1).and_then(|next| next.unit.clone());
        if let ([only], Some(head)) = (noun.as_slice(), head)
            && ADJECTIVES.has(only.as_str())
        {
            unit.clone_from(&head);
            noun.push(head);
        }
    }

    /// The clause's quantities, each "each" resolved to what it means.
    fn resolved(&self, clause: &Clause<'_>) -> Vec<Quantity> {
        let mut quantities: Vec<Quantity> = clause.quantities().cloned().collect();
        let counted = |quantity: &Quantity| {
            quantity.per.is_none() && quantity.unit.as_ref().is_some_and(|unit| !is_money(unit))
        };
        for place in 0..quantities.len() {
            if quantities[place].unit.is_none() && quantities[place].per.is_some() {
                // "She gives 5 to each of her 4 friends", "priced at 7 each".
                quantities[place].unit = match clause.verb {
                    Some(Verb::Cost) => self.currency.clone().or_else(|| Some("$".to_owned())),
                    _ => self.current().map(|account| account.unit.clone()),
                };
            }
            match quantities[place].per {
                Some(Per::Each) => {
                    let beside = quantities.iter().enumerate().rev().find(|(other, quantity)| {
                        *other != place && counted(quantity) && quantity.unit != quantities[place].unit
                    });
                    let per = beside
                        .and_then(|(_, quantity)| quantity.unit.clone())
                        .or_else(|| clause.each.clone())
                        .or_else(|| self.subject_unit(clause))
                        .or_else(|| self.counted().map(|account| account.unit.clone()));
                    quantities[place].per = per.map(Per::Unit);
                }
                None => {
                    if let Some(each) = &clause.each
                        && quantities[place].unit.as_ref() != Some(each)
                        && quantities[place].unit.is_some()
                        && !clause.is_question
                        && quantities[place].compared == 0
                    {
                        quantities[place].per = Some(Per::Unit(each.clone()));
                    }
                }
                Some(Per::Unit(_)) => {}
            }
        }
        // "6 boxes of 12 eggs", "3 rows with 8 seats".
        for place in 1..quantities.len() {
            let is_inside = matches!(quantities[place].preposition.as_str(), "of" | "containing" | "holding")
                || (quantities[place].preposition == "with" && clause.verb == Some(Verb::Have));
            if is_inside
                && quantities[place].per.is_none()
                && counted(&quantities[place - 1])
                && quantities[place].unit.is_some()
            {
                quantities[place].per = quantities[place - 1].unit.clone().map(Per::Unit);
            }
        }
        quantities
    }

    /// What the subject is, where it is a thing: "pencils cost $2 each".
    fn subject_unit(&self, clause: &Clause<'_>) -> Option<String> {
        let owner = clause.owner()?;
        (clause.verb == Some(Verb::Cost)).then_some(owner)
    }

    fn current(&self) -> Option<&Account> {
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

    fn push(&mut self, owner: Option<&String>, quantity: &Quantity, is_tally: bool) -> Option<usize> {
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

    fn rate(&mut self, quantity: &Quantity, per: &str, sign: i8) {
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

    /// Amounts and rates as they are said.
    fn name_all(&mut self, clause: &Clause<'_>, quantities: &[Quantity], owner: Option<&String>) {
        if self.leg(quantities, owner).is_some() {
            return;
        }
        for quantity in quantities {
            match &quantity.per {
                Some(Per::Unit(per)) => self.rate(quantity, per, 0),
                _ if quantity.unit.is_none() && clause.verb == Some(Verb::Have) => {
                    // "Anna has 7": of what was spoken of.
                    let related = self.relations.last().and_then(|relation| relation.unit.clone());
                    let noun = self
                        .current()
                        .map(|account| account.noun.clone())
                        .or_else(|| Some(vec![related.or_else(|| self.asked.clone())?]));
                    let unit = noun.as_ref().and_then(|noun| noun.last().cloned());
                    let known = Quantity { noun: noun.unwrap_or_default(), unit, ..quantity.clone() };
                    self.push(owner, &known, false);
                }
                _ => {
                    self.push(owner, quantity, false);
                }
            }
        }
        if quantities.is_empty()
            && matches!(clause.verb, Some(Verb::Have | Verb::Gain))
            && !clause.is_question
        {
            let noun = clause.words().last().filter(|word| *word != clause.word).map(unit);
            self.bare = noun.map(|noun| (owner.cloned(), noun));
        }
    }

    /// "2 hours at 80 km/h": one leg of a journey, which its own rate is for.
    fn leg(&mut self, quantities: &[Quantity], owner: Option<&String>) -> Option<()> {
        let [one, other] = quantities else { return None };
        let (time, speed) = if one.per.is_some() { (other, one) } else { (one, other) };
        let Some(Per::Unit(per)) = &speed.per else { return None };
        if time.per.is_some() || time.unit.as_ref() != Some(per) || !super::lexicon::is_time(per) {
            return None;
        }
        let value = time.value.clone().times(speed.value.clone());
        let place = self.push(owner, &Quantity { value, per: None, ..speed.clone() }, false)?;
        self.accounts[place].is_derived = true;
        Some(())
    }

    /// "Tickets cost $12", "4 pencils cost $2", "$12 for adults".
    fn cost(&mut self, clause: &Clause<'_>, quantities: &[Quantity]) {
        let counted = quantities.iter().find(|quantity| {
            quantity.per.is_none()
                && quantity.unit.as_ref().is_some_and(|unit| !is_money(unit))
                && !is_size(quantity)
        });
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

    fn be(&mut self, clause: &Clause<'_>, quantities: &[Quantity], owner: Option<&String>) -> Option<()> {
        for quantity in quantities {
            let is_price = quantity.unit.as_ref().is_some_and(|unit| is_money(unit));
            if is_price && quantity.per.is_none() {
                self.cost(clause, std::slice::from_ref(quantity));
            } else if quantity.unit.is_none()
                && quantity.per.is_none()
                && self.current().is_some()
                && quantities.len() == 1
            {
                // "15 of them are girls", "Tom is 12".
                let noun = clause.words().last().map(unit)?;
                let part = Quantity { noun: vec![noun.clone()], unit: Some(noun), ..quantity.clone() };
                self.push(owner, &part, true);
            } else {
                self.name_all(clause, std::slice::from_ref(quantity), owner);
            }
        }
        Some(())
    }

    fn gain(
        &mut self,
        clause: &Clause<'_>,
        quantities: &mut Vec<Quantity>,
        owner: Option<&String>,
    ) -> Option<()> {
        let word = if clause.word.is_empty() { self.word.as_str() } else { clause.word };
        if BUYING.has(word)
            && quantities.iter().any(|quantity| quantity.unit.as_ref().is_some_and(|unit| is_money(unit)))
        {
            return self.buy(clause, quantities, owner);
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
    fn buy(&mut self, clause: &Clause<'_>, quantities: &[Quantity], owner: Option<&String>) -> Option<()> {
        let counted: Vec<&Quantity> = quantities
            .iter()
            .filter(|quantity| {
                quantity.per.is_none() && quantity.unit.as_ref().is_some_and(|unit| !is_money(unit))
            })
            .collect();
        let money: Vec<&Quantity> = quantities
            .iter()
            .filter(|quantity| quantity.unit.as_ref().is_some_and(|unit| is_money(unit)))
            .collect();
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
        // "A $80 jacket": what it costs is known by its name too.
        if money.noun.len() > 1 && money.per.is_none() && counted.is_empty() && money.preposition != "for" {
            clause.tokens.first()?;
        }
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

    fn lose(
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
            let is_paid = quantity.unit.as_ref().is_some_and(|unit| is_money(unit)) && quantity.per.is_none();
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
        if super::lexicon::is_pronoun(name) {
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

    fn sell(&mut self, clause: &Clause<'_>, quantities: &[Quantity], owner: Option<&String>) {
        let money =
            quantities.iter().find(|quantity| quantity.unit.as_ref().is_some_and(|unit| is_money(unit)));
        let counted: Vec<&Quantity> = quantities
            .iter()
            .filter(|quantity| {
                quantity.unit.as_ref().is_none_or(|unit| !is_money(unit)) && quantity.per.is_none()
            })
            .collect();
        if let (Some(money), []) = (money, counted.as_slice()) {
            // "A cake sells for $5."
            let goods = clause.tokens[clause.verb_at + 1..].iter().find_map(Token::word).map(unit);
            let goods =
                goods.filter(|goods| !matches!(goods.as_str(), "for" | "at")).or_else(|| clause.owner());
            let per = goods.clone().map(Per::Unit);
            return self.price(clause, &Quantity { per, ..money.clone() }, None, goods.as_ref());
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
        for quantity in counted {
            let _ = self.change_by(quantity, owner, -1, clause);
        }
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
            let op = if sign > 0 { Op::Sum } else { Op::Subtract };
            self.accounts[place].value = Expr::apply(op, value, quantity.value.clone());
            self.last = Some(Place::Account(place));
            return Some(());
        }
        let is_time = quantity.unit.as_deref().is_some_and(super::lexicon::is_time);
        if let Some((holder, noun)) =
            self.bare.take().filter(|(_, noun)| quantity.unit.as_ref().is_none_or(|unit| unit == noun))
        {
            let question = match &holder {
                Some(holder) if !super::lexicon::is_pronoun(holder) => {
                    format!("How many {} does {} have at first?", plural(&noun), name(holder))
                }
                _ => format!("How many {} are there at first?", plural(&noun)),
            };
            let at_first = Expr::Asked(question);
            let op = if sign > 0 { Op::Sum } else { Op::Subtract };
            let value = Expr::apply(op, at_first, quantity.value.clone());
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
        Some(())
    }

    /// "24 cookies among 6 kids", "the rest in boxes of 6".
    fn share(&mut self, clause: &Clause<'_>, quantities: &mut Vec<Quantity>, owner: Option<&String>) {
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
                    let has_money =
                        quantities.iter().any(|other| other.unit.as_ref().is_some_and(|unit| is_money(unit)));
                    let is_sharer = quantity.unit.as_ref().is_some_and(|unit| !is_money(unit))
                        && self.parts.is_none()
                        && (has_money || quantities.len() == 2 && quantity.at < 2);
                    if is_sharer {
                        self.parts =
                            Some((quantity.value.clone(), quantity.unit.clone().unwrap_or_default()));
                    } else {
                        self.push(owner, quantity, false);
                    }
                }
            }
        }
        if self.parts.is_none() && self.rates.is_empty() {
            // "Among my friends": how many is not said.
            let words: Vec<&str> = clause.words().collect();
            let place =
                words.iter().position(|word| matches!(*word, "among" | "between" | "with" | "amongst"));
            if let Some(noun) = place.and_then(|place| words.get(place + 1..)).and_then(<[_]>::last) {
                let noun = unit(noun);
                let question = format!("How many {} are there?", plural(&noun));
                let asked = Expr::Asked(question);
                let is_with = place.is_some_and(|place| words[place] == "with");
                self.parts = Some((if is_with { asked.plus(Expr::int(1)) } else { asked }, noun));
            }
        }
    }

    /// "5 more than Anna", "twice as many as Ben", "3 years younger than Tom".
    fn compare(&mut self, clause: &Clause<'_>, quantities: &[Quantity], owner: Option<&String>) -> bool {
        let factor = clause.mentions.iter().find_map(|mention| match mention {
            Mention::Factor(factor) => Some(factor.clone()),
            _ => None,
        });
        let words: Vec<&str> = clause.words().collect();
        let than = words.iter().position(|word| *word == "than");
        let difference = quantities.iter().find(|quantity| quantity.compared != 0);
        let (how, other, unit) = if let Some(factor) = factor {
            let as_place = words.iter().rposition(|word| *word == "as");
            (How::Times(factor), as_place, words_unit(&words))
        } else if let (Some(difference), true) = (difference, than.is_some() || is_age(clause)) {
            let value = difference.value.clone();
            let how = if difference.compared > 0 { How::More(value) } else { How::Fewer(value) };
            (how, than, difference.unit.clone())
        } else {
            return false;
        };
        if clause.is_question {
            return false;
        }
        let other = other
            .and_then(|place| words.get(place + 1..))
            .and_then(|words| {
                words.iter().find(|word| !matches!(**word, "the" | "his" | "her" | "a" | "does" | "my"))
            })
            .map(|word| super::lexicon::unit(word));
        let other = other.filter(|other| !super::lexicon::is_pronoun(other)).or_else(|| {
            // Than the one just spoken of.
            self.accounts.iter().rev().find_map(|account| account.owner.clone())
        });
        self.relations.push(Relation { owner: owner.cloned(), other, unit, how });
        true
    }

    /// Amounts of one clause that go together: "4 people need 200 g".
    fn pair(&mut self, clause: &Clause<'_>, before: usize) {
        if clause.is_question {
            return;
        }
        if let [first, second] = self.accounts[before.min(self.accounts.len())..]
            .iter()
            .enumerate()
            .map(|(nth, _)| before + nth)
            .collect::<Vec<_>>()[..]
        {
            self.pairs.push((first, second));
        }
    }

    /// Discounts, taxes and raises, taken of what was spoken of last.
    fn percents(&mut self, clause: &Clause<'_>) -> Option<()> {
        for mention in &clause.mentions {
            let Mention::Percent(percent) = mention else { continue };
            let is_down = clause.has_any(Words("off discount discounted reduced cheaper less decrease decreased decreases reduction drops dropped falls fell sale reduces lower loses lost down"));
            let is_up = clause.has_any(Words("tax tip vat increase increased increases raise raised more interest grows grew rises rose markup gratuity surcharge raises gains fee higher up"));
            if is_down == is_up {
                return None;
            }
            if !matches!(self.last, Some(Place::Rate(_) | Place::Costs)) {
                let money = self.accounts.iter().rposition(|account| is_money(&account.unit));
                self.last = money.map(Place::Account).or(self.last);
            }
            let percent = percent.clone();
            let mut amount = None;
            self.change(|value| {
                let part = value.clone().percent(percent);
                amount = Some(part.clone());
                if is_down { value.minus(part) } else { value.plus(part) }
            })?;
            self.percent = amount;
        }
        Some(())
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
                let is_price = is_money(&rate.top) && !super::lexicon::is_time(&rate.per);
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

/// Whether a clause speaks of ages.
fn is_age(clause: &Clause<'_>) -> bool {
    clause.has_any(Words("older younger"))
}

fn is_size(quantity: &Quantity) -> bool {
    quantity.unit.as_deref().is_some_and(super::lexicon::is_time)
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

/// The noun in "as many stickers as".
fn words_unit(words: &[&str]) -> Option<String> {
    let place = words.iter().position(|word| matches!(*word, "many" | "much"))?;
    let next = words.get(place + 1)?;
    (*next != "as").then(|| unit(next))
}
