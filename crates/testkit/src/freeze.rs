//! Freezing a process without freezing the database with it.

use std::time::Duration;

use crate::caller::Caller;
use crate::process::{freeze, thaw};

/// A database that is not ready by then is held by whom we froze.
const READY_WITHIN: Duration = Duration::from_millis(500);

/// Freezes a process unless it is in the middle of a write: there it would keep everybody from writing, on any SQLite.
/// `caller`'s server, which is another process, is asked whether it can write. Whether the process stands still now.
pub async fn freeze_between_writes(pid: u32, caller: &Caller) -> bool {
    freeze(pid);
    let ready = tokio::time::timeout(READY_WITHIN, caller.try_get("/readyz")).await;
    let stands = matches!(ready, Ok(Some(_)));
    if !stands {
        thaw(pid);
    }
    stands
}
