//! Whether the link could take more.

use std::time::{Duration, Instant};

use super::quickest::Quickest;

/// How much faster than BBR's estimate the sender may be while nothing queues.
///
/// After each half of a round trip in which some packet met no queue, none was lost and the sender always had more
/// to send, it goes faster by a [`STEP`]. The first queue ends that. Only packets that were sent half a round
/// trip after the last step tell what came of it, since a queue takes time to grow.
///
/// Without it, one pause while a transfer gathers speed is taken for the capacity: the link, the sender
/// or the receiver stood still for 0.3 s, and a link of 100 Mbit/s was used at 4 to 20 for twenty
/// seconds, since BBR tries a quarter more every two to three seconds only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    gain: f64,
    /// When the gain was last decided on.
    decided: Option<Instant>,
    /// Of the packets sent well after that: when the first was acknowledged, whether any met no queue, and whether
    /// there was nothing to send meanwhile.
    since: Option<Instant>,
    empty: bool,
    idle: bool,
    lost: Option<Instant>,
}

const STEP: f64 = 1.25;

/// As fast as BBR's window for its estimate allows (section 5.6.4.2).
const MOST: f64 = 2.0;

/// How long a loss is remembered: a short queue overflows before the round trip tells of it, and is left
/// to BBR.
const CALM: Duration = Duration::from_secs(10);

impl Room {
    pub(super) fn new() -> Self {
        Self { gain: 1.0, decided: None, since: None, empty: false, idle: false, lost: None }
    }

    /// What to multiply the estimated bandwidth by, where there is room.
    pub(super) fn gain(&self) -> Option<f64> {
        (self.gain > 1.0).then_some(self.gain)
    }

    /// One acknowledgement of what was sent at `sent`; the shortest round trip so far, and the usual one.
    pub(super) fn on_ack(&mut self, now: Instant, sent: Instant, quickest: Quickest, usual: Duration) {
        if self.decided.is_some_and(|decided| sent < decided + usual / 2) {
            return;
        }
        self.empty |= !quickest.is_behind_a_queue(now.saturating_duration_since(sent));
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) < usual / 2 {
            return;
        }
        let calm = self.lost.is_none_or(|at| now.saturating_duration_since(at) > CALM);
        self.gain = if self.empty && calm && !self.idle { (self.gain * STEP).min(MOST) } else { 1.0 };
        *self = Self { decided: Some(now), since: None, empty: false, idle: false, ..*self };
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

    fn quickest(start: Instant) -> Quickest {
        let mut quickest = Quickest::new(start);
        quickest.acked(start + ROUND_TRIP, start);
        quickest
    }

    /// What a second of packets, 5 ms apart, leads to.
    fn after_a_second(room: &mut Room, start: Instant, round_trip: impl Fn(u32) -> Duration) -> Option<f64> {
        for number in 0..200 {
            let sent = start + Duration::from_millis(5) * number;
            room.on_ack(sent + round_trip(number), sent, quickest(start), ROUND_TRIP);
        }
        room.gain()
    }

    #[test]
    fn there_is_room_while_nothing_queues() {
        let jitter = |number| ROUND_TRIP + Duration::from_millis(u64::from(number % 10));
        assert_eq!(after_a_second(&mut Room::new(), Instant::now(), jitter), Some(MOST));
    }

    #[test]
    fn a_queue_ends_it() {
        let (mut room, start) = (Room::new(), Instant::now());
        after_a_second(&mut room, start, |_| ROUND_TRIP);
        let later = start + Duration::from_secs(1);
        assert_eq!(after_a_second(&mut room, later, |_| ROUND_TRIP * 5 / 4), None);
    }

    /// The bytes that wait before a link of `rate` bytes a second, at their most, when the sender goes by
    /// an estimate of that rate and by what the room allows.
    fn longest_queue(rate: f64) -> f64 {
        let (mut room, start) = (Room::new(), Instant::now());
        let tick = Duration::from_millis(1);
        let (mut queue, mut longest, mut on_the_way) = (0.0_f64, 0.0_f64, std::collections::VecDeque::new());
        for number in 0..5000 {
            let now = start + tick * number;
            while on_the_way.front().is_some_and(|(_, arrives)| *arrives <= now) {
                let (sent, _) = on_the_way.pop_front().expect("a packet");
                room.on_ack(now, sent, quickest(start), ROUND_TRIP);
            }
            let sent = rate * room.gain().unwrap_or(0.99) * tick.as_secs_f64();
            queue = (queue + sent - rate * tick.as_secs_f64()).max(0.0);
            longest = longest.max(queue);
            on_the_way.push_back((now, now + ROUND_TRIP + Duration::from_secs_f64(queue / rate)));
        }
        longest
    }

    #[test]
    fn on_a_link_that_is_full_a_step_costs_a_short_queue() {
        let rate = 12_500_000.0;
        let held = rate * ROUND_TRIP.as_secs_f64();
        assert!(
            longest_queue(rate) < 2.0 / 3.0 * held,
            "{} of what the link holds",
            longest_queue(rate) / held
        );
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
            let sent = start + Duration::from_millis(5) * number;
            room.on_ack(sent + ROUND_TRIP, sent, quickest(start), ROUND_TRIP);
        }
        assert_eq!(room.gain(), None);
    }
}
