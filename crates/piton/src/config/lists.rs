//! Lists of texts that stand for more: numbers by name, and what a worker is for.

use std::collections::BTreeSet;

use piton_store::{Only, PerName};
use serde::{Deserialize, Deserializer};

/// Stands for every name that is not named.
const OTHERS: &str = "*";

/// `NAME=NUMBER` of each item, each name once.
pub(super) fn per_name(items: &[String], max: u32) -> Option<PerName> {
    let mut numbers = PerName::default();
    for item in items {
        let (name, number) = item.split_once('=')?;
        let number = number.trim().parse().ok().filter(|number| (1..=max).contains(number))?;
        let name = name.trim();
        let before = match name {
            "" => return None,
            OTHERS => numbers.others.replace(number),
            _ => numbers.named.insert(name.to_owned(), number),
        };
        if before.is_some() {
            return None;
        }
    }
    Some(numbers)
}

/// `agent=NAME` or `tenant=NAME` of each item.
pub(super) fn only(items: &[String]) -> Option<Only> {
    let mut only = Only::default();
    for item in items {
        let (what, name) = item.split_once('=')?;
        let names: &mut BTreeSet<String> = match what.trim() {
            "agent" => &mut only.agents,
            "tenant" => &mut only.tenants,
            _ => return None,
        };
        let name = Some(name.trim()).filter(|name| !name.is_empty())?;
        names.insert(name.to_owned());
    }
    Some(only)
}

pub(super) fn read_per_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PerName, D::Error> {
    let items = Vec::deserialize(deserializer)?;
    per_name(&items, u32::MAX).ok_or_else(|| serde::de::Error::custom("expected NAME=NUMBER"))
}

pub(super) fn read_only<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Only, D::Error> {
    let items = Vec::deserialize(deserializer)?;
    only(&items).ok_or_else(|| serde::de::Error::custom("expected agent=NAME or tenant=NAME"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Vec<String> {
        text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn numbers_by_name_are_told_from_nonsense() {
        let numbers = per_name(&items("acme=3, b = 10,*=7"), 10).expect("numbers");
        let of = ["acme", "b", "c"].map(|name| numbers.of(name));
        assert_eq!(of, [Some(3), Some(10), Some(7)]);
        assert!(per_name(&[], 10).expect("none").is_empty());
        for wrong in ["acme", "acme=", "acme=0", "acme=11", "=3", "a=1,a=2", "*=1,*=1", "a=-1", "a=1.5"] {
            assert!(per_name(&items(wrong), 10).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_worker_is_for_agents_of_tenants() {
        let both = only(&items("agent=research,tenant=acme,agent=x")).expect("both");
        assert!(both.takes("acme", "x") && both.takes("acme", "research"));
        assert!(!both.takes("acme", "y") && !both.takes("b", "x"));
        assert!(only(&[]).expect("any").is_any());
        for wrong in ["research", "agent=", "model=x", "=x"] {
            assert!(only(&items(wrong)).is_none(), "{wrong}");
        }
    }
}
