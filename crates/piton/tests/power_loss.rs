//! The power goes while clients launch and answer as fast as they can: the disk loses everything that was not synced.
//! Whatever was acknowledged is there when it comes back, the database is intact, and every run goes on to its end.
//!
//! 2 cycles here; `PITON_LONG=1` makes it 50, `PITON_ROUNDS` says otherwise.
#![expect(clippy::print_stderr, reason = "the figures of the measurement are its result")]

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use piton_testkit::{
    Caller, Ledger, LoopDisk, Said, Say, Script, ScriptedModel, World, clerk, deadline, until,
};
use rand::RngExt;
use serde_json::json;

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const CLIENTS: usize = 4;
/// Questions that lie in the inbox when a cycle begins.
const QUESTIONS: usize = 40;

/// What the server said yes to.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Each run's id, with the number of its task.
    runs: BTreeMap<String, u64>,
    /// Each answer, by the run that it was given to.
    answers: BTreeMap<String, String>,
}

fn cycles() -> u32 {
    let rounds = std::env::var("PITON_ROUNDS").ok().map(|rounds| rounds.parse().expect("a number"));
    rounds.unwrap_or(if std::env::var_os("PITON_LONG").is_some() { 50 } else { 2 })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_loss_of_power() {
    let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
    model.script("clerk", clerk::script());
    let echo = Script::by(|turn| match turn.outputs.first() {
        None => Say::ask(&format!("And {}?", turn.argument)),
        Some(output) => Say::answer(output["answer"].as_str().unwrap_or("nobody answered")),
    });
    model.script("ask", echo);
    model.set_latency(Duration::from_millis(5));
    model.forget_bodies();
    let world = World::new(PITON).model(&model).agent("clerk", &clerk::agent(&ledger, 5)).workers(2);
    let disk = match LoopDisk::mount(&world.path("disk.img"), &world.path("data"), 1 << 30) {
        Ok(disk) => disk,
        Err(why) => return eprintln!("SKIPPED: a loss of power needs a disk of its own: {why}"),
    };
    let mut world = world.serve().await;
    let number = AtomicU64::new(0);
    let (mut said, mut launched, mut answered) = (Said::default(), 0, 0);
    for cycle in 0..cycles() {
        let span = Duration::from_millis(rand::rng().random_range(700..1500));
        let caller = world.caller();
        questions(&caller, &number).await;
        let cut = async {
            tokio::time::sleep(span).await;
            // Who runs on may be told that a sync was done which the disk's end cut off: ext4 says so once in some
            // twenty cuts. Power takes the processor too, so nobody gets to act on it.
            world.freeze_everything().await;
            disk.cut_power().unwrap_or_else(|why| panic!("cycle {cycle}: {why}"));
            world.kill_everything();
        };
        let (acknowledged, ()) = tokio::join!(load(&caller, &number, span), cut);
        disk.come_back().await;
        world.restart().await;

        everything_is_there(&world, &acknowledged).await;
        all_end(&world, &ledger, &mut said).await;
        all_are_right(&world, &ledger, &acknowledged).await;
        world.doctor_finds_nothing().await.expect("a sound database");
        launched += acknowledged.runs.len();
        answered += acknowledged.answers.len();
    }
    let cycles = cycles();
    eprintln!("{cycles} cycles: all of {launched} launches and {answered} answers are there; {said:?}");
    assert!(launched > 0 && answered > 0, "there was no load");
}

/// Waits until there is something to answer.
async fn questions(caller: &Caller, number: &AtomicU64) {
    for _ in 0..QUESTIONS {
        let n = number.fetch_add(1, Ordering::Relaxed);
        caller.try_launch(&format!("run-{n}"), &asks(n), "default").await.expect("it is launched");
    }
    let asked = until(deadline(), "questions lie in the inbox", async || {
        let waiting = caller.try_runs("waiting_human_input").await?;
        (waiting.len() >= QUESTIONS).then_some(())
    });
    asked.await.unwrap_or_else(|error| panic!("{error}"));
}

fn asks(n: u64) -> String {
    format!("[ask:{n}] Ask.")
}

/// Clients that launch and one that answers, until the power is gone.
async fn load(caller: &Caller, number: &AtomicU64, span: Duration) -> Acknowledged {
    let began = Instant::now();
    let clients = (0..CLIENTS).map(async |_| {
        let mut runs = BTreeMap::new();
        while began.elapsed() < span {
            let n = number.fetch_add(1, Ordering::Relaxed);
            let (task, agent) =
                if n.is_multiple_of(2) { (clerk::task(n), "clerk") } else { (asks(n), "default") };
            if let Some(id) = caller.try_launch(&format!("run-{n}"), &task, agent).await {
                runs.insert(id, n);
            }
        }
        runs
    });
    let answers = async {
        let mut answers = BTreeMap::new();
        while began.elapsed() < span {
            answers.append(&mut answer_all(caller).await.unwrap_or_default());
        }
        answers
    };
    let (runs, answers) = tokio::join!(join_all(clients), answers);
    Acknowledged { runs: runs.into_iter().flatten().collect(), answers }
}

/// Answers what is asked now; the answers that were acknowledged.
async fn answer_all(caller: &Caller) -> Option<BTreeMap<String, String>> {
    let mut answers = BTreeMap::new();
    let inbox = caller.try_get("/v1/inbox").await?;
    for item in inbox["items"].as_array()?.iter().filter(|item| item["question"]["kind"] == "question") {
        let id = item["run_id"].as_str()?.to_owned();
        let answer = answer_to(item["question"]["text"].as_str()?);
        let body = json!({ "question": item["question"]["id"], "answer": answer });
        match caller.try_post(&format!("/v1/runs/{id}/answer"), &body).await {
            Some(reply) if reply.status == 200 => drop(answers.insert(id, answer)),
            _ => return Some(answers),
        }
    }
    Some(answers)
}

fn answer_to(question: &str) -> String {
    format!("{question} Yes.")
}

async fn everything_is_there(world: &World, acknowledged: &Acknowledged) {
    for (id, n) in &acknowledged.runs {
        let reply = world.get(&format!("/v1/runs/{id}")).await;
        assert_eq!(reply.status, 200, "run {n} was acknowledged and is lost: {}", reply.text);
    }
    for (id, answer) in &acknowledged.answers {
        let events = world.events(id).await;
        let given = events.iter().any(|event| event["data"]["answer"] == *answer);
        assert!(given, "{answer:?} was acknowledged and is lost: {events:#?}");
    }
}

/// Answers and decides until nothing is left to do.
async fn all_end(world: &World, ledger: &Ledger, said: &mut Said) {
    let caller = world.caller();
    let ended = until(deadline() * 2, "no run is left", async || {
        said.attend(&caller, ledger, answer_to).await;
        let left = caller.try_runs("running,cancelling,undecided,waiting_human_input").await?;
        left.is_empty().then_some(())
    });
    if let Err(error) = ended.await {
        let left = caller.try_runs("running,cancelling,undecided,waiting_human_input").await;
        panic!("{error}: {left:#?}");
    }
}

/// Also those that were launched and whose acknowledgement the power took.
async fn all_are_right(world: &World, ledger: &Ledger, acknowledged: &Acknowledged) {
    let mut booked: HashMap<(String, u64), usize> = HashMap::new();
    for entry in ledger.entries().await {
        *booked.entry((entry.account, entry.line)).or_default() += 1;
    }
    let runs = world.caller().try_runs("complete,failed,quarantined,max_steps_reached,cancelled").await;
    for run in runs.expect("the server answers") {
        let task = run["task"].as_str().expect("a run has a task");
        let Some(n) = clerk::number_of(task) else {
            assert_eq!(run["status"], "complete", "{run:#}");
            continue;
        };
        assert_eq!(clerk::trouble_with_run(n, &run), None);
        for line in 1..=clerk::LINES {
            if booked.remove(&(clerk::account(n), line)) != Some(1) {
                let events = world.events(run["id"].as_str().expect("a run has an id")).await;
                let entries = ledger.booked(&clerk::account(n), line).await;
                panic!("line {line} of run {n} is booked so: {entries:?}, and this happened: {events:#?}");
            }
        }
    }
    assert!(booked.is_empty(), "effects of runs that are not there: {booked:?}");
    for (id, answer) in &acknowledged.answers {
        assert_eq!(world.run(id).await["final_answer"], *answer, "the answer counts");
    }
}
