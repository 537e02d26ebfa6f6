//! Congestion control: BBRv3, made patient with people who type and with links that lose packets.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use iroh::endpoint::{Controller, ControllerFactory, ControllerMetrics, RttEstimator};
use noq_proto::congestion::Bbr3Config;

/// Builds BBRv3 with a floor under its pacing rate, and deaf to loss that is not congestion.
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
/// [`TOLERATED`]. The first BBR heard of none at all; what bounds the queue is the measured
/// bandwidth and round-trip time.
#[derive(Debug, Default)]
pub(super) struct PatientBbr(Arc<Bbr3Config>);

impl ControllerFactory for PatientBbr {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Patient {
            inner: self.0.clone().build(now, current_mtu),
            round_trip: None,
            recent: Recent::default(),
        })
    }
}

/// The part of what was sent that may be lost before it counts as congestion.
///
/// Twice what bad radio links lose. A policer, or a sender that overshoots a short queue, loses more.
const TOLERATED: f64 = 0.1;

/// Bytes after which what came before counts half: some 500 packets.
const MEMORY: u64 = 700_000;

/// Bytes of loss below which nothing can be said of its share.
const MEANINGFUL: u64 = 10 * 1452;

/// What became of the bytes that were sent lately.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    acked: u64,
    lost: u64,
}

impl Recent {
    fn on_ack(&mut self, bytes: u64) {
        self.acked += bytes;
        if self.acked + self.lost > MEMORY {
            self.acked /= 2;
            self.lost /= 2;
        }
    }

    /// Counts a loss; whether it is one of so many that the link must be full.
    fn is_congestion(&mut self, lost: u64) -> bool {
        self.lost += lost;
        self.lost >= MEANINGFUL && self.lost as f64 > TOLERATED * (self.acked + self.lost) as f64
    }
}

#[derive(Debug)]
struct Patient {
    inner: Box<dyn Controller>,
    /// The smoothed round-trip time, once there is one.
    round_trip: Option<Duration>,
    recent: Recent,
}

impl Patient {
    /// Bytes a second below which nothing is paced.
    fn floor(&self) -> u64 {
        let Some(round_trip) = self.round_trip else { return 0 };
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX).max(1);
        self.inner.initial_window().saturating_mul(1_000_000) / micros
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
        self.recent.on_ack(bytes);
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
        if self.recent.is_congestion(lost_bytes.into()) {
            self.inner.on_packet_lost(lost_bytes, pn, now);
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
        metrics.pacing_rate = metrics.pacing_rate.map(|rate| rate.max(self.floor()));
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { inner: self.inner.clone_box(), round_trip: self.round_trip, recent: self.recent })
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
        let mut patient = Patient { inner, round_trip: None, recent: Recent::default() };
        let own = patient.metrics().pacing_rate.expect("BBR paces");
        assert_eq!(own, patient.inner.metrics().pacing_rate.expect("BBR paces"));
        patient.round_trip = Some(Duration::from_micros(100));
        let floor = patient.initial_window() * 10_000;
        assert_eq!(patient.metrics().pacing_rate, Some(floor.max(own)));
    }

    /// Whether any packet of 10,000 is taken for congestion when one of `every` is lost.
    fn hears_of_loss(every: u64) -> bool {
        let mut recent = Recent::default();
        let heard: Vec<bool> = (1..=10_000_u64)
            .map(|packet| {
                if packet % every == 0 {
                    return recent.is_congestion(1452);
                }
                recent.on_ack(1452);
                false
            })
            .collect();
        heard.contains(&true)
    }

    #[test]
    fn a_link_that_loses_five_percent_is_not_taken_for_a_full_one() {
        assert!(!hears_of_loss(100));
        assert!(!hears_of_loss(20));
        assert!(hears_of_loss(7));
    }

    #[test]
    fn a_queue_that_overflows_is_heard_of_within_a_few_packets() {
        let mut recent = Recent::default();
        for _ in 0..300 {
            recent.on_ack(1452);
        }
        let first = (1..100).find(|_| recent.is_congestion(1452)).expect("heard");
        assert!((10..40).contains(&first), "after {first} losses");
    }
}
