//! Owned buffers on their way from a source to a sink.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Chunks of bytes in order, handed over without copying.
#[derive(Debug, Default)]
pub struct Batch {
    chunks: Vec<Bytes>,
    /// Chunks before this one are done with.
    next: usize,
}

/// As many chunks as one system call takes without an allocation.
pub(super) const SLICES: usize = 64;

impl Batch {
    /// Adds a chunk at the end.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push(chunk);
        }
    }

    /// Bytes that are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks().iter().map(Bytes::len).sum()
    }

    /// Whether no byte is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next == self.chunks.len()
    }

    /// The chunks that are left.
    #[must_use]
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks[self.next..]
    }

    /// The chunks that are left, for a sink that takes them over; [`Self::clear`] follows.
    pub fn chunks_mut(&mut self) -> &mut [Bytes] {
        &mut self.chunks[self.next..]
    }

    /// Drops everything that is left.
    pub fn clear(&mut self) {
        self.chunks.clear();
        self.next = 0;
    }

    /// Fills `slices` with the first chunks and returns how many there are.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let chunks = self.chunks();
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
        }
        chunks.len().min(SLICES)
    }

    /// Drops the first `count` bytes.
    pub(super) fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let chunk = &mut self.chunks[self.next];
            let taken = count.min(chunk.len());
            chunk.advance(taken);
            count -= taken;
            if chunk.is_empty() {
                self.next += 1;
            }
        }
        if self.is_empty() {
            self.clear();
        }
    }
}
