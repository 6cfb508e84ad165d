//! A step costs the store the same however long its run's history is: what its transactions write, and how long they
//! hold the database, at event 100 and at the end. The request to the model grows with the context, and is shown apart.
//!
//! The end is event 1,500 here; `PITON_LONG=1` makes it 10,000.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use piton_testkit::{
    Call, Gate, Say, Script, ScriptedModel, Spread, Strace, SystemCall, World, database, deadline, until,
};
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
/// Calls of each reply: a step is one reply and these.
const CALLS: usize = 10;
const EVENTS_A_STEP: usize = CALLS + 1;
/// Steps that are looked at, each time.
const WINDOW: usize = 10;
/// Long enough for a step to show what it has meanwhile, however short its context.
const MODEL_TAKES: Duration = Duration::from_millis(60);

/// What the steps of a window cost.
struct Cost {
    /// Bytes written to the log, a step.
    written_bytes: f64,
    /// Bytes read from the database and its log, a step.
    read_bytes: f64,
    transactions: f64,
    /// From taking the right to write to giving it back.
    held: Spread,
    /// Of the last request to the model.
    request_bytes: u64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { written_bytes, read_bytes, transactions, held, request_bytes } = self;
        let held_us = held.percentile(50.0).as_micros();
        write!(
            f,
            "a step: {transactions:.1} transactions, {written_bytes:.0} bytes written, {read_bytes:.0} read; a \
             transaction: {held_us} µs (median of {}); the request: {request_bytes} bytes",
            held.len()
        )
    }
}

/// The model's part: sums that are all different, and gates before and after each window.
fn script(gates: &[(usize, Gate)]) -> Script {
    let gates = gates.to_vec();
    Script::by(move |turn| {
        let step = turn.done / CALLS;
        let (last, _) = gates.last().expect("there are gates");
        let say = if step > *last {
            Say::answer("enough")
        } else {
            let sums = (0..CALLS).map(|call| Call::new("sum_numbers", &json!({ "a": step, "b": call })));
            Say::calls(sums.collect())
        };
        match gates.iter().find(|(at, _)| *at == step) {
            Some((_, gate)) => say.held_by(gate),
            None if gates.iter().any(|(at, _)| (*at..*at + WINDOW).contains(&step)) => {
                say.taking(MODEL_TAKES)
            }
            None => say,
        }
    })
}

#[tokio::test]
async fn a_step_costs_the_store_the_same_late_as_early() {
    if let Some(why) = Strace::missing() {
        return eprintln!("SKIPPED: what a step costs is measured with strace: {why}");
    }
    let end = if std::env::var_os("PITON_LONG").is_some() { 10_000 } else { 1_500 };
    let windows = [100, end].map(|event| event / EVENTS_A_STEP - WINDOW / 2);
    let gates: Vec<(usize, Gate)> =
        windows.iter().flat_map(|first| [*first, first + WINDOW]).map(|step| (step, Gate::new())).collect();
    let model = ScriptedModel::start().await;
    model.script("long", script(&gates));
    model.forget_bodies();
    let agent = "name = \"counter\"\ndescription = \"Counts\"\ninstructions = \"Count.\"\nmax_steps = 1000\n\
                 tools = [\"sum_numbers\", \"final_answer\"]\n";
    let mut world = World::new(PITON).model(&model).agent("counter", agent).workers(0).serve().await;
    let worker = world.start_worker();
    let id = world.launch_with(&json!({ "task": "[long]", "agent": "counter" })).await;

    let mut costs = Vec::new();
    for window in gates.chunks(2) {
        let [(first, begin), (last, end)] = window else { unreachable!("two gates a window") };
        shown(&world, &id, *first).await;
        let strace =
            Strace::of(&["pwrite64", "pread64", "fsync", "fcntl"], world.path(&format!("trace-{first}")));
        let strace = strace.on(&database(&world)).attach(worker).await;
        begin.open();
        shown(&world, &id, *last).await;
        let seen = strace.detach();
        costs.push(cost(&seen, request_bytes(&world, &id).await));
        end.open();
    }
    let run = world.until(&id, &["complete"]).await;
    let [early, late] = &costs[..] else { unreachable!("two windows") };
    eprintln!("at event 100: {early}\nat event {end}: {late}");
    assert!(run["version"].as_u64() > Some(end as u64), "{run:#}");
    assert!(late.written_bytes <= 2.0 * early.written_bytes, "it writes more: {early}; {late}");
    // Trees grow a level deeper; a history that was read again would be hundreds of times as much.
    assert!(late.read_bytes <= 4.0 * early.read_bytes, "it reads more: {early}; {late}");
    // The windows are minutes apart: the quicker quarter says more of the work, and less of what else the machine did.
    let [before, after] = [early, late].map(|cost| cost.held.percentile(25.0));
    assert!(after <= before * 2, "it takes longer: {early}; {late}");
    model.assert_every_request_was_valid();
}

/// Waits until the worker asks for the reply of this step, with everything before it on disk.
async fn shown(world: &World, id: &str, step: usize) {
    let version = 1 + step * EVENTS_A_STEP;
    let shown = until(deadline() * 10, format!("event {version}"), async || {
        (world.run(id).await["version"] == version).then_some(())
    });
    shown.await.unwrap_or_else(|error| panic!("{error}"));
}

async fn request_bytes(world: &World, id: &str) -> u64 {
    let version = world.run(id).await["version"].as_u64().expect("a version");
    let events = world
        .get(&format!("/v1/runs/{id}/events?after={}", version - EVENTS_A_STEP as u64))
        .await
        .expect(200);
    let replied = events["events"].as_array().and_then(|events| {
        events
            .iter()
            .find(|event| event["type"] == "model_replied")
            .map(|event| event["data"]["request"]["bytes"].clone())
    });
    replied.as_ref().and_then(Value::as_u64).expect("a reply among the last events")
}

fn cost(seen: &[SystemCall], request_bytes: u64) -> Cost {
    let bytes = |name: &str, path: &str| {
        let calls = seen.iter().filter(|call| call.name == name && call.arguments.contains(path));
        calls.filter_map(|call| call.returned).sum::<i64>() as f64 / WINDOW as f64
    };
    let held = transactions(seen);
    Cost {
        written_bytes: bytes("pwrite64", "piton.db-wal>"),
        read_bytes: bytes("pread64", "piton.db"),
        transactions: held.len() as f64 / WINDOW as f64,
        held,
        request_bytes,
    }
}

/// How long the right to write was held, each time: byte 120 of the `-shm` file.
fn transactions(seen: &[SystemCall]) -> Spread {
    let mut since: BTreeMap<u32, Duration> = BTreeMap::new();
    let mut held = Vec::new();
    for call in seen.iter().filter(|call| call.name == "fcntl" && call.arguments.contains("l_start=120,")) {
        if call.returned != Some(0) {
            continue;
        }
        if call.arguments.contains("F_WRLCK") {
            since.insert(call.thread, call.at);
        } else if let Some(since) = since.remove(&call.thread) {
            held.push(call.at.saturating_sub(since));
        }
    }
    held.into_iter().collect()
}
