//! From a conversation to the next reply: which kind of task it is, and what the answer says.

use serde_json::json;

use super::conversation::Conversation;
use super::expr::Op;
use super::lexer::{Token, lex};
use super::number::neat;
use super::plan::{Call, Halt, Plan};
use super::program::Task;
use super::{equation, geometry, invoke, program, story};

/// Characters of a task that are read as language.
const TASK_CHARS_MAX: usize = 8000;
/// Behind every answer, so that nobody takes it for a language model's.
const SIGNATURE: &str = "(practice model)";

/// What the practice model says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    Calls(Vec<Call>),
    Text(String),
}

/// The next reply. Never fails, and the same for the same conversation.
pub(super) fn reply(conversation: &Conversation) -> Said {
    let plan = Plan::new(conversation);
    // The last thing that the user asked for; what is behind it may be a remark on how to answer.
    let answer = conversation
        .tasks
        .iter()
        .rev()
        .take(20)
        .find_map(|task| answer(task, conversation, &plan))
        .unwrap_or_else(|| Ok(refusal(conversation)));
    let text = match answer {
        Err(Halt::Calls(calls)) => return Said::Calls(calls),
        Err(Halt::Ask(question)) => {
            return Said::Calls(vec![Call {
                name: "ask_human".to_owned(),
                arguments: json!({ "question": question }),
            }]);
        }
        Ok(text) | Err(Halt::Never(text)) => format!("{text} {SIGNATURE}"),
    };
    if conversation.has_tool("final_answer") {
        Said::Calls(vec![Call { name: "final_answer".to_owned(), arguments: json!({ "answer": text }) }])
    } else {
        Said::Text(text)
    }
}

/// The answer to one task; `None` when the task is not understood.
fn answer(task: &str, conversation: &Conversation, plan: &Plan<'_>) -> Option<Result<String, Halt>> {
    if let Some(answer) = invoke::answer(task, conversation, plan) {
        return Some(answer);
    }
    if task.chars().count() > TASK_CHARS_MAX {
        return None;
    }
    [true, false].into_iter().find_map(|joins_and| {
        let tokens = lex(task, joins_and)?;
        if tokens.is_empty() { None } else { understood(&tokens, conversation, plan) }
    })
}

fn understood(
    tokens: &[Token],
    conversation: &Conversation,
    plan: &Plan<'_>,
) -> Option<Result<String, Halt>> {
    if is_about_time(tokens) {
        return Some(time(conversation));
    }
    if let Some(tasks) = program::tasks(tokens) {
        return Some(results(&tasks, plan));
    }
    if let Some(equation) = equation::find(tokens) {
        return Some(equation.solve(plan));
    }
    if let Some(expr) = geometry::find(tokens) {
        return Some(results(&[Task { expr, suffix: "" }], plan));
    }
    let (expr, unit) = story::solve(tokens)?;
    let suffix = if unit.as_deref() == Some("cent") { " cents" } else { "" };
    Some(results(&[Task { expr, suffix }], plan))
}

fn results(tasks: &[Task], plan: &Plan<'_>) -> Result<String, Halt> {
    let exprs: Vec<_> = tasks.iter().map(|task| &task.expr).collect();
    let values = plan.values(&exprs)?;
    let mut sentences = Vec::new();
    for (task, value) in tasks.iter().zip(&values) {
        let working = plan.answered(&task.expr)?;
        let value = format!("{}{}", neat(value), task.suffix);
        sentences.push(if working.is_number() { value } else { format!("{value} = {working}") });
    }
    Ok(sentences.join("; "))
}

fn is_about_time(tokens: &[Token]) -> bool {
    let words: Vec<&str> = tokens.iter().filter_map(Token::word).collect();
    let text = words.join(" ");
    tokens.iter().all(|token| token.number().is_none())
        && [
            "what time is it",
            "what is the time",
            "current time",
            "what day is it",
            "what is the date",
            "what date is it",
            "what is today 's date",
            "today 's date",
            "current date",
            "the time now",
            "time is it",
            "what day is today",
        ]
        .iter()
        .any(|phrase| text.contains(phrase))
}

fn time(conversation: &Conversation) -> Result<String, Halt> {
    let told =
        conversation.calls.iter().rev().find(|call| call.name == "now").and_then(|call| call.output.as_ref());
    match told {
        Some(output) => {
            let result = &output["result"];
            Ok(result
                .as_str()
                .map_or_else(|| format!("The clock says {result}"), |time| format!("It is {time}")))
        }
        None if conversation.has_tool("now") => {
            Err(Halt::Calls(vec![Call { name: "now".to_owned(), arguments: json!({}) }]))
        }
        None => Ok("I can't tell the time: now is not among the tools of this agent".to_owned()),
    }
}

/// What it says to everything else: what it is, and what it is good for.
fn refusal(conversation: &Conversation) -> String {
    const TOPICS: &[(&[&str], &str)] = &[
        (&["poem", "poetry", "haiku", "rhyme", "limerick"], "I can't write poems"),
        (&["story", "essay", "letter", "email", "joke", "song"], "I can't write texts"),
        (&["weather", "forecast", "rain", "temperature"], "I know nothing of the weather"),
        (&["news", "today", "latest", "yesterday"], "I know nothing of what happens in the world"),
        (&["translate", "translation"], "I can't translate"),
        (&["code", "program", "python", "rust", "javascript"], "I can't write code"),
    ];
    let words: Vec<String> = conversation
        .tasks
        .first()
        .map(|task| task.chars().take(TASK_CHARS_MAX).collect::<String>().to_lowercase())
        .unwrap_or_default()
        .split(|c: char| !c.is_alphanumeric())
        .map(str::to_owned)
        .collect();
    let what = TOPICS
        .iter()
        .find(|(topics, _)| topics.iter().any(|topic| words.iter().any(|word| word == topic)))
        .map_or("I don't understand this well enough to answer it", |(_, what)| what);
    let others: Vec<&str> = conversation
        .tools
        .iter()
        .map(|tool| tool.name.as_str())
        .filter(|name| {
            !matches!(*name, "ask_human" | "final_answer") && !Op::ALL.iter().any(|op| op.tool() == *name)
        })
        .take(30)
        .collect();
    let tools = match others.first() {
        None => String::new(),
        Some(first) => {
            format!(" I can also call a tool by its name ({}), as in \"call {first}\".", others.join(", "))
        }
    };
    format!(
        "{what}. I am a set of rules, not a language model: I do arithmetic, short word problems, and linear and \
         quadratic equations.{tools} For anything else, connect a real model."
    )
}
