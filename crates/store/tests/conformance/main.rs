//! What every store promises, whichever engine is behind it: each promise is a test of its own for each engine, on a
//! fresh database and under a told clock. Another engine is one file beside `memory.rs` and one line in `promises!`.

/// Makes a test for each engine of each of these functions, which take a [`World`](crate::world::World).
macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {
        crate::promises_of! { sqlite: crate::sqlite::Sqlite; $($promise),+ }
        crate::promises_of! { memory: crate::memory::Memory; $($promise),+ }
        crate::promises_of! { postgres: crate::postgres::Postgres; $($promise),+ }
    };
}

macro_rules! promises_of {
    ($name:ident: $engine:ty; $($promise:ident),+) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise(crate::world::World::of::<$engine>().await).await;
                }
            )+
        }
    };
}
use promises_of;

mod memory;
mod postgres;
mod sqlite;
mod world;

mod commands;
mod deaths;
mod fairness;
mod launches;
mod lists;
mod outputs;
mod pruning;
mod skew;
mod steps;
mod unreadable;
mod workers;

mod differential;
mod moving;

mod administration;
mod bounds;
mod costs;
mod postgres_costs;
mod postgres_only;
mod sqlite_only;
