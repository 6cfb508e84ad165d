//! How long to wait before asking again: longer each time, never in step with others, and as long as the server
//! says where it says so.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The waits between tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second try, at least; up to twice that.
    pub first_ms: u64,
    /// The most that a wait grows to, before jitter doubles it at most.
    pub max_ms: u64,
    /// The most that a server's `Retry-After` is honoured for.
    pub retry_after_max_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first_ms: 500, max_ms: 15_000, retry_after_max_ms: 60_000 }
    }
}

impl Backoff {
    /// The waits in order, without end.
    pub(crate) fn delays(&self) -> impl Iterator<Item = Duration> + use<> {
        ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(self.first_ms))
            .with_max_delay(Duration::from_millis(self.max_ms))
            .without_max_times()
            .with_jitter()
            .build()
    }

    /// The wait before the next try: the server's word where it gave one, so far as it is bearable.
    pub(crate) fn wait(&self, own: Duration, asked: Option<Duration>) -> Duration {
        match asked {
            Some(asked) => own.max(asked.min(Duration::from_millis(self.retry_after_max_ms))),
            None => own,
        }
    }
}

/// What a reply's headers say of when to ask again: `retry-after-ms`, or `Retry-After` in seconds or as a date
/// (RFC 9110, 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = |text: &str, unit: f64| {
        text.parse::<f64>().ok().and_then(|count| Duration::try_from_secs_f64(count * unit).ok())
    };
    if let Some(wait) = text("retry-after-ms").and_then(|text| seconds(text, 0.001)) {
        return Some(wait);
    }
    let text = text(RETRY_AFTER.as_str())?;
    seconds(text, 1.0).or_else(|| {
        let at = rfc2822::parse(text).ok()?.timestamp();
        Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_are_not_in_step() {
        let backoff = Backoff { first_ms: 100, max_ms: 400, retry_after_max_ms: 0 };
        let least = [100, 200, 400, 400, 400];
        let seen: Vec<Vec<Duration>> =
            (0..20).map(|_| backoff.delays().take(least.len()).collect()).collect();
        for waits in &seen {
            for (wait, least) in waits.iter().zip(least) {
                let range = Duration::from_millis(least)..=Duration::from_millis(2 * least);
                assert!(range.contains(wait), "{wait:?} is not in {range:?}");
            }
        }
        assert!(seen.iter().any(|waits| waits != &seen[0]), "no jitter");
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let read = |name: &'static str, value: &str| {
            retry_after(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]), now)
        };
        assert_eq!(read("retry-after", "3"), Some(Duration::from_secs(3)));
        assert_eq!(read("retry-after", "0.25"), Some(Duration::from_millis(250)));
        assert_eq!(read("retry-after-ms", "70"), Some(Duration::from_millis(70)));
        assert_eq!(read("retry-after", "Sun, 22 Nov 2026 10:00:05 GMT"), Some(Duration::from_secs(5)));
        assert_eq!(read("retry-after", "Sun, 22 Nov 2026 09:00:00 GMT"), Some(Duration::ZERO));
        for odd in ["-1", "soon", "", "NaN", "1e300"] {
            assert_eq!(read("retry-after", odd), None, "{odd}");
        }
    }

    #[test]
    fn the_servers_word_is_kept_up_to_the_limit() {
        let backoff = Backoff { retry_after_max_ms: 1000, ..Backoff::default() };
        let [own, short, long] = [10, 500, 5000].map(Duration::from_millis);
        assert_eq!(backoff.wait(own, None), own);
        assert_eq!(backoff.wait(own, Some(short)), short);
        assert_eq!(backoff.wait(own, Some(long)), Duration::from_millis(1000));
    }
}
