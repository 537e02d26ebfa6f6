//! Which loss is congestion.

use super::lately::Lately;

/// The part of what was sent that may be lost before it counts as congestion.
///
/// Twice what bad radio links lose. A policer, or a sender that overshoots a short queue, loses more.
pub(super) const TOLERATED: f64 = 0.1;

/// Round trips that one span of the fate of packets lasts.
pub(super) const ROUNDS: u32 = 2;

/// Bytes of loss below which nothing can be said of its share.
const MEANINGFUL: u64 = 10 * 1452;

/// What became of the bytes that were sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fate {
    acked: u64,
    lost: u64,
}

impl Lately<Fate> {
    pub(super) fn on_ack(&mut self, bytes: u64) {
        self.current.acked += bytes;
    }

    /// Counts a loss; whether it is one of so many that the link must be full.
    pub(super) fn is_congestion(&mut self, lost: u64) -> bool {
        self.current.lost += lost;
        self.lost() >= MEANINGFUL && self.share_lost() > TOLERATED
    }

    fn lost(&self) -> u64 {
        self.before.lost + self.current.lost
    }

    /// From 0 to 1.
    pub(super) fn share_lost(&self) -> f64 {
        let sent = self.before.acked + self.current.acked + self.lost();
        self.lost() as f64 / sent.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(50);

    /// Sends `packets` at `a_second`; whether any is taken for congestion when one of `every` is lost.
    fn hears_of_loss(
        fate: &mut Lately<Fate>,
        start: Instant,
        packets: u32,
        a_second: u32,
        every: u32,
    ) -> bool {
        let mut heard = false;
        for packet in 1..=packets {
            fate.advance(start + Duration::from_secs(1) * packet / a_second, 2 * ROUND_TRIP);
            if packet % every == 0 {
                heard |= fate.is_congestion(1452);
            } else {
                fate.on_ack(1452);
            }
        }
        heard
    }

    #[test]
    fn a_link_that_loses_five_percent_is_not_taken_for_a_full_one() {
        for a_second in [50, 1000, 10_000] {
            let hears =
                |every| hears_of_loss(&mut Lately::default(), Instant::now(), 10_000, a_second, every);
            assert!(!hears(100) && !hears(20), "{a_second} packets a second");
        }
        assert!(hears_of_loss(&mut Lately::default(), Instant::now(), 10_000, 10_000, 7));
    }

    #[test]
    fn a_queue_that_overflows_is_heard_of_within_a_few_packets() {
        let mut fate = Lately::<Fate>::default();
        fate.advance(Instant::now(), 2 * ROUND_TRIP);
        for _ in 0..300 {
            fate.on_ack(1452);
        }
        let first = (1..100).find(|_| fate.is_congestion(1452)).expect("heard");
        assert!((10..40).contains(&first), "after {first} losses");
    }

    #[test]
    fn a_sender_that_an_overflow_made_slow_is_not_kept_slow_by_single_losses() {
        let (mut fate, start) = (Lately::<Fate>::default(), Instant::now());
        assert!(hears_of_loss(&mut fate, start, 1000, 10_000, 2), "the overflow itself");
        let later = start + Duration::from_secs(1);
        assert!(!hears_of_loss(&mut fate, later, 100, 50, 20));
    }
}
