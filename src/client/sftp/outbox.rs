//! What is to be written, in order, without a copy of what is long.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes, BytesMut};

/// What is shorter is copied next to its neighbours, so that many small requests are one piece.
const LONG: usize = 4 << 10;

/// Bytes that are taken at once, at least: what is taken cannot be taken back.
const TAKEN: usize = 256 << 10;

/// Requests that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queued: VecDeque<Queued>,
    /// Short ones, behind what is queued.
    tail: BytesMut,
}

#[derive(Debug)]
enum Queued {
    /// Requests that are short, one behind the other.
    Short(Bytes),
    /// A write, by its number.
    Write { id: u32, head: Bytes, content: Bytes },
}

impl Outbox {
    pub(super) fn push(&mut self, id: u32, head: &[u8], content: Option<Bytes>) {
        match content {
            Some(content) if content.len() >= LONG => {
                self.end_tail();
                self.queued.push_back(Queued::Write { id, head: Bytes::copy_from_slice(head), content });
            }
            short => {
                self.tail.extend_from_slice(head);
                self.tail.extend_from_slice(short.as_deref().unwrap_or_default());
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.tail.is_empty()
    }

    /// Takes the first of it.
    pub(super) fn take(&mut self) -> Pieces {
        self.end_tail();
        let (mut pieces, mut bytes) = (VecDeque::new(), 0);
        while bytes < TAKEN
            && let Some(queued) = self.queued.pop_front()
        {
            match queued {
                Queued::Short(short) => pieces.push_back(short),
                Queued::Write { head, content, .. } => {
                    bytes += content.len();
                    pieces.extend([head, content]);
                }
            }
        }
        Pieces(pieces)
    }

    /// Takes back long writes of which `unwanted` says so. It is asked about the last one first.
    pub(super) fn take_back(&mut self, mut unwanted: impl FnMut(u32) -> bool) {
        let mut kept = VecDeque::with_capacity(self.queued.len());
        while let Some(queued) = self.queued.pop_back() {
            if !matches!(&queued, Queued::Write { id, .. } if unwanted(*id)) {
                kept.push_front(queued);
            }
        }
        self.queued = kept;
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.queued.push_back(Queued::Short(self.tail.split().freeze()));
        }
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

    /// Writes all of it, so many bytes at once.
    fn written(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut seen = Vec::new();
        while !outbox.is_empty() {
            let mut pieces = outbox.take();
            while !pieces.is_empty() {
                let mut places = [IoSlice::new(&[]); 3];
                let count = pieces.slices(&mut places);
                let all: Vec<u8> = places[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                let now = step.min(all.len());
                seen.extend_from_slice(&all[..now]);
                pieces.written(now);
            }
        }
        seen
    }

    proptest! {
        #[test]
        fn what_is_pushed_comes_out_in_order_but_for_what_is_taken_back(
            requests in prop::collection::vec((0usize..40, 0usize..9000, any::<bool>()), 0..20),
            step in 1usize..5000,
        ) {
            let (mut outbox, mut expected) = (Outbox::default(), Vec::new());
            let mut unwanted = Vec::new();
            for (number, (head, payload, wanted)) in requests.into_iter().enumerate() {
                let (head, payload) = (vec![number as u8; head], vec![number as u8 ^ 0xff; payload]);
                unwanted.push(!wanted);
                if wanted || payload.len() < LONG {
                    expected.extend_from_slice(&head);
                    expected.extend_from_slice(&payload);
                }
                outbox.push(number as u32, &head, Some(payload.into()));
            }
            outbox.take_back(|id| unwanted[id as usize]);
            prop_assert_eq!(written(&mut outbox, step), expected);
        }
    }

    #[test]
    fn what_waits_behind_much_can_still_be_taken_back() {
        let mut outbox = Outbox::default();
        for id in 0..20 {
            outbox.push(id, &[0; 9], Some(vec![0; 100 << 10].into()));
        }
        let begun = outbox.take();
        outbox.take_back(|_| true);
        assert!(!begun.is_empty() && outbox.is_empty());
    }
}
