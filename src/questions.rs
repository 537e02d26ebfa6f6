//! What both ends of an authentication speak of (RFC 4256).

use std::{future::Future, pin::Pin};

/// Text that is wiped when it is dropped.
pub type Secret = zeroize::Zeroizing<String>;

/// A future in a box, for traits that are objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Questions of keyboard-interactive (RFC 4256 section 3.2). To a client, every text is the
/// server's, and may hold control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions {
    /// A title.
    pub name: String,
    /// What to read first.
    pub instructions: String,
    /// Each question, and whether the answer may be shown. There may be none.
    pub questions: Vec<(String, bool)>,
}
