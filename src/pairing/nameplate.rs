//! Nameplates: the public part of a code, by which the other side is found.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use hkdf::Hkdf;
use iroh::SecretKey;
use sha2::Sha256;

use crate::random::random;

/// What makes the key of a nameplate's record a key of nothing else.
const KEY: &[u8] = b"irosh-pair/1 nameplate";

/// The number in front of a code. Whoever pairs at a time has one of their own; it is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nameplate(u16);

impl Nameplate {
    /// The greatest.
    pub const MAX: u16 = 9999;

    /// The nameplate of a number from 1 to [`Self::MAX`].
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (1..=Self::MAX).contains(&number).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// Any of a range.
    pub(super) fn any(of: &RangeInclusive<u16>) -> Self {
        let [one, two] = random();
        let count = of.end() - of.start() + 1;
        Self(of.start() + u16::from_be_bytes([one, two]) % count)
    }

    /// The key that signs its record at a name service, and by which it is asked for on the local network. Everybody can
    /// make it: what the record says is proved by the words alone.
    pub(super) fn key(self) -> SecretKey {
        let mut seed = [0; 32];
        let made = Hkdf::<Sha256>::new(None, self.to_string().as_bytes()).expand(KEY, &mut seed);
        debug_assert!(made.is_ok(), "32 bytes are one block");
        SecretKey::from_bytes(&seed)
    }
}

impl fmt::Display for Nameplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Not a number from 1 to [`Nameplate::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code begins with a number from 1 to {}", Nameplate::MAX)]
pub struct NoNameplate;

impl FromStr for Nameplate {
    type Err = NoNameplate;

    fn from_str(text: &str) -> Result<Self, NoNameplate> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).and_then(Self::new).ok_or(NoNameplate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nameplate_is_a_small_number() {
        let read = |text: &str| text.parse().map(Nameplate::number);
        assert_eq!((read("7"), read("0042"), read("9999")), (Ok(7), Ok(42), Ok(9999)));
        for wrong in ["", "0", "10000", "+7", "-7", "7a", "70000"] {
            assert_eq!(read(wrong), Err(NoNameplate), "{wrong}");
        }
    }

    #[test]
    fn each_nameplate_has_a_key_and_all_make_the_same() {
        let id = |number| Nameplate::new(number).expect("a nameplate").key().public().to_string();
        // Of PROTOCOL.md, and of tests/protocol/pair.py.
        assert_eq!(id(7), "254da65082f38640b64f5d78178c8208a0e3cc0a6e10fbb42241caee84999243");
        assert_ne!(id(7), id(8));
    }

    #[test]
    fn any_of_a_range_is_one_of_it() {
        let mut seen = [false; 9];
        while seen.contains(&false) {
            seen[usize::from(Nameplate::any(&(1..=9)).number()) - 1] = true;
        }
    }
}
