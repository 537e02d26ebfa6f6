//! What a session's machine has to do, said a second time and as simply as can be: counts instead of bytes, and
//! whatever the other side makes up.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::machine::{Delivered, LegNumber, Machine, Role};
use crate::protocol::Position;

const WINDOW: u64 = 4096;

/// How long a session that is closed goes on delivering.
const LINGER: Duration = Duration::from_secs(5);

/// Has a machine and the model do what the bytes say, and compares them.
///
/// # Panics
///
/// Where they differ.
#[cfg_attr(not(fuzzing), allow(unreachable_pub, reason = "a fuzz target calls it"))]
pub fn drive(script: &[u8]) {
    let Some((first, mut script)) = script.split_first() else { return };
    let role = if first % 2 == 0 { Role::Client } else { Role::Host };
    let mut pair = Pair::new(role);
    while let Some(([what, high, low], rest)) = script.split_first_chunk() {
        pair.does(*what, u64::from(*high) << 8 | u64::from(*low));
        pair.agrees();
        if pair.over {
            return;
        }
        script = rest;
    }
}

/// Every byte of a direction is told by its position.
fn byte_at(position: u64) -> u8 {
    (position ^ (position >> 8) ^ (position >> 16)).to_le_bytes()[0]
}

fn bytes_from(position: u64, count: u64) -> Bytes {
    (position..position + count).map(byte_at).collect()
}

/// One direction. An end of file counts where its flag is set.
#[derive(Debug, Default)]
struct Outgoing {
    said: u64,
    ends: bool,
    sent: u64,
    ever_sent: u64,
    /// Whether any leg was told of the end of file, and whether this one was.
    end_sent: bool,
    leg_ended: bool,
    acknowledged: u64,
    end_acknowledged: bool,
}

/// The other direction.
#[derive(Debug, Default)]
struct Incoming {
    received: u64,
    end: bool,
    delivered: u64,
    end_delivered: bool,
    discards: bool,
}

impl Incoming {
    fn waits(&self) -> u64 {
        self.received - self.delivered
    }
}

struct Pair {
    machine: Machine,
    role: Role,
    out: Outgoing,
    inn: Incoming,
    leg: Option<u32>,
    latest: Option<u32>,
    over: bool,
    /// Whether it is closed once what waits is delivered.
    ending: bool,
    linger: Option<Instant>,
    now: Instant,
}

impl Pair {
    fn new(role: Role) -> Self {
        Self {
            machine: Machine::new(role, WINDOW, WINDOW),
            role,
            out: Outgoing::default(),
            inn: Incoming::default(),
            leg: None,
            latest: None,
            over: false,
            ending: false,
            linger: None,
            now: Instant::now(),
        }
    }

    fn agrees(&self) {
        assert_eq!(self.machine.end().is_some(), self.over, "{:?}", self.machine);
        let Incoming { received, end, .. } = self.inn;
        assert_eq!(self.machine.position(), Position { received, end });
        assert_eq!(self.machine.room(), self.room());
    }

    fn room(&self) -> u64 {
        let open = !self.over && !self.out.ends;
        if open { WINDOW - (self.out.said - self.out.acknowledged) } else { 0 }
    }

    /// Where the other side says that it is; now and then it lies, which ends most sessions.
    fn stated(&self, flag: bool, number: u64) -> (u64, bool) {
        let Outgoing { sent, said, end_sent, acknowledged, .. } = self.out;
        let truth = acknowledged + (number >> 6) % (sent.saturating_sub(acknowledged) + 1);
        match number % 64 {
            0 => (sent.wrapping_sub(number >> 6), flag),
            1 => (sent.saturating_add(number >> 6), flag),
            2 => (number >> 6, flag),
            3 => (u64::MAX - (number >> 6), flag),
            _ if flag && end_sent => (said, true),
            _ => (truth, false),
        }
    }

    fn does(&mut self, what: u8, number: u64) {
        let flag = what >= 128;
        match what % 16 {
            0 => self.says(number),
            1 if !self.out.ends && number.is_multiple_of(16) => self.ends(),
            2 => self.delivers(number),
            3 => self.delivers_end(),
            4 if number.is_multiple_of(64) => self.reader_gone(),
            5 => self.attach(flag, number),
            6 => self.detach(number),
            7 => self.receives(flag, number),
            8 => self.receives_end(number),
            9 | 1 | 4 => self.sends(number),
            10 => self.sends_end(),
            11 => self.is_acknowledged(flag, number),
            12 => self.acknowledges(number),
            13 => self.ticks(number),
            14 => self.is_closed(number),
            _ if number.is_multiple_of(64) => {
                self.machine.close(1);
                self.ends_now();
            }
            _ => {}
        }
    }

    fn ends_now(&mut self) {
        self.over = true;
        self.leg = None;
    }

    fn says(&mut self, number: u64) {
        let count = number.min(self.room());
        if count > 0 {
            self.machine.read(bytes_from(self.out.said, count));
            self.out.said += count;
        }
    }

    fn ends(&mut self) {
        self.machine.read_end();
        self.out.ends = true;
    }

    fn delivers(&mut self, number: u64) {
        let mut shown = Vec::new();
        self.machine.next_writes(1 + number as usize % 7, |chunk| shown.push(chunk));
        let shown = shown.concat();
        if self.over {
            return assert!(shown.is_empty(), "a session that is over delivers");
        }
        assert_eq!(shown.is_empty(), self.inn.waits() == 0);
        let count = (number >> 3).min(shown.len() as u64);
        let expected = bytes_from(self.inn.delivered, shown.len() as u64);
        assert!(expected == shown, "other bytes than were received");
        if count > 0 {
            self.machine.written(usize::try_from(count).expect("small"), self.now);
            self.inn.delivered += count;
            if self.inn.waits() == 0 && self.ending {
                self.ends_now();
            }
        }
    }

    fn delivers_end(&mut self) {
        let Incoming { end, end_delivered, .. } = self.inn;
        let ends = !self.over && end && !end_delivered && self.inn.waits() == 0;
        assert_eq!(self.machine.ends_local(), ends);
        if ends {
            self.machine.local_ended(self.now);
            self.inn.end_delivered = true;
            if self.role == Role::Client {
                self.ends_now();
            }
        }
    }

    fn reader_gone(&mut self) {
        self.machine.reader_gone(self.now);
        (self.inn.discards, self.inn.delivered) = (true, self.inn.received);
        if self.ending {
            self.ends_now();
        } else if self.role == Role::Client {
            self.out.ends = true;
            self.linger.get_or_insert(self.now + LINGER);
            self.looks_for_end();
        }
    }

    fn attach(&mut self, flag: bool, number: u64) {
        let latest = self.latest.unwrap_or_default();
        let leg = if number.is_multiple_of(5) { latest } else { latest.saturating_add(1) };
        let (received, end) = self.stated(flag, number / 5);
        let taken = self.machine.attach(LegNumber(leg), Position { received, end }, self.now);
        let late = self.latest.is_some_and(|latest| latest >= leg);
        if self.over || self.ending || late {
            return assert!(!taken, "a leg that is not to be taken");
        }
        let Outgoing { said, ever_sent, end_sent, acknowledged, .. } = self.out;
        let kept = (acknowledged..=ever_sent).contains(&received);
        let right = kept && (!end || end_sent && received == said);
        assert_eq!(taken, right, "{received} of {:?}", self.out);
        if right {
            (self.leg, self.latest) = (Some(leg), Some(leg));
            (self.out.sent, self.out.leg_ended) = (received, false);
        } else {
            self.ends_now();
        }
    }

    /// The leg that there is, or another one.
    fn some_leg(&self, number: u64) -> u32 {
        let leg = self.latest.unwrap_or_default();
        if number.is_multiple_of(8) { leg.wrapping_sub(1) } else { leg }
    }

    fn detach(&mut self, number: u64) {
        let leg = self.some_leg(number);
        assert_eq!(self.machine.detach(LegNumber(leg)), self.leg == Some(leg));
        self.leg = self.leg.filter(|own| *own != leg);
    }

    fn receives(&mut self, much: bool, number: u64) {
        let leg = self.some_leg(number);
        let count =
            if much && number % 64 == 1 { number } else { (number >> 3).min(WINDOW - self.inn.waits()) };
        self.machine.received(LegNumber(leg), bytes_from(self.inn.received, count), self.now);
        if self.leg != Some(leg) || count == 0 {
            return;
        }
        if self.inn.end || self.inn.waits() + count > WINDOW {
            return self.ends_now();
        }
        self.inn.received += count;
        if self.inn.discards {
            self.inn.delivered = self.inn.received;
        }
    }

    fn receives_end(&mut self, number: u64) {
        let leg = self.some_leg(number);
        self.machine.received_end(LegNumber(leg));
        self.inn.end |= self.leg == Some(leg);
    }

    fn sends(&mut self, number: u64) {
        let mut sent = Vec::new();
        let taken =
            self.machine.next_sends(usize::try_from(number).expect("small"), |chunk| sent.push(chunk));
        let count = if self.leg.is_some() { number.min(self.out.said - self.out.sent) } else { 0 };
        assert_eq!(taken as u64, count);
        assert!(sent.concat() == bytes_from(self.out.sent, count), "other bytes than were said");
        self.out.sent += count;
        self.out.ever_sent = self.out.ever_sent.max(self.out.sent);
    }

    fn sends_end(&mut self) {
        let Outgoing { said, ends, sent, leg_ended, .. } = self.out;
        let now = self.leg.is_some() && !leg_ended && ends && sent == said;
        assert_eq!(self.machine.ends_leg(), now);
        if now {
            self.machine.leg_ended();
            (self.out.leg_ended, self.out.end_sent) = (true, true);
        }
    }

    fn is_acknowledged(&mut self, flag: bool, number: u64) {
        let (bytes, end) = self.stated(flag, number);
        self.machine.acknowledged(Delivered { bytes, end });
        if self.over {
            return;
        }
        let Outgoing { said, sent, end_sent, .. } = self.out;
        if bytes > sent || end && (!end_sent || bytes != said) {
            return self.ends_now();
        }
        self.out.acknowledged = self.out.acknowledged.max(bytes);
        self.out.end_acknowledged |= end;
        self.looks_for_end();
    }

    fn looks_for_end(&mut self) {
        if self.out.end_acknowledged && (self.role == Role::Host || self.inn.discards) {
            self.ends_now();
        }
    }

    fn acknowledges(&mut self, number: u64) {
        self.now += Duration::from_millis(number % 1024);
        if let Some(Delivered { bytes, end }) = self.machine.next_acknowledgement(self.now) {
            assert!(self.leg.is_some(), "an acknowledgement without a leg");
            assert_eq!((bytes, end), (self.inn.delivered, self.inn.end_delivered));
        }
    }

    fn ticks(&mut self, number: u64) {
        self.now += Duration::from_millis(number % 4096);
        self.machine.tick(self.now);
        if self.linger.is_some_and(|linger| linger <= self.now) {
            self.ends_now();
        }
    }

    fn is_closed(&mut self, number: u64) {
        // Not too often, or nothing else would ever be tried.
        if !number.is_multiple_of(16) {
            return;
        }
        self.machine.closed(0, self.now);
        if self.role == Role::Client || self.inn.waits() == 0 || self.inn.discards {
            return self.ends_now();
        }
        self.leg = None;
        self.ending = true;
        self.linger.get_or_insert(self.now + LINGER);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_machine_does_what_the_model_does(script in prop::collection::vec(any::<u8>(), 0..6000)) {
            drive(&script);
        }
    }
}
