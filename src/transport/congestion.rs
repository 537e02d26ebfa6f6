//! Congestion control: BBRv3, made patient with people who type.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use iroh::endpoint::{Controller, ControllerFactory, ControllerMetrics, RttEstimator};
use noq_proto::congestion::Bbr3Config;

/// Builds BBRv3 with a floor under its pacing rate.
///
/// BBR paces at the bandwidth that it has seen, and an idle shell has shown it next to none. The
/// pacer asks for credit for a whole packet however small the next one is, so a key press may wait
/// for milliseconds until a rate of some 100 kB/s has earned it. RFC 9002 section 7.7 allows bursts
/// of an initial window after a pause: so the rate never goes below an initial window a round trip.
/// The congestion window stays BBR's own, which is what protects a slow link.
#[derive(Debug, Default)]
pub(super) struct PatientBbr(Arc<Bbr3Config>);

impl ControllerFactory for PatientBbr {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Patient { inner: self.0.clone().build(now, current_mtu), round_trip: None })
    }
}

#[derive(Debug)]
struct Patient {
    inner: Box<dyn Controller>,
    /// The smoothed round-trip time, once there is one.
    round_trip: Option<Duration>,
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
        self.inner.on_packet_lost(lost_bytes, pn, now);
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
        Box::new(Self { inner: self.inner.clone_box(), round_trip: self.round_trip })
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
        let mut patient =
            Patient { inner: Arc::new(Bbr3Config::default()).build(Instant::now(), 1200), round_trip: None };
        let own = patient.metrics().pacing_rate.expect("BBR paces");
        assert_eq!(own, patient.inner.metrics().pacing_rate.expect("BBR paces"));
        patient.round_trip = Some(Duration::from_micros(100));
        let floor = patient.initial_window() * 10_000;
        assert_eq!(patient.metrics().pacing_rate, Some(floor.max(own)));
    }
}
