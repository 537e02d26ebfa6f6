//! What is to be written, in order, without a copy of what is long.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes, BytesMut};

/// What is shorter is copied next to its neighbours, so that many small requests are one piece.
const LONG: usize = 4 << 10;

/// Requests that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Bytes>,
    /// Short ones, behind the pieces.
    tail: BytesMut,
}

impl Outbox {
    pub(super) fn push(&mut self, head: &[u8], payload: Option<Bytes>) {
        self.tail.extend_from_slice(head);
        let Some(payload) = payload else { return };
        if payload.len() < LONG {
            self.tail.extend_from_slice(&payload);
        } else {
            self.pieces.push_back(self.tail.split().freeze());
            self.pieces.push_back(payload);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.tail.is_empty()
    }

    /// Takes all there is.
    pub(super) fn take(&mut self) -> Pieces {
        let mut pieces = std::mem::take(&mut self.pieces);
        if !self.tail.is_empty() {
            pieces.push_back(self.tail.split().freeze());
        }
        Pieces(pieces)
    }
}

/// Pieces that are being written.
#[derive(Debug)]
pub(super) struct Pieces(VecDeque<Bytes>);

impl Pieces {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first pieces, as many as there are places.
    pub(super) fn slices<'a>(&'a self, places: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (place, piece) in places.iter_mut().zip(&self.0) {
            *place = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// Says that so many bytes were written.
    pub(super) fn written(&mut self, mut count: usize) {
        while let Some(piece) = self.0.front_mut() {
            if count < piece.len() {
                piece.advance(count);
                return;
            }
            count -= piece.len();
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_pushed_comes_out_in_order(
            requests in prop::collection::vec((0usize..40, 0usize..9000), 0..20),
            step in 1usize..5000,
        ) {
            let (mut outbox, mut expected) = (Outbox::default(), Vec::new());
            for (number, (head, payload)) in requests.into_iter().enumerate() {
                let (head, payload) = (vec![number as u8; head], vec![number as u8 ^ 0xff; payload]);
                expected.extend_from_slice(&head);
                expected.extend_from_slice(&payload);
                outbox.push(&head, Some(payload.into()));
            }
            let mut pieces = outbox.take();
            let mut seen = Vec::new();
            while !pieces.is_empty() {
                let mut places = [IoSlice::new(&[]); 3];
                let count = pieces.slices(&mut places);
                let all: Vec<u8> = places[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                let now = step.min(all.len());
                seen.extend_from_slice(&all[..now]);
                pieces.written(now);
            }
            prop_assert_eq!(seen, expected);
            prop_assert!(outbox.is_empty());
        }
    }
}
