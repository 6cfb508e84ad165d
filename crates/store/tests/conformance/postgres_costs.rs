//! What a look, a claim and a commit cost the distributed store with a long past and a long queue: the same as without.
//!
//! Here 20,000 runs are over and 5,000 of twenty tenants wait; `PITON_LONG=1` makes that two million and 500,000 on a
//! server as PostgreSQL ships it, and holds claims to five milliseconds.
#![expect(clippy::print_stderr, reason = "figures for whoever runs the long version")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use piton_core::{Command, RunId};

use crate::costs::{TIMES, is_long, steps};
use crate::postgres::Postgres;
use crate::world::{Engine as _, World};

const CLAIM_MAX: Duration = Duration::from_millis(5);

/// Makes `count` copies of a run in `tables`, each of which names it by that column, over twenty tenants.
fn multiply(engine: &Postgres, run: RunId, tables: &[(&str, &str)], count: u32) {
    let (run, prefix) = (run.to_string(), &run.to_string()[..24]);
    for (table, id) in tables {
        let names = engine.server.sql(&format!(
            "SELECT string_agg(column_name, ',' ORDER BY ordinal_position) FROM information_schema.columns \
             WHERE table_name = '{table}' AND table_schema = 'public'"
        ));
        let values = names.split(',').map(|name| match name {
            name if name == *id => format!("('{prefix}' || lpad(n::text, 12, '0'))::uuid"),
            "tenant" => "'tenant-' || n % 20".to_owned(),
            name => format!("t.{name}"),
        });
        let values = values.collect::<Vec<_>>().join(", ");
        engine.server.sql(&format!(
            "INSERT INTO {table} ({names}) SELECT {values} FROM {table} t, generate_series(1, {count}) n WHERE t.{id} = '{run}'"
        ));
    }
}

/// A database where so many runs are over, and so many wait.
async fn with(over: u32, waiting: u32) -> (Arc<Postgres>, World) {
    let engine = Arc::new(if is_long() { Postgres::as_shipped() } else { Postgres::fresh().await });
    let world = World::on(Arc::clone(&engine) as _).await;
    if over > 0 {
        let run = world.launch("over").await;
        world.store.command(run, Command::Cancel).await.expect("cancelled");
        multiply(&engine, run, &[("runs", "id")], over);
    }
    let run = world.launch("waiting").await;
    multiply(&engine, run, &[("runs", "id"), ("events", "run"), ("jobs", "run")], waiting);
    if is_long() {
        engine.server.sql("VACUUM ANALYZE");
        engine.server.sql("CHECKPOINT");
    } else {
        // As autovacuum does by itself.
        engine.server.sql("ANALYZE");
    }
    (engine, world)
}

#[tokio::test]
async fn a_claim_costs_the_same_after_a_long_past_and_before_a_long_queue() {
    let (over, waiting) = if is_long() { (2_000_000, 500_000) } else { (20_000, 5_000) };
    let begun = Instant::now();
    let (_young, young) = with(0, 2 * TIMES as u32).await;
    let (_old, old) = with(over, waiting).await;
    eprintln!("filled in {:?}", begun.elapsed());
    let mut before = steps(&young).await;
    let mut after = steps(&old).await;
    for (what, (before, after)) in
        ["a look", "a claim", "a commit"].iter().zip(before.iter_mut().zip(&mut after))
    {
        let ([few, many], slow) = ([before.at(50), after.at(50)], after.at(99));
        eprintln!(
            "{what}: {few:?} with no past, {many:?} with {over} over and {waiting} waiting, p99 {slow:?}"
        );
        assert!(many < few * 3, "{what}: {few:?} and {many:?}");
        assert!(!is_long() || *what != "a claim" || slow < CLAIM_MAX, "{what}: p99 {slow:?}");
    }
}
