//! Which jobs are due, line by line, and whose turn it is.

use piton_core::REDUCER;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::conn::Conn;
use super::fault::Fault;
use super::rows::{run_id, small};
use crate::scheduling::{Chosen, DUE_MAX, LINES_MAX, LeftAlone, Line, Scheduler};
use crate::{Due, HeldRuns, JobKind, Lane};

/// Whoever takes runs that are counted holds this advisory lock till its transaction ends: "PITM".
const LIMITS: i64 = 0x5049_544D;

/// The lines after $1, $2, $3, $11, up to $4 of them. It goes along the index from one to the next, however many jobs are in
/// between.
macro_rules! lines {
    ($then:literal) => {
        concat!(
            "WITH RECURSIVE line AS ( \
               (SELECT tenant, agent, priority, needs FROM jobs \
                WHERE (tenant, agent, priority, needs) > ($1, $2, $3, $11) \
                ORDER BY tenant, agent, priority, needs LIMIT 1) \
               UNION ALL \
               SELECT next.* FROM line CROSS JOIN LATERAL \
                 (SELECT j.tenant, j.agent, j.priority, j.needs FROM jobs j \
                  WHERE (j.tenant, j.agent, j.priority, j.needs) > (line.tenant, line.agent, line.priority, line.needs) \
                  ORDER BY j.tenant, j.agent, j.priority, j.needs LIMIT 1) next), \
             walked AS MATERIALIZED (SELECT * FROM line LIMIT $4), \
             looked AS MATERIALIZED (SELECT * FROM walked WHERE (cardinality($5::text[]) = 0 OR tenant = ANY($5)) \
               AND (cardinality($6::text[]) = 0 OR agent = ANY($6) OR agent = '') AND NOT agent = ANY($7) \
               AND NOT split_part(needs, ':', 2) = ANY($12) \
               AND coalesce(nullif(split_part(needs, ':', 1), '')::bigint, 0) <= $9) ",
            $then
        )
    };
}

/// Due jobs of a line, of runs that nobody holds and that this version can advance.
macro_rules! in_line {
    ($lock:literal) => {
        concat!(
            lines!(
                "SELECT (SELECT count(*) FROM walked), last.*, due.* FROM \
                 (SELECT tenant, agent, priority, needs FROM walked \
                  ORDER BY tenant DESC, agent DESC, priority DESC, needs DESC LIMIT 1) last \
                 LEFT JOIN (SELECT due.* FROM looked CROSS JOIN LATERAL \
                   (SELECT j.run, j.kind, r.tenant AS of_tenant, r.agent_name, r.agent_digest, r.priority AS at_priority, j.due_at \
                    FROM jobs j JOIN runs r ON r.id = j.run WHERE j.tenant = looked.tenant AND j.agent = looked.agent \
                    AND j.priority = looked.priority AND j.needs = looked.needs AND j.due_at <= $8 AND r.owner IS NULL \
                    AND r.reducer <= $9 AND r.suspect IS NULL ORDER BY j.due_at, j.run \
                    LIMIT least($10, greatest(4, $13 / (SELECT greatest(count(*), 1) FROM looked)))"
            ),
            $lock,
            ") due) due ON true"
        )
    };
}

/// Due jobs of any line, of runs that nobody holds and that this version can advance: along the index of the lines, however
/// few the server believes there are, and to no more runs than are asked for. The arguments are the places of now and of the reducer.
macro_rules! any_due {
    ($now:literal, $reducer:literal) => {
        concat!(
            "SELECT FROM (SELECT run FROM jobs WHERE due_at <= ",
            $now,
            " OFFSET 0) j CROSS JOIN LATERAL \
              (SELECT FROM runs r WHERE r.id = j.run AND r.owner IS NULL AND r.reducer <= ",
            $reducer,
            " AND r.suspect IS NULL OFFSET 0) r"
        )
    };
}
pub(super) use any_due;

macro_rules! apart {
    ($lock:literal) => {
        concat!(
            "SELECT j.run, j.kind, r.tenant, r.agent_name, r.agent_digest, r.priority, j.due_at FROM runs r JOIN jobs j ON j.run = r.id \
             WHERE r.suspect IS NOT NULL AND j.due_at <= $1 AND r.owner IS NULL AND r.reducer <= $2 \
             ORDER BY j.due_at, j.run LIMIT $3",
            $lock
        )
    };
}

/// How many jobs of the lane are due that this process takes, counted up to `limit`.
pub(super) async fn count(
    conn: &Conn,
    scheduler: &Scheduler,
    lane: Lane,
    now_ms: i64,
    limit: u32,
) -> Result<u32, Fault> {
    let only = &scheduler.scheduling.only;
    if lane == Lane::Apart {
        let due = apart(conn, now_ms, false).await?;
        let turns = scheduler.turns().clone();
        let is_ours = |due: &&Due| only.takes(&due.tenant, &due.agent) && !turns.lacks_for(&due.digest);
        let due = due.iter().filter(is_ours).count();
        return Ok(u32::try_from(due).unwrap_or(u32::MAX).min(limit));
    }
    let left_alone = scheduler.left_alone(now_ms);
    // Where anything goes, all lines are as one.
    let row = if only.is_any() && left_alone.is_nothing() {
        let sql = concat!("SELECT count(*) FROM (", any_due!("$1", "$2"), " LIMIT $3) due");
        conn.first(sql, &[&now_ms, &i64::from(REDUCER), &i64::from(limit)]).await?
    } else {
        let sql = lines!(
            "SELECT count(*) FROM (SELECT FROM looked CROSS JOIN LATERAL (SELECT FROM jobs j JOIN runs r ON r.id = j.run \
             WHERE j.tenant = looked.tenant AND j.agent = looked.agent AND j.priority = looked.priority AND j.needs = looked.needs \
             AND j.due_at <= $8 AND r.owner IS NULL AND r.reducer <= $9 AND r.suspect IS NULL \
             AND (cardinality($6::text[]) = 0 OR r.agent_name = ANY($6)) LIMIT $10) due LIMIT $10) due"
        );
        let Line { tenant, agent, priority, needs } = Line::first();
        let LeftAlone { agents: held_off, digests } = left_alone;
        let (tenants, agents) = only_names(scheduler);
        let (all, reducer, limit) = (i64::MAX, i64::from(REDUCER), i64::from(limit));
        let params: [&(dyn ToSql + Sync); 12] = [
            &tenant, &agent, &priority, &all, &tenants, &agents, &held_off, &now_ms, &reducer, &limit,
            &needs, &digests,
        ];
        conn.first(sql, &params).await?
    };
    Ok(row.map_or(0, |row| small(row.get(0))))
}

/// Up to `limit` due jobs of the lane, in the order in which they are to begin; locked, where they are about to be taken.
pub(super) async fn choose(
    conn: &Conn,
    scheduler: &Scheduler,
    lane: Lane,
    now_ms: i64,
    limit: u32,
    locked: bool,
) -> Result<Chosen, Fault> {
    let scheduling = &scheduler.scheduling;
    let turns = scheduler.turns().clone();
    if locked && scheduling.is_limited() {
        // Two that counted at once would both find the last place free.
        conn.query("SELECT pg_advisory_xact_lock($1)", &[&LIMITS]).await?;
    }
    let (mut due, mut after) = match lane {
        Lane::Apart => (apart(conn, now_ms, locked).await?, None),
        Lane::Common => in_lines(conn, scheduler, turns.after.as_ref(), now_ms, limit, locked).await?,
    };
    if due.is_empty() && turns.after.is_some() {
        (due, after) = in_lines(conn, scheduler, None, now_ms, limit, locked).await?;
    }
    let held =
        if scheduling.is_limited() && !due.is_empty() { held(conn).await? } else { HeldRuns::default() };
    let found = due.len();
    let due = scheduling.choose(&turns, due, held, limit);
    let left = found - due.len();
    Ok(Chosen { due, after, left: locked && left > 0 })
}

fn only_names(scheduler: &Scheduler) -> (Vec<&str>, Vec<&str>) {
    let only = &scheduler.scheduling.only;
    (only.tenants.iter().map(String::as_str).collect(), only.agents.iter().map(String::as_str).collect())
}

async fn in_lines(
    conn: &Conn,
    scheduler: &Scheduler,
    after: Option<&Line>,
    now_ms: i64,
    limit: u32,
    locked: bool,
) -> Result<(Vec<Due>, Option<Line>), Fault> {
    let Line { tenant, agent, priority, needs } = after.cloned().unwrap_or_else(Line::first);
    let (tenants, agents) = only_names(scheduler);
    let lines_max = i64::try_from(LINES_MAX).unwrap_or(i64::MAX);
    let due_max = i64::try_from(DUE_MAX).unwrap_or(i64::MAX);
    let (reducer, limit) = (i64::from(REDUCER), i64::from(limit));
    let LeftAlone { agents: held_off, digests } = scheduler.left_alone(now_ms);
    let params: [&(dyn ToSql + Sync); 13] = [
        &tenant, &agent, &priority, &lines_max, &tenants, &agents, &held_off, &now_ms, &reducer, &limit,
        &needs, &digests, &due_max,
    ];
    let sql = if locked { in_line!(" FOR UPDATE SKIP LOCKED") } else { in_line!("") };
    let rows = conn.query(sql, &params).await?;
    let after = rows.first().filter(|row| row.get::<_, i64>(0) >= lines_max).map(|row| Line {
        tenant: row.get(1),
        agent: row.get(2),
        priority: row.get(3),
        needs: row.get(4),
    });
    let found = rows.iter().filter(|row| row.get::<_, Option<&str>>(6).is_some());
    Ok((found.map(|row| due_row(row, 5)).collect(), after))
}

async fn apart(conn: &Conn, now_ms: i64, locked: bool) -> Result<Vec<Due>, Fault> {
    let sql = if locked { apart!(" FOR UPDATE SKIP LOCKED") } else { apart!("") };
    let due_max = i64::try_from(DUE_MAX).unwrap_or(i64::MAX);
    let rows = conn.query(sql, &[&now_ms, &i64::from(REDUCER), &due_max]).await?;
    Ok(rows.iter().map(|row| due_row(row, 0)).collect())
}

fn due_row(row: &Row, first: usize) -> Due {
    Due {
        run: run_id(row, first),
        kind: JobKind::parse(row.get(first + 1)),
        tenant: row.get(first + 2),
        agent: row.get(first + 3),
        digest: row.get(first + 4),
        priority: row.get(first + 5),
        due_at_ms: row.get(first + 6),
    }
}

/// Bounded by what workers hold at once.
async fn held(conn: &Conn) -> Result<HeldRuns, Fault> {
    let count =
        "SELECT tenant, agent_name, count(*) FROM runs WHERE owner IS NOT NULL GROUP BY tenant, agent_name";
    let mut held = HeldRuns::default();
    for row in &conn.query(count, &[]).await? {
        held.add(row.get(0), row.get(1), small(row.get(2)));
    }
    Ok(held)
}
