//! Every invariant of a database, checked on what is stored: of a stopped one, or of one that workers are advancing.

use piton_core::RunId;
use tokio_postgres::Row;
use uuid::Uuid;

use super::conn::Conn;
use super::fault::Fault;
use super::rows::{run_columns, run_id, run_row, small, unsigned};
use super::{PostgresStore, open};
use crate::examining::{
    AGAIN_MAX, AGENTS_KEPT, AGENTS_REMEDY, DURABLE, Found, History, Pass, RUNS_PAGE, Rule, SCHEMA, SETTLE,
    Stored, replayed, rules, silent_peers, unchecked, unlike, workers_alive,
};
use crate::launching::digest;
use crate::{Check, Error, Examination};

/// Events that are read at once.
const EVENTS_PAGE: i64 = 256;

impl PostgresStore {
    /// Checks every invariant, one line each, for as long as it takes. A check that cannot be carried out is trouble
    /// too. The server's own files are not looked at.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database cannot be read at all.
    pub async fn examine(&self, how: &Examination) -> Result<Vec<Check>, Error> {
        let rules = rules(self.clock.now_ms(), how.step_limit_ms);
        let silent = silent_peers(self, self.clock.now_ms()).await;
        let wait = silent.iter().flatten().map(|peer| peer.patience(2)).max();
        let look = async |conn: &Conn| {
            let mut first = Vec::new();
            for rule in &rules {
                first.push(broken_by(rule, conn, None).await);
            }
            let mut checks = vec![schema(conn, self.server.schema).await, durability(conn).await];
            checks.extend(replayed(pass(conn).await.map_err(Error::from)));
            let is_well = first.iter().all(|found| matches!(found, Ok(ids) if ids.is_empty()));
            if let Some(wait) = wait.or((!is_well).then_some(SETTLE)) {
                tokio::time::sleep(wait).await;
            }
            for (rule, first) in rules.iter().zip(first) {
                checks.push(rule.said(again(rule, conn, first).await));
            }
            let agents = agents(conn).await.map_err(Error::from);
            Ok((checks, agents.unwrap_or_else(|error| unchecked(AGENTS_KEPT, &error))))
        };
        let (mut checks, agents) = self.pool.long(look).await?;
        checks.push(workers_alive(self, self.clock.now_ms(), silent).await);
        checks.push(agents);
        Ok(checks)
    }
}

/// What breaks a rule, up to a bound; of `those` only, where they are given.
async fn broken_by(rule: &Rule, conn: &Conn, those: Option<&[String]>) -> Result<Vec<String>, Fault> {
    let sql = format!(
        "SELECT id::text FROM ({}) broken WHERE $1::text[] IS NULL OR id::text = ANY($1) ORDER BY 1 LIMIT {AGAIN_MAX}",
        rule.breaks
    );
    Ok(conn.client().query(&sql, &[&those]).await?.iter().map(|row| row.get(0)).collect())
}

/// What broke a rule at the first look and still does, and how much there is to break it.
async fn again(
    rule: &Rule,
    conn: &Conn,
    first: Result<Vec<String>, Fault>,
) -> Result<(Vec<String>, i64), Error> {
    let first = first?;
    let found = if first.is_empty() { first } else { broken_by(rule, conn, Some(&first)).await? };
    let among = conn.client().query_one(rule.among, &[]).await.map_err(Fault::from)?;
    Ok((found, among.get(0)))
}

/// Looks at every run and every event, page by page.
pub(super) async fn pass(conn: &Conn) -> Result<Pass, Fault> {
    let mut pass = Pass::default();
    let mut after = Uuid::nil();
    loop {
        // What a page's runs and their events say is of one moment, whatever workers do meanwhile.
        conn.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let last = page(&mut pass, conn, after).await;
        conn.batch("ROLLBACK").await?;
        match last? {
            Some(last) => after = last,
            None => return Ok(pass),
        }
    }
}

/// Looks at the runs after `after` and at the events from there on. Returns the last run; `None` at the end.
async fn page(pass: &mut Pass, conn: &Conn, after: Uuid) -> Result<Option<Uuid>, Fault> {
    let sql = concat!(
        "SELECT ",
        run_columns!(),
        ", status, version, agent_digest FROM runs WHERE id > $1 ORDER BY id LIMIT $2"
    );
    let rows = conn.query(sql, &[&after, &i64::from(RUNS_PAGE)]).await?;
    let is_full = rows.len() == RUNS_PAGE as usize;
    let last = rows.last().filter(|_| is_full).map(|row| row.get::<_, Uuid>(0));
    let mut runs: Vec<(RunId, &Row, History)> =
        rows.iter().map(|row| (run_id(row, 0), row, History::new())).collect();
    let up_to = last.unwrap_or_else(Uuid::max);
    let sql = "SELECT run, seq, at, type, v, body FROM events WHERE (run, seq) > ($1, $2) AND run <= $3 \
               ORDER BY run, seq LIMIT $4";
    // No event has the number 0, and none of the run before this page comes again.
    let (mut run, mut seq) = (after, i64::MAX);
    loop {
        let events = conn.query(sql, &[&run, &seq, &up_to, &EVENTS_PAGE]).await?;
        for event in &events {
            pass.count_event();
            let of = run_id(event, 0);
            match runs.binary_search_by_key(&of, |(run, ..)| *run) {
                Ok(at) => {
                    if let Some((.., history)) = runs.get_mut(at) {
                        let (kind, body) = (event.get(3), event.get(5));
                        history.push(unsigned(event.get(1)), event.get(2), kind, small(event.get(4)), body);
                    }
                }
                Err(_) => pass.stray(&of.to_string()),
            }
        }
        let Some(event) = events.last().filter(|_| events.len() as i64 == EVENTS_PAGE) else { break };
        (run, seq) = (event.get(0), event.get(1));
    }
    for (id, row, history) in &runs {
        pass.compare(*id, &stored(row)?, history);
    }
    Ok(last)
}

fn stored(row: &Row) -> Result<Stored, Fault> {
    let read = match run_row(row) {
        Ok(stored) => Ok(stored),
        Err(Fault::Corrupt(why)) => Err(why),
        Err(fault) => return Err(fault),
    };
    Ok(Stored {
        row: read,
        reducer: small(row.get(6)),
        status: row.get(14),
        version: unsigned(row.get(15)),
        agent: row.get(16),
    })
}

/// Folds one run's events anew.
pub(super) async fn history(conn: &Conn, run: RunId) -> Result<History, Fault> {
    let mut history = History::new();
    let sql = "SELECT seq, at, type, v, body FROM events WHERE run = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    let mut after = i64::MIN;
    loop {
        let events = conn.query(sql, &[&run.as_uuid(), &after, &EVENTS_PAGE]).await?;
        for event in &events {
            history.push(
                unsigned(event.get(0)),
                event.get(1),
                event.get(2),
                small(event.get(3)),
                event.get(4),
            );
        }
        match events.last() {
            Some(event) if events.len() as i64 == EVENTS_PAGE => after = event.get(0),
            _ => return Ok(history),
        }
    }
}

/// The level that connections have which write as this store does.
async fn durability(conn: &Conn) -> Check {
    let read = async || {
        let sql = "SELECT current_setting('synchronous_commit'), current_setting('fsync')";
        let row = conn.client().query_one(sql, &[]).await?;
        Ok((row.get::<_, String>(0), row.get::<_, String>(1)))
    };
    match read().await {
        Err::<_, Fault>(fault) => unchecked(DURABLE, &Error::from(fault)),
        Ok((commit, fsync)) => {
            let effective = format!("synchronous_commit={commit}, fsync={fsync}");
            let promise = match (commit.as_str(), fsync.as_str()) {
                ("off", _) => "a crash of the server takes the last moments",
                (_, "off") => "a crash of the server's machine may take everything",
                _ => "what was acknowledged survives a loss of power",
            };
            let trouble = (commit == "off").then(|| {
                format!("{effective}: workers would go on from what the server forgot; set synchronous_commit = on for this user")
            });
            Check { name: DURABLE, trouble, looked_at: format!("{effective}: {promise}") }
        }
    }
}

/// The tables and indexes of the schema that is searched first.
const TABLES: &str = "SELECT 'column ' || c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) \
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
     WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped \
     UNION ALL SELECT 'index ' || c.relname, regexp_replace(pg_get_indexdef(c.oid), ' ON \\S+\\.', ' ON ') \
     FROM pg_class c WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'i'";

/// The tables and indexes against those that the migrations make, as temporary ones that are rolled back.
pub(super) async fn schema(conn: &Conn, schema: u32) -> Check {
    let newest = open::newest_schema();
    if schema > newest {
        let looked_at = format!("schema {schema} of a newer Piton, which this one (schema {newest}) can use");
        return Check { name: SCHEMA, trouble: None, looked_at };
    }
    let tables = async |of: &str| {
        let rows = conn.client().query(TABLES, &[&of]).await?;
        Ok::<_, Fault>(rows.iter().map(|row| (row.get(0), row.get(1))).collect::<Vec<(String, String)>>())
    };
    let read = async || {
        let row = conn.client().query_one("SELECT current_schema()::text", &[]).await?;
        let there = tables(row.get(0)).await?;
        conn.batch("BEGIN; SET LOCAL search_path = pg_temp").await?;
        let made = async {
            conn.batch(&open::at_once()?).await?;
            let row = conn.client().query_one("SELECT pg_my_temp_schema()::regnamespace::text", &[]).await?;
            tables(row.get(0)).await
        };
        let made = made.await;
        conn.batch("ROLLBACK").await?;
        Ok((there, made?))
    };
    match read().await {
        Err::<_, Fault>(fault) => unchecked(SCHEMA, &Error::from(fault)),
        Ok((there, made)) => {
            let looked_at = format!("schema {schema}, {} columns and indexes", made.len());
            Check { name: SCHEMA, trouble: unlike(&there, &made), looked_at }
        }
    }
}

/// Every run's agent is there, and its text is the one that the digest is of.
async fn agents(conn: &Conn) -> Result<Check, Fault> {
    let mut found = Found::default();
    let missing = "SELECT agent_digest, count(*) FROM runs WHERE NOT EXISTS \
                   (SELECT FROM agents WHERE agents.digest = runs.agent_digest) GROUP BY 1";
    let missing = conn.query(missing, &[]).await?;
    found.extend(
        missing
            .iter()
            .map(|row| format!("{} of {} runs is missing", row.get::<_, String>(0), row.get::<_, i64>(1))),
    );
    let (mut after, mut definitions) = (String::new(), 0);
    let page = "SELECT digest, definition FROM agents WHERE digest > $1 ORDER BY digest LIMIT 64";
    loop {
        let rows = conn.query(page, &[&after]).await?;
        let Some(last) = rows.last() else { break };
        definitions += rows.len();
        after = last.get(0);
        for row in &rows {
            let named: &str = row.get(0);
            if digest(row.get(1)).as_str() != named {
                found.add(format!("{named} is another text by now"));
            }
        }
    }
    Ok(Check {
        name: AGENTS_KEPT,
        trouble: found.trouble(AGENTS_REMEDY),
        looked_at: format!("{definitions} definitions"),
    })
}
