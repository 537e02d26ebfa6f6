//! How fast a transfer is, smoothed.

use std::time::Instant;

/// Bytes a second, in which what was a few seconds ago counts less.
#[derive(Debug)]
pub(super) struct Rate {
    at: Instant,
    done: u64,
    smoothed: Option<f64>,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now, done: 0, smoothed: None }
    }

    /// The rate, given what is done now.
    pub(super) fn at(&mut self, done: u64, now: Instant) -> u64 {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        if seconds >= SHORTEST {
            let current = done.saturating_sub(self.done) as f64 / seconds;
            // What is older than a second counts nine tenths, as with scp, which looks once a second.
            let weight = 0.9_f64.powf(seconds);
            let before = self.smoothed.unwrap_or(current);
            self.smoothed = Some(before * weight + current * (1.0 - weight));
            (self.at, self.done) = (now, done);
        }
        self.smoothed.unwrap_or_default() as u64
    }
}

/// In seconds. What is measured in less says little.
const SHORTEST: f64 = 0.05;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_steady_transfer_has_its_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        assert_eq!(rate.at(0, start), 0);
        for tenths in 1..100_u64 {
            let now = start + Duration::from_millis(tenths * 100);
            assert!(rate.at(tenths * 1000, now).abs_diff(10_000) <= 1);
        }
    }

    #[test]
    fn a_stop_wears_the_rate_down() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        rate.at(1000, start + Duration::from_secs(1));
        let rates: Vec<u64> = (2..20).map(|s| rate.at(1000, start + Duration::from_secs(s))).collect();
        assert!(rates.is_sorted_by(|a, b| a > b) && rates[0] == 900, "{rates:?}");
    }
}
