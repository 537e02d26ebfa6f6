//! Congestion control: BBRv3, made patient with people who type and with links that lose packets.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use iroh::endpoint::{Controller, ControllerFactory, ControllerMetrics, RttEstimator};
use noq_proto::congestion::Bbr3Config;

use self::{
    lately::Lately,
    loss::{Fate, ROUNDS, TOLERATED},
    quickest::Quickest,
    room::Room,
};

mod lately;
mod loss;
mod quickest;
mod room;

/// Builds BBRv3 with a floor under its pace, deaf to loss that is not congestion, slow to forget, quick
/// where there is room, and without pauses that nothing calls for.
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
/// BBR sends at half speed for a fifth of a second, every five seconds in which no round trip was
/// shorter than all before, to see whether a queue of its own hides the true one. That costs some 5 %
/// where there is none: see [`Quickest`].
///
/// A sender that flow control stops counts as one that has nothing to send, from whose silence BBR learns
/// nothing: on links that hold more than half of [`SSH_WINDOW`], it stayed in its phases of trying
/// more, behind a queue of its own, until the next such pause. So who has filled the link
/// ([`Patient::fills_the_link`]) is not idle.
///
/// What it takes for the capacity of the link may be what a pause in the wrong moment has left: see
/// [`Room`].
///
/// Packets that overtake each other look lost, and later are not. BBR then goes back to where it was
/// before the loss; it must not be told so of losses that it has not heard of, since it never was there.
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
            quickest: None,
            room: Room::new(),
            idle: true,
            heard_of_loss: false,
        })
    }
}

/// How long one span of the highest bandwidth lasts.
///
/// BBR remembers it for two cycles of probing, of two to three seconds each (section 2.10), but here
/// its filter moves on in every round of a cycle and so remembers for two. A pace of 0.9 of the
/// estimate then lowers the estimate, again and again: with 5 % of loss, that ended at 0.5 Mbit/s.
const MEMORY: Duration = Duration::from_secs(2);

/// Bytes that OpenSSH sends on a channel until the other side has taken them.
const SSH_WINDOW: u64 = 2 << 20;

#[derive(Debug)]
struct Patient {
    inner: Box<dyn Controller>,
    /// The smoothed round-trip time, once there is one.
    round_trip: Option<Duration>,
    fate: Lately<Fate>,
    /// The highest bandwidth, in bits a second.
    fastest: Lately<u64>,
    quickest: Option<Quickest>,
    room: Room,
    /// Whether there was nothing more to send at the last acknowledgement, as before the first.
    idle: bool,
    /// Whether BBR was told of a loss since the last one that was none after all.
    heard_of_loss: bool,
}

/// Round trips of less than half of this are too few packets to tell the share of loss on a slow link.
const SHORTEST_SPAN: Duration = Duration::from_millis(250);

/// The part of its estimate at which BBR paces while it does not make room for others or drains a queue
/// of its own: there it is 0.99, in its other phases 0.9 and less (section 5.6.2).
const CRUISING: f64 = 0.95;

impl Patient {
    /// Bytes a second below which nothing is paced, for who has paused.
    fn floor(&self) -> u64 {
        let Some(round_trip) = self.round_trip.filter(|_| self.idle) else { return 0 };
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
        let estimate = bandwidth.unwrap_or(0) as f64 / 8.0;
        let cruises = own as f64 >= CRUISING * estimate;
        let with_room = self.room.gain().filter(|_| cruises).map_or(0.0, |gain| estimate * gain);
        ((with_room.max(own as f64) * remembered / arrives) as u64).max(self.floor())
    }

    /// Whether what is on its way queues, and is about all that flow control lets one session send.
    fn fills_the_link(&self, in_flight: u64) -> bool {
        let (Some(quickest), Some(usual)) = (self.quickest, self.round_trip) else { return false };
        in_flight >= SSH_WINDOW / 4 * 3 && quickest.is_behind_a_queue(usual)
    }

    fn remember(&mut self, now: Instant) {
        self.fastest.advance(now, MEMORY);
        let bandwidth = self.inner.metrics().bandwidth_estimate.unwrap_or(0);
        self.fastest.current = self.fastest.current.max(bandwidth);
    }

    fn advance_fate(&mut self, now: Instant) {
        self.fate.advance(now, (self.round_trip.unwrap_or_default() * ROUNDS).max(SHORTEST_SPAN));
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
        let quickest = self.quickest.get_or_insert_with(|| Quickest::new(now));
        let acked = quickest.acked(now, sent);
        self.room.on_ack(now, sent, *quickest, rtt.get());
        self.inner.on_ack(acked, sent, bytes, pn, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        let app_limited = app_limited && !self.fills_the_link(in_flight);
        self.idle = app_limited;
        if app_limited {
            self.room.on_idle();
        }
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
        if is_ecn {
            // The router says before it drops anything that there is no room.
            self.room.on_loss(now);
            self.fastest = Lately::default();
        }
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
        self.room.on_loss(now);
        if self.fate.is_congestion(lost_bytes.into()) {
            self.inner.on_packet_lost(lost_bytes, pn, now);
            self.heard_of_loss = true;
            // What was fast before is no promise on a link that is full now.
            self.fastest = Lately::default();
        }
    }

    fn on_spurious_congestion_event(&mut self) {
        if std::mem::take(&mut self.heard_of_loss) {
            self.inner.on_spurious_congestion_event();
        }
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
            quickest: self.quickest,
            room: self.room,
            idle: self.idle,
            heard_of_loss: self.heard_of_loss,
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

    const ROUND_TRIP: Duration = Duration::from_millis(50);

    fn patient(now: Instant) -> Patient {
        let built = Arc::new(PatientBbr::default()).build(now, 1200);
        *built.into_any().downcast::<Patient>().expect("our own")
    }

    #[test]
    fn the_pace_of_an_idle_connection_is_an_initial_window_a_round_trip() {
        let mut patient = patient(Instant::now());
        let own = patient.metrics().pacing_rate.expect("BBR paces");
        assert_eq!(own, patient.inner.metrics().pacing_rate.expect("BBR paces"));
        patient.round_trip = Some(Duration::from_micros(100));
        let floor = patient.initial_window() * 10_000;
        assert_eq!(patient.metrics().pacing_rate, Some(floor.max(own)));
    }

    #[test]
    fn who_always_has_more_to_send_goes_by_what_the_link_carries() {
        let now = Instant::now();
        let mut patient = patient(now);
        patient.round_trip = Some(Duration::from_micros(100));
        patient.on_end_acks(now, 0, false, None);
        assert_eq!(patient.metrics().pacing_rate, patient.inner.metrics().pacing_rate);
    }

    #[test]
    fn room_is_used_while_bbr_cruises_and_not_while_it_drains() {
        let now = Instant::now();
        let mut patient = patient(now);
        patient.quickest = Some(Quickest::new(now));
        patient.idle = false;
        let with_room = |patient: &Patient, share: f64| {
            let estimate = 1_000_000.0;
            patient.pace((share * estimate) as u64, Some((8.0 * estimate) as u64)) as f64 / estimate
        };
        assert!(with_room(&patient, 0.99) < 1.0);
        for number in 0..400 {
            let sent = now + Duration::from_millis(5) * number;
            let mut quickest = Quickest::new(now);
            quickest.acked(sent + ROUND_TRIP, sent);
            patient.room.on_ack(sent + ROUND_TRIP, sent, quickest, ROUND_TRIP);
        }
        assert!(with_room(&patient, 0.99) > 1.9);
        assert!(with_room(&patient, 0.891) < 0.9);
    }

    #[test]
    fn bbr_does_not_go_back_for_a_loss_that_it_has_not_heard_of() {
        let now = Instant::now();
        let mut patient = patient(now);
        patient.on_packet_lost(1200, 1, now);
        assert!(!patient.heard_of_loss, "one loss is not congestion");
        for number in 0..100 {
            patient.on_packet_lost(1200, number, now);
        }
        assert!(patient.heard_of_loss);
        patient.on_spurious_congestion_event();
        assert!(!patient.heard_of_loss, "once for each");
    }
}
