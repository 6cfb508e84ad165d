//! Either end of a move: runs as rows of plain values, and the triggers that note what changes meanwhile.

use async_trait::async_trait;
use futures::future::try_join_all;
use tokio_postgres::types::ToSql;

use super::conn::Conn;
use super::fault::Fault;
use super::rows::{label_pairs, signed, unsigned};
use super::worker::MISSING_JOBS;
use super::{PostgresOptions, PostgresStore, open};
use crate::moving::{
    Column, Count, FLEETING, Kind, Listed, Mark, REFUSAL, Row, Side, Stage, TABLES, Table, Touched, Value,
    Wanted, Way,
};
use crate::{Clock, Error};

/// Now, by the clock that triggers have too.
const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
/// What a trigger looks after.
const WATCHED: [&str; 3] = ["runs", "lost_attempts", "idempotency_keys"];
/// How long the last write may wait for those that are under way.
const LAST_WORD_MS: u32 = 2000;

impl PostgresStore {
    /// Opens the database as one end of a move, whatever it knows of that or others.
    pub(crate) async fn open_to_move(
        url: &str,
        options: PostgresOptions,
        clock: Clock,
    ) -> Result<Self, Error> {
        Self::open_anyhow(url, options, clock).await
    }

    /// # Errors
    /// [`Error::Unusable`] when its runs went elsewhere, or have not all come yet.
    pub(super) async fn check_not_moved(&self, url: &str) -> Result<(), Error> {
        if let Some(mark) = self.mark(Way::To).await?.filter(|mark| mark.stage == Stage::Done) {
            return Err(mark.went(url));
        }
        match self.mark(Way::From).await?.filter(|mark| mark.stage != Stage::Done) {
            Some(mark) => Err(mark.comes(url)),
            None => Ok(()),
        }
    }
}

/// The stage of a move away from here that is in force.
pub(super) async fn stage(conn: &Conn) -> Result<Option<Stage>, Fault> {
    let sql = "SELECT stage FROM moves WHERE way = 'to' \
               AND (stage = 'done' OR until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint)";
    Ok(conn.first(sql, &[]).await?.map(|row| Stage::parse(row.get(0))))
}

impl Kind {
    /// How it is read.
    fn read(self, name: &str) -> String {
        match self {
            Self::Id => format!("{name}::text"),
            Self::Small => format!("{name}::bigint"),
            Self::Flag => format!("{name}::int::bigint"),
            Self::Text | Self::Number | Self::Bytes => name.to_owned(),
        }
    }

    /// How it is written.
    fn write(self, name: &str) -> String {
        match self {
            Self::Id => format!("{name}::uuid"),
            Self::Small => format!("{name}::integer"),
            Self::Flag => format!("{name} <> 0"),
            Self::Text | Self::Number | Self::Bytes => name.to_owned(),
        }
    }

    /// As it travels.
    const fn travels_as(self) -> &'static str {
        match self {
            Self::Id | Self::Text => "text",
            Self::Number | Self::Small | Self::Flag => "bigint",
            Self::Bytes => "bytea",
        }
    }
}

/// A key column, in an order that does not depend on the server's language.
fn in_order(column: &Column, expression: &str) -> String {
    match column.kind {
        Kind::Text => format!("{expression} COLLATE \"C\""),
        _ => expression.to_owned(),
    }
}

fn page_sql(table: &Table, is_first: bool) -> String {
    let given = |(n, column): (usize, &Column)| {
        let given = format!("${}::{}", n + 2, column.kind.travels_as());
        in_order(column, &if column.kind == Kind::Id { format!("{given}::uuid") } else { given })
    };
    let columns: Vec<String> = table.columns.iter().map(|column| column.kind.read(column.name)).collect();
    let keys: Vec<String> = table.keys().iter().map(|key| in_order(key, key.name)).collect();
    let keys = keys.join(", ");
    let after: Vec<String> = table.keys().iter().enumerate().map(given).collect();
    let after = if is_first { String::new() } else { format!("AND ({keys}) > ({})", after.join(", ")) };
    let of = if table.of().kind == Kind::Id { "$1::text::uuid" } else { "$1" };
    format!(
        "SELECT {} FROM {} WHERE {} = {of} {after} ORDER BY {keys} LIMIT {}",
        columns.join(", "),
        table.name,
        table.of().name,
        table.page
    )
}

async fn page(
    conn: &Conn,
    table: &Table,
    wanted: &Wanted,
    sql: &tokio_postgres::Statement,
) -> Result<Vec<Row>, Fault> {
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&wanted.of];
    for value in wanted.after.iter().flatten() {
        params.push(match value {
            Value::Number(number) => number,
            Value::Text(text) => text,
            Value::Bytes(_) | Value::Null => return Err(Fault::corrupt("a key that is none")),
        });
    }
    let value = |row: &tokio_postgres::Row, at: usize, column: &Column| match column.kind.travels_as() {
        "text" => row.get::<_, Option<String>>(at).map_or(Value::Null, Value::Text),
        "bigint" => row.get::<_, Option<i64>>(at).map_or(Value::Null, Value::Number),
        _ => row.get::<_, Option<Vec<u8>>>(at).map_or(Value::Null, Value::Bytes),
    };
    let rows = conn.client().query(sql, &params).await?;
    Ok(rows
        .iter()
        .map(|row| table.columns.iter().enumerate().map(|(at, column)| value(row, at, column)).collect())
        .collect())
}

/// A column of many rows, to be sent as one array.
fn array(rows: &[Row], at: usize, kind: Kind) -> Box<dyn ToSql + Sync + Send> {
    let of = |row: &Row| row.get(at).cloned().unwrap_or(Value::Null);
    match kind.travels_as() {
        "text" => Box::new(
            rows.iter()
                .map(|row| match of(row) {
                    Value::Text(text) => Some(text),
                    _ => None,
                })
                .collect::<Vec<Option<String>>>(),
        ),
        "bigint" => Box::new(
            rows.iter()
                .map(|row| match of(row) {
                    Value::Number(number) => Some(number),
                    _ => None,
                })
                .collect::<Vec<Option<i64>>>(),
        ),
        _ => Box::new(
            rows.iter()
                .map(|row| match of(row) {
                    Value::Bytes(bytes) => Some(bytes),
                    _ => None,
                })
                .collect::<Vec<Option<Vec<u8>>>>(),
        ),
    }
}

/// The labels of these runs as they are searched by, each run's as one JSON list.
fn pairs(rows: &[Row], labels: usize) -> Result<Vec<String>, Fault> {
    let of = |row: &Row| match row.get(labels) {
        Some(Value::Text(labels)) => {
            let labels = serde_json::from_str(labels).map_err(Fault::corrupt)?;
            serde_json::to_string(&label_pairs(&labels)).map_err(Fault::corrupt)
        }
        _ => Ok("[]".to_owned()),
    };
    rows.iter().map(of).collect()
}

async fn insert(conn: &Conn, table: &Table, rows: &[Row]) -> Result<(), Fault> {
    let mut params: Vec<Box<dyn ToSql + Sync + Send>> =
        table.columns.iter().enumerate().map(|(at, column)| array(rows, at, column.kind)).collect();
    let (mut names, mut given) = (table.names(), table.names());
    let mut selected: Vec<String> =
        table.columns.iter().map(|column| column.kind.write(column.name)).collect();
    let mut arrays: Vec<String> =
        (1..).zip(table.columns).map(|(n, column)| format!("${n}::{}[]", column.kind.travels_as())).collect();
    let mut on_conflict = table.on_conflict();
    if let Some(labels) = table.columns.iter().position(|column| column.name == "labels") {
        params.push(Box::new(pairs(rows, labels)?));
        arrays.push(format!("${}::text[]", params.len()));
        given.push_str(", pairs");
        names.push_str(", label_pairs, asked_at");
        selected.push("ARRAY(SELECT json_array_elements_text(pairs::json))".to_owned());
        selected
            .push("CASE WHEN status IN ('waiting_human_input', 'undecided') THEN updated_at END".to_owned());
        on_conflict.push_str(", asked_at = excluded.asked_at");
    }
    let sql = format!(
        "INSERT INTO {} ({names}) SELECT {} FROM unnest({}) AS given ({given}) {on_conflict}",
        table.name,
        selected.join(", "),
        arrays.join(", ")
    );
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param.as_ref() as _).collect();
    conn.client().execute(&sql, &params).await?;
    Ok(())
}

#[async_trait]
impl Side for PostgresStore {
    fn schema(&self) -> (u32, u32) {
        (self.server.schema, open::newest_schema())
    }

    async fn mark(&self, way: Way) -> Result<Option<Mark>, Error> {
        let sql = "SELECT id, place, stage, copied_to FROM moves WHERE way = $1";
        let row = self.pool.read(async |conn| conn.first(sql, &[&way.as_str()]).await).await?;
        Ok(row.map(|row| Mark {
            id: row.get(0),
            place: row.get(1),
            stage: Stage::parse(row.get(2)),
            copied_to: row.get(3),
        }))
    }

    async fn count(&self) -> Result<Count, Error> {
        let sql = "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM idempotency_keys)";
        let row = self.pool.long(async |conn| conn.first(sql, &[]).await).await?;
        Ok(row.map_or_else(Count::default, |row| Count {
            runs: unsigned(row.get(0)),
            keys: unsigned(row.get(1)),
        }))
    }

    async fn runs_after(&self, after: &str, limit: u32) -> Result<Vec<Listed>, Error> {
        let after = if after.is_empty() { "00000000-0000-0000-0000-000000000000" } else { after };
        let sql = "SELECT id::text, version FROM runs WHERE id > $1::text::uuid ORDER BY id LIMIT $2";
        let rows = self.pool.read(async |conn| conn.query(sql, &[&after, &i64::from(limit)]).await).await?;
        Ok(rows.iter().map(|row| Listed { run: row.get(0), version: unsigned(row.get(1)) }).collect())
    }

    async fn read(&self, table: &'static Table, wanted: &[Wanted]) -> Result<Vec<Vec<Row>>, Error> {
        let read = async |conn: &Conn| {
            let first = conn.client().prepare(&page_sql(table, true)).await?;
            let next = conn.client().prepare(&page_sql(table, false)).await?;
            let pages = wanted
                .iter()
                .map(|wanted| page(conn, table, wanted, if wanted.after.is_some() { &next } else { &first }));
            try_join_all(pages).await
        };
        Ok(self.pool.read(read).await?)
    }

    async fn watch(&self, mark: &Mark) -> Result<(), Error> {
        let watch = async |conn: &Conn| {
            conn.execute(
                "INSERT INTO moves (way, id, place, stage, began_at) VALUES ('to', $1, $2, 'copying', \
                 (extract(epoch FROM clock_timestamp()) * 1000)::bigint) ON CONFLICT DO NOTHING",
                &[&mark.id, &mark.place],
            )
            .await?;
            // Without holding up those who write meanwhile.
            conn.batch("CREATE INDEX CONCURRENTLY IF NOT EXISTS moves_keys ON idempotency_keys (run)")
                .await?;
            conn.batch(&format!(
                "CREATE OR REPLACE FUNCTION moves_touch() RETURNS trigger LANGUAGE plpgsql AS $$ \
                 DECLARE touched uuid; \
                 BEGIN \
                   IF EXISTS (SELECT FROM moves WHERE way = 'to' AND (stage = 'done' OR (stage = 'closed' AND until > {NOW}))) \
                   THEN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'object_not_in_prerequisite_state'; END IF; \
                   IF TG_TABLE_NAME = 'runs' THEN \
                     IF TG_OP = 'DELETE' THEN touched := OLD.id; ELSE touched := NEW.id; END IF; \
                   ELSIF TG_OP = 'DELETE' THEN touched := OLD.run; ELSE touched := NEW.run; END IF; \
                   INSERT INTO moves_touched (run, times) VALUES (touched, 1) \
                   ON CONFLICT (run) DO UPDATE SET times = moves_touched.times + 1; \
                   RETURN NULL; \
                 END $$"
            ))
            .await?;
            for table in WATCHED {
                // One transaction each: who waits for one table holds no other.
                let known =
                    "SELECT FROM pg_trigger WHERE tgrelid = $1::text::regclass AND tgname = 'moves_touch'";
                if conn.first(known, &[&table]).await?.is_none() {
                    conn.batch(&format!(
                        "CREATE TRIGGER moves_touch AFTER INSERT OR UPDATE OR DELETE ON {table} \
                         FOR EACH ROW EXECUTE FUNCTION moves_touch()"
                    ))
                    .await?;
                }
            }
            Ok(())
        };
        Ok(self.pool.long(watch).await?)
    }

    async fn unwatch(&self) -> Result<(), Error> {
        let unwatch = async |conn: &Conn| {
            for table in WATCHED {
                conn.batch(&format!("DROP TRIGGER IF EXISTS moves_touch ON {table}")).await?;
            }
            conn.batch(
                "DROP FUNCTION IF EXISTS moves_touch; DROP INDEX IF EXISTS moves_keys; \
                 DELETE FROM moves WHERE way = 'to'; TRUNCATE moves_touched",
            )
            .await?;
            conn.execute(MISSING_JOBS, &[&self.clock.now_ms()]).await?;
            Ok(())
        };
        Ok(self.pool.long(unwatch).await?)
    }

    async fn touched(&self, limit: u32) -> Result<Vec<Touched>, Error> {
        let sql = "SELECT run::text, times, coalesce((SELECT version FROM runs WHERE id = run), 0) FROM moves_touched \
                   ORDER BY run LIMIT $1";
        let rows = self.pool.read(async |conn| conn.query(sql, &[&i64::from(limit)]).await).await?;
        let touched = |row: &tokio_postgres::Row| Touched {
            listed: Listed { run: row.get(0), version: unsigned(row.get(2)) },
            times: row.get(1),
        };
        Ok(rows.iter().map(touched).collect())
    }

    async fn settle(&self, touched: &[Touched]) -> Result<(), Error> {
        let runs: Vec<&str> = touched.iter().map(|touched| touched.listed.run.as_str()).collect();
        let times: Vec<i64> = touched.iter().map(|touched| touched.times).collect();
        // A row that somebody writes just now is one that changed again.
        let sql = "WITH settled AS (SELECT run FROM moves_touched t JOIN unnest($1::text[], $2::bigint[]) AS c (run_text, n) \
                   ON t.run = c.run_text::uuid AND t.times = c.n FOR UPDATE OF t SKIP LOCKED) \
                   DELETE FROM moves_touched USING settled WHERE moves_touched.run = settled.run";
        self.pool.read(async |conn| conn.execute(sql, &[&runs, &times]).await).await?;
        Ok(())
    }

    async fn held(&self) -> Result<u64, Error> {
        let sql = "SELECT count(*) FROM runs JOIN workers ON workers.id = owner \
                   WHERE expires_at > (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        let row = self.pool.read(async |conn| conn.first(sql, &[]).await).await?;
        Ok(row.map_or(0, |row| unsigned(row.get(0))))
    }

    async fn set_stage(&self, stage: Stage, for_ms: u64) -> Result<(), Error> {
        let sql = "UPDATE moves SET stage = $1, until = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $2 \
                   WHERE way = 'to' AND stage <> 'done'";
        self.pool.read(async |conn| conn.execute(sql, &[&stage.as_str(), &signed(for_ms)]).await).await?;
        Ok(())
    }

    async fn leave(&self) -> Result<bool, Error> {
        let leave = async |conn: &Conn| {
            // Whoever began to write before the database was closed is waited for, and noted.
            conn.batch(&format!(
                "BEGIN; SET LOCAL lock_timeout = {LAST_WORD_MS}; LOCK TABLE runs IN SHARE MODE"
            ))
            .await?;
            let left = conn
                .execute(
                    "UPDATE moves SET stage = 'done', done_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint \
                     WHERE way = 'to' AND stage = 'closed' \
                     AND until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint \
                     AND NOT EXISTS (SELECT FROM moves_touched)",
                    &[],
                )
                .await?;
            conn.batch("COMMIT").await?;
            Ok(left == 1)
        };
        Ok(self.pool.long(leave).await?)
    }

    async fn expect(&self, mark: &Mark) -> Result<(), Error> {
        let sql = "INSERT INTO moves (way, id, place, stage, began_at) VALUES ('from', $1, $2, 'copying', $3) \
                   ON CONFLICT (way) DO UPDATE SET id = $1, place = $2, stage = 'copying', began_at = $3, copied_to = '' \
                   WHERE moves.id <> $1";
        let now_ms = self.clock.now_ms();
        let expect = async |conn: &Conn| {
            conn.execute(sql, &[&mark.id, &mark.place, &now_ms]).await?;
            conn.batch("CREATE INDEX IF NOT EXISTS moves_keys ON idempotency_keys (run)").await
        };
        Ok(self.pool.long(expect).await?)
    }

    async fn clear(&self, runs: &[String]) -> Result<(), Error> {
        let clear = async |conn: &Conn| {
            for table in FLEETING {
                let sql = format!("DELETE FROM {table} WHERE run = ANY($1::text[]::uuid[])");
                conn.client().execute(&sql, &[&runs]).await?;
            }
            Ok(())
        };
        Ok(self.pool.read(clear).await?)
    }

    async fn forget(&self, run: &str) -> Result<(), Error> {
        let forget = async |conn: &Conn| {
            for table in TABLES.iter().rev() {
                let sql = format!("DELETE FROM {} WHERE {} = $1::text::uuid", table.name, table.of().name);
                conn.client().execute(&sql, &[&run]).await?;
            }
            Ok(())
        };
        Ok(self.pool.read(forget).await?)
    }

    async fn write(&self, table: &'static Table, rows: Vec<Row>) -> Result<(), Error> {
        Ok(self.pool.read(async |conn| insert(conn, table, &rows).await).await?)
    }

    async fn set_copied_to(&self, run: &str) -> Result<(), Error> {
        let sql = "UPDATE moves SET copied_to = $1 WHERE way = 'from'";
        self.pool.read(async |conn| conn.execute(sql, &[&run]).await).await?;
        Ok(())
    }

    async fn arrive(&self) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        let arrive = async |conn: &Conn| {
            conn.execute(MISSING_JOBS, &[&now_ms]).await?;
            // Nobody has looked at these tables since they were filled.
            conn.batch("DROP INDEX IF EXISTS moves_keys; ANALYZE runs, events, jobs").await?;
            let sql = "UPDATE moves SET stage = 'done', done_at = $1 WHERE way = 'from' AND stage <> 'done'";
            conn.execute(sql, &[&now_ms]).await
        };
        self.pool.long(arrive).await?;
        Ok(())
    }
}
