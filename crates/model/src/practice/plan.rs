//! Working out an expression over several turns: what the history holds is looked up, what can be called now is
//! called in one turn, what only the human knows is asked.

use std::collections::HashMap;

use serde_json::{Number, Value};

use super::conversation::Conversation;
use super::expr::{Expr, Op};
use super::{arithmetic, number};

/// Calls in one turn.
const CALLS_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Value,
}

/// Why there is no result in this turn.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Halt {
    /// These calls come first.
    Calls(Vec<Call>),
    /// This has to be asked first.
    Ask(String),
    /// There will be none; the sentence says why.
    Never(String),
}

/// What the history says about one operation.
enum Outcome {
    Result(Number),
    Error(String),
}

pub(super) struct Plan<'c> {
    conversation: &'c Conversation,
    outcomes: HashMap<String, Outcome>,
}

impl<'c> Plan<'c> {
    pub(super) fn new(conversation: &'c Conversation) -> Self {
        let mut outcomes = HashMap::new();
        for call in &conversation.calls {
            let Some(output) = &call.output else { continue };
            let number = |name: &str| call.arguments.get(name).and_then(Value::as_number);
            let operands = match call.name.as_str() {
                "power" => [number("base"), number("exponent")],
                "square_root" => [number("x"), None],
                _ => [number("a"), number("b")],
            };
            let outcome = match &output["result"] {
                Value::Number(result) => Outcome::Result(result.clone()),
                Value::String(text) => {
                    Outcome::Error(text.strip_prefix("Error: ").unwrap_or(text).to_owned())
                }
                other => Outcome::Error(format!("the result is no number but {other}")),
            };
            outcomes.insert(key(&call.name, operands), outcome);
        }
        Self { conversation, outcomes }
    }

    /// The values of `exprs`, once all of them are known.
    ///
    /// # Errors
    /// [`Halt`] with every call that can be made now, or the one question that is open.
    pub(super) fn values(&self, exprs: &[&Expr]) -> Result<Vec<Number>, Halt> {
        let mut calls = Vec::new();
        let mut values = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let expr = self.answered(expr)?.balanced();
            values.extend(self.value(&expr, &mut calls)?);
        }
        if values.len() == exprs.len() {
            return Ok(values);
        }
        calls.truncate(CALLS_MAX);
        Err(Halt::Calls(calls))
    }

    /// The expression with the human's answers in it.
    pub(super) fn answered(&self, expr: &Expr) -> Result<Expr, Halt> {
        Ok(match expr {
            Expr::Asked(question) => self.answer(question)?,
            Expr::Apply(op, a, b) => Expr::apply(*op, self.answered(a)?, self.answered(b)?),
            Expr::Number(_) | Expr::Unknown => expr.clone(),
        })
    }

    fn value(&self, expr: &Expr, calls: &mut Vec<Call>) -> Result<Option<Number>, Halt> {
        let (op, a, b) = match expr {
            Expr::Number(number) => return Ok(Some(number.clone())),
            Expr::Asked(_) | Expr::Unknown => return Ok(None),
            Expr::Apply(op, a, b) => (*op, a, b),
        };
        let a = self.value(a, calls)?;
        let b = if op == Op::Root { Some(0.into()) } else { self.value(b, calls)? };
        let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
        let operands = if op == Op::Root { [Some(&a), None] } else { [Some(&a), Some(&b)] };
        match self.outcomes.get(&key(op.tool(), operands)) {
            Some(Outcome::Result(result)) => return Ok(Some(result.clone())),
            Some(Outcome::Error(error)) => return Err(Halt::Never(explain(op, &a, &b, error))),
            None => {}
        }
        if !self.conversation.has_tool(op.tool()) {
            return Err(Halt::Never(format!(
                "I can't work that out: {} is not among the tools of this agent, and I compute with tools only",
                op.tool()
            )));
        }
        let call = Call { name: op.tool().to_owned(), arguments: op.arguments(&a, &b) };
        if !calls.contains(&call) {
            calls.push(call);
        }
        Ok(None)
    }

    /// What the human said to `question`: asked once, and once more if there was no number in the answer.
    fn answer(&self, question: &str) -> Result<Expr, Halt> {
        for question in [question.to_owned(), again(question)] {
            match self.said(&question) {
                None if self.conversation.has_tool("ask_human") => return Err(Halt::Ask(question)),
                None => {
                    return Err(Halt::Never(format!(
                        "I can't work that out without knowing more ({question}), and ask_human is not among the \
                         tools of this agent"
                    )));
                }
                Some(answer) => {
                    if let Some(expr) = arithmetic::answer(answer) {
                        return Ok(expr);
                    }
                }
            }
        }
        Err(Halt::Never(format!(
            "I can't work that out: I asked twice ({question}) and found no number in the answers"
        )))
    }

    /// The answer to a question that was put, if it was.
    pub(super) fn said(&self, question: &str) -> Option<&str> {
        let asked = self.conversation.calls.iter().rev().find(|call| {
            call.name == "ask_human"
                && call.output.is_some()
                && call.arguments.get("question").and_then(Value::as_str) == Some(question)
        })?;
        let output = asked.output.as_ref()?;
        Some(output["answer"].as_str().or_else(|| output.as_str()).unwrap_or_default())
    }
}

/// The second try at a question.
pub(super) fn again(question: &str) -> String {
    format!("I need one number for this, such as 12. {question}")
}

fn key(tool: &str, operands: [Option<&Number>; 2]) -> String {
    let [a, b] = operands.map(|operand| operand.map(number::canonical).unwrap_or_default());
    format!("{tool} {a} {b}")
}

fn explain(op: Op, a: &Number, b: &Number, error: &str) -> String {
    let (a, b) = (number::neat(a), number::neat(b));
    match op {
        Op::Divide if error.contains("Division by zero") => {
            format!("That has no result: {a} ÷ {b} is a division by zero")
        }
        Op::Root if error.contains("negative") => {
            format!("That has no real result: {a} is negative, so it has no real square root")
        }
        _ => format!("I can't work that out: {} of {a} and {b} failed ({error})", op.tool()),
    }
}
