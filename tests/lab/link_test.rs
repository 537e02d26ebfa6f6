//! The queue, without a network or a clock.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use crate::lab::link::Link;
use crate::lab::spec::{Change, LinkSpec, Loss, Outage, Rate, default_queue};

/// At 8 Mbit/s a byte takes a microsecond.
const EIGHT_MBIT: Rate = Rate::mbit(8);

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A link whose clock the test moves.
struct Bench {
    link: Link<u32>,
    start: Instant,
}

impl Bench {
    fn new(spec: &LinkSpec) -> Self {
        Self::of_stream(spec, 0)
    }

    fn of_stream(spec: &LinkSpec, stream: u64) -> Self {
        let start = Instant::now();
        Self { link: Link::new(spec, stream, start), start }
    }

    /// Whether the link took the packet.
    fn offer(&mut self, at: Duration, bytes: usize, packet: u32) -> bool {
        self.link.offer(self.start + at, bytes, packet).is_none()
    }

    fn set(&mut self, at: Duration, change: Change) {
        self.link.set(self.start + at, change);
    }

    /// All that has arrived by this time.
    fn taken(&mut self, by: Duration) -> Vec<u32> {
        let now = self.start + by;
        std::iter::from_fn(|| self.link.take(now)).collect()
    }

    /// All that will arrive, each with its time, when asked at the times the link names and no
    /// others.
    fn arrivals(&mut self) -> Vec<(Duration, u32)> {
        let mut arrivals = Vec::new();
        while let Some(at) = self.link.next_arrival() {
            let after = at - self.start;
            arrivals.extend(self.taken(after).into_iter().map(|packet| (after, packet)));
        }
        arrivals
    }
}

#[test]
fn a_bare_link_delivers_at_once() {
    let mut bench = Bench::new(&LinkSpec::default());
    assert!(bench.offer(ms(1), 1500, 7));
    assert_eq!(bench.arrivals(), [(ms(1), 7)]);
}

#[test]
fn a_packet_arrives_after_it_was_sent_and_has_travelled() {
    let spec = LinkSpec { rate: EIGHT_MBIT, delay: ms(25), ..LinkSpec::default() };
    let mut bench = Bench::new(&spec);
    assert!(bench.offer(ms(10), 1000, 7));
    assert_eq!(bench.taken(ms(36) - Duration::from_nanos(1)), []);
    assert_eq!(bench.taken(ms(36)), [7]);
}

#[test]
fn packets_are_sent_one_after_another() {
    let spec = LinkSpec { rate: EIGHT_MBIT, delay: ms(25), ..LinkSpec::default() };
    let mut bench = Bench::new(&spec);
    for packet in 0..3 {
        assert!(bench.offer(ms(0), 1000, packet));
    }
    // The link has been idle when this one comes.
    assert!(bench.offer(ms(100), 500, 3));
    let last = ms(125) + Duration::from_micros(500);
    assert_eq!(bench.arrivals(), [(ms(26), 0), (ms(27), 1), (ms(28), 2), (last, 3)]);
}

#[test]
fn a_busy_link_carries_its_rate() {
    let spec = LinkSpec { rate: Rate::mbit(1000), delay: ms(50), ..LinkSpec::default() };
    let mut bench = Bench::new(&spec);
    // Twice the rate for a second, in which 83,333 packets can be sent.
    for packet in 0..166_666 {
        bench.offer(Duration::from_micros(6) * packet, 1500, packet);
    }
    let delivered = bench.taken(Duration::from_secs(1) + ms(50)).len();
    assert_eq!(delivered, 83_333);
}

#[test]
fn loss_takes_its_share() {
    let spec = LinkSpec { loss: Loss::of(0.05), ..LinkSpec::default() };
    let mut bench = Bench::new(&spec);
    let taken = (0..100_000).filter(|packet| bench.offer(ms(0), 1500, *packet)).count();
    let lost = 100_000 - taken;
    // Five standard deviations of 69.
    assert!((4_655..=5_345).contains(&lost), "{lost} lost");
    assert_eq!(bench.link.counters().lost, lost as u64);
    assert_eq!(bench.arrivals().len(), taken);
}

#[test]
fn loss_is_the_same_for_the_same_seed_alone() {
    let fates = |seed, stream| {
        let spec = LinkSpec { loss: Loss::of(0.5), seed, ..LinkSpec::default() };
        let mut bench = Bench::of_stream(&spec, stream);
        (0..64).map(|packet| bench.offer(ms(0), 1500, packet)).collect::<Vec<_>>()
    };
    assert_eq!(fates(1, 0), fates(1, 0));
    assert_ne!(fates(1, 0), fates(2, 0));
    assert_ne!(fates(1, 0), fates(1, 1));
}

#[test]
fn loss_of_all_and_of_none_are_exact() {
    for (share, kept) in [(0.0, 10_000), (1.0, 0)] {
        let spec = LinkSpec { loss: Loss::of(share), ..LinkSpec::default() };
        let mut bench = Bench::new(&spec);
        let taken = (0..10_000).filter(|packet| bench.offer(ms(0), 1500, *packet)).count();
        assert_eq!(taken, kept);
    }
}

#[test]
fn a_lost_packet_has_taken_its_turn() {
    let spec = LinkSpec { rate: EIGHT_MBIT, loss: Loss::of(1.0), ..LinkSpec::default() };
    let mut bench = Bench::new(&spec);
    assert!(!bench.offer(ms(0), 1000, 0));
    bench.set(ms(0), Change::Loss(Loss::of(0.0)));
    assert!(bench.offer(ms(0), 1000, 1));
    assert_eq!(bench.arrivals(), [(ms(2), 1)]);
}

#[test]
fn a_full_queue_drops_the_newest() {
    let spec = LinkSpec { rate: EIGHT_MBIT, queue: Some(3000), ..LinkSpec::default() };
    let mut bench = Bench::new(&spec);
    for packet in 0..3 {
        assert!(bench.offer(ms(0), 1000, packet));
    }
    assert!(!bench.offer(ms(0), 1, 3));
    assert!(bench.offer(ms(1), 1000, 4), "one was sent, so there is room for one");
    assert!(!bench.offer(ms(1), 1000, 5));
    assert_eq!(bench.link.counters().overflowed, 2);
    let order: Vec<_> = bench.arrivals().into_iter().map(|(_, packet)| packet).collect();
    assert_eq!(order, [0, 1, 2, 4]);
}

#[test]
fn what_travels_takes_no_room_in_the_queue() {
    let spec = LinkSpec { rate: EIGHT_MBIT, delay: ms(500), queue: Some(1000), ..LinkSpec::default() };
    let mut bench = Bench::new(&spec);
    for packet in 0..100 {
        assert!(bench.offer(ms(packet.into()), 1000, packet));
    }
}

#[test]
fn an_idle_link_takes_a_packet_longer_than_its_queue() {
    let spec = LinkSpec { rate: EIGHT_MBIT, queue: Some(0), ..LinkSpec::default() };
    let mut bench = Bench::new(&spec);
    assert!(bench.offer(ms(0), 1500, 0));
    assert!(!bench.offer(ms(1), 1500, 1));
    assert!(bench.offer(ms(2), 1500, 2));
}

#[test]
fn the_default_queue_is_100_ms_or_a_round_trip_and_64_kib_at_least() {
    assert_eq!(default_queue(Rate::mbit(100), ms(25)), 1_250_000);
    assert_eq!(default_queue(Rate::mbit(100), ms(100)), 2_500_000);
    assert_eq!(default_queue(Rate::mbit(1), ms(0)), 65_536);
}

#[test]
fn a_cut_link_loses_what_waits_travels_and_comes() {
    let spec = LinkSpec { rate: EIGHT_MBIT, delay: ms(10), ..LinkSpec::default() };
    let mut bench = Bench::new(&spec);
    for packet in 0..20 {
        assert!(bench.offer(ms(0), 1000, packet));
    }
    // By now 2 have arrived, 10 travel and 8 wait.
    bench.set(ms(12), Change::Down);
    assert_eq!(bench.taken(ms(500)), [0, 1]);
    assert_eq!(bench.link.next_arrival(), None);
    assert!(!bench.offer(ms(500), 1000, 20));
    bench.set(ms(600), Change::Up);
    assert!(bench.offer(ms(600), 1000, 21));
    assert_eq!(bench.arrivals(), [(ms(611), 21)]);
    assert_eq!(bench.link.counters().cut, 19);
}

#[test]
fn outages_come_and_go_by_the_clock_alone() {
    let outages = vec![Outage { start: ms(300), length: ms(50) }, Outage { start: ms(100), length: ms(50) }];
    let mut bench = Bench::new(&LinkSpec { outages, ..LinkSpec::default() });
    let taken: Vec<_> = (0..40).filter(|tens| bench.offer(ms(10) * *tens, 1500, *tens)).collect();
    let expected: Vec<_> = (0..10).chain(15..30).chain(35..40).collect();
    assert_eq!(taken, expected);
}

#[test]
fn an_outage_loses_what_would_arrive_in_it_or_after() {
    let outages = vec![Outage { start: ms(100), length: ms(1) }];
    let spec = LinkSpec { delay: ms(25), outages, ..LinkSpec::default() };
    let mut bench = Bench::new(&spec);
    for packet in [70, 74, 80, 99] {
        assert!(bench.offer(ms(packet.into()), 1500, packet));
    }
    assert_eq!(bench.taken(ms(500)), [70, 74]);
}

#[test]
fn a_shorter_delay_lets_nothing_overtake() {
    let mut bench = Bench::new(&LinkSpec { delay: ms(100), ..LinkSpec::default() });
    assert!(bench.offer(ms(0), 1500, 0));
    bench.set(ms(10), Change::Delay(ms(20)));
    assert!(bench.offer(ms(10), 1500, 1));
    assert!(bench.offer(ms(90), 1500, 2));
    assert_eq!(bench.arrivals(), [(ms(100), 0), (ms(100), 1), (ms(110), 2)]);
}

#[test]
fn a_new_rate_holds_from_the_next_packet() {
    let mut bench = Bench::new(&LinkSpec { rate: EIGHT_MBIT, ..LinkSpec::default() });
    for packet in 0..3 {
        assert!(bench.offer(ms(0), 1000, packet));
    }
    let slow = Rate::Bits(NonZeroU64::new(800_000).expect("not zero"));
    bench.set(Duration::from_micros(500), Change::Rate(slow));
    assert_eq!(bench.arrivals(), [(ms(1), 0), (ms(11), 1), (ms(21), 2)]);
}

#[test]
fn asking_seldom_changes_nothing() {
    let outages = vec![Outage { start: ms(40), length: ms(5) }];
    let spec = LinkSpec {
        rate: EIGHT_MBIT,
        delay: ms(10),
        loss: Loss::of(0.1),
        queue: Some(8_000),
        seed: 3,
        outages,
        ..LinkSpec::default()
    };
    let (mut often, mut seldom) = (Bench::new(&spec), Bench::new(&spec));
    let mut taken = Vec::new();
    for packet in 0..200 {
        let now = Duration::from_micros(600) * packet;
        taken.extend(often.taken(now));
        assert_eq!(often.offer(now, 1000, packet), seldom.offer(now, 1000, packet));
    }
    taken.extend(often.taken(ms(1000)));
    assert_eq!(taken, seldom.taken(ms(1000)));
    assert_eq!(often.link.counters(), seldom.link.counters());
}
