//! The shortest round trip.

use std::time::{Duration, Instant};

/// The shortest round trip, and when it was seen.
///
/// A round trip that is longer by a [`NEARLY`]th at most shows that there is no queue, and so counts as
/// the shortest once more: BBR, which believes only shorter ones, is told of one that is a nanosecond
/// shorter, every [`CONFIRM`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Quickest {
    pub(super) round_trip: Duration,
    seen: Instant,
}

/// As a part of the shortest.
const NEARLY: u32 = 16;

/// Some time before it expires: BBR's phase of trying more, behind a queue, comes every two to three
/// seconds and lasts for several round trips.
const CONFIRM: Duration = Duration::from_secs(1);

/// What clocks and schedulers add to a round trip.
const JITTER: Duration = Duration::from_millis(1);

/// After which BBR takes the next round trip for the shortest (ProbeRTTInterval, section 2.12).
const EXPIRES: Duration = Duration::from_secs(5);

impl Quickest {
    pub(super) fn new(now: Instant) -> Self {
        Self { round_trip: Duration::MAX, seen: now }
    }

    /// Whether a round trip shows that packets waited on the way.
    pub(super) fn is_behind_a_queue(&self, round_trip: Duration) -> bool {
        round_trip > self.round_trip.saturating_add(self.round_trip / NEARLY).saturating_add(JITTER)
    }

    /// When BBR is to believe that what was sent at `sent` and acknowledged at `now` was acknowledged.
    pub(super) fn acked(&mut self, now: Instant, sent: Instant) -> Instant {
        let round_trip = now.saturating_duration_since(sent);
        let age = now.saturating_duration_since(self.seen);
        if round_trip < self.round_trip || age > EXPIRES {
            *self = Self { round_trip, seen: now };
        } else if age >= CONFIRM && round_trip - self.round_trip <= self.round_trip / NEARLY {
            let shorter = self.round_trip.saturating_sub(Duration::from_nanos(1));
            *self = Self { round_trip: shorter, seen: now };
            return sent + shorter;
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(50);

    /// The longest time between two round trips that BBR takes for the shortest so far, in a minute of
    /// acknowledgements that come 10 ms apart, after `round_trip(n)` each.
    fn longest_without(round_trip: impl Fn(u32) -> Duration) -> Duration {
        let start = Instant::now();
        let mut quickest = Quickest::new(start);
        let (mut shortest, mut since, mut longest) = (Duration::MAX, start, Duration::ZERO);
        for number in 0..6000 {
            let sent = start + Duration::from_millis(10) * number;
            let now = sent + round_trip(number);
            let told = quickest.acked(now, sent);
            assert!(told > sent && told <= now && now - told <= ROUND_TRIP / 16 + Duration::from_nanos(100));
            if told - sent < shortest {
                (shortest, since) = (told - sent, now);
            }
            longest = longest.max(now - since);
        }
        longest
    }

    #[test]
    fn without_a_queue_the_round_trip_needs_no_probe() {
        assert!(longest_without(|_| ROUND_TRIP) < EXPIRES, "an even link");
        let jitter = |number| ROUND_TRIP + Duration::from_millis(u64::from(number * 7919 % 40));
        assert!(longest_without(jitter) < EXPIRES, "one that is sometimes empty");
    }

    #[test]
    fn a_queue_that_never_drains_is_probed_under() {
        let queue = |number| if number < 10 { ROUND_TRIP } else { ROUND_TRIP + ROUND_TRIP / 10 };
        assert!(longest_without(queue) > EXPIRES);
    }
}
