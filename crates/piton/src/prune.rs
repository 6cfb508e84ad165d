//! `piton prune`: deletes runs that were over long ago, while the database is being used.

use std::time::{Duration, Instant};

use piton_core::Status;
use piton_store::{Clock, Prune, SqliteStore};
use serde_json::json;

use crate::cli;
use crate::config::Loaded;
use crate::{open, out};

/// Between two lines that tell how far it has come.
const TOLD_EVERY: Duration = Duration::from_secs(5);

pub(crate) async fn prune(loaded: &Loaded, args: &cli::Prune) -> anyhow::Result<()> {
    let url = &loaded.config.store.url;
    if !loaded.config.store.is_postgres() && !SqliteStore::is_there(url)? {
        anyhow::bail!("there is no database at {url} ({}): nothing to delete", loaded.origin("store.url"));
    }
    let store = open::database(loaded).await?.store();
    let kept_ms = i64::try_from(args.older_than.as_millis()).unwrap_or(i64::MAX);
    let prune = Prune {
        over_before_ms: Clock::system().now_ms().saturating_sub(kept_ms),
        statuses: args.statuses.clone(),
        tenant: args.tenant.clone(),
        is_rehearsal: args.dry_run,
    };
    let (mut runs, mut rows, mut after) = (0, 0, Prune::BEGINNING);
    let mut told_at = Instant::now();
    loop {
        let began_at = Instant::now();
        let pruned = store.prune(&prune, after).await?;
        (runs, rows) = (runs + pruned.runs, rows + pruned.rows);
        let Some(next) = pruned.next else { break };
        after = next;
        if told_at.elapsed() >= TOLD_EVERY && !args.json {
            told_at = Instant::now();
            out::note(format!("{runs} runs so far"));
        }
        tokio::time::sleep(Prune::pause_after(began_at.elapsed())).await;
    }
    if args.json {
        out::json(&json!({ "runs": runs, "rows": rows, "dry_run": args.dry_run }));
    } else {
        let verb = if args.dry_run { "would be deleted" } else { "are deleted" };
        out::line(format!("{runs} runs {verb}, with {rows} events and parts of outputs"));
    }
    Ok(())
}

/// `90d` or `36h`; no less than a day, for which an idempotency key stands for its run.
pub(crate) fn older_than(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected days or hours, such as 90d or 36h, found {text:?}");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(expected)?;
    let number: u32 = number.parse().map_err(|_| expected())?;
    let hours = match unit {
        "d" => number.checked_mul(24).ok_or_else(expected)?,
        "h" => number,
        _ => return Err(expected()),
    };
    if hours < 24 {
        return Err("expected at least 1d: for a day an idempotency key stands for its run".to_owned());
    }
    Ok(Duration::from_secs(u64::from(hours) * 3600))
}

pub(crate) fn over(text: &str) -> Result<Status, String> {
    let over = Status::ALL.into_iter().filter(|status| status.is_over());
    over.clone().find(|status| status.as_str() == text).ok_or_else(|| {
        let known: Vec<&str> = over.map(Status::as_str).collect();
        format!("expected the status of a run that is over, one of {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_in_days_or_hours_and_no_less_than_a_day() {
        assert_eq!(older_than("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(older_than("36h"), Ok(Duration::from_secs(36 * 3600)));
        for wrong in ["", "d", "90", "90m", "-1d", "1.5d", "90é", "4294967295d"] {
            assert!(older_than(wrong).is_err_and(|why| why.contains("90d or 36h")), "{wrong}");
        }
        for short in ["0d", "23h"] {
            assert!(older_than(short).is_err_and(|why| why.contains("at least 1d")), "{short}");
        }
    }

    #[test]
    fn only_a_status_of_a_run_that_is_over_is_taken() {
        assert_eq!(over("failed"), Ok(Status::Failed));
        let why = over("running").expect_err("it is not over");
        assert!(why.contains("complete, failed, cancelled, max_steps_reached, quarantined"), "{why}");
    }
}
