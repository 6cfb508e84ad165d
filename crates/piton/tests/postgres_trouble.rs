//! What befalls a PostgreSQL server besides its death, while runs with effects are kept in flight: restarts, a failover to a
//! standby, no room for connections, locks that others hold, transactions in each other's way, no right to write. Launches
//! are answered with 503 and `Retry-After` meanwhile, `/readyz` names the reason, and once it is over everything goes on by itself:
//! every run ends right, every effect is there once.
//!
//! A failover takes two seconds here, and thirty with `PITON_LONG=1`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use piton_testkit::{
    Caller, Crowd, Ledger, PostgresServer, Say, ScriptedModel, World, clerk, deadline, until,
};
use reqwest::Method;
use serde_json::{Value, json};

const PITON: &str = env!("CARGO_BIN_EXE_piton");
const IN_FLIGHT: usize = 8;
const LEASE: Duration = Duration::from_secs(3);
/// Until a run is over that is launched right after a trouble, on a machine with other tests at work.
const BACK_WITHIN: Duration = Duration::from_secs(15);

/// Two workers on a database, with a crowd of clerks.
struct Scene {
    model: ScriptedModel,
    ledger: Ledger,
    world: World,
}

impl Scene {
    async fn on(url: &str) -> Self {
        let (model, ledger) = (ScriptedModel::start().await, Ledger::spawn());
        model.script("clerk", clerk::script());
        model.script("back", [Say::answer("ok")]);
        model.set_latency(Duration::from_millis(50));
        let world = World::new(PITON).model(&model).agent("clerk", &clerk::agent(&ledger, 15));
        let world =
            world.env("PITON_STORE__URL", url).env("PITON_WORKER__LEASE_MS", &LEASE.as_millis().to_string());
        let world = world.workers(2).serve().await;
        world.workers_ready(2).await;
        Self { model, ledger, world }
    }

    /// Lets `trouble` come and go while runs are in flight, and sees that nothing was lost or doubled by it.
    async fn live_through(self, trouble: impl Future<Output = ()>) {
        let Self { model, ledger, world } = self;
        let caller = world.caller();
        let mut crowd = Crowd::new(world.caller(), IN_FLIGHT);
        let calm = AtomicBool::new(false);
        let storm = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            trouble.await;
            goes_on(&caller, "after").await;
            calm.store(true, Ordering::Relaxed);
        };
        let busy = async {
            while !calm.load(Ordering::Relaxed) {
                crowd.look_after(&ledger, true).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            crowd.disperse(&ledger, deadline() * 2).await.unwrap_or_else(|error| panic!("{error}"));
        };
        tokio::join!(storm, busy);
        let (events, entries) = (crowd.events().await, ledger.entries().await);
        let trouble = crowd.trouble(&entries, &events).await;
        assert_eq!(trouble, Vec::<String>::new());
        model.assert_every_request_was_valid();
        world.doctor_finds_nothing().await.expect("a sound database");
    }
}

async fn goes_on(caller: &Caller, key: &str) {
    let seen = caller.sees_through(key, "[back]", "default", BACK_WITHIN).await;
    seen.unwrap_or_else(|error| panic!("{error}"));
}

/// Waits until launches are turned away for now, and `/readyz` says why.
async fn is_refused(caller: &Caller, reason: &str) {
    let mut seen = Value::Null;
    let refused = until(deadline(), format!("not ready, for: {reason}"), async || {
        let ready = caller.try_send(caller.request(Method::GET, "/readyz")).await.ok()?;
        seen = ready.json();
        let is_named = seen["reason"].as_str().is_some_and(|why| why.contains(reason));
        (ready.status == 503 && ready.header("retry-after").is_some() && is_named).then_some(())
    });
    refused.await.unwrap_or_else(|error| panic!("{error}, but {seen:#}"));
    let launch = caller.try_post("/v1/runs", &json!({ "task": "[back]" })).await.expect("the API answers");
    assert_eq!(launch.status, 503, "{}", launch.text);
    assert!(launch.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_and_a_crash_are_lived_through() {
    let mut database = PostgresServer::start();
    let scene = Scene::on(&database.url()).await;
    let caller = scene.world.caller();
    let trouble = async {
        database.stop();
        is_refused(&caller, "PostgreSQL cannot be reached").await;
        database.begin();
        goes_on(&caller, "restarted").await;
        database.crash();
        is_refused(&caller, "PostgreSQL cannot be reached").await;
        database.begin();
    };
    scene.live_through(trouble).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_from_a_primary_that_is_gone() {
    let mut primary = PostgresServer::start_on([127, 0, 0, 1].into());
    let standby = primary.standby();
    let both = format!("postgres://postgres@{},{}/postgres", primary.place(), standby.place());
    let scene = Scene::on(&both).await;
    let caller = scene.world.caller();
    // One that knows the standby alone.
    let mut beside = World::new(PITON).env("PITON_STORE__URL", &standby.url()).workers(0);
    beside.start_server();
    is_refused(&beside.caller(), "read-only").await;
    let outage = Duration::from_secs(if std::env::var_os("PITON_LONG").is_some() { 30 } else { 2 });
    let trouble = async {
        primary.crash();
        is_refused(&caller, "").await;
        tokio::time::sleep(outage).await;
        is_refused(&caller, "").await;
        standby.promote();
        beside.ready().await;
    };
    scene.live_through(trouble).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_room_for_connections_is_waited_out() {
    let database = PostgresServer::start();
    database.sql("CREATE ROLE runner LOGIN; GRANT ALL ON SCHEMA public TO runner");
    let scene = Scene::on(&database.url_of("runner")).await;
    let caller = scene.world.caller();
    let trouble = async {
        database.sql("ALTER ROLE runner CONNECTION LIMIT 0");
        database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'runner'");
        is_refused(&caller, "too many connections").await;
        tokio::time::sleep(LEASE).await;
        database.sql("ALTER ROLE runner CONNECTION LIMIT -1");
    };
    scene.live_through(trouble).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_is_waited_out() {
    let database = PostgresServer::start();
    let scene = Scene::on(&database.url()).await;
    let caller = scene.world.caller();
    let read_only = |on: &str| {
        database.sql(&format!("ALTER SYSTEM SET default_transaction_read_only = {on}"));
        database.sql("SELECT pg_reload_conf()");
    };
    let trouble = async {
        read_only("on");
        is_refused(&caller, "read-only").await;
        tokio::time::sleep(LEASE).await;
        read_only("off");
    };
    scene.live_through(trouble).await;
}

/// As by somebody who changes a table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_somebody_locked_is_waited_out() {
    let database = PostgresServer::start();
    let scene = Scene::on(&database.url()).await;
    let caller = scene.world.caller();
    let trouble = async {
        let locked = database.leave_open("LOCK TABLE runs IN EXCLUSIVE MODE").expect("locked");
        let launch =
            caller.try_post("/v1/runs", &json!({ "task": "[back]" })).await.expect("the API answers");
        assert_eq!((launch.status, launch.header("retry-after").is_some()), (503, true), "{}", launch.text);
        tokio::time::sleep(2 * LEASE).await;
        drop(locked);
    };
    scene.live_through(trouble).await;
}

/// As by somebody who forgot to end a transaction. All other runs go on, and nobody is taken for dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_somebody_locked_holds_up_no_other() {
    let database = PostgresServer::start();
    let scene = Scene::on(&database.url()).await;
    let caller = scene.world.caller();
    let trouble = async {
        let one =
            "SELECT FROM runs WHERE id = (SELECT id FROM runs WHERE owner IS NOT NULL LIMIT 1) FOR UPDATE";
        let locked = database.leave_open(one).expect("locked");
        for round in 0..4 {
            goes_on(&caller, &format!("beside-{round}")).await;
        }
        tokio::time::sleep(2 * LEASE).await;
        goes_on(&caller, "beside").await;
        assert_eq!(database.sql("SELECT count(*) FROM lost_attempts"), "0", "nobody was taken for dead");
        drop(locked);
    };
    scene.live_through(trouble).await;
}

/// Serialisation failures, deadlocks, time-outs of statements and of locks: each of them now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_fail_now_and_then_are_made_again() {
    let database = PostgresServer::start();
    let scene = Scene::on(&database.url()).await;
    let trouble = async {
        database.sql(
            "CREATE SEQUENCE moods;
             CREATE FUNCTION moody() RETURNS trigger LANGUAGE plpgsql AS $$
             DECLARE mood bigint := nextval('moods');
             BEGIN
               IF mood % 7 = 0 THEN
                 RAISE EXCEPTION 'not now' USING ERRCODE = (ARRAY['40001', '40P01', '57014', '55P03'])[1 + mood / 7 % 4];
               END IF;
               RETURN NEW;
             END $$;
             CREATE TRIGGER moody BEFORE INSERT OR UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION moody()",
        );
        tokio::time::sleep(2 * LEASE).await;
        let moods: u64 = database.sql("SELECT last_value FROM moods").parse().expect("a number");
        assert!(moods > 100, "{moods} statements");
        database.sql("DROP TRIGGER moody ON runs; DROP FUNCTION moody; DROP SEQUENCE moods");
    };
    scene.live_through(trouble).await;
}
