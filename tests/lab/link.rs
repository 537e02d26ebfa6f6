//! One direction of the link: takes packets and the time in, says what arrives when. No sockets,
//! no clock.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::spec::{Change, LinkSpec, Loss, Rate, default_queue};

/// A queue with a sender of limited rate behind it and a long wire behind that.
///
/// The times given must not go backwards. A packet that will be lost still takes its turn at the
/// sender: it is lost on the wire, not before it.
#[derive(Debug)]
pub(crate) struct Link<P> {
    rate: Rate,
    delay: Duration,
    loss: Loss,
    queue: Option<usize>,
    up: bool,
    /// Changes to come, the last one first.
    schedule: Vec<(Instant, Change)>,
    waiting: VecDeque<Waiting<P>>,
    /// Bytes in `waiting`, with the packet that is being sent.
    backlog: usize,
    /// When the first of `waiting` will have been sent.
    sent_at: Option<Instant>,
    /// What is on the wire, in the order of arrival.
    flying: VecDeque<Flying<P>>,
    random: SplitMix,
    counters: Counters,
}

/// What became of the packets one side has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Packets given to the link.
    pub(crate) offered: u64,
    /// Packets that came out.
    pub(crate) delivered: u64,
    /// Bytes of those, IP headers included.
    pub(crate) delivered_bytes: u64,
    /// Packets that fell to the share that is lost.
    pub(crate) lost: u64,
    /// Packets that did not fit into the queue.
    pub(crate) overflowed: u64,
    /// Packets that were on the link or offered to it while it was down.
    pub(crate) cut: u64,
}

#[derive(Debug)]
struct Waiting<P> {
    bytes: usize,
    /// `None`: lost on the wire.
    packet: Option<P>,
}

#[derive(Debug)]
struct Flying<P> {
    arrival: Instant,
    bytes: usize,
    packet: P,
}

impl<P> Link<P> {
    /// A link that is up; its outages count from `start`. `stream` makes the losses of links with
    /// the same seed different.
    pub(crate) fn new(spec: &LinkSpec, stream: u64, start: Instant) -> Self {
        let outages = spec.outages.iter().flat_map(|outage| {
            let down = start + outage.start;
            [(down, Change::Down), (down + outage.length, Change::Up)]
        });
        let mut schedule: Vec<_> = outages.collect();
        schedule.sort_by_key(|(at, _)| Reverse(*at));
        Self {
            rate: spec.rate,
            delay: spec.delay,
            loss: spec.loss,
            queue: spec.queue,
            up: true,
            schedule,
            waiting: VecDeque::new(),
            backlog: 0,
            sent_at: None,
            flying: VecDeque::new(),
            random: SplitMix::new(spec.seed, stream),
            counters: Counters::default(),
        }
    }

    /// Puts a packet of so many bytes on the link. Gives it back if it will never arrive.
    pub(crate) fn offer(&mut self, now: Instant, bytes: usize, packet: P) -> Option<P> {
        self.advance(now);
        self.counters.offered += 1;
        // Drawn for every packet, so that the fate of the nth does not hang on the ones before.
        let lost = self.random.next_share() < self.loss.share();
        if !self.up {
            self.counters.cut += 1;
            return Some(packet);
        }
        if !self.fits(bytes) {
            self.counters.overflowed += 1;
            return Some(packet);
        }
        self.counters.lost += u64::from(lost);
        let (packet, returned) = if lost { (None, Some(packet)) } else { (Some(packet), None) };
        self.backlog += bytes;
        self.waiting.push_back(Waiting { bytes, packet });
        if self.sent_at.is_none() {
            self.sent_at = Some(now + self.rate.time_for(bytes));
        }
        returned
    }

    /// The next packet that has arrived by now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<P> {
        self.advance(now);
        if self.flying.front()?.arrival > now {
            return None;
        }
        let first = self.flying.pop_front()?;
        self.counters.delivered += 1;
        self.counters.delivered_bytes += first.bytes as u64;
        Some(first.packet)
    }

    /// When [`Self::take`] should be asked again: nothing arrives before.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        let flying = self.flying.front().map(|first| first.arrival);
        flying.or_else(|| self.sent_at.map(|sent| sent + self.delay))
    }

    /// Changes the link from now on.
    pub(crate) fn set(&mut self, now: Instant, change: Change) {
        self.advance(now);
        self.apply(now, change);
    }

    /// One way, for packets not yet sent.
    pub(crate) const fn delay(&self) -> Duration {
        self.delay
    }

    /// What has happened up to now.
    pub(crate) const fn counters(&self) -> Counters {
        self.counters
    }

    /// Brings the link to this time.
    fn advance(&mut self, now: Instant) {
        while let Some((at, change)) = self.schedule.pop_if(|(at, _)| *at <= now) {
            self.send_until(at);
            self.apply(at, change);
        }
        self.send_until(now);
    }

    /// Moves what has been sent from the queue to the wire.
    fn send_until(&mut self, now: Instant) {
        while let Some(sent) = self.sent_at.filter(|sent| *sent <= now)
            && let Some(first) = self.waiting.pop_front()
        {
            self.backlog -= first.bytes;
            if let Some(packet) = first.packet {
                let last = self.flying.back().map_or(sent, |last| last.arrival);
                let arrival = last.max(sent + self.delay);
                self.flying.push_back(Flying { arrival, bytes: first.bytes, packet });
            }
            let next = self.waiting.front();
            self.sent_at = next.map(|next| sent + self.rate.time_for(next.bytes));
        }
    }

    fn apply(&mut self, now: Instant, change: Change) {
        match change {
            Change::Rate(rate) => self.rate = rate,
            Change::Delay(delay) => self.delay = delay,
            Change::Loss(loss) => self.loss = loss,
            Change::Queue(queue) => self.queue = queue,
            Change::Down => self.cut(now),
            Change::Up => self.up = true,
        }
    }

    /// What has arrived stays, though nobody has taken it yet.
    fn cut(&mut self, now: Instant) {
        self.up = false;
        let arrived = self.flying.partition_point(|flying| flying.arrival <= now);
        let waiting = self.waiting.iter().filter(|waiting| waiting.packet.is_some()).count();
        self.counters.cut += (waiting + self.flying.len() - arrived) as u64;
        self.flying.truncate(arrived);
        self.waiting.clear();
        self.backlog = 0;
        self.sent_at = None;
    }

    /// A link that sends nothing takes one packet, however short its queue.
    fn fits(&self, bytes: usize) -> bool {
        if self.rate == Rate::Unlimited || self.backlog == 0 {
            return true;
        }
        let limit = self.queue.unwrap_or_else(|| default_queue(self.rate, self.delay));
        self.backlog.saturating_add(bytes) <= limit
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same seed gives the same numbers everywhere.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    fn new(seed: u64, stream: u64) -> Self {
        // Seeds of neighbours are a whole hash apart, not a step.
        let start = Self(seed).next().wrapping_add(stream);
        Self(Self(start).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        let mut hash = self.0;
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }

    /// At least 0 and less than 1.
    fn next_share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
