//! A story in which everything happens once that can happen to a run: a pure tool, an idempotent and an `at_most_once`
//! HTTP tool, several calls in one reply, a question, an unknown outcome that a person decides, a pause, a step limit
//! with a resume; and in a second run a cancel while a call is open.
//!
//! The person in it only reacts to what they see, so the story gets to its end whichever process dies on the way, and
//! what is left to compare is the history.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::clerk;
use crate::ledger::Ledger;
use crate::person::Said;
use crate::script::{Call, Gate, Say};
use crate::scripted_model::ScriptedModel;
use crate::tale::Tale;

/// Lines of the ledger that the story books, each exactly once.
const LINES: u64 = 8;
/// The line whose call is under way when the second run is cancelled.
const CANCELLED_LINE: u64 = 8;
/// Replies after which the first run is paused, while the model is asked for the next.
const TURNS_BEFORE_PAUSE: u64 = 5;
/// The tool whose calls never return in time.
pub(crate) const SLOW_CALL: &str = "send";
const ANSWER: &str = "The story is told.";

/// The account that it books on, and the tags of its two tasks.
const ACCOUNT: &str = "teller";
const LONG: &str = "story";
const CANCELLED: &str = "cancelled-story";

/// One telling of the story. It wants a model and a ledger of its own.
#[derive(Debug)]
pub struct Story {
    /// Held until the first run is paused.
    gate: Gate,
    /// The runs' ids, from when their launch was acknowledged.
    long: Option<String>,
    cancelled: Option<String>,
    is_over: bool,
    said: Said,
    /// How often each command was acknowledged, by the event that it makes.
    acknowledged: BTreeMap<&'static str, u32>,
}

impl Story {
    /// `config/agents/teller.toml`.
    pub fn agent(ledger: &Ledger) -> String {
        let parameters = r#"{ type = "object", properties = { account = { type = "string" }, line = { type = "integer" } }, required = ["account", "line"], additionalProperties = false }"#;
        let tool = |name: &str, query: &str, more: &str| {
            let url = ledger.url(query);
            format!(
                "[[http_tool]]\nname = \"{name}\"\ndescription = \"Books one line\"\nmethod = \"POST\"\n\
                 url = \"{url}\"\nallow_private = true\nparameters = {parameters}\n{more}\n"
            )
        };
        let tools = [
            tool("book", "mode=plain", "timeout_ms = 10000"),
            tool("post", "mode=idempotent", "effect = \"idempotent\"\ntimeout_ms = 10000"),
            // The effect happens, and no answer comes in time.
            tool(SLOW_CALL, "mode=plain&latency_ms=60000", "timeout_ms = 300"),
            // Long enough to be cancelled meanwhile.
            tool("ship", "mode=plain&latency_ms=400", "timeout_ms = 10000"),
        ];
        format!(
            "name = \"teller\"\ndescription = \"Tells the story\"\ninstructions = \"Tell it.\"\nmax_steps = 8\n\
             tools = [\"sum_numbers\", \"ask_human\", \"final_answer\"]\n{}",
            tools.concat()
        )
    }

    /// Gives the model its part.
    pub fn new(model: &ScriptedModel) -> Self {
        let gate = Gate::new();
        let book = |line: u64| json!({ "account": ACCOUNT, "line": line });
        let sum = |a: u64| json!({ "a": a, "b": 3 });
        let several =
            vec![Call::new("sum_numbers", &sum(4)), Call::new("post", &book(4)), Call::new("book", &book(5))];
        let long = [
            Say::call("sum_numbers", sum(2)).with_text("First a sum."),
            Say::call("post", book(1)),
            Say::call("book", book(2)),
            Say::ask("Which colour?"),
            Say::call(SLOW_CALL, book(3)),
            Say::calls(several).held_by(&gate),
            Say::call("book", book(6)),
            Say::answer(ANSWER),
        ];
        model.script(LONG, long);
        let never = Gate::new();
        let cancelled = [
            Say::call("post", book(7)),
            Say::call("ship", book(CANCELLED_LINE)),
            Say::answer("never said").held_by(&never),
        ];
        model.script(CANCELLED, cancelled);
        Self {
            gate,
            long: None,
            cancelled: None,
            is_over: false,
            said: Said::default(),
            acknowledged: BTreeMap::new(),
        }
    }

    /// Whether both runs are at their end.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Looks at where the story stands with `eyes`, and does what a person would do there with `hands`. Either may
    /// find its server dead: then nothing happens, and the next look sees the same.
    ///
    /// # Panics
    /// When a run takes a turn that is not in the story.
    pub async fn go_on(&mut self, hands: &Caller, eyes: &Caller, ledger: &Ledger) {
        // `None`: somebody did not answer.
        let _looked = self.look(hands, eyes, ledger).await;
    }

    async fn look(&mut self, hands: &Caller, eyes: &Caller, ledger: &Ledger) -> Option<()> {
        if self.long.is_none() {
            self.long = Some(launch(LONG, hands).await?);
        }
        let id = self.long.clone()?;
        let run = eyes.try_get(&format!("/v1/runs/{id}")).await?;
        if run["status"] != "complete" {
            return self.attend_long(&run, hands, eyes, ledger).await;
        }
        if self.cancelled.is_none() {
            self.cancelled = Some(launch(CANCELLED, hands).await?);
        }
        let id = self.cancelled.clone()?;
        let run = eyes.try_get(&format!("/v1/runs/{id}")).await?;
        self.attend_cancelled(&run, hands, ledger).await
    }

    async fn attend_long(
        &mut self,
        run: &Value,
        hands: &Caller,
        eyes: &Caller,
        ledger: &Ledger,
    ) -> Option<()> {
        match run["status"].as_str()? {
            "running" if is_before_gate(run) && !was_paused(run, eyes).await? => {
                self.command(run, "pause", "paused", hands).await
            }
            "running" => Some(()),
            "paused" => {
                self.gate.open();
                // A worker that still holds it is about to record the reply that it was paused in.
                if run["owner"].is_null() {
                    self.command(run, "resume", "resumed", hands).await
                } else {
                    Some(())
                }
            }
            "max_steps_reached" => self.command(run, "resume", "resumed", hands).await,
            "waiting_human_input" | "undecided" => {
                self.said.attend(hands, ledger, |_| "blue".to_owned()).await;
                Some(())
            }
            status => panic!("the first run is {status}: {run:#}"),
        }
    }

    async fn attend_cancelled(&mut self, run: &Value, hands: &Caller, ledger: &Ledger) -> Option<()> {
        match run["status"].as_str()? {
            "cancelled" => self.is_over = true,
            "running" if ledger.booked(ACCOUNT, CANCELLED_LINE).await.is_empty() => {}
            "running" => return self.command(run, "cancel", "cancel_requested", hands).await,
            "undecided" => self.said.attend(hands, ledger, |_| "blue".to_owned()).await,
            "cancelling" => {}
            status => panic!("the second run is {status}: {run:#}"),
        }
        Some(())
    }

    /// A refusal is no matter: the next look sees why.
    async fn command(&mut self, run: &Value, verb: &str, event: &'static str, hands: &Caller) -> Option<()> {
        let path = format!("/v1/runs/{}/{verb}", run["id"].as_str()?);
        let reply = hands.try_send(hands.request(Method::POST, &path)).await.ok()?;
        if reply.status == 200 {
            *self.acknowledged.entry(event).or_default() += 1;
        }
        Some(())
    }

    /// What was told, once the story is over.
    ///
    /// # Panics
    /// When the server does not answer, or a history tells something that cannot be.
    pub async fn told(&self, caller: &Caller) -> Tale {
        let mut tale = Tale::default();
        for id in [&self.long, &self.cancelled] {
            let id = id.as_ref().expect("the story is over");
            let run = caller.try_get(&format!("/v1/runs/{id}")).await.expect("the server answers");
            let events = caller.try_events(id).await.expect("the server answers");
            assert_eq!(clerk::trouble_with_events(0, &events), Vec::<String>::new(), "{events:#?}");
            tale.add(&run, &events);
        }
        self.nothing_acknowledged_is_missing(&tale);
        tale
    }

    /// Each command that was acknowledged is an event of its own.
    fn nothing_acknowledged_is_missing(&self, tale: &Tale) {
        let said = [
            ("human_answered", self.said.answered),
            ("outcome_decided", self.said.happened + self.said.did_not_happen),
        ];
        for (kind, acknowledged) in said.into_iter().chain(self.acknowledged.iter().map(|(k, n)| (*k, *n))) {
            let there = tale.types.iter().filter(|seen| *seen == kind).count();
            assert!(there >= acknowledged as usize, "{acknowledged} acknowledged, {there} there: {kind}");
        }
    }

    /// What is wrong with the ledger when the story is over: each line is to be there exactly once.
    pub async fn trouble_with_ledger(&self, ledger: &Ledger) -> Vec<String> {
        let mut trouble = Vec::new();
        for line in 1..=LINES {
            let booked = ledger.booked(ACCOUNT, line).await;
            if booked.len() != 1 {
                trouble.push(format!("line {line} is booked so: {booked:?}"));
            }
        }
        trouble
    }
}

async fn launch(tag: &str, hands: &Caller) -> Option<String> {
    hands.try_launch(tag, &format!("[{tag}] Tell it."), "teller").await
}

/// Whether the model is being asked, or about to be, for the reply that the gate holds.
fn is_before_gate(run: &Value) -> bool {
    run["turns"] == TURNS_BEFORE_PAUSE && run["pending"].as_array().is_some_and(Vec::is_empty)
}

async fn was_paused(run: &Value, eyes: &Caller) -> Option<bool> {
    let events = eyes.try_events(run["id"].as_str()?).await?;
    Some(events.iter().any(|event| event["type"] == "paused"))
}
