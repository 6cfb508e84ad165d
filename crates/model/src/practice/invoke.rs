//! Tools called by name: "call book with amount 5", `book {"amount": 5}`, "call sleep 3 times with ms=100 then now".
//! For trying an agent's own tools, whatever they are.

use serde_json::{Map, Value, json};

use super::conversation::{Called, Conversation, Tool};
use super::number;
use super::plan::{Call, Halt, Plan, again};

/// Calls of one task.
const CALLS_MAX: usize = 200;
/// Characters of a result that are repeated in the answer.
const RESULT_CHARS_MAX: usize = 400;

/// How it asks for an argument.
const QUESTION: &str = "What should ";

const VERBS: [&str; 9] = ["call", "use", "run", "invoke", "execute", "try", "trigger", "calling", "start"];
/// Words between a verb and the name.
const ARTICLES: [&str; 6] = ["the", "tool", "function", "my", "named", "called"];

/// A word of the task: letters, digits, `_` and `-`.
struct Word<'t> {
    text: &'t str,
    start: usize,
}

/// One tool of the task, to be called so many times.
struct Wanted<'c> {
    tool: &'c Tool,
    times: usize,
    /// What was written about the arguments.
    about: String,
}

/// What a task that names a tool comes to: `None` when it names none.
///
/// Calls are made one a turn, so that each is seen to happen before the next.
pub(super) fn answer(
    task: &str,
    conversation: &Conversation,
    plan: &Plan<'_>,
) -> Option<Result<String, Halt>> {
    let wanted = wanted(task, conversation)?;
    let total = wanted.iter().fold(0_usize, |total, wanted| total.saturating_add(wanted.times));
    if total > CALLS_MAX {
        return Some(Ok(format!(
            "I don't make more than {CALLS_MAX} calls for one task, and this asks for {total}"
        )));
    }
    let is_wanted = |name: &str| wanted.iter().any(|wanted| wanted.tool.name == name);
    let made: Vec<_> =
        conversation.calls.iter().filter(|call| is_wanted(&call.name) && !is_our_question(call)).collect();
    let mut left = made.len();
    for wanted in &wanted {
        if left >= wanted.times {
            left -= wanted.times;
            continue;
        }
        return Some(arguments(wanted, plan).and_then(|arguments| {
            Err(Halt::Calls(vec![Call {
                name: wanted.tool.name.clone(),
                arguments: Value::Object(arguments),
            }]))
        }));
    }
    let results: Vec<_> = made.iter().map(|call| (call.name.as_str(), call.output.as_ref())).collect();
    Some(Ok(report(&results)))
}

/// Whether a call was a question of ours, for an argument.
fn is_our_question(call: &Called) -> bool {
    let question = call.arguments.get("question").and_then(Value::as_str);
    call.name == "ask_human" && question.is_some_and(|question| question.contains(QUESTION))
}

fn wanted<'c>(task: &str, conversation: &'c Conversation) -> Option<Vec<Wanted<'c>>> {
    let words = words(task);
    let mut places = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if let Some(tool) = conversation.tool(word.text)
            && is_invoked(task, &words, at, places.is_empty())
        {
            places.push((at, tool));
        }
    }
    if places.is_empty() {
        return None;
    }
    let mut wanted = Vec::new();
    for (nth, (at, tool)) in places.iter().enumerate() {
        let start = words[*at].start + words[*at].text.len();
        let end = places.get(nth + 1).map_or(task.len(), |(next, _)| verb_before(&words, *next));
        let about = task.get(start..end.max(start)).unwrap_or_default();
        let (times, about) = times(about);
        wanted.push(Wanted { tool, times, about });
    }
    Some(wanted)
}

/// Where what is said of the tool before the one at `at` ends.
fn verb_before(words: &[Word<'_>], at: usize) -> usize {
    let mut start = at;
    while start > 0 && {
        let before = words[start - 1].text.to_ascii_lowercase();
        VERBS.contains(&before.as_str())
            || ARTICLES.contains(&before.as_str())
            || before == "then"
            || before == "and"
    } {
        start -= 1;
    }
    words[start].start
}

/// Names of tools may be ordinary words, so a tool is meant only where it is called: behind a verb, before its
/// arguments in brackets, with `name=value` behind it, or as the first word before nothing but arguments.
fn is_invoked(task: &str, words: &[Word<'_>], at: usize, is_first: bool) -> bool {
    let before = |back: usize| {
        at.checked_sub(back).map_or(String::new(), |place| words[place].text.to_ascii_lowercase())
    };
    let mut back = 1;
    while ARTICLES.contains(&before(back).as_str()) {
        back += 1;
    }
    if VERBS.contains(&before(back).as_str()) {
        return true;
    }
    let behind = task[words[at].start + words[at].text.len()..].trim_start();
    if behind.starts_with(['{', '(']) {
        return true;
    }
    // "book amount=5"
    let is_pair = words.get(at + 1).is_some_and(|next| {
        let name_end = next.start + next.text.len();
        task[name_end..].trim_start().starts_with('=') && task[..next.start].ends_with(char::is_whitespace)
    });
    let follows = matches!(before(1).as_str(), "then" | "and");
    let is_alone = words.len() == 1 || words[at].text.contains('_') && at == 0;
    is_pair && (at == 0 || follows) || (at == 0 && is_first && is_alone) || (follows && !is_first)
}

fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let is_part = c.is_alphanumeric() || c == '_' || c == '-';
        match start {
            None if is_part => start = Some(at),
            Some(from) if !is_part => {
                words.push(Word { text: &text[from..at], start: from });
                start = None;
            }
            _ => {}
        }
        if words.len() >= 5000 {
            break;
        }
    }
    words
}

/// Takes "10 times", "twice" … out of the text.
fn times(about: &str) -> (usize, String) {
    let words = words(about);
    for (at, word) in words.iter().enumerate() {
        let text = word.text.to_ascii_lowercase();
        let single = match text.as_str() {
            "once" => Some(1),
            "twice" => Some(2),
            "thrice" => Some(3),
            _ => None,
        };
        let several =
            words.get(at + 1).filter(|next| next.text.eq_ignore_ascii_case("times")).and_then(|next| {
                let count = number::read(&[text.as_str()], false)?.0.as_u64()?;
                Some((usize::try_from(count).unwrap_or(usize::MAX), next.start + next.text.len()))
            });
        let found = single.map(|count| (count, word.start + word.text.len())).or(several);
        if let Some((count, end)) = found {
            return (count, format!("{} {}", &about[..word.start], &about[end..]));
        }
    }
    (1, about.to_owned())
}

/// The arguments from what was written, by the tool's schema; what it requires and was not written is asked for.
fn arguments(wanted: &Wanted<'_>, plan: &Plan<'_>) -> Result<Map<String, Value>, Halt> {
    let schema = wanted.tool.schema();
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let about = wanted.about.as_str();
    let mut found = match about.find('{').map(|start| &about[start..]) {
        Some(json) => match serde_json::Deserializer::from_str(json).into_iter::<Map<String, Value>>().next()
        {
            Some(Ok(members)) => return Ok(members),
            _ => {
                return Err(Halt::Never(format!(
                    "I can't call {}: its arguments are not valid JSON",
                    wanted.tool.name
                )));
            }
        },
        None => written(about, properties),
    };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if found.is_empty() {
        // A single value needs no name.
        let only = match required.as_slice() {
            [only] => Some(*only),
            [] if properties.len() == 1 => properties.keys().next().map(String::as_str),
            _ => None,
        };
        if let Some(name) = only
            && let Some(value) = bare(about, &properties.get(name).cloned().unwrap_or_default())
        {
            found.insert(name.to_owned(), value);
        }
    }
    for name in required {
        if found.contains_key(name) {
            continue;
        }
        let schema = properties.get(name).cloned().unwrap_or_default();
        let question = format!("{QUESTION}{name} be for {}?", wanted.tool.name);
        let second = again(&question);
        let is_number = matches!(schema["type"].as_str(), Some("number" | "integer"));
        let value = match plan.said(&question) {
            None => return Err(Halt::Ask(question)),
            Some(answer) => match value(answer, &schema) {
                Some(value) => value,
                None if is_number && plan.said(&second).is_none() => return Err(Halt::Ask(second)),
                None => plan.said(&second).and_then(|answer| value(answer, &schema)).ok_or_else(|| {
                    Halt::Never(format!(
                        "I can't call {}: I asked for {name} and got nothing I can use",
                        wanted.tool.name
                    ))
                })?,
            },
        };
        found.insert(name.to_owned(), value);
    }
    Ok(found)
}

/// `amount=5, note: rent`, "amount 5 and note 'for May'": the value behind each property's name.
fn written(about: &str, properties: &Map<String, Value>) -> Map<String, Value> {
    let mut places: Vec<(usize, usize, &str)> = words(about)
        .iter()
        .filter_map(|word| {
            let name = properties.keys().find(|name| name.eq_ignore_ascii_case(word.text))?;
            Some((word.start, word.start + word.text.len(), name.as_str()))
        })
        .collect();
    // `x=…` of a property that the schema does not name is passed on too: the agent says what is wrong with it.
    for word in words(about) {
        let end = word.start + word.text.len();
        if about[end..].starts_with('=') && !places.iter().any(|(start, ..)| *start == word.start) {
            places.push((word.start, end, word.text));
        }
    }
    places.sort_unstable_by_key(|place| place.0);
    let mut found = Map::new();
    for (nth, (_, end, name)) in places.iter().enumerate() {
        let until = places.get(nth + 1).map_or(about.len(), |next| next.0);
        let text = about[*end..until].trim().trim_start_matches([':', '=']).trim_start();
        let text =
            ["of ", "is ", "to ", "as "].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text);
        let text = strip_link(text);
        if let Some(value) = value(text, properties.get(*name).unwrap_or(&Value::Null))
            && !found.contains_key(*name)
        {
            found.insert((*name).to_owned(), value);
        }
    }
    found
}

/// Without the "and" or comma that leads on to the next argument, or the end of the sentence.
fn strip_link(text: &str) -> &str {
    let mut text = text.trim();
    loop {
        let shorter = text.trim_end_matches([',', ';', '.', ')', '?']).trim_end();
        let shorter = [" and", " with", " then", " please"]
            .iter()
            .find_map(|word| shorter.strip_suffix(word))
            .unwrap_or(shorter)
            .trim_end();
        if shorter.len() == text.len() {
            return text;
        }
        text = shorter;
    }
}

/// A value without a name: "call sleep with 500", "echo 'hello'".
fn bare(about: &str, schema: &Value) -> Option<Value> {
    let text = strip_link(about.trim().trim_start_matches([':', '(']));
    let text =
        ["with ", "for ", "on ", "using "].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text);
    (!text.is_empty()).then(|| value(text, schema)).flatten()
}

/// `text` as a value of the schema's type; of the type it looks like, where the schema does not say.
fn value(text: &str, schema: &Value) -> Option<Value> {
    let text = text.trim();
    let unquoted = ['"', '\'', '`', '“'].iter().find_map(|quote| {
        let close = if *quote == '“' { '”' } else { *quote };
        text.strip_prefix(*quote)?.split_once(close).map(|(inside, _)| inside)
    });
    let number = || {
        let tokens = super::lexer::lex(text, true)?;
        let negative = tokens.first().is_some_and(|token| token.is_sign('-'));
        let number = tokens.iter().find_map(super::lexer::Token::number)?.clone();
        let number = if negative { number::from_text(&format!("-{number}"))? } else { number };
        Some(Value::Number(number))
    };
    match schema["type"].as_str() {
        Some("number" | "integer") => number(),
        Some("boolean") => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(Value::Bool(true)),
            "false" | "no" | "off" => Some(Value::Bool(false)),
            _ => None,
        },
        Some("string") => {
            Some(Value::String(unquoted.unwrap_or(text).to_owned())).filter(|value| value != "")
        }
        Some("array" | "object") => serde_json::from_str(text).ok(),
        _ if unquoted.is_some() => unquoted.map(|text| json!(text)),
        _ => serde_json::from_str(text).ok().or_else(|| (!text.is_empty()).then(|| json!(text))),
    }
}

/// What came of the calls.
fn report(results: &[(&str, Option<&Value>)]) -> String {
    let shown: Vec<(String, bool)> = results.iter().map(|(_, output)| show(*output)).collect();
    let failed = shown.iter().filter(|(_, failed)| *failed).count();
    if let ([(name, _)], [(text, _)]) = (results, shown.as_slice()) {
        return if failed == 0 {
            format!("{text} ({name} returned this)")
        } else {
            format!("{name} failed: {text}")
        };
    }
    let all: Vec<String> =
        results.iter().zip(&shown).map(|((name, _), (text, _))| format!("{name}: {text}")).collect();
    let all: String = all.join("; ").chars().take(4000).collect();
    format!("Made {} calls, {failed} of which failed. {all}", results.len())
}

/// An output as it is read aloud, and whether it is an error.
fn show(output: Option<&Value>) -> (String, bool) {
    let Some(output) = output else { return ("no result yet".to_owned(), true) };
    let result = output.get("result").or_else(|| output.get("answer")).unwrap_or(output);
    let text = match result {
        Value::String(text) => text.clone(),
        Value::Number(value) => number::neat(value),
        other => other.to_string(),
    };
    let is_error = text.starts_with("Error: ");
    let short: String = text.chars().take(RESULT_CHARS_MAX).collect();
    let cut = if short.len() < text.len() { "…" } else { "" };
    (format!("{}{cut}", short.strip_prefix("Error: ").unwrap_or(&short)), is_error)
}
