//! Words of word problems: what a verb does to an amount, and what a noun counts.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::practice::words::Words;

/// What happens in a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// "has", "there are".
    Have,
    /// "buys", "finds": there is more of it.
    Gain,
    /// "eats", "gives": there is less of it.
    Lose,
    /// "sells": less of it, and money for it.
    Sell,
    /// "costs": an amount of money for something.
    Cost,
    /// "shares": in equal parts.
    Share,
    /// "doubles" and the like: so many times as much.
    Multiply(i64),
    /// "halves".
    Halve,
    /// "is": an age, a part, a price.
    Be,
    /// "drives", "works", "holds": what the amounts say.
    Other,
}

const HAVE: Words =
    Words("has have had own owns owned having start starts started begin begins began keeps keep kept");
const GAIN: Words = Words(
    "buy buys bought buying get gets got getting receive receives received find finds found pick \
     picks picked collect collects collected win wins won gain gains gained add adds added borrow \
     borrows borrowed catch catches caught bake bakes baked join joins joined arrive arrives \
     arrived come comes came plant plants planted save saves saved deposit deposits deposited board \
     boards boarded harvest harvests harvested grow grows grew order orders ordered enter enters \
     entered make makes made earn earns earned earning hatch hatches hatched",
);
const LOSE: Words = Words(
    "give gives gave given giving lose loses lost eat eats ate eaten spend spends spent spending \
     use uses used drop drops dropped break breaks broke broken throw throws threw donate donates \
     donated pay pays paid leave leaves die dies died withdraw withdraws withdrew lend lends lent \
     remove removes removed drink drinks drank burn burns burned return returns returned cut cuts \
     leak leaks leaked fly flies flew take takes took taken fall falls fell rot rots rotted pop \
     pops popped melt melts melted hand hands handed send sends sent graduate graduates consume \
     consumes consumed swim escape escapes escaped disappear disappears disappeared sink spill \
     spills spilled spilt pours",
);
const SELL: Words = Words("sell sells sold selling");
const COST: Words = Words("cost costs priced charges charge charged worth costing");
const SHARE: Words = Words(
    "share shares shared split splits divide divides divided distribute distributes distributed \
     pack packs packed put puts sharing splitting placed places arranged arranges sorted sorts \
     grouped",
);
const BE: Words = Words("is are was were am be");
const OTHER: Words = Words(
    "play plays played like likes liked speak speaks wear wears prefer prefers choose chooses sit sits stand \
     stands live lives drive drives drove driving travel travels traveled travelled traveling run runs ran running \
     walk walks walked walking ride rides rode cycle cycles cycled cycling move moves moved go goes \
     went going sail sails sailed work works worked working hold holds held contain contains \
     contained need needs needed read reads reading type types typed produce produces produced \
     print prints printed cover covers covered carry carries carried weigh weighs weighed require \
     requires required fill fills filled pump pumps write writes wrote paint paints painted serve \
     serves served seat seats fit fits drives jog jogs jogged hike hikes hiked assemble assembles \
     build builds built sleep sleeps study studies studied watch watches watched practice practices \
     practices practiced drips flow flows rent rents rented last lasts lasted crosses climb climbs \
     climbed swims score scores scored download downloads visit visits visited knit knits deliver \
     delivers",
);

/// Every form of every verb that is known.
static VERBS: LazyLock<HashMap<&'static str, Verb>> = LazyLock::new(|| {
    let lists = [
        (OTHER, Verb::Other),
        (SHARE, Verb::Share),
        (COST, Verb::Cost),
        (SELL, Verb::Sell),
        (LOSE, Verb::Lose),
        (GAIN, Verb::Gain),
        (BE, Verb::Be),
        (HAVE, Verb::Have),
        (Words("doubles doubled double"), Verb::Multiply(2)),
        (Words("triples tripled triple"), Verb::Multiply(3)),
        (Words("quadruples quadrupled"), Verb::Multiply(4)),
        (Words("halves halved"), Verb::Halve),
    ];
    // Of a verb in two lists the later one holds.
    lists.into_iter().flat_map(|(words, verb)| words.0.split(' ').map(move |word| (word, verb))).collect()
});

/// The verb that `word` is a form of.
pub(super) fn verb(word: &str) -> Option<Verb> {
    VERBS.get(word).copied()
}

/// What is counted, in the singular: `boxes` and `box` are one unit, `km` and `kilometres` too.
pub(super) fn unit(noun: &str) -> String {
    match noun {
        "dollar" | "dollars" | "usd" | "buck" | "bucks" => return "$".to_owned(),
        "euro" | "euros" | "eur" => return "€".to_owned(),
        "gbp" => return "£".to_owned(),
        "yen" => return "¥".to_owned(),
        "cents" => return "cent".to_owned(),
        "people" | "persons" => return "person".to_owned(),
        "children" | "kids" | "kid" => return "child".to_owned(),
        "men" => return "man".to_owned(),
        "women" => return "woman".to_owned(),
        "mice" => return "mouse".to_owned(),
        "geese" => return "goose".to_owned(),
        "feet" => return "foot".to_owned(),
        "teeth" => return "tooth".to_owned(),
        "loaves" => return "loaf".to_owned(),
        "knives" => return "knife".to_owned(),
        "shelves" => return "shelf".to_owned(),
        "leaves" => return "leaf".to_owned(),
        "h" | "hr" | "hrs" => return "hour".to_owned(),
        "min" | "mins" => return "minute".to_owned(),
        "sec" | "secs" | "s" => return "second".to_owned(),
        "km" | "kms" | "kilometre" | "kilometres" | "kilometers" => return "kilometer".to_owned(),
        "m" | "metre" | "metres" => return "meter".to_owned(),
        "cm" | "centimetre" | "centimetres" => return "centimeter".to_owned(),
        "mi" => return "mile".to_owned(),
        "kg" | "kgs" | "kilo" | "kilos" | "kilograms" => return "kilogram".to_owned(),
        "g" | "gram" | "grams" | "grammes" => return "gram".to_owned(),
        "l" | "litre" | "litres" | "liters" => return "liter".to_owned(),
        "buses" => return "bus".to_owned(),
        "movies" => return "movie".to_owned(),
        "cookies" => return "cookie".to_owned(),
        "brownies" => return "brownie".to_owned(),
        "pies" | "ties" | "dies" => return noun[..3].trim_end_matches('s').to_owned(),
        _ => {}
    }
    for (ending, single) in
        [("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("toes", "to")]
    {
        if let Some(stem) = noun.strip_suffix(ending).filter(|stem| stem.len() > 1) {
            return format!("{stem}{single}");
        }
    }
    match noun.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with(['s', 'u', 'i']) => stem.to_owned(),
        _ => noun.to_owned(),
    }
}

/// How a unit is asked about, in the plural.
pub(super) fn plural(unit: &str) -> String {
    match unit {
        "person" => "people".to_owned(),
        "child" => "children".to_owned(),
        "man" => "men".to_owned(),
        "woman" => "women".to_owned(),
        "foot" => "feet".to_owned(),
        _ if unit.ends_with('y')
            && !unit.ends_with("ay")
            && !unit.ends_with("ey")
            && !unit.ends_with("oy") =>
        {
            format!("{}ies", &unit[..unit.len() - 1])
        }
        _ if unit.ends_with("ch") || unit.ends_with("sh") || unit.ends_with(['s', 'x']) => {
            format!("{unit}es")
        }
        _ => format!("{unit}s"),
    }
}

pub(super) fn is_money(unit: &str) -> bool {
    matches!(unit, "$" | "€" | "£" | "¥" | "cent" | "money" | "pound")
}

pub(super) fn is_length(unit: &str) -> bool {
    matches!(unit, "kilometer" | "mile" | "meter" | "foot" | "centimeter" | "yard" | "inch" | "lap" | "block")
}

pub(super) fn is_time(unit: &str) -> bool {
    matches!(unit, "second" | "minute" | "hour" | "day" | "week" | "month" | "year" | "night")
}

/// How many of `small` make one `large`.
pub(super) fn conversion(large: &str, small: &str) -> Option<i64> {
    Some(match (large, small) {
        ("minute", "second") | ("hour", "minute") => 60,
        ("hour", "second") => 3600,
        ("day", "hour") => 24,
        ("day", "minute") => 1440,
        ("week", "day") => 7,
        ("week", "hour") => 168,
        ("year", "month") => 12,
        ("year", "week") => 52,
        ("year", "day") => 365,
        ("kilometer", "meter") | ("kilogram", "gram") | ("meter", "millimeter") | ("liter", "milliliter") => {
            1000
        }
        ("meter", "centimeter") | ("$" | "€", "cent") => 100,
        ("foot", "inch") => 12,
        ("yard", "foot") => 3,
        ("decade", "year") => 10,
        ("century", "year") => 100,
        _ => return None,
    })
}

/// Those who do work: more of them need less time, so nothing is in proportion to them.
pub(super) fn is_worker(unit: &str) -> bool {
    matches!(
        unit,
        "person" | "man" | "woman" | "child" | "machine" | "pump" | "pipe" | "tap" | "robot" | "friend"
    ) || unit.ends_with("er")
        || unit.ends_with("or")
}

/// The question for an amount that a story begins with and does not say.
pub(super) fn at_first(unit: &str, owner: Option<&str>) -> String {
    let many = plural(unit);
    match owner {
        Some("i") => format!("How many {many} do you have at first?"),
        Some(owner) => format!("How many {many} does {} have at first?", name(owner)),
        None => format!("How many {many} are there at first?"),
    }
}

/// A name with its capital.
pub(super) fn name(owner: &str) -> String {
    let mut chars = owner.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Words that stand for somebody or something said before.
pub(super) fn is_pronoun(word: &str) -> bool {
    matches!(
        word,
        "he" | "she"
            | "they"
            | "it"
            | "i"
            | "we"
            | "you"
            | "him"
            | "her"
            | "them"
            | "me"
            | "us"
            | "his"
            | "their"
            | "my"
            | "our"
            | "its"
            | "there"
            | "who"
            | "this"
            | "these"
            | "those"
            | "that"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_are_counted_in_the_singular_and_asked_in_the_plural() {
        for (noun, single) in [
            ("apples", "apple"),
            ("boxes", "box"),
            ("pencils", "pencil"),
            ("candies", "candy"),
            ("glasses", "glass"),
            ("bus", "bus"),
            ("km", "kilometer"),
            ("people", "person"),
            ("cookies", "cookie"),
            ("pies", "pie"),
            ("peaches", "peach"),
            ("potatoes", "potato"),
            ("gas", "gas"),
            ("days", "day"),
            ("shirts", "shirt"),
        ] {
            assert_eq!(unit(noun), single);
        }
        for (unit, many) in [
            ("apple", "apples"),
            ("box", "boxes"),
            ("candy", "candies"),
            ("day", "days"),
            ("person", "people"),
        ] {
            assert_eq!(plural(unit), many);
        }
    }
}
