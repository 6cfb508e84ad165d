//! The runs: what kinds there are, what the model says to each, and keeping as many as wanted in flight.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use piton_testkit::{Fault, Ledger, Say, Script, ScriptedModel, Turn, clerk};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::roster::Kind;
use crate::{CALM_MAX, Storm, verdict};

const IN_FLIGHT: usize = 40;
/// From one poison run to the next.
const POISON_EVERY: Duration = Duration::from_secs(15);
/// A run that has not moved for so long will not move again.
const STUCK: Duration = Duration::from_secs(90);
/// All statuses from which a run is still to come to its end.
const OPEN: &str = "running,undecided,cancelling,paused,waiting_human_input";

/// The agents, by their files' names.
pub(crate) fn agents(ledger: &Ledger) -> [(&'static str, String); 4] {
    let clerk = clerk::agent(ledger, 15);
    let named = |name: &str| clerk.replace("name = \"clerk\"", &format!("name = \"{name}\""));
    let tester = "name = \"tester\"\ndescription = \"Does harm on purpose\"\ninstructions = \"Do it.\"\n\
                  tools = [\"abort\", \"final_answer\"]\n";
    [
        ("clerk", clerk.clone()),
        // The effect happens, and the connection is cut before anybody hears of it.
        ("flaky", named("flaky").replace("mode=plain&", "mode=plain&drop=first&")),
        ("brief", named("brief").replace("max_steps = 20", "max_steps = 4")),
        ("tester", tester.to_owned()),
    ]
}

impl Kind {
    pub(crate) const fn agent(self) -> &'static str {
        match self {
            Self::Clerk | Self::Asker | Self::Doomed => "clerk",
            Self::Flaky => "flaky",
            Self::Limited => "brief",
            Self::Poison => "tester",
        }
    }

    pub(crate) fn task(self, n: u64) -> String {
        match self {
            Self::Clerk | Self::Flaky | Self::Limited => clerk::task(n),
            Self::Asker => format!("[ask:{n}] Ask, and tell me what was said."),
            Self::Doomed => format!("[doom:{n}] Ask a model that will not have it."),
            Self::Poison => format!("[abort:{n}] Take your worker down."),
        }
    }

    fn draw(rng: &mut StdRng) -> Self {
        match rng.random_range(0..100) {
            0..72 => Self::Clerk,
            72..82 => Self::Flaky,
            82..92 => Self::Asker,
            92..97 => Self::Limited,
            _ => Self::Doomed,
        }
    }
}

/// What the model says; of a hundred requests some are refused, left hanging or broken off, by the seed.
pub(crate) fn script(model: &ScriptedModel, seed: u64) {
    model.set_latency(Duration::from_millis(60));
    model.forget_bodies();
    model.script("clerk", Script::by(move |turn| with_faults(clerk::say(turn), turn, seed)));
    model.script(
        "ask",
        Script::by(|turn| match turn.outputs.first() {
            None => Say::ask(&format!("May I, number {}?", turn.argument)),
            Some(output) => Say::answer(output["answer"].as_str().unwrap_or("no answer")),
        }),
    );
    // Not to be tried again: what is would begin anew with each worker, and none lives long here.
    model.script("doom", [Say::never(Fault::status(400))]);
    model.script("abort", [Say::call("abort", json!({})), Say::answer("never")]);
}

fn with_faults(say: Say, turn: &Turn, seed: u64) -> Say {
    let n: u64 = turn.argument.parse().unwrap_or_default();
    // The same for every try of this turn.
    let mut rng = StdRng::seed_from_u64(seed ^ n.rotate_left(20) ^ (turn.done as u64).rotate_left(50));
    match rng.random_range(0..100) {
        0 => say.after(Fault::Status { status: 429, retry_after_s: Some(1) }),
        1 => say.after(Fault::status(429)).after(Fault::status(503)),
        2 => say.after(Fault::status(500)),
        3 => say.after(Fault::Hang),
        4 => say.after(Fault::Cut),
        5 => say.after(Fault::InvalidJson),
        _ => say,
    }
}

/// What the person says to a question.
pub(crate) fn answer_to(question: &str) -> String {
    format!("Yes to \u{201c}{question}\u{201d}")
}

/// What an asker's final answer is to be.
pub(crate) fn answer_of(n: u64) -> String {
    answer_to(&format!("May I, number {n}?"))
}

/// Launches what is missing and looks at what has ended, until it is calm and all have.
pub(crate) async fn keep_busy(storm: &Storm) {
    let mut rng = StdRng::seed_from_u64(storm.seed);
    let mut next_poison = Instant::now() + POISON_EVERY / 3;
    let mut calm_since: Option<Instant> = None;
    loop {
        tokio::time::sleep(Duration::from_millis(40)).await;
        let Some(runs) = storm.spared.try_runs(OPEN).await else {
            storm.trouble("the spared server does not answer");
            break;
        };
        let open: HashMap<&str, &Value> =
            runs.iter().filter_map(|run| Some((run["id"].as_str()?, run))).collect();
        let ended = storm.roster.borrow_mut().see(&open);
        join_all(ended.iter().map(|n| verdict::on_one(storm, *n))).await;

        if !storm.calm.get() {
            let poison = Instant::now() >= next_poison;
            if poison {
                next_poison += POISON_EVERY;
            }
            let mut roster = storm.roster.borrow_mut();
            for place in 0..IN_FLIGHT.saturating_sub(roster.open.len()) {
                let kind = if poison && place == 0 { Kind::Poison } else { Kind::draw(&mut rng) };
                roster.entrust(kind);
            }
        } else if storm.roster.borrow().open.is_empty() {
            break;
        } else {
            let since = *calm_since.get_or_insert_with(Instant::now);
            if since.elapsed() > CALM_MAX || !storm.trouble.borrow().is_empty() {
                let left: Vec<u64> = storm.roster.borrow().open.keys().copied().collect();
                storm.trouble(format!("these have not ended: {left:?}"));
                break;
            }
        }
        if let Some(stuck) = storm.roster.borrow().stuck(STUCK) {
            storm.trouble(format!("this has not moved for {STUCK:?}: {:#}", json!(open.get(&*stuck))));
        }
        launch_what_is_not(storm, &mut rng).await;
    }
    storm.over.set(true);
}

/// Sends every launch that was not acknowledged yet, some of them twice at once: it is the same run.
async fn launch_what_is_not(storm: &Storm, rng: &mut StdRng) {
    let waiting: Vec<(u64, Kind, bool)> = storm
        .roster
        .borrow()
        .open
        .values()
        .filter(|run| run.id.is_none())
        .map(|run| (run.n, run.kind, rng.random_range(0..10) == 0))
        .collect();
    let launches = waiting.into_iter().map(async |(n, kind, twice)| {
        let key = format!("seed-{}-run-{n}", storm.seed);
        let task = kind.task(n);
        let launch = || storm.caller.try_launch(&key, &task, kind.agent());
        let again =
            async { if twice { storm.spared.try_launch(&key, &task, kind.agent()).await } else { None } };
        let (first, second) = futures::join!(launch(), again);
        if let (Some(first), Some(second)) = (&first, &second)
            && first != second
        {
            storm.trouble(format!("one idempotency key launched both {first} and {second}"));
        }
        if let Some(id) = first.or(second)
            && let Some(run) = storm.roster.borrow_mut().open.get_mut(&n)
        {
            run.is_launched(id);
        }
    });
    join_all(launches).await;
}
