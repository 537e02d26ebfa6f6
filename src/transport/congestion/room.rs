//! Whether the link could take more.

use std::time::{Duration, Instant};

use super::quickest::NEARLY;

/// How much faster than BBR's estimate the sender may be while nothing queues.
///
/// After each round trip in which some packet met no queue, none was lost and the sender always had more
/// to send, it goes faster by a [`STEP`]. The first queue ends that.
///
/// Without it, one pause while a transfer gathers speed is taken for the capacity: the link, the sender
/// or the receiver stood still for 0.3 s, and a link of 100 Mbit/s was used at 4 to 20 for twenty
/// seconds, since BBR tries a quarter more every two to three seconds only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    gain: f64,
    /// Of this round trip: since when, the shortest of its samples, and whether there was nothing to
    /// send.
    since: Option<Instant>,
    shortest: Duration,
    idle: bool,
    lost: Option<Instant>,
}

const STEP: f64 = 1.25;

/// As fast as BBR's window for its estimate allows (section 5.6.4.2).
const MOST: f64 = 2.0;

/// How long a loss is remembered: a short queue overflows before the round trip tells of it, and is left
/// to BBR.
const CALM: Duration = Duration::from_secs(10);

/// What clocks and schedulers add to a round trip.
const JITTER: Duration = Duration::from_millis(1);

impl Room {
    pub(super) fn new() -> Self {
        Self { gain: 1.0, since: None, shortest: Duration::MAX, idle: false, lost: None }
    }

    /// What to multiply the estimated bandwidth by, where there is room.
    pub(super) fn gain(&self) -> Option<f64> {
        (self.gain > 1.0).then_some(self.gain)
    }

    /// One acknowledgement: its round trip, the shortest so far, and the usual one.
    pub(super) fn on_ack(&mut self, now: Instant, sample: Duration, quickest: Duration, usual: Duration) {
        self.shortest = self.shortest.min(sample);
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) < usual {
            return;
        }
        let empty = self.shortest <= quickest + quickest / NEARLY + JITTER;
        let calm = self.lost.is_none_or(|at| now.saturating_duration_since(at) > CALM);
        self.gain = if empty && calm && !self.idle { (self.gain * STEP).min(MOST) } else { 1.0 };
        *self = Self { since: Some(now), shortest: Duration::MAX, idle: false, ..*self };
    }

    /// There was nothing more to send.
    pub(super) fn on_idle(&mut self) {
        self.idle = true;
    }

    pub(super) fn on_loss(&mut self, now: Instant) {
        self.lost = Some(now);
        self.gain = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(50);

    /// What a second of acknowledgements, 5 ms apart, leads to.
    fn after_a_second(room: &mut Room, start: Instant, round_trip: impl Fn(u32) -> Duration) -> Option<f64> {
        for number in 0..200 {
            let now = start + Duration::from_millis(5) * number;
            room.on_ack(now, round_trip(number), ROUND_TRIP, ROUND_TRIP);
        }
        room.gain()
    }

    #[test]
    fn there_is_room_while_nothing_queues() {
        let jitter = |number| ROUND_TRIP + Duration::from_millis(u64::from(number % 10) * 3);
        assert_eq!(after_a_second(&mut Room::new(), Instant::now(), jitter), Some(MOST));
    }

    #[test]
    fn a_queue_ends_it() {
        let (mut room, start) = (Room::new(), Instant::now());
        after_a_second(&mut room, start, |_| ROUND_TRIP);
        let later = start + Duration::from_secs(1);
        assert_eq!(after_a_second(&mut room, later, |_| ROUND_TRIP * 5 / 4), None);
    }

    #[test]
    fn a_loss_ends_it_for_a_while() {
        let (mut room, start) = (Room::new(), Instant::now());
        after_a_second(&mut room, start, |_| ROUND_TRIP);
        let later = start + Duration::from_secs(1);
        room.on_loss(later);
        assert_eq!(room.gain(), None);
        assert_eq!(after_a_second(&mut room, later, |_| ROUND_TRIP), None);
        assert!(after_a_second(&mut room, later + CALM, |_| ROUND_TRIP).is_some());
    }

    #[test]
    fn who_has_nothing_to_send_needs_none() {
        let (mut room, start) = (Room::new(), Instant::now());
        for number in 0..200 {
            room.on_idle();
            room.on_ack(start + Duration::from_millis(5) * number, ROUND_TRIP, ROUND_TRIP, ROUND_TRIP);
        }
        assert_eq!(room.gain(), None);
    }
}
