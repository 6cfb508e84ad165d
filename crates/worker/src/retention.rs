//! Deleting runs that have been over for longer than they are kept.
//!
//! Every worker that is told to would do it, and one does at a time: whoever has the minute's place deletes for most of that
//! minute, batch by batch, and rests four times as long as each batch took. So it goes on wherever one is left, and takes
//! no more of the database however many workers there are.

use std::sync::Arc;
use std::time::Duration;

use piton_core::RunId;
use piton_store::{Clock, Error, Pace, Prune, Store};
use tokio::time::Instant;

/// What the place is known by. No model's endpoint is called so.
const PLACE: &str = "retention";
const A_MINUTE: Pace = Pace { requests: Some(1), tokens: None };
/// How long who has the place goes on.
const TURN: Duration = Duration::from_secs(50);
/// Between two looks for a place.
const LOOK: Duration = Duration::from_secs(10);

pub(crate) struct Retention {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    /// How long a run is kept after it was over.
    pub(crate) kept: Duration,
}

impl Retention {
    pub(crate) async fn run(self) {
        // Where the last turn ended: what it passed by is not looked at anew before all the rest was.
        let mut after = Prune::BEGINNING;
        loop {
            match self.store.take_places(PLACE, A_MINUTE, 1).await {
                Ok(places) if places.at_ms.is_empty() => {}
                Ok(_) => {
                    let mut deleted = 0;
                    if let Err(error) = self.turn(&mut after, &mut deleted).await {
                        tracing::warn!(%error, "runs that are over for long cannot be deleted now");
                    }
                    if deleted > 0 {
                        let days = self.kept.as_secs() / 86_400;
                        tracing::info!(
                            runs = deleted,
                            days,
                            "deleted runs that were over for longer than that"
                        );
                    }
                }
                Err(error) => tracing::debug!(%error, "cannot look whose turn it is to delete old runs"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Deletes until nothing is left or the time is up.
    async fn turn(&self, after: &mut RunId, deleted: &mut u64) -> Result<(), Error> {
        let kept_ms = i64::try_from(self.kept.as_millis()).unwrap_or(i64::MAX);
        let over_before_ms = self.clock.now_ms().saturating_sub(kept_ms);
        let prune = Prune { over_before_ms, ..Prune::default() };
        let until = Instant::now() + TURN;
        while Instant::now() < until {
            let began_at = Instant::now();
            let pruned = self.store.prune(&prune, *after).await?;
            *deleted += pruned.runs;
            *after = pruned.next.unwrap_or(Prune::BEGINNING);
            if pruned.next.is_none() {
                break;
            }
            tokio::time::sleep(Prune::pause_after(began_at.elapsed())).await;
        }
        Ok(())
    }
}
