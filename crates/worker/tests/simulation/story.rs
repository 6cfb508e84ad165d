//! What a run's model says: a fixed list of turns, told from the context alone, so that a wrong context is found out.

use piton_core::{
    Agent, CallId, EffectClass, Item, Limits, Reply, RequestedCall, RunId, ToolKind, ToolSpec, Usage,
};
use serde_json::{Value, json};
use uuid::Uuid;

use piton_testkit::Rng;

/// One run, as its model tells it.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) number: usize,
    pub(crate) run: RunId,
    pub(crate) turns: Vec<Turn>,
    pub(crate) max_steps: u32,
    pub(crate) launched_at_ms: u64,
}

#[derive(Debug, Clone)]
pub(crate) enum Turn {
    Text(String),
    Calls(Vec<Planned>),
}

#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) name: &'static str,
    pub(crate) arguments: String,
    pub(crate) call_id: String,
    /// The first time, nobody says what came of the call; this is whether it took effect.
    pub(crate) unknown_at_first: Option<bool>,
    /// The first time, the call takes so long before it has any effect.
    pub(crate) slow_at_first_ms: Option<u64>,
}

impl Planned {
    /// A call that nothing else asks for: `line` is its place in the story.
    pub(crate) fn tool(name: &'static str, line: usize) -> Self {
        let arguments = json!({ "line": line }).to_string();
        Self {
            name,
            arguments,
            call_id: format!("call-{line}"),
            unknown_at_first: None,
            slow_at_first_ms: None,
        }
    }

    pub(crate) fn slow_at_first(self, ms: u64) -> Self {
        Self { slow_at_first_ms: Some(ms), ..self }
    }

    pub(crate) fn unknown_at_first(self, took_effect: bool) -> Self {
        Self { unknown_at_first: Some(took_effect), ..self }
    }

    pub(crate) fn ask(line: usize) -> Self {
        let arguments = json!({ "question": format!("What about {line}?") }).to_string();
        Self { arguments, ..Self::tool("ask_human", line) }
    }

    pub(crate) fn answer(text: &str) -> Self {
        let arguments = json!({ "answer": text }).to_string();
        Self { arguments, call_id: "the-end".to_owned(), ..Self::tool("final_answer", 0) }
    }
}

impl Story {
    pub(crate) fn new(seed: u64, number: usize, turns: Vec<Turn>, max_steps: u32) -> Self {
        let id = (u128::from(seed) << 64) | (number as u128 + 1);
        let run = RunId::from_uuid(Uuid::from_u128(id));
        Self { number, run, turns, max_steps, launched_at_ms: 0 }
    }

    /// A story of a few turns that is launched within `launched_ms`.
    pub(crate) fn draw(rng: &mut Rng, seed: u64, number: usize, launched_ms: u64) -> Self {
        let mut line = 0;
        let mut turns = Vec::new();
        let is_poison = rng.chance(30);
        for _ in 0..rng.between(1, 8) {
            if rng.chance(60) && !matches!(turns.last(), Some(Turn::Text(_))) {
                turns.push(Turn::Text("Let me think.".to_owned()));
                continue;
            }
            let calls = (0..rng.between(1, 3)).map(|_| {
                line += 1;
                let name = *rng.pick(&["read", "read", "put", "put", "pay", "pay", "ask", "nothing"]);
                let mut call = if name == "ask" { Planned::ask(line) } else { Planned::tool(name, line) };
                if rng.chance(100) {
                    // A provider that uses its ids again.
                    call.call_id = "call-1".to_owned();
                }
                call
            });
            turns.push(Turn::Calls(calls.collect()));
        }
        if is_poison {
            turns.push(Turn::Calls(vec![Planned::tool("poison", line + 1)]));
        }
        let mut last = Vec::new();
        if rng.chance(300) {
            last.push(Planned::tool("pay", line + 2));
        }
        last.push(Planned::answer(&format!("story {number} is told")));
        turns.push(Turn::Calls(last));
        let max_steps = if rng.chance(250) { 2 } else { 10 };
        let story = Self::new(seed, number, turns, u32::try_from(max_steps).expect("a few"));
        Self { launched_at_ms: rng.between(0, launched_ms), ..story }
    }

    pub(crate) fn task(&self) -> String {
        format!("story {}", self.number)
    }

    pub(crate) fn final_answer(&self) -> String {
        format!("story {} is told", self.number)
    }

    pub(crate) fn is_poison(&self) -> bool {
        self.calls().any(|(_, _, call)| call.name == "poison")
    }

    /// Every call with its turn (from 1) and its place in it (from 0).
    pub(crate) fn calls(&self) -> impl Iterator<Item = (u32, usize, &Planned)> {
        (1..).zip(&self.turns).flat_map(|(turn, said)| {
            let calls = match said {
                Turn::Text(_) => &[][..],
                Turn::Calls(calls) => calls,
            };
            calls.iter().enumerate().map(move |(place, call)| (turn, place, call))
        })
    }

    /// The reply to this context.
    ///
    /// # Errors
    /// What is wrong with the context: each turn's calls have to be there in order, each followed by an output that
    /// `is_known` for it, and nothing else.
    pub(crate) fn reply(
        &self,
        items: &[Item],
        is_known: impl Fn(CallId, &str) -> bool,
    ) -> Result<Reply, String> {
        let mut rest = items;
        match rest {
            [Item::Message { role, content }, more @ ..] if role == "user" && *content == self.task() => {
                rest = more;
            }
            _ => return Err(format!("it does not begin with the task: {items:?}")),
        }
        for (turn, said) in (1..).zip(&self.turns) {
            rest = skip_own_questions(rest);
            if rest.is_empty() {
                return Ok(said.reply());
            }
            rest = match said {
                Turn::Text(text) => match rest {
                    [Item::Message { role, content }, Item::Message { role: nudge, .. }, more @ ..]
                        if role == "assistant" && content == text && nudge == "user" =>
                    {
                        more
                    }
                    _ => return Err(format!("turn {turn} was a text: {items:?}")),
                },
                Turn::Calls(calls) => {
                    for (place, call) in calls.iter().enumerate() {
                        let id = CallId::derive(self.run, turn, place);
                        rest = skip_own_questions(rest);
                        rest = carried_out(call, rest, |output| is_known(id, output)).ok_or_else(|| {
                            format!("call {place} of turn {turn} is not as it was carried out: {items:?}")
                        })?;
                    }
                    rest
                }
            };
        }
        Err(format!("it goes on after the end: {items:?}"))
    }
}

/// Piton asks when a run goes round in circles; the model takes note.
fn skip_own_questions(mut items: &[Item]) -> &[Item] {
    while let [Item::Call { name, arguments, call_id, .. }, Item::Output { call_id: answered, .. }, rest @ ..] =
        items
        && name == "ask_human"
        && arguments.contains("This run seems to be stuck")
        && call_id == answered
    {
        items = rest;
    }
    items
}

fn carried_out<'a>(
    planned: &Planned,
    items: &'a [Item],
    is_known: impl Fn(&str) -> bool,
) -> Option<&'a [Item]> {
    let [Item::Call { name, arguments, call_id, .. }, Item::Output { call_id: of, output, .. }, rest @ ..] =
        items
    else {
        return None;
    };
    let is_it = name == planned.name && *arguments == planned.arguments && call_id == of && is_known(output);
    is_it.then_some(rest)
}

impl Turn {
    fn reply(&self) -> Reply {
        let usage = Usage { input_tokens: 1, output_tokens: 1 };
        let (text, calls) = match self {
            Self::Text(text) => (Some(text.clone()), Vec::new()),
            Self::Calls(calls) => (
                None,
                calls
                    .iter()
                    .map(|call| RequestedCall {
                        call_id: call.call_id.clone(),
                        name: call.name.to_owned(),
                        arguments: call.arguments.clone(),
                    })
                    .collect(),
            ),
        };
        Reply { text, calls, notes: Vec::new(), usage, model: "simulated".to_owned() }
    }
}

/// What a tool gives back when all goes well.
pub(crate) fn result_of(arguments: &str) -> Value {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    json!(format!("line {} is done", arguments["line"]))
}

/// The agent of every story. `nothing` is a tool that it does not have.
pub(crate) fn agent() -> Agent {
    let tool = |name: &str, effect, kind| ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        parameters: json!({ "type": "object" }),
        effect,
        kind,
    };
    Agent {
        name: "simulated".to_owned(),
        description: String::new(),
        instructions: "Tell the story.".to_owned(),
        model: "simulated".to_owned(),
        max_steps: 10,
        limits: Limits::default(),
        tools: vec![
            tool("read", EffectClass::Pure, ToolKind::Builtin),
            tool("put", EffectClass::Idempotent, ToolKind::Builtin),
            tool("pay", EffectClass::AtMostOnce, ToolKind::Builtin),
            tool("poison", EffectClass::Pure, ToolKind::Builtin),
            tool("ask_human", EffectClass::Pure, ToolKind::AskHuman),
            tool("final_answer", EffectClass::Pure, ToolKind::FinalAnswer),
        ],
    }
}
