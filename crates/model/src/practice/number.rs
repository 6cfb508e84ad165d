//! Numbers as people write and read them: number words, and neat digits.

use serde_json::Number;

/// Significant digits of a number that is no integer: enough for anybody, few enough to hide binary dust.
const DIGITS: usize = 12;

/// A number from its digits; `None` when it is too large to be one.
pub(super) fn from_text(text: &str) -> Option<Number> {
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    text.parse::<u64>().map_or_else(|_| from_f64(text.parse().ok()?), |integer| Some(integer.into()))
}

/// An integer where the value is one, so that `5.0` and `5` are the same number.
pub(super) fn from_f64(value: f64) -> Option<Number> {
    #[expect(clippy::cast_possible_truncation, reason = "exact within the bounds just checked")]
    if value.fract() == 0.0 && value.abs() < 9e15 {
        Some((value as i64).into())
    } else {
        Number::from_f64(value)
    }
}

/// Of a finite number, which every [`Number`] is.
pub(super) fn to_f64(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

/// The same text for the same number, however it was written.
pub(super) fn canonical(number: &Number) -> String {
    if number.is_f64() { from_f64(to_f64(number)).unwrap_or_else(|| number.clone()) } else { number.clone() }
        .to_string()
}

/// `0.1 + 0.2` reads `0.3`; integers have no point.
pub(super) fn neat(number: &Number) -> String {
    if !number.is_f64() {
        return number.to_string();
    }
    let value = to_f64(number);
    let rounded = format!("{value:.*e}", DIGITS - 1).parse().unwrap_or(value);
    // Zero has a sign in floating point only.
    from_f64(rounded + 0.0).map_or_else(|| value.to_string(), |number| number.to_string())
}

/// What a number word stands for.
enum Spelled {
    /// Below twenty.
    Unit(i64),
    /// 20, 30 … 90.
    Ten(i64),
    /// 100, 1000 …: multiplies what is before it.
    Scale(i64),
}

fn spelled(word: &str) -> Option<Spelled> {
    const UNITS: [&str; 20] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    if let Some(place) = UNITS.iter().position(|unit| *unit == word) {
        return i64::try_from(place).ok().map(Spelled::Unit);
    }
    if let Some(place) = TENS.iter().position(|ten| *ten == word) {
        return i64::try_from(place).ok().map(|place| Spelled::Ten(20 + 10 * place));
    }
    Some(Spelled::Scale(match word {
        "hundred" | "hundreds" => 100,
        "thousand" | "thousands" => 1000,
        "million" | "millions" => 1_000_000,
        "billion" | "billions" => 1_000_000_000,
        "trillion" => 1_000_000_000_000,
        "dozen" | "dozens" => 12,
        _ => return None,
    }))
}

/// Whether `word` is part of a number in words.
pub(super) fn is_number_word(word: &str) -> bool {
    spelled(word).is_some()
}

/// Reads a number from the front of `words`, where a digit number is given as its digits: the number, and how many
/// words it took. `joins_and` reads "a hundred and five" as one number.
pub(super) fn read(words: &[&str], joins_and: bool) -> Option<(Number, usize)> {
    let digits = words.first()?.parse::<f64>().ok().filter(|value| value.is_finite());
    let article = matches!(words[0], "a" | "an" | "couple");
    let (mut total, mut current, mut at) = match digits {
        Some(value) => (0.0, value, 1),
        None if words[0] == "couple" => return Some((2.into(), 1)),
        None if article && words.get(1) == Some(&"couple") => return Some((2.into(), 2)),
        None if article => (0.0, 1.0, 1),
        None => (0.0, 0.0, 0),
    };
    let mut end = if article { 0 } else { at };
    let mut room = if digits.is_some() || article { 1.0 } else { 1000.0 };
    while let Some(word) = words.get(at) {
        if *word == "and" && joins_and && end == at && total + current >= 100.0 && digits.is_none() {
            // Only before what still fits: "one hundred and five".
            match words.get(at + 1).and_then(|next| spelled(next)) {
                Some(Spelled::Unit(_) | Spelled::Ten(_)) if room > 1.0 => at += 1,
                _ => break,
            }
            continue;
        }
        match spelled(word) {
            #[expect(clippy::cast_precision_loss, reason = "number words are small")]
            Some(Spelled::Unit(unit)) if end == 0 || (room > unit as f64 && unit > 0) => {
                current += unit as f64;
                room = 1.0;
            }
            #[expect(clippy::cast_precision_loss, reason = "number words are small")]
            Some(Spelled::Ten(ten)) if room >= 100.0 => {
                current += ten as f64;
                room = 10.0;
            }
            #[expect(clippy::cast_precision_loss, reason = "number words are small")]
            Some(Spelled::Scale(scale)) if end > 0 || article => {
                let scale = scale as f64;
                if scale == 100.0 || scale == 12.0 {
                    current *= scale;
                } else {
                    total += current * scale;
                    current = 0.0;
                }
                room = if scale == 12.0 { 1.0 } else { scale.min(1000.0) };
            }
            Some(_) | None => break,
        }
        at += 1;
        end = at;
    }
    if end == 0 {
        return None;
    }
    let mut value = total + current;
    if digits.is_none() && words.get(end) == Some(&"point") {
        let mut place = 0.1;
        for word in &words[end + 1..] {
            let Some(Spelled::Unit(digit @ 0..=9)) = spelled(word) else { break };
            #[expect(clippy::cast_precision_loss, reason = "one digit")]
            let part = digit as f64 * place;
            value += part;
            place /= 10.0;
            end += if place > 0.005 { 2 } else { 1 };
        }
    }
    from_f64(value).map(|number| (number, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_neat() {
        for (value, text) in [
            (0.1 + 0.2, "0.3"),
            (5.000_000_000_000_001, "5"),
            (10.0 / 4.0, "2.5"),
            (2.0 / 3.0, "0.666666666667"),
            (-0.0, "0"),
            (1e21, "1e+21"),
            (64f64.powf(1.0 / 3.0), "4"),
        ] {
            assert_eq!(neat(&Number::from_f64(value).unwrap()), text);
        }
        assert_eq!(neat(&from_text("12157665459056928801").unwrap()), "12157665459056928801");
        assert_eq!(neat(&from_text("9223372036854775807").unwrap()), "9223372036854775807");
        assert_eq!(canonical(&Number::from_f64(5.0).unwrap()), canonical(&5.into()));
        assert_eq!(from_text("1e999"), None);
    }

    #[test]
    fn number_words_are_read() {
        for (text, number, words) in [
            ("seven", "7", 1),
            ("twenty five apples", "25", 2),
            ("one hundred and five", "105", 4),
            ("a hundred", "100", 2),
            ("a dozen eggs", "12", 2),
            ("two dozen eggs", "24", 2),
            ("three thousand two hundred and one", "3201", 6),
            ("2.5 million people", "2500000", 2),
            ("three point five", "3.5", 3),
            ("three point one four", "3.14", 4),
            ("a couple of", "2", 2),
            ("five six", "5", 1),
            ("5 six", "5", 1),
            ("ten five", "10", 1),
            ("five and six", "5", 1),
            ("zero", "0", 1),
            ("one million", "1000000", 2),
        ] {
            let split: Vec<_> = text.split(' ').collect();
            let read = read(&split, true).map(|(number, words)| (number.to_string(), words));
            assert_eq!(read, Some((number.to_owned(), words)), "{text}");
        }
        for text in ["a", "an apple", "hundred", "and", "point five", "apple", ""] {
            assert_eq!(read(&text.split(' ').collect::<Vec<_>>(), true), None, "{text}");
        }
        assert_eq!(read(&["one", "hundred", "and", "five"], false), Some((100.into(), 2)));
    }
}
