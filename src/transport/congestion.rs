//! Congestion control: BBRv3, made patient with people who type and with links that lose packets.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use iroh::endpoint::{Controller, ControllerFactory, ControllerMetrics, RttEstimator};
use noq_proto::congestion::Bbr3Config;

/// Builds BBRv3 with a floor under its pace, deaf to loss that is not congestion, and slow to forget.
///
/// BBR paces at the bandwidth that it has seen, and an idle shell has shown it next to none. The
/// pacer asks for credit for a whole packet however small the next one is, so a key press may wait
/// for milliseconds until a rate of some 100 kB/s has earned it. RFC 9002 section 7.7 allows bursts
/// of an initial window after a pause: so the rate never goes below an initial window a round trip.
/// The congestion window stays BBR's own, which is what protects a slow link.
///
/// BBRv3 takes more than 2 % of loss in a round for congestion and lowers its estimates by 30 % each
/// time, which at a steady 5 %, as radio links have it, ends at nothing: 40 MiB over 100 Mbit/s came
/// down to less than 1 Mbit/s within seconds. So it hears of loss only while more is lost than
/// [`TOLERATED`], and the pace makes up for what is lost. The first BBR heard of none at all; what
/// bounds the queue is the measured bandwidth and round-trip time.
///
/// Two things in noq-proto 1.4 are not as in draft-ietf-ccwg-bbr-05 and are made good here: see
/// [`MEMORY`] and [`Patient::on_end_acks`].
#[derive(Debug, Default)]
pub(super) struct PatientBbr(Arc<Bbr3Config>);

impl ControllerFactory for PatientBbr {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Patient {
            inner: self.0.clone().build(now, current_mtu),
            round_trip: None,
            fate: Lately::default(),
            fastest: Lately::default(),
        })
    }
}

/// The part of what was sent that may be lost before it counts as congestion.
///
/// Twice what bad radio links lose. A policer, or a sender that overshoots a short queue, loses more.
const TOLERATED: f64 = 0.1;

/// Round trips that one span of the fate of packets lasts.
const ROUNDS: u32 = 2;

/// Bytes of loss below which nothing can be said of its share.
const MEANINGFUL: u64 = 10 * 1452;

/// How long one span of the highest bandwidth lasts.
///
/// BBR remembers it for two cycles of probing, of two to three seconds each (section 2.10), but here
/// its filter moves on in every round of a cycle and so remembers for two. A pace of 0.9 of the
/// estimate then lowers the estimate, again and again: with 5 % of loss, that ended at 0.5 Mbit/s.
const MEMORY: Duration = Duration::from_secs(2);

/// What was seen in the last one to two spans of time.
///
/// It forgets by time and not by bytes: a full queue that made the sender slow would otherwise be
/// remembered for as long as the sender is slow, and each single loss in that time, of the four
/// packets that are then on their way, would keep it so. Downloads stood at 0.3 Mbit/s for a minute.
#[derive(Debug, Clone, Copy, Default)]
struct Lately<T> {
    before: T,
    current: T,
    since: Option<Instant>,
}

impl<T: Copy + Default> Lately<T> {
    /// Forgets what is older than two spans.
    fn advance(&mut self, now: Instant, span: Duration) {
        match self.since.map(|since| now.saturating_duration_since(since)) {
            Some(age) if age < span => return,
            Some(age) if age < 2 * span => self.before = self.current,
            _ => self.before = T::default(),
        }
        self.current = T::default();
        self.since = Some(now);
    }
}

/// What became of the bytes that were sent.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    acked: u64,
    lost: u64,
}

impl Lately<Fate> {
    fn on_ack(&mut self, bytes: u64) {
        self.current.acked += bytes;
    }

    /// Counts a loss; whether it is one of so many that the link must be full.
    fn is_congestion(&mut self, lost: u64) -> bool {
        self.current.lost += lost;
        self.lost() >= MEANINGFUL && self.share_lost() > TOLERATED
    }

    fn lost(&self) -> u64 {
        self.before.lost + self.current.lost
    }

    /// From 0 to 1.
    fn share_lost(&self) -> f64 {
        let sent = self.before.acked + self.current.acked + self.lost();
        self.lost() as f64 / sent.max(1) as f64
    }
}

#[derive(Debug)]
struct Patient {
    inner: Box<dyn Controller>,
    /// The smoothed round-trip time, once there is one.
    round_trip: Option<Duration>,
    fate: Lately<Fate>,
    /// The highest bandwidth, in bits a second.
    fastest: Lately<u64>,
}

impl Patient {
    /// Bytes a second below which nothing is paced.
    fn floor(&self) -> u64 {
        let Some(round_trip) = self.round_trip else { return 0 };
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX).max(1);
        self.inner.initial_window().saturating_mul(1_000_000) / micros
    }

    /// Bytes a second, from BBR's own.
    fn pace(&self, own: u64, bandwidth: Option<u64>) -> u64 {
        let fastest = self.fastest.before.max(self.fastest.current);
        let remembered = match bandwidth {
            Some(now) if now > 0 && fastest > now => fastest as f64 / now as f64,
            _ => 1.0,
        };
        let arrives = 1.0 - self.fate.share_lost().min(TOLERATED);
        ((own as f64 * remembered / arrives) as u64).max(self.floor())
    }

    fn remember(&mut self, now: Instant) {
        self.fastest.advance(now, MEMORY);
        let bandwidth = self.inner.metrics().bandwidth_estimate.unwrap_or(0);
        self.fastest.current = self.fastest.current.max(bandwidth);
    }

    fn advance_fate(&mut self, now: Instant) {
        self.fate.advance(now, self.round_trip.unwrap_or_default() * ROUNDS);
    }
}

impl Controller for Patient {
    fn on_sent(&mut self, now: Instant, bytes: u64, largest_pn: u64) {
        self.inner.on_sent(now, bytes, largest_pn);
    }

    fn on_packet_sent(&mut self, now: Instant, bytes: u16, pn: u64) {
        self.inner.on_packet_sent(now, bytes, pn);
    }

    fn on_cwnd_limited(&mut self) {
        self.inner.on_cwnd_limited();
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        pn: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.round_trip = Some(rtt.get());
        self.advance_fate(now);
        self.fate.on_ack(bytes);
        self.inner.on_ack(now, sent, bytes, pn, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.inner.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
        // The end of one pause hides that another has begun: what is sent next counts as if there had
        // been more to send, and ssh's handshake, a few small packets a round, as the full bandwidth.
        if app_limited {
            self.inner.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
        }
        self.remember(now);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        is_ecn: bool,
        lost_bytes: u64,
        largest_lost_pn: u64,
    ) {
        self.inner.on_congestion_event(
            now,
            sent,
            is_persistent_congestion,
            is_ecn,
            lost_bytes,
            largest_lost_pn,
        );
    }

    fn on_packet_lost(&mut self, lost_bytes: u16, pn: u64, now: Instant) {
        self.advance_fate(now);
        if self.fate.is_congestion(lost_bytes.into()) {
            self.inner.on_packet_lost(lost_bytes, pn, now);
            // What was fast before is no promise on a link that is full now.
            self.fastest = Lately::default();
        }
    }

    fn on_spurious_congestion_event(&mut self) {
        self.inner.on_spurious_congestion_event();
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn on_ack_frequency_update(&mut self, ack_eliciting_threshold: u64, requested_max_ack_delay: Duration) {
        self.inner.on_ack_frequency_update(ack_eliciting_threshold, requested_max_ack_delay);
    }

    fn window(&self) -> u64 {
        self.inner.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.inner.metrics();
        metrics.pacing_rate = metrics.pacing_rate.map(|rate| self.pace(rate, metrics.bandwidth_estimate));
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            round_trip: self.round_trip,
            fate: self.fate,
            fastest: self.fastest,
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_of_an_idle_connection_is_an_initial_window_a_round_trip() {
        let inner = Arc::new(Bbr3Config::default()).build(Instant::now(), 1200);
        let mut patient =
            Patient { inner, round_trip: None, fate: Lately::default(), fastest: Lately::default() };
        let own = patient.metrics().pacing_rate.expect("BBR paces");
        assert_eq!(own, patient.inner.metrics().pacing_rate.expect("BBR paces"));
        patient.round_trip = Some(Duration::from_micros(100));
        let floor = patient.initial_window() * 10_000;
        assert_eq!(patient.metrics().pacing_rate, Some(floor.max(own)));
    }

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
