//! What a run consists of, in words that both engines share: which columns are moved, and what a run's digest is of.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// What a column holds, however an engine keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A UUID, as text.
    Id,
    Text,
    Number,
    /// A number of 32 bits.
    Small,
    /// A number that is 0 or 1.
    Flag,
    Bytes,
}

/// One value of a row, as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

pub(crate) type Row = Vec<Value>;

#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// A table, all of whose rows belong to a run, or to an agent's digest.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The first is what a row belongs to; all up to `key` tell it from the others.
    pub(crate) columns: &'static [Column],
    pub(crate) key: usize,
    /// The columns by which the database keeps rows apart.
    pub(crate) unique: &'static str,
    /// What a row that is there already becomes: the newer one, or what it was.
    pub(crate) is_replaced: bool,
    /// Rows that are read at once.
    pub(crate) page: usize,
    /// Whether a run's digest is of it.
    pub(crate) is_durable: bool,
}

macro_rules! columns {
    ($($name:ident $kind:ident),+ $(,)?) => {
        &[$(Column { name: stringify!($name), kind: Kind::$kind }),+]
    };
}

/// Every run's agent.
pub(crate) static AGENTS: Table = Table {
    name: "agents",
    columns: columns![digest Text, name Text, definition Text, created_at Number],
    key: 1,
    unique: "digest",
    is_replaced: false,
    page: 1,
    is_durable: false,
};

/// The column of [`RUNS`] that names an agent.
pub(crate) const AGENT_COLUMN: usize = 7;

/// The run's row. Who holds it stays behind: nobody does when it has been moved.
pub(crate) static RUNS: Table = Table {
    name: "runs",
    columns: columns![
        id Id, tenant Text, labels Text, priority Small, parent_run Id, forked_from Id, forked_at Number,
        agent_digest Text, agent_name Text, task Text, status Text, version Number, reducer Number, fold Text,
        epoch Number, attempt Number, commit_epoch Number, commit_ordinal Number, deaths Number, suspect Text,
        created_at Number, updated_at Number, finished_at Number,
    ],
    key: 1,
    unique: "id",
    is_replaced: true,
    page: 2,
    is_durable: true,
};

/// What belongs to a run, its row first.
pub(crate) static TABLES: [&Table; 6] = [
    &RUNS,
    &Table {
        name: "events",
        columns: columns![run Id, seq Number, at Number, type Text, v Number, body Text, epoch Number],
        key: 2,
        unique: "run, seq",
        is_replaced: false,
        page: 256,
        is_durable: true,
    },
    &Table {
        name: "outputs",
        columns: columns![run Id, call Text, part Number, body Bytes],
        key: 3,
        unique: "run, call, part",
        is_replaced: false,
        page: 8,
        is_durable: true,
    },
    &Table {
        name: "lost_attempts",
        columns: columns![
            run Id, epoch Number, attempt Number, worker Text, version Number, at Number, how Text, suspected Flag,
            blamed Flag,
        ],
        key: 2,
        unique: "run, epoch",
        is_replaced: true,
        page: 256,
        is_durable: true,
    },
    &Table {
        name: "idempotency_keys",
        columns: columns![run Id, tenant Text, key Text, body_sha256 Text, created_at Number],
        key: 3,
        unique: "tenant, key",
        is_replaced: true,
        page: 256,
        is_durable: true,
    },
    // A wake-up: losing one does no harm, but its age is its place in the queue.
    &Table {
        name: "jobs",
        columns: columns![
            run Id, kind Text, tenant Text, agent Text, priority Small, needs Text, due_at Number, enqueued_at Number,
        ],
        key: 1,
        unique: "run",
        is_replaced: true,
        page: 2,
        is_durable: false,
    },
];

/// What is deleted of a run before it is copied again: the rest only ever grows.
pub(crate) const FLEETING: [&str; 3] = ["lost_attempts", "idempotency_keys", "jobs"];

/// What stays behind, and why.
#[cfg(test)]
pub(crate) const LEFT_BEHIND: [(&str, &str); 10] = [
    ("runs.owner", "nobody holds a run that has been moved"),
    ("runs.claimed_at", "nobody holds a run that has been moved"),
    ("runs.label_pairs", "derived from labels"),
    ("runs.asked_at", "derived from status and updated_at"),
    ("workers", "they belong to the database that they work on"),
    ("paces", "processes that call an endpoint from now on begin anew with its pace"),
    ("queue_depth", "the database counts its jobs itself"),
    ("moves", "it is about the database"),
    ("moves_touched", "it is about the database"),
    ("piton_schema", "it is about the database"),
];

impl Table {
    /// The columns that tell a row from the others.
    pub(crate) fn keys(&self) -> &'static [Column] {
        self.columns.get(..self.key).unwrap_or_default()
    }

    /// The column that says what a row belongs to.
    pub(crate) fn of(&self) -> &'static Column {
        static NONE: Column = Column { name: "run", kind: Kind::Id };
        self.columns.first().unwrap_or(&NONE)
    }

    pub(crate) fn names(&self) -> String {
        self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    }

    /// What follows `INSERT`, where a row may be there already.
    pub(crate) fn on_conflict(&self) -> String {
        if !self.is_replaced {
            return "ON CONFLICT DO NOTHING".to_owned();
        }
        let set: Vec<String> =
            self.columns.iter().map(|column| format!("{0} = excluded.{0}", column.name)).collect();
        format!("ON CONFLICT ({}) DO UPDATE SET {}", self.unique, set.join(", "))
    }
}

/// The digests of some runs, of rows that come table by table and, of each run, in the order of their keys.
#[derive(Debug, Default)]
pub(crate) struct Digests(BTreeMap<String, Sha256>);

impl Digests {
    pub(crate) fn add(&mut self, table: &Table, rows: &[Row]) {
        if !table.is_durable {
            return;
        }
        for row in rows {
            let Some(Value::Text(run)) = row.first() else { continue };
            if !self.0.contains_key(run) {
                self.0.insert(run.clone(), Sha256::new());
            }
            let Some(digest) = self.0.get_mut(run) else { continue };
            // Each part with its length, so that no two rows read alike.
            let mut part = |bytes: &[u8]| {
                digest.update((bytes.len() as u64).to_be_bytes());
                digest.update(bytes);
            };
            part(table.name.as_bytes());
            for value in row {
                match value {
                    Value::Null => part(b"-"),
                    Value::Number(number) => part(format!("#{number}").as_bytes()),
                    Value::Text(text) => part(format!("={text}").as_bytes()),
                    Value::Bytes(bytes) => part(&[b"=", bytes.as_slice()].concat()),
                }
            }
        }
    }

    /// In hex, by run.
    pub(crate) fn finish(self) -> BTreeMap<String, String> {
        self.0.into_iter().map(|(run, digest)| (run, hex::encode(digest.finalize()))).collect()
    }
}
