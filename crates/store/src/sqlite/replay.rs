//! Runs against their histories: one pass over both in the order of their ids, page by page, so that it takes the same
//! memory whatever the length of either.

use std::collections::BTreeMap;
use std::str::FromStr;

use piton_core::RunId;
use rusqlite::{Connection, Row, params};

use super::fault::Fault;
use super::rows::{RUN_COLUMNS, collect, run_row, text};
use crate::examining::{History, Pass, RUNS_PAGE, Stored};

/// Takes the next event: `seq, at, type, v, body` from `column` on.
fn push(history: &mut History, row: &Row<'_>, column: usize) -> Result<(), Fault> {
    let (kind, body) = (text(row, column + 2)?, text(row, column + 4)?);
    history.push(row.get(column)?, row.get(column + 1)?, kind, row.get(column + 3)?, body);
    Ok(())
}

/// Folds one run's events anew.
pub(super) fn history(conn: &Connection, run: RunId) -> Result<History, Fault> {
    let mut history = History::new();
    let mut read = conn.prepare("SELECT seq, at, type, v, body FROM events WHERE run = ? ORDER BY seq")?;
    let mut rows = read.query([run.to_string()])?;
    while let Some(row) = rows.next()? {
        push(&mut history, row, 0)?;
    }
    Ok(history)
}

/// Looks at every run and every event.
pub(super) fn pass(conn: &Connection) -> Result<Pass, Fault> {
    let mut pass = Pass::default();
    let mut after = String::new();
    loop {
        // What a page's runs and their events say is of one moment, whatever workers do meanwhile.
        let moment = conn.unchecked_transaction()?;
        let last = page(&mut pass, &moment, &after)?;
        moment.rollback()?;
        match last {
            Some(last) => after = last,
            None => return Ok(pass),
        }
    }
}

/// Looks at the runs after `after` and at the events from there on. Returns the last run; `None` at the end.
fn page(pass: &mut Pass, conn: &Connection, after: &str) -> Result<Option<String>, Fault> {
    let mut read = conn.prepare_cached("SELECT id FROM runs WHERE id > ? ORDER BY id LIMIT ?")?;
    let ids: Vec<String> = collect(&mut read, params![after, RUNS_PAGE], |row| Ok(row.get(0)?))?;
    let last = (ids.len() == RUNS_PAGE as usize).then(|| ids.last().cloned()).flatten();
    let mut histories: BTreeMap<&str, History> = ids.iter().map(|id| (id.as_str(), History::new())).collect();
    read_events(pass, conn, after, last.as_deref(), &mut histories)?;
    let mut read = conn.prepare_cached(&format!(
        "SELECT {RUN_COLUMNS}, status, version, agent_digest FROM runs WHERE id = ?"
    ))?;
    for (id, history) in &histories {
        let mut rows = read.query([id])?;
        if let Some(row) = rows.next()? {
            pass.compare(RunId::from_str(id).map_err(Fault::corrupt)?, &stored(row)?, history);
        }
    }
    Ok(last)
}

/// Reads the events of every run after `after` and up to `last`, whether or not there is such a run.
fn read_events(
    pass: &mut Pass,
    conn: &Connection,
    after: &str,
    last: Option<&str>,
    histories: &mut BTreeMap<&str, History>,
) -> Result<(), Fault> {
    const EVENTS: &str = "SELECT run, seq, at, type, v, body FROM events WHERE run > ?1";
    // A bound, and not an OR that there may be none: the search has to end where the page does.
    let (bound, params): (_, &[&dyn rusqlite::ToSql]) = match &last {
        Some(last) => (" AND run <= ?2", &[&after, last]),
        None => ("", &[&after]),
    };
    let mut read = conn.prepare_cached(&format!("{EVENTS}{bound} ORDER BY run, seq"))?;
    let mut rows = read.query(params)?;
    while let Some(row) = rows.next()? {
        pass.count_event();
        let of = text(row, 0)?;
        match histories.get_mut(of) {
            Some(history) => push(history, row, 1)?,
            None => pass.stray(of),
        }
    }
    Ok(())
}

fn stored(row: &Row<'_>) -> Result<Stored, Fault> {
    let read = match run_row(row) {
        Ok(stored) => Ok(stored),
        Err(Fault::Corrupt(why)) => Err(why),
        Err(fault) => return Err(fault),
    };
    Ok(Stored {
        row: read,
        reducer: row.get(6)?,
        status: row.get(14)?,
        version: row.get(15)?,
        agent: row.get(16)?,
    })
}
