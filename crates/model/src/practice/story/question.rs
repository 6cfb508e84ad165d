//! What a story asks, and the expression that answers it.

use super::clause::Clause;
use super::lexicon::{conversion, is_length, is_money, is_pronoun, is_time, is_worker, name, plural, unit};
use super::world::{Account, How, World, in_unit};
use crate::practice::expr::{Expr, Op, pairwise};
use crate::practice::words::Words;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) words: Vec<String>,
    /// What is counted in the answer, where the question says so.
    pub(super) unit: Option<String>,
    /// Whose it is, where the question says so.
    owners: Vec<String>,
}

/// What boys and girls are, and apples and pears.
const KINDS: Words = Words(
    "child person student pupil animal fruit item thing pet vehicle flower toy bird tree coin \
     player member guest vegetable drink piece object passenger worker",
);

pub(super) const TOTAL: Words = Words("altogether total combined together both all overall");

impl Question {
    /// What is counted in the answer to `clause`.
    pub(super) fn counted(clause: &Clause<'_>) -> Option<String> {
        Self::new(clause, &World::default()).unit
    }

    pub(super) fn new(clause: &Clause<'_>, world: &World) -> Self {
        let words: Vec<String> = clause.words().map(str::to_owned).collect();
        let place = words.iter().position(|word| matches!(word.as_str(), "many" | "much"));
        let noun = place.and_then(|place| {
            const ENDS: Words = Words(
                "are is does do did will would has have can were was in left must should remain \
                 remains of there each per for i he she they need needs to could am at the if be on \
                 than",
            );
            let noun: Vec<String> = words[place + 1..]
                .iter()
                .filter(|word| !matches!(word.as_str(), "more" | "fewer" | "less"))
                .take_while(|word| !ENDS.has(word.as_str()) && !word.starts_with('\''))
                .map(|word| unit(word))
                .collect();
            noun.last().cloned()
        });
        let mut owners: Vec<String> = Vec::new();
        for word in &words {
            let single = unit(word);
            let is_owner = world.accounts.iter().any(|account| account.owner.as_ref() == Some(&single))
                || world.relations.iter().any(|relation| {
                    relation.owner.as_ref() == Some(&single) || relation.other.as_ref() == Some(&single)
                });
            if is_owner && !owners.contains(&single) {
                owners.push(single);
            }
        }
        let noun = if words.first().is_some_and(|word| word == "convert") {
            words.last().map(|word| unit(word))
        } else if noun.is_none() && words.join(" ").contains("how old") {
            Some("year".to_owned())
        } else {
            noun
        };
        Self { words, unit: noun, owners }
    }

    pub(super) fn has(&self, words: Words) -> bool {
        self.words.iter().any(|word| words.has(word))
    }

    pub(super) fn says(&self, phrase: &str) -> bool {
        self.words.join(" ").contains(phrase)
    }

    /// Readings of the question in `world`, the likelier first: an expression each, and the unit that it is in.
    pub(super) fn answers(&self, world: &mut World) -> Vec<(Expr, Option<String>)> {
        if self.relate(world).is_none() {
            return Vec::new();
        }
        self.durations(world);
        world.combine();
        if self.says("how old") {
            return self.age(world).map(|age| (age, Some("year".to_owned()))).into_iter().collect();
        }
        let money = Some(world.currency.clone().unwrap_or_else(|| "$".to_owned()));
        let mut answers = Vec::new();
        let mut add =
            |expr: Option<Expr>, unit: Option<String>| answers.extend(expr.map(|expr| (expr, unit)));
        if self.says("how many more")
            || self.says("how many fewer")
            || self.says("how much more")
            || self.has(Words("difference"))
        {
            add(self.difference(world), self.unit.clone());
        }
        if self.has(Words("save saved discount tip tax savings"))
            && !self.has(Words("after including total with"))
        {
            add(world.percent.clone(), money.clone());
        }
        if self.has(Words("change")) {
            add(self.change(world), money.clone());
        }
        if self.has(Words("each per every one apiece everyone person")) {
            add(self.each(world), self.unit.clone());
        }
        if self.says("how fast") || self.has(Words("speed")) {
            add(self.speed(world), None);
        }
        if self.is_about_money(world) {
            add(self.money(world), money);
        } else if let Some(unit) = self.target(world) {
            let to_unit = Some(unit.clone());
            add(self.proportion(world, &unit), to_unit.clone());
            add(self.amount(world, &unit), to_unit.clone());
            add(self.derived(world, &unit), to_unit.clone());
            add(self.missing(world, &unit), to_unit);
        }
        answers
    }

    /// The unit that is asked for.
    fn target(&self, world: &World) -> Option<String> {
        if let Some(unit) = &self.unit {
            return Some(unit.clone());
        }
        // "How many are boys?"
        let place = self.words.iter().position(|word| word == "many");
        if let Some([verb, noun, ..]) = place.and_then(|place| self.words.get(place + 1..))
            && matches!(verb.as_str(), "are" | "were" | "is")
            && world.accounts.iter().any(|account| account.is_tally)
            && !matches!(
                noun.as_str(),
                "left" | "there" | "now" | "still" | "remaining" | "in" | "not" | "on" | "they"
            )
        {
            return Some(unit(noun));
        }
        let known = |is: fn(&str) -> bool| {
            let rates = world.rates.iter().flat_map(|rate| [&rate.top, &rate.per]);
            world.accounts.iter().map(|account| &account.unit).chain(rates).find(|unit| is(unit)).cloned()
        };
        if self.says("how far") || self.has(Words("distance")) {
            return known(is_length).or_else(|| Some("kilometer".to_owned()));
        }
        let is_size = self.says("how long is") && !self.has(Words("take takes trip drive journey"));
        if let (true, Some(length)) = (is_size, known(is_length)) {
            return Some(length);
        }
        if self.says("how long") || self.says("how much time") || self.has(Words("time")) {
            let rate = world.rates.iter().find(|rate| is_time(&rate.per)).map(|rate| rate.per.clone());
            return rate.or_else(|| known(is_time)).or_else(|| Some("hour".to_owned()));
        }
        let lasting = world
            .accounts
            .iter()
            .rev()
            .find(|account| !account.is_tally && !is_time(&account.unit) && !is_money(&account.unit));
        lasting.or_else(|| world.counted()).map(|account| account.unit.clone())
    }

    /// "In a year", "a day": an amount of time that is one.
    fn durations(&self, world: &mut World) {
        for pair in self.words.windows(2) {
            let [article, noun] = pair else { continue };
            let noun = unit(noun);
            let is_given = world.accounts.iter().any(|account| is_time(&account.unit));
            if matches!(article.as_str(), "a" | "one" | "per") && is_time(&noun) && !is_given {
                let fits = world.rates.iter().any(|rate| conversion(&noun, &rate.per).is_some());
                if fits {
                    world.accounts.push(Account::plain(world.owner.clone(), noun, Expr::int(1)));
                }
            }
        }
    }

    /// Turns "5 more than Anna" into an amount, once Anna's is known.
    fn relate(&self, world: &mut World) -> Option<()> {
        let mut open = std::mem::take(&mut world.relations);
        if world.is_sum_given && !open.is_empty() {
            // An equation in disguise.
            return None;
        }
        for _ in 0..10 {
            let mut left = Vec::new();
            for relation in open {
                let of = |owner: &Option<String>, world: &World| {
                    world.accounts.iter().rposition(|account| {
                        account.owner == *owner
                            && relation
                                .unit
                                .as_ref()
                                .is_none_or(|unit| account.noun.contains(unit) || account.unit == *unit)
                            && !account.is_tally
                    })
                };
                let (owner, value, from) = match (of(&relation.other, world), of(&relation.owner, world)) {
                    (Some(other), _) => {
                        let base = world.accounts[other].value.clone();
                        let value = match relation.how.clone() {
                            How::More(by) => base.plus(by),
                            How::Fewer(by) => base.minus(by),
                            How::Times(by) => times(base, by),
                        };
                        (relation.owner.clone(), value, other)
                    }
                    (None, Some(own)) => {
                        let base = world.accounts[own].value.clone();
                        let value = match relation.how.clone() {
                            How::More(by) => base.minus(by),
                            How::Fewer(by) => base.plus(by),
                            How::Times(by) => base.over(by),
                        };
                        (relation.other.clone(), value, own)
                    }
                    (None, None) => {
                        left.push(relation);
                        continue;
                    }
                };
                let Account { noun, unit, .. } = world.accounts[from].clone();
                world.accounts.push(Account { noun, ..Account::plain(owner, unit, value) });
            }
            if left.is_empty() {
                return Some(());
            }
            if world.accounts.is_empty() {
                // Compared with what nobody said.
                let first = &left[0];
                let unit = first.unit.clone().or_else(|| self.unit.clone())?;
                let whose = first.other.as_deref().filter(|other| *other != "i" && !is_pronoun(other));
                let question = match (unit.as_str(), whose) {
                    ("year", None) => "How old are you?".to_owned(),
                    ("year", Some(whose)) => format!("How old is {}?", name(whose)),
                    (_, None) => format!("How many {} do you have?", plural(&unit)),
                    (_, Some(whose)) => format!("How many {} does {} have?", plural(&unit), name(whose)),
                };
                world.accounts.push(Account::plain(first.other.clone(), unit, Expr::Asked(question)));
            }
            open = left;
        }
        None
    }

    /// An age: now, or so many years from now.
    fn age(&self, world: &mut World) -> Option<Expr> {
        let is_later = self.has(Words("will"));
        let is_earlier = self.has(Words("was were ago"));
        let shift = if is_later || is_earlier {
            // What the question itself says is the time between.
            let place = world.accounts.iter().rposition(|account| account.unit == "year")?;
            (place >= world.asked_from).then(|| world.accounts.remove(place).value)
        } else {
            None
        };
        let now = self.amount(world, "year").or_else(|| {
            let is_own = self.has(Words("i my")) && world.accounts.is_empty();
            is_own.then(|| Expr::Asked("How old are you?".to_owned()))
        })?;
        Some(match shift {
            Some(shift) if is_later => now.plus(shift),
            Some(shift) => now.minus(shift),
            None => now,
        })
    }

    fn difference(&self, world: &World) -> Option<Expr> {
        let candidates: Vec<&Account> = world
            .accounts
            .iter()
            .filter(|account| {
                !account.is_derived && self.unit.as_ref().is_none_or(|unit| account.noun.contains(unit))
                    || self.unit.as_ref() == Some(&account.unit)
            })
            .collect();
        let of = |owner: &String| candidates.iter().find(|account| account.owner.as_ref() == Some(owner));
        if let [one, other] = self.owners.as_slice() {
            let (one, other) = (of(one)?.value.clone(), of(other)?.value.clone());
            return Some(if self.has(Words("fewer less")) {
                other.minus(one)
            } else {
                larger_first(one, other)
            });
        }
        let [one, other] = candidates.as_slice() else { return None };
        Some(larger_first(one.value.clone(), other.value.clone()))
    }

    /// What each part of something shared comes to.
    fn each(&self, world: &World) -> Option<Expr> {
        if let Some((parts, shared)) = &world.parts {
            let whole = if self.is_about_money(world) || self.unit.is_none() && world.currency.is_some() {
                self.money_total(world)
            } else {
                None
            };
            let whole = whole.or_else(|| {
                let counted = world
                    .accounts
                    .iter()
                    .rev()
                    .find(|account| account.unit != *shared && !account.is_tally)?;
                Some(counted.value.clone())
            })?;
            return Some(whole.over(parts.clone()));
        }
        // "How many cookies per child": one amount over the other.
        let top = self.unit.clone();
        let place = self.words.iter().position(|word| matches!(word.as_str(), "each" | "per" | "every"))?;
        let per = unit(self.words.get(place + 1)?);
        if let Some(rate) =
            world.rates.iter().find(|rate| rate.per == per && top.as_ref().is_none_or(|top| rate.top == *top))
        {
            return Some(rate.value.clone());
        }
        let count = world
            .accounts
            .iter()
            .find(|account| account.unit == per || conversion(&account.unit, &per).is_some())?;
        let whole = world.accounts.iter().rev().find(|account| match &top {
            Some(top) => account.unit == *top,
            None => account.unit != count.unit,
        })?;
        let whole = whole.value.clone();
        Some(if count.value.is(1) { whole } else { whole.over(in_unit(count, &per)) })
    }

    fn speed(&self, world: &World) -> Option<Expr> {
        if let Some(rate) = world.rates.iter().find(|rate| is_length(&rate.top) && is_time(&rate.per)) {
            return Some(rate.value.clone());
        }
        let distance = world.accounts.iter().find(|account| is_length(&account.unit));
        let time = world.accounts.iter().find(|account| is_time(&account.unit));
        match (distance, time) {
            (Some(distance), Some(time)) => Some(distance.value.clone().over(time.value.clone())),
            (Some(distance), None) => {
                let hours = Expr::Asked("How many hours does it take?".to_owned());
                Some(distance.value.clone().over(hours))
            }
            (None, Some(time)) => {
                Some(Expr::Asked("How many kilometers is it?".to_owned()).over(time.value.clone()))
            }
            (None, None) => None,
        }
    }

    /// An amount that the story has itself.
    pub(super) fn amount(&self, world: &World, unit: &str) -> Option<Expr> {
        let all: Vec<&Account> = world.accounts.iter().filter(|account| !account.is_tally).collect();
        let exact: Vec<&Account> = all.iter().copied().filter(|account| account.unit == unit).collect();
        let named: Vec<&Account> =
            all.iter().copied().filter(|account| account.noun.iter().any(|noun| noun == unit)).collect();
        let tallies: Vec<&Account> =
            world.accounts.iter().filter(|account| account.is_tally && account.unit == unit).collect();
        let is_total = self.has(TOTAL) || self.has(Words("they we"));
        let found = if exact.len() >= named.len() { exact } else { named };
        let part = world.accounts.iter().find(|account| account.is_tally && account.unit != unit);
        if found.is_empty() {
            if !tallies.is_empty() {
                return Some(sum(&tallies));
            }
            // The other part: 28 students, 15 of them girls; how many boys?
            if let (Some(part), [whole]) = (part, all.as_slice()) {
                return Some(whole.value.clone().minus(part.value.clone()));
            }
            // "How many animals" of cows and sheep.
            let is_plain = world.rates.is_empty()
                && world.parts.is_none()
                && all.iter().all(|account| {
                    !is_money(&account.unit) && !is_time(&account.unit) && !is_length(&account.unit)
                });
            let is_kind = KINDS.has(unit);
            return ((is_total || is_kind) && all.len() > 1 && is_plain).then(|| sum(&all));
        }
        if let [only] = found.as_slice() {
            if is_time(unit)
                && only.unit == unit
                && self.says("how long")
                && world.rates.iter().any(|rate| rate.per == unit)
            {
                return None;
            }
            return Some(only.value.clone());
        }
        // Legs of a journey, boxes of different sizes.
        let are_legs = found.iter().all(|account| account.is_derived);
        if are_legs || (is_total && self.owners.len() != 1) {
            return Some(sum(&found));
        }
        let owner = self.owners.first().cloned().or_else(|| world.owner.clone());
        let owned: Vec<&Account> = found.iter().copied().filter(|account| account.owner == owner).collect();
        match owned.as_slice() {
            [only] => Some(only.value.clone()),
            [] => None,
            // Red and blue ones of the same owner.
            several if !several.iter().any(|account| account.is_derived) => Some(sum(several)),
            _ => None,
        }
    }

    /// An amount that follows from others: a quotient of an amount and a rate, or a proportion.
    fn derived(&self, world: &World, unit: &str) -> Option<Expr> {
        for rate in &world.rates {
            if rate.per == unit || conversion(unit, &rate.per).is_some() {
                // 72 eggs in boxes of 12, 150 km at 50 km/h.
                let whole = world.accounts.iter().rev().find(|account| account.unit == rate.top);
                if let Some(whole) = whole {
                    return Some(whole.value.clone().over(rate.value.clone()));
                }
            }
        }
        let convertible = world.accounts.iter().find(|account| {
            conversion(&account.unit, unit).or_else(|| conversion(unit, &account.unit)).is_some()
        });
        convertible.filter(|_| world.rates.is_empty()).map(|account| in_unit(account, unit))
    }

    /// 4 people need 200 g, so 10 people need 200 / 4 × 10.
    pub(super) fn proportion(&self, world: &World, unit: &str) -> Option<Expr> {
        for (first, second) in &world.pairs {
            let [first, second] = [*first, *second].map(|place| world.accounts.get(place));
            let (first, second) = (first?, second?);
            for (base, top) in [(first, second), (second, first)] {
                let other = world
                    .accounts
                    .iter()
                    .rev()
                    .find(|account| account.unit == base.unit && account.value != base.value);
                let Some(asked) = other else { continue };
                let is_asked = top.unit == unit || top.noun.iter().any(|noun| noun == unit);
                if is_asked && !(is_time(unit) && is_worker(&base.unit)) {
                    return Some(top.value.clone().over(base.value.clone()).times(asked.value.clone()));
                }
            }
        }
        None
    }

    /// An expression with a question in it, for the one number that the story leaves out.
    fn missing(&self, world: &World, target: &str) -> Option<Expr> {
        let [only] = world.accounts.as_slice() else { return None };
        if !world.rates.is_empty() || only.unit == target || world.parts.is_some() || world.asked_from > 0 {
            return None;
        }
        let value = only.value.clone();
        if is_length(target) && is_time(&only.unit) {
            let question = format!("What is the speed, in {} per {}?", plural(target), only.unit);
            return Some(Expr::Asked(question).times(value));
        }
        if is_time(target) && is_length(&only.unit) {
            let question = format!("What is the speed, in {} per {target}?", plural(&only.unit));
            return Some(value.over(Expr::Asked(question)));
        }
        const CONTAINERS: Words = Words(
            "bottle box bag pack bus car table page can jar glass cup basket shelf row boat van truck crate",
        );
        if CONTAINERS.has(target) && !is_time(&only.unit) {
            let question = format!("How many {} per {target}?", plural(&only.unit));
            return Some(value.over(Expr::Asked(question)));
        }
        let question = format!("How many {} per {}?", plural(target), only.unit);
        Some(value.times(Expr::Asked(question)))
    }
}

fn times(base: Expr, by: Expr) -> Expr {
    match by {
        Expr::Apply(Op::Divide, one, parts) if one.is(1) => base.over(*parts),
        by => base.times(by),
    }
}

pub(super) fn sum(accounts: &[&Account]) -> Expr {
    pairwise(Op::Sum, accounts.iter().map(|account| account.value.clone()).collect())
}

fn larger_first(one: Expr, other: Expr) -> Expr {
    match (&one, &other) {
        (Expr::Number(a), Expr::Number(b)) if a.as_f64() < b.as_f64() => other.minus(one),
        _ => one.minus(other),
    }
}
