use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use piton_testkit::{PostgresServer, deadline, until};

use super::*;
use crate::postgres::check;
use crate::postgres::open::{self, migrations, newest_schema, prepare};
use crate::postgres::tls::Address;

#[test]
fn a_migration_is_read_part_by_part() {
    let sql = "-- What it is for.\n\n-- part: together\nA;\nB;\n-- part: alone\n-- why\nC;\n--  part: not a mark\n\
               -- part: again until none\nD";
    let read =
        [Part::Together("A;\nB;\n"), Part::Alone("-- why\nC;\n--  part: not a mark\n"), Part::Again("D")];
    assert_eq!(parts(sql), Ok(read.to_vec()));
    for (wrong, why) in [
        ("CREATE TABLE t (a int)", "comes before the first line"),
        ("-- nothing", "has no line"),
        ("-- part: at once\nA", "\"at once\" is no part"),
    ] {
        assert!(parts(wrong).is_err_and(|said| said.contains(why)), "{wrong}");
    }
}

/// Anything else holds a lock that others wait for, for as long as the table is large.
#[test]
fn large_tables_are_changed_beside_those_who_use_them() {
    for (number, migration) in migrations().skip(1) {
        for part in parts(migration).expect("parts") {
            match part {
                Part::Together(sql) => {
                    for slow in ["INDEX", "UPDATE ", "INSERT ", "DELETE ", "ALTER COLUMN"] {
                        assert!(!sql.contains(slow), "{number}: {slow} in {sql}");
                    }
                    assert!(sql.matches("ALTER TABLE").count() <= 1, "{number}: it waits for two in {sql}");
                }
                Part::Alone(sql) => assert!(sql.contains("INDEX CONCURRENTLY IF "), "{number}: {sql}"),
                Part::Again(sql) => {
                    assert!(sql.contains("LIMIT") && sql.contains("SKIP LOCKED"), "{number}: {sql}");
                }
            }
        }
    }
}

/// Runs of schema 1 that wait, each with its job.
const RUNS: &str = "INSERT INTO runs (id, tenant, labels, label_pairs, priority, agent_digest, agent_name, task, status, version, \
                      reducer, fold, epoch, attempt, commit_epoch, commit_ordinal, created_at, updated_at) \
                    SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 't', '{}', '{}', 0, 'd', 'a' || n % 3, \
                      'x', 'running', 1, 3, '{}', 0, 0, 0, 0, n, n FROM generate_series(1, COUNT) n; \
                    INSERT INTO jobs (run, kind, tenant, priority, due_at, enqueued_at) \
                    SELECT id, 'launch', tenant, priority, created_at, created_at FROM runs; ANALYZE runs, jobs";
/// Those that an older version has not touched since, and that were not filled in.
const UNFILLED: &str = "SELECT count(*) FROM jobs JOIN runs ON runs.id = jobs.run WHERE runs.version = 1 AND \
                        (jobs.agent <> agent_name OR jobs.needs <> reducer || ':' || agent_digest)";

struct Old {
    server: PostgresServer,
    address: Arc<Address>,
    conn: Conn,
}

/// A database of schema 1.
async fn old(runs: u32) -> Old {
    let server = PostgresServer::start();
    let address = Arc::new(Address::of(&server.url()).expect("an address"));
    let conn = Conn::open(&address).await.expect("a connection");
    conn.batch("SET statement_timeout = 0").await.expect("set");
    let old = Old { server, address, conn };
    old.begins_anew(runs).await;
    old
}

impl Old {
    /// Nothing is left but schema 1 and so many runs.
    async fn begins_anew(&self, runs: u32) {
        let number =
            "CREATE TABLE piton_schema (number bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())";
        let empty = format!("DROP SCHEMA public CASCADE; CREATE SCHEMA public; {number}");
        self.conn.batch(&empty).await.expect("an empty database");
        let (_, first) = migrations().next().expect("the first");
        carry_out(&self.conn, 1, first).await.expect("schema 1");
        self.conn.batch(&RUNS.replace("COUNT", &runs.to_string())).await.expect("runs");
    }

    async fn number(&self, sql: &str) -> i64 {
        self.conn.client().query_one(sql, &[]).await.expect(sql).get(0)
    }

    /// The next process opens it, and finds it whole.
    async fn is_migrated(&self) {
        let server = prepare(&self.address).await.expect("migrated");
        assert_eq!(server.schema, newest_schema());
        let check = check::schema(&self.conn, server.schema).await;
        assert_eq!(check.trouble, None);
        assert_eq!(self.number(UNFILLED).await, 0);
    }
}

/// All parts that make the newest schema out of schema 1.
fn all_parts() -> Vec<Part<'static>> {
    migrations().skip(1).flat_map(|(_, migration)| parts(migration).expect("parts")).collect()
}

#[tokio::test]
async fn who_is_killed_between_two_parts_leaves_them_to_the_next() {
    let old = old(0).await;
    for done in 0..=all_parts().len() {
        old.begins_anew(10).await;
        for part in all_parts().into_iter().take(done) {
            part.carry_out(&old.conn).await.expect("carried out");
        }
        old.is_migrated().await;
    }
}

#[tokio::test]
async fn who_is_killed_within_a_part_leaves_it_to_the_next() {
    let old = old(3000).await;
    for part in all_parts() {
        match part {
            Part::Together(_) => part.carry_out(&old.conn).await.expect("carried out"),
            // Some of them.
            Part::Again(sql) => {
                old.conn.client().query_one(sql, &[&Uuid::nil()]).await.map(|_| ()).expect("some are filled");
            }
            Part::Alone(sql) if sql.contains("CREATE INDEX") => {
                // It waits for whoever may see what was there before.
                let open =
                    old.server.leave_open("INSERT INTO jobs SELECT gen_random_uuid(), 'step', 't', 0, 0, 0");
                let _open = open.expect("a transaction");
                let making = Conn::open(&old.address).await.expect("a connection");
                let (pid, sql) = (pid(&making).await, sql.to_owned());
                let making = tokio::spawn(async move { making.batch(&sql).await });
                let half = until(deadline(), "the index is half made", async || {
                    let sql = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
                    (old.number(sql).await == 1).then_some(())
                });
                half.await.expect("half made");
                old.server.sql(&format!("SELECT pg_terminate_backend({pid})"));
                making.await.expect("no panic").expect_err("it was killed");
            }
            Part::Alone(_) => {}
        }
    }
    assert!(old.number(UNFILLED).await > 0, "it was to be half filled");
    old.is_migrated().await;
    assert_eq!(old.number("SELECT count(*) FROM pg_index WHERE NOT indisvalid").await, 0);
}

async fn pid(conn: &Conn) -> i32 {
    conn.client().query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0)
}

/// How many sessions wait for a table.
const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%ALTER TABLE%'";

#[tokio::test]
async fn a_table_that_is_in_use_is_asked_for_again_and_nobody_waits_behind() {
    let old = old(10).await;
    let open = old.server.leave_open("SELECT FROM jobs").expect("a transaction");
    let address = Arc::clone(&old.address);
    let migrating = tokio::spawn(async move { prepare(&address).await });
    old.conn.batch("SET lock_timeout = '1s'").await.expect("set");
    for _ in 0..3 {
        until(deadline(), "it waits", async || (old.number(WAITING).await == 1).then_some(()))
            .await
            .expect("it waits");
        old.conn.batch("UPDATE jobs SET due_at = due_at + 1").await.expect("nobody waits behind it");
        let gives_way = async || (old.number(WAITING).await == 0).then_some(());
        until(deadline(), "it gives way", gives_way).await.expect("it gives way");
    }
    assert!(!migrating.is_finished());
    drop(open);
    assert_eq!(migrating.await.expect("no panic").expect("migrated").schema, newest_schema());
    old.is_migrated().await;
}

#[tokio::test]
async fn who_needs_no_migration_waits_for_none() {
    let old = old(0).await;
    old.is_migrated().await;
    let _migrating = old.server.leave_open("SELECT pg_advisory_lock(1346982990)").expect("the lock");
    assert_eq!(prepare(&old.address).await.expect("opened").schema, newest_schema());
    let sql = format!("INSERT INTO piton_schema (number) VALUES ({})", newest_schema() + 1);
    old.server.sql(&sql);
    assert_eq!(prepare(&old.address).await.expect("opened").schema, newest_schema() + 1);
    old.server.sql(&format!("INSERT INTO piton_schema (number) VALUES ({})", newest_schema() + 2));
    let refused = prepare(&old.address).await.expect_err("two apart").to_string();
    assert!(refused.contains("use a newer Piton"), "{refused}");
}

/// Half a million at hand, with `PITON_LONG=1`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_database_is_migrated_while_it_is_used() {
    let runs = if std::env::var_os("PITON_LONG").is_some() { 500_000 } else { 200_000 };
    let old = old(runs).await;
    let over = Arc::new(AtomicBool::new(false));
    let using = tokio::spawn(used_as_before(Arc::clone(&old.address), Arc::clone(&over)));
    let began = Instant::now();
    let address = Arc::clone(&old.address);
    let first = tokio::spawn(async move { prepare(&address).await });
    // The first that migrates is killed on its way.
    let filled = "SELECT count(*) FROM jobs WHERE run = '00000000-0000-7000-8000-000000001999' \
                  AND to_jsonb(jobs) ->> 'needs' <> ''";
    let fills = async || (old.number(filled).await > 0).then_some(());
    until(deadline(), "it fills in", fills).await.expect("it fills in");
    old.server.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted");
    first.await.expect("no panic").expect_err("it was killed");
    assert!(old.number(UNFILLED).await > 0, "it was to be half filled");
    old.is_migrated().await;
    let took = began.elapsed();
    over.store(true, Ordering::Relaxed);
    let (rounds, longest) = using.await.expect("nobody waits for a lock for a second");
    #[expect(clippy::print_stderr, reason = "the figures are the measurement's result")]
    {
        eprintln!("{runs} jobs migrated in {took:?}; {rounds} runs meanwhile, longest statement {longest:?}");
    }
    assert!(rounds > 10, "{rounds}");
    assert_eq!(old.number("SELECT count(*) FROM runs").await, i64::from(runs) + rounds);
    assert_eq!(old.number("SELECT count(*) FROM jobs").await, i64::from(runs) + rounds);
}

/// Launches, claims, commits and reads as a process of schema 1 does, which waits no more than a second for any lock. Returns
/// how many runs it launched, and the longest that a statement took.
async fn used_as_before(address: Arc<Address>, over: Arc<AtomicBool>) -> (i64, Duration) {
    let conn = Conn::open(&address).await.expect("a connection");
    conn.batch("SET lock_timeout = '1s'").await.expect("set");
    let launch = "WITH run AS (INSERT INTO runs (id, tenant, labels, label_pairs, priority, agent_digest, agent_name, task, \
                  status, version, reducer, fold, epoch, attempt, commit_epoch, commit_ordinal, created_at, updated_at) \
                  VALUES (gen_random_uuid(), 't', '{}', '{}', 0, 'd', 'a', 'x', 'running', 2, 3, '{}', 0, 0, 0, 0, 1, 1) \
                  RETURNING id) INSERT INTO jobs (run, kind, tenant, priority, due_at, enqueued_at) \
                  SELECT id, 'launch', 't', 0, 1, 1 FROM run";
    let claim = "WITH due AS (SELECT j.run FROM jobs j JOIN runs r ON r.id = j.run WHERE j.due_at <= 10 AND r.owner IS NULL \
                 ORDER BY j.priority DESC, j.due_at, j.run LIMIT 1 FOR UPDATE SKIP LOCKED), \
                 taken AS (DELETE FROM jobs USING due WHERE jobs.run = due.run) \
                 UPDATE runs SET owner = 'w', epoch = epoch + 1 FROM due WHERE runs.id = due.run RETURNING id";
    let events = "INSERT INTO events (run, seq, at, type, v, body) SELECT $1, version + 1, 1, 'x', 1, '{}' FROM runs WHERE id = $1";
    let commit = "UPDATE runs SET version = version + 1, owner = NULL WHERE id = $1";
    let job = "INSERT INTO jobs (run, kind, tenant, priority, due_at, enqueued_at) VALUES ($1, 'step', 't', 0, 20, 20) \
               ON CONFLICT (run) DO UPDATE SET due_at = least(jobs.due_at, excluded.due_at)";
    let list = "SELECT id, status, version FROM runs ORDER BY id DESC LIMIT 20";
    let (mut rounds, mut longest) = (0, Duration::ZERO);
    while !over.load(Ordering::Relaxed) {
        let mut began = Instant::now();
        let mut lap = || {
            longest = longest.max(began.elapsed());
            began = Instant::now();
        };
        conn.execute(launch, &[]).await.expect("launched");
        lap();
        let claimed = conn.query(claim, &[]).await.expect("claimed");
        lap();
        for row in &claimed {
            let run: Uuid = row.get(0);
            for sql in [events, commit, job] {
                conn.execute(sql, &[&run]).await.expect("committed");
                lap();
            }
        }
        conn.query(list, &[]).await.expect("read");
        lap();
        rounds += 1;
    }
    (rounds, longest)
}

#[tokio::test]
async fn an_index_is_made_while_others_wait_to_migrate() {
    let server = PostgresServer::start();
    let address = Address::of(&server.url()).expect("an address");
    let all = (0..8).map(|_| prepare(&address));
    for prepared in futures::future::join_all(all).await {
        assert_eq!(prepared.expect("migrated").schema, newest_schema());
    }
    assert!(open::at_once().is_ok());
}
