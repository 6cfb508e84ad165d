//! How a measured time is spread: median, the slow end, and the slowest.

use std::fmt;
use std::time::Duration;

/// Durations, sorted.
#[derive(Debug, Clone, Default)]
pub struct Spread(Vec<Duration>);

impl FromIterator<Duration> for Spread {
    fn from_iter<T: IntoIterator<Item = Duration>>(durations: T) -> Self {
        let mut durations: Vec<Duration> = durations.into_iter().collect();
        durations.sort_unstable();
        Self(durations)
    }
}

impl Spread {
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest duration that `percent` of them do not exceed; zero when there are none.
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// `p50 12 ms, p90 20 ms, p99 31 ms, longest 40 ms (of 1234)`
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1000.0;
        let (p50, p90, p99, longest) = (ms(50.0), ms(90.0), ms(99.0), ms(100.0));
        write!(
            f,
            "p50 {p50:.0} ms, p90 {p90:.0} ms, p99 {p99:.0} ms, longest {longest:.0} ms (of {})",
            self.0.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_figures() {
        let spread: Spread = (1..=200).rev().map(Duration::from_millis).collect();
        let ms = |percent| spread.percentile(percent).as_millis();
        assert_eq!((ms(50.0), ms(99.0), ms(100.0), ms(0.0)), (100, 198, 200, 1));
        assert_eq!(spread.to_string(), "p50 100 ms, p90 180 ms, p99 198 ms, longest 200 ms (of 200)");
        assert_eq!(Spread::default().percentile(99.0), Duration::ZERO);
    }
}
