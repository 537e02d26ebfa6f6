//! Two machines over a network that loses legs, delays words and keeps old ones.
// long: the world that all of these tests play in is two thirds of it.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

impl Machine {
    /// Bytes of memory that the session's data takes.
    fn held(&self) -> u64 {
        self.tail.kept() + self.queue.len()
    }

    fn is_attached(&self) -> bool {
        self.leg.is_some()
    }
}

const WINDOW: u64 = 4096;

/// Every byte of a direction is told by its position.
fn byte_at(position: u64) -> u8 {
    (position ^ (position >> 8) ^ (position >> 16)).to_le_bytes()[0]
}

fn bytes_from(position: u64, count: u64) -> Bytes {
    (position..position + count).map(byte_at).collect()
}

/// One side: its machine, and what its local end has to say and has heard.
struct Side {
    machine: Machine,
    said: u64,
    to_say: u64,
    ends: bool,
    heard: u64,
    heard_end: bool,
}

impl Side {
    fn new(role: Role, to_say: u64) -> Self {
        let machine = Machine::new(role, WINDOW, WINDOW);
        Self { machine, said: 0, to_say, ends: false, heard: 0, heard_end: false }
    }

    fn says(&mut self, most: u64) {
        if self.machine.end().is_some() || self.ends {
            return;
        }
        let count = most.min(self.machine.room()).min(self.to_say - self.said);
        self.machine.read(bytes_from(self.said, count));
        self.said += count;
    }

    fn ends(&mut self) {
        if self.machine.end().is_none() && !self.ends && self.said == self.to_say {
            self.ends = true;
            self.machine.read_end();
        }
    }

    /// Another process goes on with it, and knows what this one has written down.
    fn is_handed_over(&mut self, now: Instant) {
        if self.machine.end().is_some() {
            return;
        }
        let role = self.machine.role;
        let (state, held) = std::mem::replace(&mut self.machine, Machine::new(role, 0, 0)).freeze();
        let written = serde_json::to_string(&state).expect("a state");
        let state = serde_json::from_str(&written).expect(&written);
        let held = (held.tail.concat().into(), held.queue.concat().into());
        self.machine = Machine::thaw(role, state, held, now).expect("a state that can be");
    }

    fn hears(&mut self, most: usize, now: Instant) {
        let mut chunks = Vec::new();
        self.machine.next_writes(3, |chunk| chunks.push(chunk));
        let all: Vec<u8> = chunks.concat();
        let count = most.min(all.len());
        for byte in &all[..count] {
            assert_eq!(*byte, byte_at(self.heard), "the byte at {}", self.heard);
            self.heard += 1;
        }
        if count > 0 {
            self.machine.written(count, now);
        }
        if self.machine.ends_local() {
            self.machine.local_ended(now);
            self.heard_end = true;
        }
    }
}

enum Word {
    Bytes(Bytes),
    End,
}

/// A leg on its way: what each side has sent on it, and the frames at its head.
#[derive(Default)]
struct Leg {
    asked: Option<Position>,
    granted: Option<Position>,
    /// From the client, from the host.
    words: [VecDeque<Word>; 2],
}

struct World {
    sides: [Side; 2],
    legs: Vec<Leg>,
    /// Acknowledgements from the client, from the host; they may arrive in any order, and twice.
    acks: [Vec<Delivered>; 2],
    now: Instant,
}

#[derive(Debug, Clone)]
enum Step {
    Says(usize, u64),
    Ends(usize),
    Hears(usize, usize),
    Sends(usize, usize),
    Arrives { leg: usize, from: usize, count: usize },
    Acknowledges(usize, u64),
    Heard { from: usize, which: usize, again: bool },
    Lost(usize),
    HandedOver(usize),
    Asks,
    Asked(usize),
    Granted(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_usize, 0..3000_u64).prop_map(|(side, most)| Step::Says(side, most)),
        1 => (0..2_usize).prop_map(Step::Ends),
        4 => (0..2_usize, 0..3000_usize).prop_map(|(side, most)| Step::Hears(side, most)),
        4 => (0..2_usize, 0..3000_usize).prop_map(|(side, most)| Step::Sends(side, most)),
        8 => (0..4_usize, 0..2_usize, 1..8_usize)
            .prop_map(|(leg, from, count)| Step::Arrives { leg, from, count }),
        3 => (0..2_usize, 0..600_u64).prop_map(|(side, later)| Step::Acknowledges(side, later)),
        3 => (0..2_usize, 0..8_usize, any::<bool>())
            .prop_map(|(from, which, again)| Step::Heard { from, which, again }),
        1 => (0..2_usize).prop_map(Step::Lost),
        1 => (0..2_usize).prop_map(Step::HandedOver),
        2 => Just(Step::Asks),
        3 => (0..4_usize).prop_map(Step::Asked),
        3 => (0..4_usize).prop_map(Step::Granted),
    ]
}

impl World {
    fn new(to_say: [u64; 2]) -> Self {
        let mut world = Self {
            sides: [Side::new(Role::Client, to_say[0]), Side::new(Role::Host, to_say[1])],
            legs: Vec::new(),
            acks: Default::default(),
            now: Instant::now(),
        };
        world.asks();
        world
    }

    /// The `back`th leg from the latest.
    fn leg(&mut self, back: usize) -> Option<(LegNumber, &mut Leg)> {
        let index = self.legs.len().checked_sub(1 + back)?;
        Some((LegNumber(index as u32), &mut self.legs[index]))
    }

    /// The client gives its leg up and asks for another.
    fn asks(&mut self) {
        let client = &mut self.sides[0].machine;
        if client.end().is_some() {
            return;
        }
        if let Some(leg) = client.leg {
            client.detach(leg);
        }
        self.legs.push(Leg { asked: Some(client.position()), ..Leg::default() });
    }

    fn asked(&mut self, back: usize) {
        let now = self.now;
        let Some((number, leg)) = self.leg(back) else { return };
        let Some(position) = leg.asked.take() else { return };
        let host = &mut self.sides[1].machine;
        let granted = host.position();
        if host.attach(number, position, now) {
            self.legs[usize::try_from(number.0).expect("small")].granted = Some(granted);
        }
    }

    fn granted(&mut self, back: usize) {
        let now = self.now;
        let latest = back == 0;
        let Some((number, leg)) = self.leg(back) else { return };
        if let Some(position) = leg.granted.take().filter(|_| latest) {
            self.sides[0].machine.attach(number, position, now);
        }
    }

    fn sends(&mut self, side: usize, most: usize) {
        let machine = &mut self.sides[side].machine;
        let Some(number) = machine.leg else { return };
        let words = &mut self.legs[usize::try_from(number.0).expect("small")].words[side];
        machine.next_sends(most, |chunk| words.push_back(Word::Bytes(chunk)));
        if machine.ends_leg() {
            machine.leg_ended();
            words.push_back(Word::End);
        }
    }

    fn arrives(&mut self, back: usize, from: usize, count: usize) {
        let now = self.now;
        for _ in 0..count {
            let Some((number, leg)) = self.leg(back) else { return };
            // What the host sends follows its grant.
            if from == 1 && leg.granted.is_some() {
                return;
            }
            let word = leg.words[from].pop_front();
            let machine = &mut self.sides[1 - from].machine;
            match word {
                Some(Word::Bytes(chunk)) => machine.received(number, chunk, now),
                Some(Word::End) => machine.received_end(number),
                None => return,
            }
        }
    }

    fn acknowledges(&mut self, side: usize, later: u64) {
        self.now += Duration::from_millis(later);
        self.acks[side].extend(self.sides[side].machine.next_acknowledgement(self.now));
    }

    fn heard(&mut self, from: usize, which: usize, again: bool) {
        if which < self.acks[from].len() {
            let word = if again { self.acks[from][which] } else { self.acks[from].remove(which) };
            self.sides[1 - from].machine.acknowledged(word);
        }
    }

    fn does(&mut self, step: &Step) {
        match *step {
            Step::Says(side, most) => self.sides[side].says(most),
            Step::Ends(side) => self.sides[side].ends(),
            Step::Hears(side, most) => self.sides[side].hears(most, self.now),
            Step::Sends(side, most) => self.sends(side, most),
            Step::Arrives { leg, from, count } => self.arrives(leg, from, count),
            Step::Acknowledges(side, later) => self.acknowledges(side, later),
            Step::Heard { from, which, again } => self.heard(from, which, again),
            Step::Lost(side) => {
                let machine = &mut self.sides[side].machine;
                if let Some(leg) = machine.leg {
                    machine.detach(leg);
                }
            }
            Step::HandedOver(side) => self.sides[side].is_handed_over(self.now),
            Step::Asks => self.asks(),
            Step::Asked(leg) => self.asked(leg),
            Step::Granted(leg) => self.granted(leg),
        }
        for side in &self.sides {
            assert!(side.machine.held() <= 2 * WINDOW, "{} bytes are held", side.machine.held());
            assert!(!matches!(side.machine.end(), Some(End::Broken(_))), "{:?}", side.machine.end());
        }
    }

    /// The network is back and stays.
    fn comes_to_its_end(&mut self) {
        self.asks();
        self.asked(0);
        self.granted(0);
        for _ in 0..10_000 {
            if self.sides.iter().all(|side| side.machine.end().is_some()) {
                return;
            }
            for side in 0..2 {
                self.sides[side].says(u64::MAX);
                self.sides[side].ends();
                self.sends(side, usize::MAX);
                self.arrives(0, side, usize::MAX);
                self.sides[1 - side].hears(usize::MAX, self.now);
                self.acknowledges(1 - side, 501);
                // The last acknowledgement of a side that is over went out before its `Closed`.
                self.heard(1 - side, 0, false);
            }
            if self.sides[0].machine.end().is_some() {
                self.sides[1].machine.closed(0, self.now);
            }
        }
        panic!("never over: {:?} and {:?}", self.sides[0].machine, self.sides[1].machine);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_network_does_every_byte_arrives_once(
        to_say in [0..20_000_u64, 0..20_000_u64],
        steps in prop::collection::vec(step(), 0..400),
    ) {
        let mut world = World::new(to_say);
        for step in &steps {
            world.does(step);
        }
        world.comes_to_its_end();
        let [client, host] = &world.sides;
        prop_assert_eq!(client.heard, to_say[1]);
        prop_assert!(client.heard_end);
        prop_assert!(matches!(client.machine.end(), Some(End::ServerClosed)));
        prop_assert!(host.heard <= to_say[0]);
    }

    #[test]
    fn a_peer_that_lies_ends_the_session_at_worst(
        words in prop::collection::vec((0..5_u8, any::<u64>(), prop_oneof![0..40_u64, 0..6000_u64], any::<bool>()), 0..60),
        role in prop_oneof![Just(Role::Client), Just(Role::Host)],
    ) {
        let now = Instant::now();
        let mut machine = Machine::new(role, WINDOW, WINDOW);
        let mut leg = LegNumber(0);
        for (kind, wild, near, end) in words {
            let number = if wild % 5 == 0 { wild } else { near };
            match kind {
                0 => {
                    leg = LegNumber(number as u32);
                    machine.attach(leg, Position { received: near, end }, now);
                }
                1 => machine.acknowledged(Delivered { bytes: number, end }),
                2 => machine.received(leg, bytes_from(0, near), now),
                3 => machine.received_end(LegNumber(number as u32)),
                _ => {
                    let room = machine.room().min(near);
                    if room > 0 {
                        machine.read(bytes_from(0, room));
                    }
                    machine.next_sends(usize::try_from(near / 2).expect("small"), drop);
                }
            }
            prop_assert!(machine.held() <= 2 * WINDOW);
        }
    }
}

#[test]
fn a_state_that_cannot_be_is_not_gone_on_with() {
    let mut world = attached();
    world.sides[0].says(10);
    world.sends(0, usize::MAX);
    let Side { machine, .. } = std::mem::replace(&mut world.sides[0], Side::new(Role::Client, 0));
    let (state, held) = machine.freeze();
    let thaw = |tail: &'static [u8], queue: &'static [u8], change: fn(&mut serde_json::Value)| {
        let mut written = serde_json::to_value(&state).expect("a state");
        change(&mut written);
        let state = serde_json::from_value(written).expect("a state");
        let held = (Bytes::from_static(tail), Bytes::from_static(queue));
        Machine::thaw(Role::Client, state, held, world.now).is_some()
    };
    let tail = held.tail.concat().leak();
    assert!(thaw(tail, b"", |_| ()));
    assert!(!thaw(&tail[..9], b"", |_| ()), "less is kept than was sent");
    assert!(!thaw(tail, b"", |state| state["tail"]["acknowledged"] = u64::MAX.into()));
    assert!(!thaw(tail, b"1", |state| state["queue"]["eof"] = "delivered".into()));
}

/// Two machines with a leg between them.
fn attached() -> World {
    let mut world = World::new([100, 100]);
    world.asked(0);
    world.granted(0);
    world
}

#[test]
fn an_acknowledgement_of_more_than_was_sent_ends_the_session() {
    let mut world = attached();
    world.sides[0].says(10);
    world.sends(0, usize::MAX);
    let client = &mut world.sides[0].machine;
    client.acknowledged(Delivered { bytes: 11, end: false });
    assert!(matches!(client.end(), Some(End::Broken(Broken::Tail(TailError::NeverSent { .. })))));
}

#[test]
fn an_acknowledgement_of_less_than_before_is_late_and_harmless() {
    let mut world = attached();
    world.sides[0].says(10);
    world.sends(0, usize::MAX);
    let client = &mut world.sides[0].machine;
    client.acknowledged(Delivered { bytes: 8, end: false });
    client.acknowledged(Delivered { bytes: 3, end: false });
    assert_eq!((client.end(), client.held()), (None, 2));
}

#[test]
fn a_position_out_of_range_ends_the_session() {
    for (position, what) in [
        (Position { received: 3, end: false }, "no longer kept"),
        (Position { received: 11, end: false }, "never sent"),
        (Position { received: 10, end: true }, "an end that was not sent"),
    ] {
        let mut world = attached();
        world.sides[0].says(10);
        world.sends(0, usize::MAX);
        let client = &mut world.sides[0].machine;
        client.acknowledged(Delivered { bytes: 8, end: false });
        assert!(!client.attach(LegNumber(9), position, world.now), "{what}");
        assert!(matches!(client.end(), Some(End::Broken(Broken::Tail(_)))), "{what}");
    }
}

#[test]
fn a_leg_that_was_replaced_brings_nothing_more() {
    let mut world = attached();
    let now = world.now;
    let host = &mut world.sides[1].machine;
    assert!(host.attach(LegNumber(5), Position { received: 0, end: false }, now));
    host.received(LegNumber(0), bytes_from(0, 4), now);
    host.received_end(LegNumber(0));
    assert!(!host.detach(LegNumber(0)));
    assert!(!host.attach(LegNumber(5), Position { received: 0, end: false }, now), "replayed");
    assert!(!host.attach(LegNumber(4), Position { received: 0, end: false }, now), "late");
    assert_eq!(host.position(), Position { received: 0, end: false });
    assert!(host.is_attached());
}

#[test]
fn a_session_that_its_client_has_closed_delivers_what_it_has_and_takes_no_leg() {
    let mut world = attached();
    let now = world.now;
    let host = &mut world.sides[1].machine;
    host.received(LegNumber(0), bytes_from(0, 4), now);
    host.closed(0, now);
    assert!(!host.attach(LegNumber(1), Position { received: 0, end: false }, now));
    assert_eq!((host.end(), host.is_attached()), (None, false));
    host.written(4, now);
    assert_eq!(host.end(), Some(&End::Closed { reason: 0, by_peer: true }));
}

#[test]
fn a_window_that_is_full_is_no_error_until_one_byte_more() {
    let mut world = attached();
    let now = world.now;
    let host = &mut world.sides[1].machine;
    host.received(LegNumber(0), bytes_from(0, WINDOW), now);
    assert_eq!((host.end(), host.held()), (None, WINDOW));
    host.received(LegNumber(0), bytes_from(0, 1), now);
    assert_eq!(host.end(), Some(&End::Broken(Broken::Queue(QueueError::TooMuch(WINDOW)))));
}

#[test]
fn small_chunks_that_wait_take_the_room_of_their_bytes() {
    let mut queue = Queue::new(WINDOW);
    for position in 0..WINDOW {
        queue.push(bytes_from(position, 1)).expect("within the window");
    }
    let mut chunks = Vec::new();
    queue.peek(usize::MAX, |chunk| chunks.push(chunk));
    assert!(chunks.len() <= 2, "{} chunks", chunks.len());
    assert_eq!(chunks.concat(), bytes_from(0, WINDOW));
}

#[test]
fn a_client_whose_reader_is_gone_delivers_what_it_said_and_is_over() {
    let mut world = attached();
    world.sides[0].says(100);
    let now = world.now;
    world.sides[0].machine.reader_gone(now);
    world.sides[0].ends = true;
    assert_eq!(world.sides[0].machine.end(), None);
    for _ in 0..3 {
        world.sends(0, usize::MAX);
        world.arrives(0, 0, usize::MAX);
        world.sides[1].hears(usize::MAX, now);
        world.acknowledges(1, 501);
        world.heard(1, 0, false);
    }
    assert_eq!(world.sides[1].heard, 100);
    assert_eq!(world.sides[0].machine.end(), Some(&End::ClientClosed));
}

#[test]
fn a_client_whose_reader_is_gone_waits_for_a_stuck_host_no_longer_than_it_lingers() {
    let mut world = attached();
    world.sides[0].says(100);
    let client = &mut world.sides[0].machine;
    client.reader_gone(world.now);
    let deadline = client.deadline().expect("a deadline");
    client.tick(deadline - Duration::from_millis(1));
    assert_eq!(client.end(), None);
    client.tick(world.now + LINGER);
    assert_eq!(client.end(), Some(&End::ClientClosed));
}

#[test]
fn a_key_press_is_acknowledged_later_and_an_end_of_file_at_once() {
    let mut world = attached();
    world.sides[0].says(1);
    world.sends(0, usize::MAX);
    world.arrives(0, 0, 1);
    world.sides[1].hears(1, world.now);
    let host = &mut world.sides[1].machine;
    assert_eq!(host.next_acknowledgement(world.now), None);
    assert_eq!(host.deadline(), Some(world.now + ACK_DELAY));
    assert_eq!(host.next_acknowledgement(world.now + ACK_DELAY), Some(Delivered { bytes: 1, end: false }));
    world.sides[0].said = 100;
    world.sides[0].to_say = 100;
    world.sides[0].ends();
    world.sends(0, usize::MAX);
    world.arrives(0, 0, 1);
    world.sides[1].hears(1, world.now);
    assert_eq!(
        world.sides[1].machine.next_acknowledgement(world.now),
        Some(Delivered { bytes: 1, end: true })
    );
}
