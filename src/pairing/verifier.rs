//! What both machines show when they have agreed.

use std::fmt;

use super::words::{FIRST, SECOND};

/// Four words that are the same on both machines, and on no others: who compares them knows that nobody is in between,
/// who may have guessed the words of the code.
///
/// They are 32 bits, to which each side adds what the other cannot foresee. Who has guessed the code and stands in between
/// cannot try until the two sides show the same: it has one chance in 2^32 with each connection, of which there are 256
/// at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Verifier(pub(super) [u8; 4]);

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, fourth] = self.0;
        let (first, second) = (FIRST.word(first), SECOND.word(second));
        write!(f, "{first} {second} {} {}", FIRST.word(third), SECOND.word(fourth))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
