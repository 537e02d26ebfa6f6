//! The tail: bytes that were sent, or are to be, until the other side has delivered them.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};

/// Room for chunks that an empty tail keeps.
const SHRUNK: usize = 64;

/// What one side has taken from its local end and the other side has not delivered yet.
///
/// Positions count the bytes of this direction since the session's start. What is kept lies between
/// `acknowledged` and `end`; what is to be sent on the leg, between `sent` and `end`. The end of file is the
/// position `end`, once it is known.
#[derive(Debug)]
pub(super) struct Tail {
    /// Bytes from `acknowledged` on, shared with whatever the transport still holds of them.
    chunks: VecDeque<Bytes>,
    /// Where the next byte to send is: a chunk, and an offset in it.
    next: (usize, usize),
    acknowledged: u64,
    sent: u64,
    end: u64,
    /// The furthest that any leg was handed.
    ever_sent: u64,
    eof: Eof,
    /// Bytes that may be kept.
    bound: u64,
}

/// How far the end of file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Eof {
    /// The local end goes on.
    Open,
    /// The local end has ended.
    Known,
    /// A leg was told.
    Sent,
    /// The other side's local end was told.
    Delivered,
}

/// Where a tail stands that another process goes on with, beside the bytes that it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TailState {
    acknowledged: u64,
    ever_sent: u64,
    eof: Eof,
}

/// What the other side says of a direction does not fit what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TailError {
    /// A leg is to go on from a position that is not kept, or was never sent.
    #[error("the other side goes on at byte {asked}, and bytes {from} to {to} are kept")]
    OutOfRange {
        /// What was asked for.
        asked: u64,
        /// The first byte that is kept.
        from: u64,
        /// The end of what was sent.
        to: u64,
    },
    /// More is acknowledged than was sent.
    #[error("the other side acknowledges {acknowledged} bytes of {sent} that were sent")]
    NeverSent {
        /// What it says.
        acknowledged: u64,
        /// What was sent.
        sent: u64,
    },
    /// An end of file is acknowledged that was not sent, or that is elsewhere.
    #[error("the other side has seen an end of file at byte {0} that was not sent")]
    NoSuchEnd(u64),
}

impl Tail {
    /// A tail that keeps `bound` bytes at the most.
    pub(super) fn new(bound: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            next: (0, 0),
            acknowledged: 0,
            sent: 0,
            end: 0,
            ever_sent: 0,
            eof: Eof::Open,
            bound,
        }
    }

    /// Where it stands, and what it keeps.
    pub(super) fn freeze(self) -> (TailState, Vec<Bytes>) {
        let Self { acknowledged, ever_sent, eof, chunks, .. } = self;
        (TailState { acknowledged, ever_sent, eof }, chunks.into())
    }

    /// A tail that goes on from where another stood. Nothing where that cannot be.
    pub(super) fn thaw(state: TailState, kept: Bytes, bound: u64) -> Option<Self> {
        let TailState { acknowledged, ever_sent, eof } = state;
        let end = acknowledged.checked_add(kept.len() as u64)?;
        if !(acknowledged..=end).contains(&ever_sent) || (eof >= Eof::Sent && ever_sent != end) {
            return None;
        }
        // All that is kept is one chunk; the next byte to send is in it, or follows it.
        let sent = usize::try_from(ever_sent - acknowledged).ok()?;
        let next = if sent < kept.len() { (0, sent) } else { (usize::from(!kept.is_empty()), 0) };
        let chunks = Some(kept).filter(|kept| !kept.is_empty()).into_iter().collect();
        Some(Self { chunks, next, acknowledged, sent: ever_sent, end, ever_sent, eof, bound })
    }

    /// Keeps no room for more chunks than there are.
    pub(super) fn shrink(&mut self) {
        self.chunks.shrink_to_fit();
    }

    /// Bytes that may be taken from the local end now.
    pub(super) fn room(&self) -> u64 {
        if self.eof == Eof::Open { self.bound.saturating_sub(self.kept()) } else { 0 }
    }

    /// Changes how many bytes may be kept.
    pub(super) fn set_bound(&mut self, bound: u64) {
        self.bound = bound;
    }

    /// Bytes that are kept.
    pub(super) fn kept(&self) -> u64 {
        self.end - self.acknowledged
    }

    /// Whether everything was delivered, the end of file as well.
    pub(super) fn is_delivered(&self) -> bool {
        self.eof == Eof::Delivered
    }

    /// Adds what the local end has sent. It was asked for no more than [`Self::room`].
    pub(super) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.eof == Eof::Open, "bytes after the end of file");
        self.end += chunk.len() as u64;
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// The local end has ended.
    pub(super) fn finish(&mut self) {
        self.eof = self.eof.max(Eof::Known);
    }

    /// Takes up to `max` bytes to be sent, in order, and counts them as handed to the leg.
    ///
    /// They stay kept: the chunks are shared.
    pub(super) fn take(&mut self, max: usize, mut give: impl FnMut(Bytes)) -> usize {
        let mut left = max;
        while left > 0
            && let Some(chunk) = self.chunks.get(self.next.0)
        {
            let count = left.min(chunk.len() - self.next.1);
            give(chunk.slice(self.next.1..self.next.1 + count));
            left -= count;
            self.next.1 += count;
            if self.next.1 == chunk.len() {
                self.next = (self.next.0 + 1, 0);
            }
        }
        let taken = max - left;
        self.sent += taken as u64;
        self.ever_sent = self.ever_sent.max(self.sent);
        taken
    }

    /// Whether the leg is to be ended now: it was handed every byte, and there are no more.
    pub(super) fn ends_here(&self) -> bool {
        self.eof >= Eof::Known && self.sent == self.end
    }

    /// The leg was ended.
    pub(super) fn ended(&mut self) {
        debug_assert!(self.ends_here(), "an end of file before its bytes");
        self.eof = self.eof.max(Eof::Sent);
    }

    /// Goes back to where the other side is, for a new leg.
    ///
    /// `seen` says whether the end of file has reached the other side.
    pub(super) fn resume(&mut self, received: u64, seen: bool) -> Result<(), TailError> {
        if !(self.acknowledged..=self.ever_sent).contains(&received) {
            let (from, to) = (self.acknowledged, self.ever_sent);
            return Err(TailError::OutOfRange { asked: received, from, to });
        }
        if seen && (self.eof < Eof::Sent || received != self.end) {
            return Err(TailError::NoSuchEnd(received));
        }
        self.sent = received;
        let mut skip = usize::try_from(received - self.acknowledged).unwrap_or(usize::MAX);
        self.next = (0, 0);
        while let Some(chunk) = self.chunks.get(self.next.0) {
            if skip < chunk.len() {
                self.next.1 = skip;
                break;
            }
            skip -= chunk.len();
            self.next.0 += 1;
        }
        Ok(())
    }

    /// Lets go of what the other side has delivered.
    ///
    /// One that says less than another before it is late, and says nothing new.
    pub(super) fn acknowledge(&mut self, delivered: u64, eof: bool) -> Result<(), TailError> {
        // A leg goes on from what was received, which is never less than what was delivered.
        if delivered > self.sent {
            return Err(TailError::NeverSent { acknowledged: delivered, sent: self.sent });
        }
        if eof && (self.eof < Eof::Sent || delivered != self.end) {
            return Err(TailError::NoSuchEnd(delivered));
        }
        if eof {
            self.eof = Eof::Delivered;
        }
        let mut drop = usize::try_from(delivered.saturating_sub(self.acknowledged)).unwrap_or(usize::MAX);
        self.acknowledged = self.acknowledged.max(delivered);
        while drop > 0
            && let Some(chunk) = self.chunks.front_mut()
        {
            if drop < chunk.len() {
                chunk.advance(drop);
                if self.next.0 == 0 {
                    self.next.1 -= drop;
                }
                break;
            }
            drop -= chunk.len();
            self.chunks.pop_front();
            self.next.0 -= 1;
        }
        if self.chunks.is_empty() {
            self.chunks.shrink_to(SHRUNK);
        }
        Ok(())
    }
}
