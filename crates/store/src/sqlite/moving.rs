//! Either end of a move: runs as rows of plain values, and the triggers that note what changes meanwhile.

use async_trait::async_trait;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::fault::Fault;
use super::rows::{collect, signed};
use super::worker::MISSING_JOBS;
use super::writer::{Durability, Transact};
use super::{SqliteOptions, SqliteStore, open};
use crate::bell::Ring;
use crate::moving::{
    Count, FLEETING, Kind, Listed, Mark, REFUSAL, Row, Side, Stage, TABLES, Table, Touched, Value, Wanted,
    Way,
};
use crate::{Clock, Error};

/// Now, by the clock that triggers have too.
const NOW: &str = "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)";
/// What can change a run, with the column that names it.
const TRIGGERS: [(&str, &str, &str); 8] = [
    ("runs", "INSERT", "NEW.id"),
    ("runs", "UPDATE", "NEW.id"),
    ("runs", "DELETE", "OLD.id"),
    ("lost_attempts", "INSERT", "NEW.run"),
    ("lost_attempts", "UPDATE", "NEW.run"),
    ("idempotency_keys", "INSERT", "NEW.run"),
    ("idempotency_keys", "UPDATE", "NEW.run"),
    ("idempotency_keys", "DELETE", "OLD.run"),
];
/// While runs are moved, their keys are looked up by run.
const KEYS: &str = "CREATE INDEX IF NOT EXISTS moves_keys ON idempotency_keys (run)";
const NO_KEYS: &str = "DROP INDEX IF EXISTS moves_keys";

impl SqliteStore {
    /// Opens the database as one end of a move, whatever it knows of that or others.
    pub(crate) async fn open_to_move(url: &str, options: SqliteOptions, clock: Clock) -> Result<Self, Error> {
        Self::open_anyhow(url, options, clock).await
    }

    /// # Errors
    /// [`Error::Unusable`] when its runs went elsewhere, or have not all come yet.
    pub(super) async fn check_not_moved(&self, url: &str) -> Result<(), Error> {
        // What cannot be read is for the doctor to say.
        let mark = async |way| self.mark(way).await.ok().flatten();
        if let Some(mark) = mark(Way::To).await.filter(|mark| mark.stage == Stage::Done) {
            return Err(mark.went(url));
        }
        match mark(Way::From).await.filter(|mark| mark.stage != Stage::Done) {
            Some(mark) => Err(mark.comes(url)),
            None => Ok(()),
        }
    }
}

pub(super) fn stage(conn: &Connection) -> Result<Option<Stage>, Fault> {
    let sql = format!("SELECT stage FROM moves WHERE way = 'to' AND (stage = 'done' OR until > {NOW})");
    let mut read = conn.prepare_cached(&sql)?;
    let stage: Option<String> = read.query_row([], |row| row.get(0)).optional()?;
    Ok(stage.as_deref().map(Stage::parse))
}

/// A write that is one closure.
struct Write<F>(F);

impl<T, F> Transact for Write<F>
where
    T: Send + 'static,
    F: Fn(&Connection, i64) -> Result<T, Fault> + Send + 'static,
{
    type Out = T;

    fn durability(&self) -> Durability {
        Durability::Synced
    }

    fn run(&self, conn: &Connection, now_ms: i64) -> Result<(T, Option<Ring>), Fault> {
        Ok(((self.0)(conn, now_ms)?, Some(Ring::Job)))
    }
}

impl SqliteStore {
    async fn transact<T: Send + 'static>(
        &self,
        write: impl Fn(&Connection, i64) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.write(Write(write)).await
    }
}

#[async_trait]
impl Side for SqliteStore {
    fn schema(&self) -> (u32, u32) {
        (self.schema, open::newest_schema())
    }

    async fn mark(&self, way: Way) -> Result<Option<Mark>, Error> {
        self.readers
            .read(move |conn| {
                let sql = "SELECT id, place, stage, copied_to FROM moves WHERE way = ?";
                let mark = conn.prepare(sql)?.query_row([way.as_str()], |row| {
                    Ok(Mark {
                        id: row.get(0)?,
                        place: row.get(1)?,
                        stage: Stage::parse(&row.get::<_, String>(2)?),
                        copied_to: row.get(3)?,
                    })
                });
                Ok(mark.optional()?)
            })
            .await
    }

    async fn count(&self) -> Result<Count, Error> {
        self.readers
            .read(|conn| {
                let sql = "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM idempotency_keys)";
                Ok(conn.query_row(sql, [], |row| Ok(Count { runs: row.get(0)?, keys: row.get(1)? }))?)
            })
            .await
    }

    async fn runs_after(&self, after: &str, limit: u32) -> Result<Vec<Listed>, Error> {
        let after = after.to_owned();
        self.readers
            .read(move |conn| {
                let mut read =
                    conn.prepare_cached("SELECT id, version FROM runs WHERE id > ? ORDER BY id LIMIT ?")?;
                collect(&mut read, params![after, limit], |row| {
                    Ok(Listed { run: row.get(0)?, version: row.get(1)? })
                })
            })
            .await
    }

    async fn read(&self, table: &'static Table, wanted: &[Wanted]) -> Result<Vec<Vec<Row>>, Error> {
        let wanted = wanted.to_vec();
        self.readers.read(move |conn| wanted.iter().map(|wanted| page(conn, table, wanted)).collect()).await
    }

    async fn watch(&self, mark: &Mark) -> Result<(), Error> {
        let mark = mark.clone();
        self.transact(move |conn, now_ms| {
            conn.execute(
                "INSERT INTO moves (way, id, place, stage, began_at) VALUES ('to', ?, ?, 'copying', ?) \
                 ON CONFLICT DO NOTHING",
                params![mark.id, mark.place, now_ms],
            )?;
            conn.execute_batch(KEYS)?;
            for (table, change, run) in TRIGGERS {
                conn.execute_batch(&format!(
                    "CREATE TRIGGER IF NOT EXISTS moves_{table}_{change} AFTER {change} ON {table} BEGIN \
                     SELECT RAISE(ABORT, '{REFUSAL}') WHERE EXISTS (SELECT 1 FROM moves WHERE way = 'to' \
                     AND (stage = 'done' OR (stage = 'closed' AND until > {NOW}))); \
                     INSERT INTO moves_touched (run, times) VALUES ({run}, 1) \
                     ON CONFLICT (run) DO UPDATE SET times = times + 1; END"
                ))?;
            }
            Ok(())
        })
        .await
    }

    async fn unwatch(&self) -> Result<(), Error> {
        self.transact(|conn, now_ms| {
            for (table, change, _) in TRIGGERS {
                conn.execute_batch(&format!("DROP TRIGGER IF EXISTS moves_{table}_{change}"))?;
            }
            conn.execute_batch(&format!(
                "{NO_KEYS}; DELETE FROM moves WHERE way = 'to'; DELETE FROM moves_touched"
            ))?;
            conn.execute(MISSING_JOBS, [now_ms])?;
            Ok(())
        })
        .await
    }

    async fn touched(&self, limit: u32) -> Result<Vec<Touched>, Error> {
        self.readers
            .read(move |conn| {
                let mut read = conn.prepare_cached(
                    "SELECT run, times, coalesce((SELECT version FROM runs WHERE id = run), 0) FROM moves_touched \
                     ORDER BY run LIMIT ?",
                )?;
                collect(&mut read, [limit], |row| {
                    let listed = Listed { run: row.get(0)?, version: row.get(2)? };
                    Ok(Touched { listed, times: row.get(1)? })
                })
            })
            .await
    }

    async fn settle(&self, touched: &[Touched]) -> Result<(), Error> {
        let touched = touched.to_vec();
        self.transact(move |conn, _| {
            let mut settle = conn.prepare_cached("DELETE FROM moves_touched WHERE run = ? AND times = ?")?;
            for Touched { listed, times } in &touched {
                settle.execute(params![listed.run, times])?;
            }
            Ok(())
        })
        .await
    }

    async fn held(&self) -> Result<u64, Error> {
        self.readers
            .read(|conn| {
                let sql = format!(
                    "SELECT count(*) FROM runs JOIN workers ON workers.id = owner WHERE expires_at > {NOW}"
                );
                Ok(conn.query_row(&sql, [], |row| row.get(0))?)
            })
            .await
    }

    async fn set_stage(&self, stage: Stage, for_ms: u64) -> Result<(), Error> {
        self.transact(move |conn, _| {
            let sql =
                format!("UPDATE moves SET stage = ?, until = {NOW} + ? WHERE way = 'to' AND stage <> 'done'");
            conn.execute(&sql, params![stage.as_str(), signed(for_ms)])?;
            Ok(())
        })
        .await
    }

    async fn leave(&self) -> Result<bool, Error> {
        self.transact(|conn, now_ms| {
            let sql = format!(
                "UPDATE moves SET stage = 'done', done_at = ? WHERE way = 'to' AND stage = 'closed' AND until > {NOW} \
                 AND NOT EXISTS (SELECT 1 FROM moves_touched)"
            );
            Ok(conn.execute(&sql, [now_ms])? == 1)
        })
        .await
    }

    async fn expect(&self, mark: &Mark) -> Result<(), Error> {
        let mark = mark.clone();
        self.transact(move |conn, now_ms| {
            conn.execute(
                "INSERT INTO moves (way, id, place, stage, began_at) VALUES ('from', ?1, ?2, 'copying', ?3) \
                 ON CONFLICT DO UPDATE SET id = ?1, place = ?2, stage = 'copying', began_at = ?3, copied_to = '' \
                 WHERE id <> ?1",
                params![mark.id, mark.place, now_ms],
            )?;
            Ok(conn.execute_batch(KEYS)?)
        })
        .await
    }

    async fn clear(&self, runs: &[String]) -> Result<(), Error> {
        let runs = runs.to_vec();
        self.transact(move |conn, _| {
            for run in &runs {
                delete(conn, &FLEETING, run)?;
            }
            Ok(())
        })
        .await
    }

    async fn forget(&self, run: &str) -> Result<(), Error> {
        let run = run.to_owned();
        self.transact(move |conn, _| {
            let beside: Vec<&str> = TABLES.iter().skip(1).map(|table| table.name).collect();
            delete(conn, &beside, &run)?;
            conn.execute("DELETE FROM runs WHERE id = ?", [&run])?;
            Ok(())
        })
        .await
    }

    async fn write(&self, table: &'static Table, rows: Vec<Row>) -> Result<(), Error> {
        let places = vec!["?"; table.columns.len()].join(", ");
        let (names, on_conflict) = (table.names(), table.on_conflict());
        let sql = format!("INSERT INTO {} ({names}) VALUES ({places}) {on_conflict}", table.name);
        self.transact(move |conn, _| {
            let mut insert = conn.prepare_cached(&sql)?;
            for row in &rows {
                insert.execute(rusqlite::params_from_iter(row))?;
            }
            Ok(())
        })
        .await
    }

    async fn set_copied_to(&self, run: &str) -> Result<(), Error> {
        let run = run.to_owned();
        self.transact(move |conn, _| {
            conn.execute("UPDATE moves SET copied_to = ? WHERE way = 'from'", [&run])?;
            Ok(())
        })
        .await
    }

    async fn arrive(&self) -> Result<(), Error> {
        self.transact(|conn, now_ms| {
            conn.execute(MISSING_JOBS, [now_ms])?;
            conn.execute_batch(NO_KEYS)?;
            conn.execute(
                "UPDATE moves SET stage = 'done', done_at = ? WHERE way = 'from' AND stage <> 'done'",
                [now_ms],
            )?;
            Ok(())
        })
        .await
    }
}

fn delete(conn: &Connection, tables: &[&str], run: &str) -> Result<(), Fault> {
    for table in tables {
        conn.prepare_cached(&format!("DELETE FROM {table} WHERE run = ?"))?.execute([run])?;
    }
    Ok(())
}

fn page(conn: &Connection, table: &Table, wanted: &Wanted) -> Result<Vec<Row>, Fault> {
    let keys: Vec<&str> = table.keys().iter().map(|key| key.name).collect();
    let keys = keys.join(", ");
    let mut given: Vec<Value> = vec![Value::Text(wanted.of.clone())];
    let after = wanted.after.as_ref().map_or_else(String::new, |after| {
        given.extend(after.iter().cloned());
        format!("AND ({keys}) > ({})", vec!["?"; after.len()].join(", "))
    });
    let sql = format!(
        "SELECT {} FROM {} WHERE {} = ? {after} ORDER BY {keys} LIMIT {}",
        table.names(),
        table.name,
        table.of().name,
        table.page
    );
    let mut read = conn.prepare_cached(&sql)?;
    collect(&mut read, rusqlite::params_from_iter(&given), |row| {
        let value = |(at, column): (usize, &crate::moving::Column)| {
            Ok(match (row.get_ref(at)?, column.kind) {
                (ValueRef::Null, _) => Value::Null,
                (ValueRef::Integer(number), _) => Value::Number(number),
                (ValueRef::Text(text), Kind::Bytes) => Value::Bytes(text.to_vec()),
                (ValueRef::Text(text), _) => {
                    Value::Text(String::from_utf8(text.to_vec()).map_err(Fault::corrupt)?)
                }
                (ValueRef::Real(_) | ValueRef::Blob(_), _) => {
                    return Err(Fault::Corrupt(format!("{}.{} holds another type", table.name, column.name)));
                }
            })
        };
        table.columns.iter().enumerate().map(value).collect()
    })
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            // A text here, whatever it is elsewhere.
            Self::Bytes(bytes) => ValueRef::Text(bytes),
        }))
    }
}
