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
    /// 12, 100, 1000 …: multiplies what is before it.
    Scale(i64),
}

const UNITS: &str = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen \
                     sixteen seventeen eighteen nineteen";
const TENS: &str = "twenty thirty forty fifty sixty seventy eighty ninety";

fn spelled(word: &str) -> Option<Spelled> {
    let place =
        |list: &str| (0..).zip(list.split(' ')).find_map(|(place, known)| (known == word).then_some(place));
    let scale = match word {
        "dozen" | "dozens" => 12,
        "hundred" | "hundreds" => 100,
        "thousand" | "thousands" => 1000,
        "million" | "millions" => 1_000_000,
        "billion" | "billions" => 1_000_000_000,
        "trillion" => 1_000_000_000_000,
        _ => {
            return place(UNITS)
                .map(Spelled::Unit)
                .or_else(|| place(TENS).map(|ten| Spelled::Ten(20 + 10 * ten)));
        }
    };
    Some(Spelled::Scale(scale))
}

/// Whether `word` is part of a number in words.
pub(super) fn is_number_word(word: &str) -> bool {
    spelled(word).is_some()
}

/// Reads a number from the front of `words`, where a digit number is given as its digits: the number, and how many
/// words it took. `joins_and` reads "a hundred and five" as one number.
pub(super) fn read(words: &[&str], joins_and: bool) -> Option<(Number, usize)> {
    match words {
        ["couple", ..] => Some((2.into(), 1)),
        ["a", "couple", ..] => Some((2.into(), 2)),
        ["a" | "an", rest @ ..] => {
            let is_scale = rest.first().is_some_and(|word| matches!(spelled(word), Some(Spelled::Scale(_))));
            let (value, count) = if is_scale { in_words(rest, Some(1), joins_and) } else { return None };
            Some((value.into(), count + 1))
        }
        [first, rest @ ..] => match first.parse::<f64>() {
            Ok(digits) => scaled(digits, rest).map(|(number, count)| (number, count + 1)),
            Err(_) => with_point(words, joins_and),
        },
        [] => None,
    }
}

/// "2.5 million", "3 dozen".
fn scaled(digits: f64, words: &[&str]) -> Option<(Number, usize)> {
    let scales = words.iter().map_while(|word| match spelled(word) {
        #[expect(clippy::cast_precision_loss, reason = "a power of ten, or twelve")]
        Some(Spelled::Scale(scale)) => Some(scale as f64),
        _ => None,
    });
    let (count, value) = scales.fold((0, digits), |(count, value), scale| (count + 1, value * scale));
    from_f64(value).map(|number| (number, count))
}

/// Words up to the point, and the digits behind it.
fn with_point(words: &[&str], joins_and: bool) -> Option<(Number, usize)> {
    let (whole, count) = in_words(words, None, joins_and);
    if count == 0 {
        return None;
    }
    let behind = words.get(count + 1..).filter(|_| words[count] == "point").unwrap_or_default();
    let digits: String = behind
        .iter()
        .map_while(|word| match spelled(word) {
            Some(Spelled::Unit(digit @ 0..=9)) => Some(digit.to_string()),
            _ => None,
        })
        .collect();
    if digits.is_empty() {
        return Some((whole.into(), count));
    }
    from_text(&format!("{whole}.{digits}")).map(|number| (number, count + 1 + digits.len()))
}

/// The integer at the front of `words`, of which `before` was said already, and how many words it took.
fn in_words(words: &[&str], before: Option<i64>, joins_and: bool) -> (i64, usize) {
    let (mut total, mut current) = (0_i64, before.unwrap_or(0));
    // What comes next has to be smaller: 10 behind "twenty", 100 behind "two hundred".
    let mut room = if before.is_some() { 1 } else { 1000 };
    let (mut at, mut end) = (0, 0);
    while let Some(word) = words.get(at) {
        let is_and = *word == "and" && joins_and && end == at && matches!(room, 100 | 1000) && at > 0;
        match spelled(word) {
            Some(Spelled::Unit(value) | Spelled::Ten(value)) if value < room && (value > 0 || at == 0) => {
                current += value;
                room = if value >= 20 { 10 } else { 1 };
            }
            Some(Spelled::Scale(scale)) if current > 0 && end == at => {
                let Some(scaled) =
                    current.checked_mul(scale).filter(|scaled| total.checked_add(*scaled).is_some())
                else {
                    break;
                };
                if scale <= 100 {
                    current = scaled;
                } else {
                    total += scaled;
                    current = 0;
                }
                room = if scale == 12 { 1 } else { scale.min(1000) };
            }
            None if is_and => {
                at += 1;
                continue;
            }
            _ => break,
        }
        at += 1;
        end = at;
    }
    (total + current, end)
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
