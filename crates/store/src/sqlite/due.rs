//! Which jobs are due, line by line, and whose turn it is.

use piton_core::REDUCER;
use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;
use super::rows::{collect, run_id, text};
use crate::scheduling::{Chosen, LINES_MAX, Line, Scheduler, due_per_line};
use crate::{Due, HeldRuns, JobKind, Lane};

/// The line after another: what the next needs, else the next priority, agent or tenant. Each is one seek, however many
/// jobs are in between; a comparison of all at once would walk through them.
pub(super) const NEXT_LINE: &str = "\
    SELECT * FROM (SELECT tenant, agent, priority, needs FROM jobs \
                   WHERE tenant = ?1 AND agent = ?2 AND priority = ?3 AND needs > ?4 ORDER BY needs LIMIT 1) \
    UNION ALL \
    SELECT * FROM (SELECT tenant, agent, priority, needs FROM jobs \
                   WHERE tenant = ?1 AND agent = ?2 AND priority > ?3 ORDER BY priority, needs LIMIT 1) \
    UNION ALL \
    SELECT * FROM (SELECT tenant, agent, priority, needs FROM jobs \
                   WHERE tenant = ?1 AND agent > ?2 ORDER BY agent, priority, needs LIMIT 1) \
    UNION ALL \
    SELECT * FROM (SELECT tenant, agent, priority, needs FROM jobs \
                   WHERE tenant > ?1 ORDER BY tenant, agent, priority, needs LIMIT 1) \
    LIMIT 1";

/// The first line, and whether it is the only one: most often it is.
pub(super) const FIRST_LINE: &str = "\
    SELECT first.tenant, first.agent, first.priority, first.needs, first.tenant = last.tenant \
           AND first.agent = last.agent AND first.priority = last.priority AND first.needs = last.needs \
    FROM (SELECT tenant, agent, priority, needs FROM jobs ORDER BY tenant, agent, priority, needs LIMIT 1) first, \
         (SELECT tenant, agent, priority, needs FROM jobs \
          ORDER BY tenant DESC, agent DESC, priority DESC, needs DESC LIMIT 1) last";

/// Whether a job of the first line is due, where there is a line: most often that settles whether any is.
pub(super) const DUE_IN_FIRST: &str = "\
    SELECT CAST(first.needs AS INTEGER) <= ?2 \
           AND EXISTS (SELECT 1 FROM jobs j CROSS JOIN runs r ON r.id = j.run \
                       WHERE j.tenant = first.tenant AND j.agent = first.agent AND j.priority = first.priority \
                       AND j.needs = first.needs AND j.due_at <= ?1 AND r.owner IS NULL AND r.reducer <= ?2 \
                       AND r.suspect IS NULL) \
    FROM (SELECT tenant, agent, priority, needs FROM jobs ORDER BY tenant, agent, priority, needs LIMIT 1) first";

/// Due jobs of runs that nobody holds and that this version can advance. SQLite keeps the order of a CROSS JOIN.
macro_rules! in_line {
    ($select:literal, $then:literal) => {
        concat!(
            $select,
            " FROM jobs j CROSS JOIN runs r ON r.id = j.run \
             WHERE j.tenant = ?1 AND j.agent = ?2 AND j.priority = ?3 AND j.needs = ?4 AND j.due_at <= ?5 \
             AND r.owner IS NULL AND r.reducer <= ?6 AND r.suspect IS NULL ",
            $then
        )
    };
}

macro_rules! apart {
    ($select:literal, $then:literal) => {
        concat!(
            $select,
            " FROM runs r CROSS JOIN jobs j ON j.run = r.id WHERE r.suspect IS NOT NULL AND j.due_at <= ?1 \
             AND r.owner IS NULL AND r.reducer <= ?2 ",
            $then
        )
    };
}

pub(super) const COUNT_IN_LINE: &str = in_line!("SELECT count(*) FROM (SELECT 1", "LIMIT ?7)");
pub(super) const TAKE_IN_LINE: &str = in_line!(
    "SELECT j.run, j.kind, r.tenant, r.agent_name, r.agent_digest, r.priority, j.due_at",
    "ORDER BY j.due_at, j.run LIMIT ?7"
);
pub(super) const COUNT_APART: &str = apart!("SELECT count(*) FROM (SELECT 1", "LIMIT ?3)");
pub(super) const TAKE_APART: &str = apart!(
    "SELECT j.run, j.kind, r.tenant, r.agent_name, r.agent_digest, r.priority, j.due_at",
    "ORDER BY j.due_at, j.run LIMIT ?3"
);

/// How many jobs of the lane are due that this process takes, counted up to `limit`.
pub(super) fn count(
    conn: &Connection,
    scheduler: &Scheduler,
    lane: Lane,
    now_ms: i64,
    limit: u32,
) -> Result<u32, Fault> {
    let only = &scheduler.scheduling.only;
    if lane == Lane::Apart {
        let turns = scheduler.turns().clone();
        if !only.is_any() || !turns.lacks().is_empty() {
            let due =
                apart(conn, now_ms, limit)?.into_iter().filter(|due| only.takes(&due.tenant, &due.agent));
            let due = due.filter(|due| !turns.lacks_for(&due.digest)).count();
            return Ok(u32::try_from(due).unwrap_or(u32::MAX));
        }
        let mut count = conn.prepare_cached(COUNT_APART)?;
        return Ok(count.query_row(params![now_ms, REDUCER, limit], |row| row.get(0))?);
    }
    let left_alone = scheduler.left_alone(now_ms);
    if limit == 1 && only.is_any() && left_alone.is_nothing() {
        let mut look = conn.prepare_cached(DUE_IN_FIRST)?;
        let is_due: Option<bool> = look.query_row(params![now_ms, REDUCER], |row| row.get(0)).optional()?;
        match is_due {
            None => return Ok(0),
            Some(true) => return Ok(1),
            Some(false) => {}
        }
    }
    let mut counted = 0;
    let mut line = Line::first();
    while counted < limit
        && let Some(next) = line_after(conn, &line)?
    {
        line = next;
        if scheduler.scheduling.looks_at(&line, &left_alone) {
            let Line { tenant, agent, priority, needs } = &line;
            let mut count = conn.prepare_cached(COUNT_IN_LINE)?;
            let of_line = params![tenant, agent, priority, needs, now_ms, REDUCER, limit - counted];
            counted += count.query_row(of_line, |row| row.get::<_, u32>(0))?;
        }
    }
    Ok(counted)
}

/// Up to `limit` due jobs of the lane, in the order in which they are to begin.
pub(super) fn choose(
    conn: &Connection,
    scheduler: &Scheduler,
    lane: Lane,
    now_ms: i64,
    limit: u32,
) -> Result<Chosen, Fault> {
    let turns = scheduler.turns().clone();
    let (mut due, mut after) = match lane {
        Lane::Apart => (apart(conn, now_ms, limit)?, None),
        Lane::Common => in_lines(conn, scheduler, turns.after.as_ref(), now_ms, limit)?,
    };
    if due.is_empty() && turns.after.is_some() {
        (due, after) = in_lines(conn, scheduler, None, now_ms, limit)?;
    }
    let held =
        if scheduler.scheduling.is_limited() && !due.is_empty() { held(conn)? } else { HeldRuns::default() };
    Ok(Chosen { due: scheduler.scheduling.choose(&turns, due, held, limit), after, left: false })
}

fn first_line(conn: &Connection) -> Result<Option<(Line, bool)>, Fault> {
    let mut first = conn.prepare_cached(FIRST_LINE)?;
    let line = first.query_row([], |row| Ok((line_row(row)?, row.get(4)?)));
    Ok(line.optional()?)
}

fn line_after(conn: &Connection, line: &Line) -> Result<Option<Line>, Fault> {
    let mut next = conn.prepare_cached(NEXT_LINE)?;
    let after = params![line.tenant, line.agent, line.priority, line.needs];
    Ok(next.query_row(after, line_row).optional()?)
}

fn line_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Line> {
    Ok(Line { tenant: row.get(0)?, agent: row.get(1)?, priority: row.get(2)?, needs: row.get(3)? })
}

fn in_lines(
    conn: &Connection,
    scheduler: &Scheduler,
    after: Option<&Line>,
    now_ms: i64,
    limit: u32,
) -> Result<(Vec<Due>, Option<Line>), Fault> {
    let mut last = after.cloned().unwrap_or_else(Line::first);
    let left_alone = scheduler.left_alone(now_ms);
    let (mut lines, mut looked_at) = (Vec::new(), 0);
    let mut is_last = false;
    if after.is_none() {
        let Some((first, is_only)) = first_line(conn)? else { return Ok((Vec::new(), None)) };
        if scheduler.scheduling.looks_at(&first, &left_alone) {
            lines.push(first.clone());
        }
        (last, looked_at, is_last) = (first, 1, is_only);
    }
    while !is_last
        && looked_at < LINES_MAX
        && let Some(next) = line_after(conn, &last)?
    {
        looked_at += 1;
        if scheduler.scheduling.looks_at(&next, &left_alone) {
            lines.push(next.clone());
        }
        last = next;
    }
    let each = due_per_line(lines.len(), limit);
    let mut look = conn.prepare_cached(TAKE_IN_LINE)?;
    let mut due = Vec::new();
    for Line { tenant, agent, priority, needs } in &lines {
        due.extend(collect(
            &mut look,
            params![tenant, agent, priority, needs, now_ms, REDUCER, each],
            due_row,
        )?);
    }
    Ok((due, (looked_at == LINES_MAX).then_some(last)))
}

fn apart(conn: &Connection, now_ms: i64, limit: u32) -> Result<Vec<Due>, Fault> {
    let each = due_per_line(1, u32::MAX).max(limit);
    collect(&mut *conn.prepare_cached(TAKE_APART)?, params![now_ms, REDUCER, each], due_row)
}

fn due_row(row: &rusqlite::Row<'_>) -> Result<Due, Fault> {
    Ok(Due {
        run: run_id(text(row, 0)?)?,
        kind: JobKind::parse(text(row, 1)?),
        tenant: row.get(2)?,
        agent: row.get(3)?,
        digest: row.get(4)?,
        priority: row.get(5)?,
        due_at_ms: row.get(6)?,
    })
}

/// Bounded by what workers hold at once.
fn held(conn: &Connection) -> Result<HeldRuns, Fault> {
    let mut count = conn.prepare_cached(
        "SELECT tenant, agent_name, count(*) FROM runs INDEXED BY runs_owned WHERE owner IS NOT NULL \
         GROUP BY tenant, agent_name",
    )?;
    let mut rows = count.query([])?;
    let mut held = HeldRuns::default();
    while let Some(row) = rows.next()? {
        held.add(text(row, 0)?, text(row, 1)?, row.get(2)?);
    }
    Ok(held)
}
