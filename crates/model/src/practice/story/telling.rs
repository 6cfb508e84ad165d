//! Taking in a clause: what its verb does to the world.

use super::clause::Clause;
use super::lexicon::{Verb, is_money, is_pronoun, unit};
use super::mention::{Mention, Per, Quantity};
use super::world::{Account, How, Place, Relation, World};
use crate::practice::expr::Expr;
use crate::practice::words::Words;

/// Words that a percentage is taken off with, and those that it is put on with.
const DOWN: Words = Words(
    "off discount discounted reduced cheaper less decrease decreased decreases reduction drops dropped falls fell \
     sale reduces lower loses lost down",
);
const UP: Words = Words(
    "tax tip vat increase increased increases raise raised more interest grows grew rises rose markup gratuity \
     surcharge raises gains fee higher up",
);

impl World {
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
        self.is_sum_given |=
            !clause.is_question && clause.has_any(Words("together total combined altogether sum"));
        let owner = clause.owner().or_else(|| self.owner.clone());
        if !clause.is_question && !matches!(clause.verb, Some(Verb::Cost)) {
            self.owner.clone_from(&owner);
        }
        let mut quantities = self.resolved(&clause);
        self.complete_noun(&quantities);
        if let Some(currency) = quantities.iter().find(|quantity| quantity.is_money()) {
            self.currency.clone_from(&currency.unit);
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
            Some(Verb::Sell) if !clause.is_question => self.sell(&clause, &quantities, owner.as_ref())?,
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

    /// The clause's quantities, each "each" resolved to what it means.
    fn resolved(&self, clause: &Clause<'_>) -> Vec<Quantity> {
        let mut quantities: Vec<Quantity> = clause.quantities().cloned().collect();
        let any =
            || clause.owner().filter(|owner| clause.is_any() && self.counts(owner) && !clause.is_question);
        let each = clause.each.clone().or_else(any);
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
                        *other != place && quantity.is_counted() && quantity.unit != quantities[place].unit
                    });
                    let per = beside
                        .and_then(|(_, quantity)| quantity.unit.clone())
                        .or_else(|| each.clone())
                        .or_else(|| clause.owner().filter(|_| clause.verb == Some(Verb::Cost)))
                        .or_else(|| self.counted().map(|account| account.unit.clone()));
                    quantities[place].per = per.map(Per::Unit);
                }
                None => {
                    if let Some(each) = &each
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
                && quantities[place - 1].is_counted()
                && quantities[place].unit.is_some()
            {
                quantities[place].per = quantities[place - 1].unit.clone().map(Per::Unit);
            }
        }
        quantities
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

    /// Amounts and rates as they are said.
    pub(super) fn name_all(&mut self, clause: &Clause<'_>, quantities: &[Quantity], owner: Option<&String>) {
        if self.leg(quantities, owner).is_some() {
            return;
        }
        for quantity in quantities {
            match &quantity.per {
                Some(Per::Unit(per)) => self.rate(quantity, per, 0),
                _ if quantity.unit.is_none() && clause.verb == Some(Verb::Have) => {
                    // "Anna has 7": of what was spoken of, or is asked for.
                    let related = self.relations.last().and_then(|relation| relation.unit.clone());
                    let spoken_of = match self.last {
                        Some(Place::Account(place)) => {
                            self.accounts.get(place).map(|account| account.noun.clone())
                        }
                        _ => None,
                    };
                    let noun = spoken_of.or_else(|| Some(vec![related.or_else(|| self.asked.clone())?]));
                    let unit = noun.as_ref().and_then(|noun| noun.last().cloned());
                    let known = Quantity { noun: noun.unwrap_or_default(), unit, ..quantity.clone() };
                    self.push(owner, &known, false);
                }
                _ => {
                    let last = self.last;
                    self.push(owner, quantity, false);
                    if clause.verb == Some(Verb::Have) && quantity.at < clause.verb_at && quantities.len() > 1
                    {
                        // Those who have it are not what "it" is.
                        self.last = last;
                    }
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

    /// "2 hours at 80 km/h", "3 boxes of 24 crayons": a count with a rate of its own.
    fn leg(&mut self, quantities: &[Quantity], owner: Option<&String>) -> Option<()> {
        let [one, other] = quantities else { return None };
        let (count, rate) = if one.per.is_some() { (other, one) } else { (one, other) };
        let Some(Per::Unit(per)) = &rate.per else { return None };
        if count.unit.as_ref() != Some(per) || !count.is_counted() || rate.is_money() {
            return None;
        }
        self.push(owner, count, false)?;
        let value = count.value.clone().times(rate.value.clone());
        let place = self.push(owner, &Quantity { value, per: None, ..rate.clone() }, false)?;
        self.accounts[place].is_derived = true;
        Some(())
    }

    fn be(&mut self, clause: &Clause<'_>, quantities: &[Quantity], owner: Option<&String>) -> Option<()> {
        for quantity in quantities {
            let is_bare = quantity.unit.is_none() && quantity.per.is_none();
            if is_bare && self.asked.as_deref() == Some("year") {
                // "Lena is 9."
                let years =
                    Quantity { noun: vec!["year".to_owned()], unit: self.asked.clone(), ..quantity.clone() };
                self.push(owner, &years, false);
            } else if quantity.is_money() && quantity.per.is_none() {
                self.cost(clause, std::slice::from_ref(quantity));
            } else if is_bare && self.current().is_some() && quantities.len() == 1 {
                // "15 of them are girls".
                let noun = clause.words().last().map(unit)?;
                let part = Quantity { noun: vec![noun.clone()], unit: Some(noun), ..quantity.clone() };
                self.push(owner, &part, true);
            } else {
                self.name_all(clause, std::slice::from_ref(quantity), owner);
            }
        }
        Some(())
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
        const PASSED: Words =
            Words("the his her a does my our many much old long far fast big tall expensive");
        let other = other
            .and_then(|place| words.get(place + 1..))
            .and_then(|words| words.iter().find(|word| !PASSED.has(word)))
            .map(
                |word| if matches!(*word, "me" | "i") { "i".to_owned() } else { super::lexicon::unit(word) },
            );
        let other = other.filter(|other| other == "i" || !is_pronoun(other)).or_else(|| {
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
        if self.accounts.len() == before + 2 {
            self.pairs.push((before, before + 1));
        }
    }

    /// Discounts, taxes and raises, taken of what was spoken of last.
    fn percents(&mut self, clause: &Clause<'_>) -> Option<()> {
        for mention in &clause.mentions {
            let Mention::Percent(percent) = mention else { continue };
            let is_down = clause.has_any(DOWN);
            let is_up = clause.has_any(UP);
            if is_down == is_up {
                return None;
            }
            if !matches!(self.last, Some(Place::Rate(_) | Place::Costs)) {
                let money =
                    self.accounts.iter().rposition(|account| is_money(&account.unit)).map(Place::Account);
                let price = self.rates.iter().rposition(|rate| is_money(&rate.top)).map(Place::Rate);
                self.last = money.or(price).or(self.last);
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
}

/// Whether a clause speaks of ages.
fn is_age(clause: &Clause<'_>) -> bool {
    clause.has_any(Words("older younger"))
}

/// The noun in "as many stickers as".
fn words_unit(words: &[&str]) -> Option<String> {
    let place = words.iter().position(|word| matches!(*word, "many" | "much"))?;
    let next = words.get(place + 1)?;
    (*next != "as").then(|| unit(next))
}
