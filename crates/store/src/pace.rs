//! How fast a model endpoint may be called: so many requests and so many tokens a minute, over all processes.
//!
//! It is the generic cell rate algorithm: what is kept of an endpoint is when its next call may be made, and each place that
//! is taken moves that on. Tokens are known only afterwards: they are counted then, and calls wait until they are made good.

/// How far ahead places are given: whoever has one waits for it on the spot.
pub const PACE_AHEAD_MS: i64 = 1_000;
/// What was not used is good for so long: more would let a minute hold more than it may.
const SAVED_US: i64 = 2_000_000;
/// No debt is longer, whatever a clock or a reply says.
const DEBT_MAX_US: i64 = 3_600_000_000;
const MINUTE_US: i64 = 60_000_000;

/// The limits of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// Requests a minute.
    pub requests: Option<u32>,
    /// Tokens a minute, both ways.
    pub tokens: Option<u32>,
}

/// When calls may be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// UTC milliseconds, none later than [`PACE_AHEAD_MS`] from now.
    pub at_ms: Vec<i64>,
    /// When the next one could be.
    pub next_at_ms: i64,
}

/// What is kept of an endpoint, in UTC microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meter {
    pub call_at: i64,
    pub token_at: i64,
}

impl Pace {
    fn call_us(&self) -> i64 {
        self.requests.map_or(0, |requests| MINUTE_US / i64::from(requests.max(1)))
    }

    fn tokens_us(&self, tokens: u64) -> i64 {
        let Some(a_minute) = self.tokens else { return 0 };
        let used = i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(MINUTE_US);
        (used / i64::from(a_minute.max(1))).min(DEBT_MAX_US)
    }
}

impl Meter {
    fn settle(&mut self, now_us: i64) {
        for at in [&mut self.call_at, &mut self.token_at] {
            *at = (*at).clamp(now_us - SAVED_US, now_us + DEBT_MAX_US);
        }
    }

    /// Takes up to `wanted` places.
    pub fn take(&mut self, pace: Pace, wanted: u32, now_ms: i64) -> Places {
        let now_us = now_ms * 1_000;
        self.settle(now_us);
        let mut places = Places::default();
        loop {
            let gate_us = if pace.tokens.is_some() { self.token_at } else { i64::MIN };
            let at_us = self.call_at.max(gate_us).max(now_us);
            places.next_at_ms = at_us / 1_000;
            if places.at_ms.len() >= wanted as usize || places.next_at_ms > now_ms + PACE_AHEAD_MS {
                return places;
            }
            places.at_ms.push(places.next_at_ms);
            self.call_at = self.call_at.max(gate_us) + pace.call_us();
        }
    }

    /// Counts what calls used beyond their places.
    pub fn spend(&mut self, pace: Pace, requests: u32, tokens: u64, now_ms: i64) {
        self.settle(now_ms * 1_000);
        self.call_at = self.call_at.saturating_add(pace.call_us().saturating_mul(i64::from(requests)));
        self.token_at = self.token_at.saturating_add(pace.tokens_us(tokens));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_made_good_before_the_next_call() {
        let pace = Pace { requests: None, tokens: Some(60_000) };
        let mut meter = Meter::default();
        let now_ms = 1_790_000_000_000;
        assert_eq!(meter.take(pace, 3, now_ms).at_ms, [now_ms; 3], "nothing is known to be used");
        meter.spend(pace, 0, 10_000, now_ms);
        // Ten seconds' worth, two of which were saved.
        let places = meter.take(pace, 3, now_ms);
        assert_eq!((places.at_ms.len(), places.next_at_ms), (0, now_ms + 8_000));
        assert_eq!(meter.take(pace, 1, now_ms + 7_000).at_ms, [now_ms + 8_000]);
    }

    #[test]
    fn a_clock_that_was_ahead_stops_nobody_for_good() {
        let pace = Pace { requests: Some(60), tokens: Some(1) };
        let mut meter = Meter { call_at: i64::MAX, token_at: i64::MAX };
        let now_ms = 1_790_000_000_000;
        assert_eq!(meter.take(pace, 1, now_ms).next_at_ms, now_ms + DEBT_MAX_US / 1_000);
        meter.spend(pace, u32::MAX, u64::MAX, now_ms);
        assert_eq!(meter.take(pace, 1, now_ms).next_at_ms, now_ms + DEBT_MAX_US / 1_000);
    }
}
