//! A session at rest, as one process leaves it to the next: in words that the next one may be of a later release to read.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::machine::{Held, MachineState};
use crate::protocol::MAX_WINDOW;

/// One side of a session that no process drives. It has no leg, and its local end is elsewhere.
#[derive(Debug)]
pub struct Frozen {
    pub(super) state: FrozenState,
    pub(super) held: Held,
}

/// Where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FrozenState {
    #[serde(flatten)]
    pub(super) machine: MachineState,
    /// Whether the local end has more to say.
    pub(super) reads: bool,
    pub(super) from_local: u64,
    pub(super) to_local: u64,
}

/// How a session at rest is written down, beside the bytes that it holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Written {
    #[serde(flatten)]
    state: FrozenState,
    /// Bytes of the tail, and of the queue, that follow.
    kept: u64,
    waiting: u64,
}

impl Frozen {
    /// What is to be written down, and the bytes that are to follow it.
    pub fn written(self) -> (Written, impl Iterator<Item = Bytes>) {
        let Self { state, held: Held { tail, queue } } = self;
        let (kept, waiting) = (length(&tail), length(&queue));
        (Written { state, kept, waiting }, tail.into_iter().chain(queue))
    }

    /// A session that was written down, with the bytes that followed.
    #[must_use]
    pub fn read(written: Written, mut bytes: Bytes) -> Option<Self> {
        if written.following()? != bytes.len() {
            return None;
        }
        let queue = bytes.split_off(usize::try_from(written.kept).ok()?);
        Some(Self { state: written.state, held: Held { tail: vec![bytes], queue: vec![queue] } })
    }
}

impl Written {
    /// How many bytes follow; nothing where no session holds as many.
    #[must_use]
    pub fn following(&self) -> Option<usize> {
        let most = u64::from(MAX_WINDOW);
        let fits = self.kept <= most && self.waiting <= most;
        fits.then(|| usize::try_from(self.kept + self.waiting).ok()).flatten()
    }
}

fn length(chunks: &[Bytes]) -> u64 {
    chunks.iter().map(|chunk| chunk.len() as u64).sum()
}

/// Chunks as one.
pub(super) fn joined(mut chunks: Vec<Bytes>) -> Bytes {
    if chunks.len() > 1 { chunks.concat().into() } else { chunks.pop().unwrap_or_default() }
}
