//! What both ends of an authentication speak of (RFC 4256).

use std::{fmt, future::Future, ops::Deref, pin::Pin};

use zeroize::Zeroizing;

/// A password or a passphrase. It is wiped from memory when it is dropped, and its `Debug` does not show it.
///
/// ```
/// use irosh::client::auth::Secret;
///
/// let secret = Secret::new("sesame");
/// assert_eq!(secret.as_str(), "sesame");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// This one.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it goes over the wire.
    pub(crate) fn into_text(self) -> Zeroizing<String> {
        self.0
    }
}

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

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
