//! A session's state, without any I/O: bytes, times and events in; actions out.
//!
//! Both sides and both directions run this one machine. A driver feeds it and does what it asks for, in
//! whatever order: every method that reads may be called at any time, and each action is asked for until it
//! was reported as done.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    queue::{Queue, QueueError, QueueState},
    tail::{Tail, TailError, TailState},
};
use crate::protocol::Position;

/// How long what was delivered may stay unacknowledged, where it is little.
const ACK_DELAY: Duration = Duration::from_millis(500);

/// An acknowledgement is due once this part of the window was delivered.
const ACK_PART: u64 = 16;

/// How long what has been received may take to be delivered, once nobody reads at the client's local end.
const LINGER: Duration = Duration::from_secs(5);

/// Which side of the session this is: the two differ only in who says that it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Towards ssh. It says when all is done: ssh keeps its end open until its proxy goes.
    Client,
    /// Towards sshd.
    Host,
}

/// Names a leg among those of its session; a later one has a greater number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LegNumber(pub u32);

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The host's local end has sent its last byte, and the client's has it.
    ServerClosed,
    /// The client's local end went away.
    ClientClosed,
    /// One side ended it: a code of the protocol, ours or the other side's.
    Closed {
        /// The reason's number.
        reason: u32,
        /// Whether the other side said it.
        by_peer: bool,
    },
    /// The other side does not keep to the protocol.
    Broken(Broken),
}

/// What the other side did that it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// In what it received.
    #[error(transparent)]
    Tail(#[from] TailError),
    /// In what it sent.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// What one side has delivered, as it tells the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Bytes that its local end has taken since the session's start.
    pub bytes: u64,
    /// Whether its local end was told of the end of file after them.
    pub end: bool,
}

/// One side's state of a session.
#[derive(Debug)]
pub(super) struct Machine {
    role: Role,
    tail: Tail,
    queue: Queue,
    leg: Option<LegNumber>,
    /// The number of the latest leg that there was.
    latest: Option<LegNumber>,
    /// Whether the leg was ended in our direction.
    leg_ended: bool,
    window: u64,
    acknowledged: Delivered,
    /// Since when something delivered is not acknowledged.
    owing: Option<Instant>,
    /// Until when last bytes may be delivered: those of a client without a reader, or those that a host has of a client
    /// that has ended the session.
    linger: Option<Instant>,
    /// How the session ends once they are.
    ending: Option<End>,
    end: Option<End>,
}

/// Where a machine stands that another process goes on with, beside the bytes that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MachineState {
    window: u64,
    latest_leg: Option<u32>,
    tail: TailState,
    queue: QueueState,
    /// The reason that the other side gave, where the session ends once all was delivered.
    ending: Option<u32>,
}

/// Bytes that a machine holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Of the tail.
    pub(super) tail: Vec<Bytes>,
    /// Of the queue.
    pub(super) queue: Vec<Bytes>,
}

impl Machine {
    /// Where it stands, and what it holds; no leg is a part of it. The session must not be over.
    pub(super) fn freeze(self) -> (MachineState, Held) {
        let Self { window, latest, tail, queue, ending, .. } = self;
        let ((tail_state, tail), (queue_state, queue)) = (tail.freeze(), queue.freeze());
        let ending = ending.and_then(|end| match end {
            End::Closed { reason, .. } => Some(reason),
            _ => None,
        });
        let latest_leg = latest.map(|leg| leg.0);
        let state = MachineState { window, latest_leg, tail: tail_state, queue: queue_state, ending };
        (state, Held { tail, queue })
    }

    /// A machine that goes on from where another stood. Nothing where that cannot be.
    pub(super) fn thaw(
        role: Role,
        state: MachineState,
        (tail, queue): (Bytes, Bytes),
        now: Instant,
    ) -> Option<Self> {
        let MachineState { window, latest_leg, tail: tail_state, queue: queue_state, ending } = state;
        let ending = ending.map(|reason| End::Closed { reason, by_peer: true });
        Some(Self {
            latest: latest_leg.map(LegNumber),
            linger: ending.is_some().then_some(now + LINGER),
            ending,
            tail: Tail::thaw(tail_state, tail, window)?,
            queue: Queue::thaw(queue_state, queue, window)?,
            ..Self::new(role, window, window)
        })
    }

    /// A session at its start. Each side may send `window` bytes that were not delivered yet; this one
    /// keeps `bound` of its own at the most, which is not more than that.
    pub(super) fn new(role: Role, window: u64, bound: u64) -> Self {
        Self {
            role,
            tail: Tail::new(bound.min(window)),
            queue: Queue::new(window),
            leg: None,
            latest: None,
            leg_ended: false,
            window,
            acknowledged: Delivered { bytes: 0, end: false },
            owing: None,
            linger: None,
            ending: None,
            end: None,
        }
    }

    /// Has each side send more, or less, that was not delivered yet. Less holds from when that much is.
    pub(super) fn set_window(&mut self, window: u64, bound: u64) {
        self.window = window;
        self.tail.set_bound(bound.min(window));
        self.queue.set_bound(window);
    }

    /// Why the session is over, once it is.
    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// What this side has received, for the frame that asks for a leg or grants one.
    pub(super) fn position(&self) -> Position {
        Position { received: self.queue.received(), end: self.queue.has_end() }
    }
}

/// The local end.
impl Machine {
    /// Bytes that may be read from the local end now; 0 while the tail is full or there are no more.
    pub(super) fn room(&self) -> u64 {
        if self.end.is_some() { 0 } else { self.tail.room() }
    }

    /// The local end has sent this.
    pub(super) fn read(&mut self, chunk: Bytes) {
        self.tail.push(chunk);
    }

    /// The local end has sent its last byte.
    pub(super) fn read_end(&mut self) {
        self.tail.finish();
    }

    /// Shows up to `most` chunks that are to be written to the local end.
    pub(super) fn next_writes(&mut self, most: usize, give: impl FnMut(Bytes)) {
        if self.end.is_none() {
            self.queue.peek(most, give);
        }
    }

    /// The local end has taken `count` bytes.
    pub(super) fn written(&mut self, count: usize, now: Instant) {
        self.queue.advance(count);
        self.owing.get_or_insert(now);
        if self.queue.is_empty()
            && let Some(end) = self.ending.take()
        {
            self.over(end);
        }
    }

    /// Whether the local end is to be told that there is no more.
    pub(super) fn ends_local(&self) -> bool {
        self.end.is_none() && self.queue.ends_here()
    }

    /// The local end was told so.
    pub(super) fn local_ended(&mut self, now: Instant) {
        self.queue.ended();
        self.owing.get_or_insert(now);
        if self.role == Role::Client {
            self.over(if self.queue.discards() { End::ClientClosed } else { End::ServerClosed });
        }
    }

    /// Nobody reads at the local end any more.
    ///
    /// A host goes on with what its local end still says. For a client this is the end, once what it had to
    /// say was delivered, or after a while.
    pub(super) fn reader_gone(&mut self, now: Instant) {
        self.queue.discard();
        if let Some(end) = self.ending.take() {
            return self.over(end);
        }
        self.owing.get_or_insert(now);
        if self.role == Role::Client {
            self.tail.finish();
            self.linger.get_or_insert(now + LINGER);
            self.look_for_end();
        }
    }
}

/// The leg.
impl Machine {
    /// A leg is there, and the other side is at `position`. Takes the place of an older leg; one that is
    /// older than the one there is, is not taken, nor is any once the other side has said that it is over.
    pub(super) fn attach(&mut self, leg: LegNumber, position: Position, now: Instant) -> bool {
        let ends = self.end.is_some() || self.ending.is_some();
        if ends || self.latest.is_some_and(|latest| latest >= leg) {
            return false;
        }
        if let Err(broken) = self.tail.resume(position.received, position.end) {
            self.broken(broken.into());
            return false;
        }
        (self.leg, self.latest) = (Some(leg), Some(leg));
        self.leg_ended = false;
        // What was acknowledged on another connection may have been lost with it.
        if self.queue.delivered() > 0 || self.queue.is_delivered() {
            self.acknowledged = Delivered { bytes: 0, end: false };
            self.owing.get_or_insert(now);
        }
        true
    }

    /// The leg is gone. Says whether it was the one that the session had.
    pub(super) fn detach(&mut self, leg: LegNumber) -> bool {
        let ours = self.leg == Some(leg);
        if ours {
            self.leg = None;
            self.tail.shrink();
            self.queue.shrink();
        }
        ours
    }

    /// The leg brought this.
    pub(super) fn received(&mut self, leg: LegNumber, chunk: Bytes, now: Instant) {
        if self.leg != Some(leg) || self.end.is_some() {
            return;
        }
        match self.queue.push(chunk) {
            Ok(()) if self.queue.discards() => _ = self.owing.get_or_insert(now),
            Ok(()) => {}
            Err(broken) => self.broken(broken.into()),
        }
    }

    /// The other side's direction has ended on this leg.
    pub(super) fn received_end(&mut self, leg: LegNumber) {
        if self.leg == Some(leg) && self.end.is_none() {
            self.queue.finish();
        }
    }

    /// Takes up to `max` bytes to be sent on the leg.
    pub(super) fn next_sends(&mut self, max: usize, give: impl FnMut(Bytes)) -> usize {
        if self.leg.is_none() || self.end.is_some() { 0 } else { self.tail.take(max, give) }
    }

    /// Whether the leg is to be ended in our direction now.
    pub(super) fn ends_leg(&self) -> bool {
        self.leg.is_some() && self.end.is_none() && !self.leg_ended && self.tail.ends_here()
    }

    /// The leg was ended.
    pub(super) fn leg_ended(&mut self) {
        self.leg_ended = true;
        self.tail.ended();
    }
}

/// What is said beside the legs.
impl Machine {
    /// The other side has delivered this.
    pub(super) fn acknowledged(&mut self, delivered: Delivered) {
        if self.end.is_some() {
            return;
        }
        match self.tail.acknowledge(delivered.bytes, delivered.end) {
            Ok(()) => self.look_for_end(),
            Err(broken) => self.broken(broken.into()),
        }
    }

    /// What is to be acknowledged now.
    pub(super) fn next_acknowledgement(&mut self, now: Instant) -> Option<Delivered> {
        let due = self.acknowledgement_due()?;
        if due > now {
            return None;
        }
        self.owing = None;
        self.acknowledged = self.delivered();
        Some(self.acknowledged)
    }

    /// When the next acknowledgement is due.
    pub(super) fn acknowledgement_due(&self) -> Option<Instant> {
        let since = self.owing.filter(|_| self.leg.is_some() && self.end.is_none())?;
        let delivered = self.delivered();
        let much = delivered.bytes - self.acknowledged.bytes >= self.window / ACK_PART;
        let at_once = much || delivered.end != self.acknowledged.end;
        Some(if at_once { since } else { since + ACK_DELAY })
    }

    fn delivered(&self) -> Delivered {
        Delivered { bytes: self.queue.delivered(), end: self.queue.is_delivered() }
    }

    /// The other side says that the session is over. What a host has of its client is still delivered, for a while.
    pub(super) fn closed(&mut self, reason: u32, now: Instant) {
        let end = End::Closed { reason, by_peer: true };
        if self.role == Role::Client || self.queue.is_empty() || self.queue.discards() {
            return self.over(end);
        }
        self.leg = None;
        self.ending.get_or_insert(end);
        self.linger.get_or_insert(now + LINGER);
    }

    /// This side ends the session.
    pub(super) fn close(&mut self, reason: u32) {
        self.over(End::Closed { reason, by_peer: false });
    }

    /// When [`Self::tick`] is to be called, unless something happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let linger = self.linger.filter(|_| self.end.is_none());
        [linger, self.acknowledgement_due()].into_iter().flatten().min()
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.linger.is_some_and(|linger| linger <= now) {
            let end = self.ending.take().unwrap_or(End::ClientClosed);
            self.over(end);
        }
    }

    fn look_for_end(&mut self) {
        if !self.tail.is_delivered() {
            return;
        }
        match self.role {
            // The client has all of it, and will say so; should its word be lost, this is as good.
            Role::Host => self.over(End::ServerClosed),
            Role::Client if self.queue.discards() => self.over(End::ClientClosed),
            Role::Client => {}
        }
    }

    fn broken(&mut self, broken: Broken) {
        self.over(End::Broken(broken));
    }

    /// The first reason counts.
    fn over(&mut self, end: End) {
        if self.end.is_none() {
            self.end = Some(end);
            self.leg = None;
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
