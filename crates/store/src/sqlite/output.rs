//! The whole of tool outputs, beside the events that show only their beginnings.

use piton_core::{CallId, RunId};
use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;
use crate::FullOutput;

/// Bytes of one part, at most: what reading an output holds in memory.
const PART_BYTES: usize = 256 * 1024;

/// Keeps an output with the event that it belongs to, which is written in the same transaction.
pub(super) fn write(conn: &Connection, run: RunId, output: &FullOutput) -> Result<(), Fault> {
    let mut keep = conn.prepare_cached(
        "INSERT INTO outputs (run, call, part, body) VALUES (?, ?, ?, ?) \
         ON CONFLICT (run, call, part) DO UPDATE SET body = excluded.body",
    )?;
    for (part, body) in (0_u32..).zip(parts(&output.text)) {
        keep.execute(params![run.to_string(), output.call.to_string(), part, body])?;
    }
    Ok(())
}

/// The text in parts, none of which ends within a character.
fn parts(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (part, rest) = text.split_at(text.floor_char_boundary(PART_BYTES));
        text = rest;
        (!part.is_empty()).then_some(part)
    })
}

pub(super) fn read(conn: &Connection, run: RunId, call: CallId, part: u32) -> Result<Option<String>, Fault> {
    let mut read = conn.prepare_cached("SELECT body FROM outputs WHERE run = ? AND call = ? AND part = ?")?;
    Ok(read.query_row(params![run.to_string(), call.to_string(), part], |row| row.get(0)).optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_bounded_and_make_up_the_whole() {
        for text in [String::new(), "x".to_owned(), "🧗".repeat(PART_BYTES), "x".repeat(2 * PART_BYTES)] {
            let parts: Vec<&str> = parts(&text).collect();
            assert_eq!(parts.concat(), text);
            assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= PART_BYTES));
            assert!(parts.len() <= text.len().div_ceil(PART_BYTES - 3));
        }
    }
}
