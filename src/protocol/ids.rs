//! Names that are drawn at random.

use std::fmt;

use crate::random::random;

/// A session's name, chosen at random by its client.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// A new name.
    #[must_use]
    pub fn generate() -> Self {
        Self(random())
    }
}

/// The first four bytes in hex: enough to find a session in a log, too few to resume it.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// Names one running client process to its host, at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instance(pub [u8; 16]);

impl Instance {
    /// A new name.
    #[must_use]
    pub fn generate() -> Self {
        Self(random())
    }
}
