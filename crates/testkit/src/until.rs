//! Waiting for something that a test has no event for: looked at again and again, with a deadline.

use std::time::{Duration, Instant};

/// How long a test waits before it says that something did not happen: 30 s, or `PITON_TEST_DEADLINE_S`.
pub fn deadline() -> Duration {
    let seconds = std::env::var("PITON_TEST_DEADLINE_S").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(30))
}

/// Looks until `look` finds something, every 5 ms to begin with, then every 50 ms.
///
/// # Errors
/// What was looked for, after `within`.
pub async fn until<T>(
    within: Duration,
    what: impl Into<String>,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Result<T, String> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if began.elapsed() > within {
            return Err(format!("not within {within:?}: {}", what.into()));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(Duration::from_millis(50));
    }
}
