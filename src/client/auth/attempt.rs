//! What an authenticator is told and what it says.

use std::{fmt, sync::Arc};

use russh::{
    MethodKind,
    keys::{Certificate, HashAlg, PublicKey},
};

use super::signer::KeySigner;
use crate::questions::Secret;

/// An authentication method (RFC 4252, RFC 4256).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// No proof at all.
    None,
    /// A key or a certificate.
    PublicKey,
    /// Answers to questions.
    KeyboardInteractive,
    /// A password.
    Password,
    /// A method that this client does not have.
    Other,
}

impl Method {
    pub(crate) fn of(kind: MethodKind) -> Self {
        match kind {
            MethodKind::None => Self::None,
            MethodKind::PublicKey => Self::PublicKey,
            MethodKind::KeyboardInteractive => Self::KeyboardInteractive,
            MethodKind::Password => Self::Password,
            MethodKind::HostBased | MethodKind::GssapiWithMic => Self::Other,
        }
    }

    /// By the name that SSH gives it.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "none" => Self::None,
            "publickey" => Self::PublicKey,
            "keyboard-interactive" => Self::KeyboardInteractive,
            "password" => Self::Password,
            _ => Self::Other,
        }
    }

    /// The name that SSH gives it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::PublicKey => "publickey",
            Self::KeyboardInteractive => "keyboard-interactive",
            Self::Password => "password",
            Self::Other => "another method",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the server says to what was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSays {
    /// The login.
    pub login: String,
    /// The methods that can continue.
    pub methods: Vec<Method>,
    /// Whether the last attempt was right, and more is wanted.
    pub partial_success: bool,
}

/// One attempt to log in.
#[derive(Debug)]
pub enum Attempt {
    /// With a key or a certificate.
    PublicKey(Box<Key>),
    /// With a password.
    Password(Secret),
    /// With answers to questions, which come to [`super::Authenticator::answer`].
    KeyboardInteractive,
    /// Not at all: whoever was asked does not want to any more.
    Cancel,
}

/// A key to log in with.
#[derive(Clone)]
pub struct Key {
    /// The key.
    pub public: PublicKey,
    /// The certificate to show in its place.
    pub certificate: Option<Certificate>,
    /// Who signs.
    pub signer: Arc<dyn KeySigner>,
}

impl Key {
    /// For people: the type and the fingerprint.
    #[must_use]
    pub fn name(&self) -> String {
        let kind = if self.certificate.is_some() { " certificate" } else { "" };
        format!("{}{kind} {}", self.public.algorithm(), self.public.fingerprint(HashAlg::Sha256))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name()).finish()
    }
}
