//! Runs that a worker gives back before they rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use piton_core::{EffectClass, Status, ToolSpec};
use piton_store::{Lane, PerName, Store};
use piton_testkit::{Gate, Say, deadline};
use piton_tools::{Registry, RegistryOptions, Tool, ToolError, ToolInput};
use piton_worker::Paces;
use serde_json::{Value, json};

use crate::world::{LEASE_MS, World, spec, sum};

#[tokio::test]
async fn a_worker_that_stops_hands_its_step_back_unattempted() {
    let world = World::new().await;
    let gate = Gate::new();
    world.model.script("stop", [sum(1, 1), sum(2, 2).held_by(&gate), Say::answer("4")]);
    let run = world.launch("[stop]").await;
    let worker = world.worker();
    gate.reached(1).await;
    worker.stop().await;
    let row = world.store.run(run).await.expect("read").expect("the run");
    assert_eq!((row.owner.clone(), row.attempt), (None, 0));
    assert_eq!(world.kinds(run).await, ["launched", "model_replied", "tool_returned"]);
    gate.open();
    let second = world.worker();
    world.until(run, Status::Complete).await;
    second.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_run_whose_model_may_not_be_asked_yet_goes_back_to_its_place() {
    let mut world = World::new().await;
    let one_a_minute = PerName { named: BTreeMap::from([("test-model".to_owned(), 1)]), others: None };
    world.paces = Paces { endpoint: "here".to_owned(), requests: one_a_minute, ..Paces::default() };
    world.model.script("paced", [Say::answer("now")]);
    let worker = world.worker();
    let first = world.launch("[paced]").await;
    world.until(first, Status::Complete).await;
    let second = world.launch("[paced]").await;
    let mut rings = world.store.bell().jobs();
    let gone_back = async {
        loop {
            let row = world.store.run(second).await.expect("read").expect("the run");
            if row.epoch.0 > 0 && row.owner.is_none() {
                return row;
            }
            let _ = tokio::time::timeout(Duration::from_millis(100), rings.heard()).await;
        }
    };
    let row = tokio::time::timeout(deadline(), gone_back).await.expect("it is handed back");
    assert_eq!((row.attempt, row.run.status), (0, Status::Running));
    assert_eq!(world.kinds(second).await, ["launched"]);
    assert_eq!(
        world.store.due(Lane::Common, 1).await.expect("counted"),
        0,
        "nobody here asks for it again and again"
    );
    assert_eq!(world.store.queue().await.expect("counted").due, 1);
    assert_eq!(world.model.requests(), 1);
    worker.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_worker_that_drains_finishes_its_step_and_ends_by_itself() {
    let world = World::new().await;
    let gate = Gate::new();
    world.model.script("drain", [sum(1, 1).held_by(&gate), Say::answer("2")]);
    let run = world.launch("[drain]").await;
    let worker = world.worker();
    gate.reached(1).await;
    let id = world.store.workers().await.expect("read")[0].id.clone();
    assert!(world.store.drain(&id).await.expect("asked"));
    let left = world.launch("left alone").await;
    // The call outlasts what a worker that stops would give it.
    tokio::time::sleep(Duration::from_millis(LEASE_MS)).await;
    gate.open();
    tokio::time::timeout(deadline(), worker.task).await.expect("it ends").expect("in good order");
    assert_eq!(world.kinds(run).await, ["launched", "model_replied"]);
    assert_eq!(world.store.run(left).await.expect("read").expect("the run").epoch.0, 0);
    assert!(world.store.workers().await.expect("read").is_empty());
    world.check().await;
}

#[tokio::test]
async fn a_run_whose_tool_a_worker_lacks_is_left_to_one_that_has_it() {
    let mut world = World::new().await;
    world.model.script("both", [Say::call("weigh", json!({})), Say::answer("heavy")]);
    world.model.script("one", [sum(1, 2), Say::answer("3")]);
    let usual = world.agent.clone();
    let answer = world.tools.spec("final_answer").expect("a known tool");
    world.agent.tools = vec![spec("weigh", EffectClass::Pure), answer];
    let both = world.launch("[both] weigh it").await;
    world.agent = usual;
    let old = world.worker();
    let mut rings = world.store.bell().events();
    let told = async {
        loop {
            let lacking = world.store.queue().await.expect("stats").lacking;
            if let Some(lacking) = lacking.into_iter().next() {
                return lacking;
            }
            let _ = tokio::time::timeout(Duration::from_millis(100), rings.heard()).await;
        }
    };
    let lacking = tokio::time::timeout(deadline(), told).await.expect("it shows what is lacking");
    assert_eq!((lacking.what.as_str(), lacking.runs), ("the tool weigh", 1));
    // The worker goes on with what it can do, and the run waits as if it had never been taken.
    let one = world.launch("[one] add up").await;
    world.until(one, Status::Complete).await;
    let row = world.store.run(both).await.expect("read").expect("the run");
    assert_eq!((row.owner, row.attempt, row.epoch.0), (None, 0, 1));
    assert_eq!(world.kinds(both).await, ["launched"]);

    let mut tools = Registry::new(RegistryOptions::default());
    tools.add(Arc::new(Weigh));
    let new = world.worker_of(world.elsewhere().await, Arc::new(tools));
    let row = world.until(both, Status::Complete).await;
    assert_eq!(row.run.final_answer.as_deref(), Some("heavy"));
    assert_eq!(world.store.queue().await.expect("stats").lacking, []);
    new.stop().await;
    old.stop().await;
    world.check().await;
}

#[derive(Debug)]
struct Weigh;

#[async_trait]
impl Tool for Weigh {
    fn spec(&self) -> ToolSpec {
        spec("weigh", EffectClass::Pure)
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn call(&self, _input: ToolInput<'_>) -> Result<Value, ToolError> {
        Ok(json!("12 kg"))
    }
}
