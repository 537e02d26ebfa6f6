//! The queue: bytes that arrived and were not delivered to the local end yet.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// Chunks smaller than this are copied together where they have to wait: each holds on to the whole packet,
/// or batch of packets, that it came in.
const SMALL: usize = 512;

/// As many chunks wait as they came; more are copied together.
const CHUNKS: usize = 8192;

/// Room for chunks that an empty queue keeps.
const SHRUNK: usize = 64;

/// Bytes that small chunks are copied into.
const BLOCK: usize = 64 << 10;

/// What one side has received and its local end has not taken yet.
///
/// Positions count the bytes of this direction since the session's start. What is held lies between
/// `delivered` and `received`; the end of file is the position `received`, once it was seen.
#[derive(Debug)]
pub(super) struct Queue {
    chunks: VecDeque<Bytes>,
    /// Where small chunks go; it follows `chunks`.
    block: BytesMut,
    delivered: u64,
    received: u64,
    eof: Eof,
    /// Bytes that the other side may have sent beyond what was delivered.
    bound: u64,
    /// Nobody takes what comes: it counts as delivered.
    discards: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Eof {
    Open,
    Seen,
    Delivered,
}

/// Where a queue stands that another process goes on with, beside the bytes that wait in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct QueueState {
    delivered: u64,
    eof: Eof,
    discards: bool,
}

/// The other side does not keep to what it may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// More than the bound is on its way.
    #[error("the other side sent more than the {0} bytes that it may before they are delivered")]
    TooMuch(u64),
    /// A second end of file is not where the first one was, or bytes follow it.
    #[error("the other side sent more after its end of file")]
    AfterEnd,
}

impl Queue {
    /// A queue that takes `bound` bytes beyond what was delivered.
    pub(super) fn new(bound: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            block: BytesMut::new(),
            delivered: 0,
            received: 0,
            eof: Eof::Open,
            bound,
            discards: false,
        }
    }

    /// Where it stands, and what waits.
    pub(super) fn freeze(mut self) -> (QueueState, Vec<Bytes>) {
        self.close_block();
        let Self { delivered, eof, discards, chunks, .. } = self;
        (QueueState { delivered, eof, discards }, chunks.into())
    }

    /// Keeps no room for more chunks than there are.
    pub(super) fn shrink(&mut self) {
        self.chunks.shrink_to_fit();
    }

    /// A queue that goes on from where another stood. Nothing where that cannot be.
    pub(super) fn thaw(state: QueueState, waiting: Bytes, bound: u64) -> Option<Self> {
        let QueueState { delivered, eof, discards } = state;
        let received = delivered.checked_add(waiting.len() as u64)?;
        let fits = waiting.is_empty() || (eof < Eof::Delivered && !discards);
        let chunks = Some(waiting).filter(|waiting| !waiting.is_empty()).into_iter().collect();
        let block = BytesMut::new();
        fits.then_some(Self { chunks, block, delivered, received, eof, bound, discards })
    }

    /// Changes how many bytes it takes, to no less than before.
    pub(super) fn set_bound(&mut self, bound: u64) {
        self.bound = self.bound.max(bound);
    }

    /// Bytes that were received since the session's start.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Whether the end of file was received.
    pub(super) fn has_end(&self) -> bool {
        self.eof >= Eof::Seen
    }

    /// Bytes that the local end has taken since the session's start.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Whether the local end has everything, and was told that there is no more.
    pub(super) fn is_delivered(&self) -> bool {
        self.eof == Eof::Delivered
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> u64 {
        self.received - self.delivered
    }

    /// Whether no byte waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the local end is to be told now that there is no more.
    pub(super) fn ends_here(&self) -> bool {
        self.eof == Eof::Seen && self.is_empty()
    }

    /// Takes in what a leg brought.
    pub(super) fn push(&mut self, chunk: Bytes) -> Result<(), QueueError> {
        if chunk.is_empty() {
            return Ok(());
        }
        if self.has_end() {
            return Err(QueueError::AfterEnd);
        }
        if self.len() + chunk.len() as u64 > self.bound {
            return Err(QueueError::TooMuch(self.bound));
        }
        self.received += chunk.len() as u64;
        if self.discards {
            self.delivered = self.received;
        } else if !self.is_waiting() || (chunk.len() >= SMALL && self.chunks.len() < CHUNKS) {
            self.close_block();
            self.chunks.push_back(chunk);
        } else {
            self.copy(&chunk);
        }
        Ok(())
    }

    fn is_waiting(&self) -> bool {
        !self.chunks.is_empty() || !self.block.is_empty()
    }

    fn copy(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.block.len() == self.block.capacity() {
                self.close_block();
                self.block = BytesMut::with_capacity(BLOCK);
            }
            let room = self.block.capacity() - self.block.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            bytes = later;
        }
    }

    fn close_block(&mut self) {
        if !self.block.is_empty() {
            self.chunks.push_back(self.block.split().freeze());
        }
    }

    /// The leg has ended: no byte follows in this direction.
    pub(super) fn finish(&mut self) {
        self.eof = self.eof.max(Eof::Seen);
    }

    /// Shows the first chunks that wait, as many as `most`. They go on waiting until [`Self::advance`].
    pub(super) fn peek(&mut self, most: usize, give: impl FnMut(Bytes)) {
        if self.chunks.len() < most {
            self.close_block();
        }
        self.chunks.iter().take(most).cloned().for_each(give);
    }

    /// The local end has taken `count` bytes.
    pub(super) fn advance(&mut self, count: usize) {
        debug_assert!(count as u64 <= self.len(), "more was taken than there is");
        self.delivered += count as u64;
        let mut left = count;
        while left > 0
            && let Some(chunk) = self.chunks.front_mut()
        {
            if left < chunk.len() {
                chunk.advance(left);
                return;
            }
            left -= chunk.len();
            self.chunks.pop_front();
        }
        if !self.is_waiting() {
            // What an idle session holds is next to nothing.
            self.chunks.shrink_to(SHRUNK);
            self.block = BytesMut::new();
        }
    }

    /// The local end was told that there is no more.
    pub(super) fn ended(&mut self) {
        debug_assert!(self.ends_here(), "an end of file before its bytes");
        self.eof = Eof::Delivered;
    }

    /// Nobody reads at the local end any more: what waits and what comes counts as delivered.
    pub(super) fn discard(&mut self) {
        self.discards = true;
        self.delivered = self.received;
        (self.chunks, self.block) = (VecDeque::new(), BytesMut::new());
    }

    /// Whether nobody reads at the local end any more.
    pub(super) fn discards(&self) -> bool {
        self.discards
    }
}
