//! Who a client is: the public half of its key.

use std::fmt;

use russh::keys::ssh_key::{
    HashAlg, PublicKey,
    public::{Ed25519PublicKey, KeyData, SkEd25519},
};

/// A client's identity: an ed25519 public key, whose private half may be on a FIDO key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    key: [u8; 32],
    /// Of a FIDO key.
    application: Option<Application>,
}

/// The names with which an OpenSSH public key begins that can be an identity.
pub(crate) const KEY_TYPES: [&str; 2] = ["ssh-ed25519", "sk-ssh-ed25519@openssh.com"];

impl Identity {
    /// An ordinary key.
    #[must_use]
    pub const fn ed25519(key: [u8; 32]) -> Self {
        Self { key, application: None }
    }

    /// A key on a FIDO key, made for this application (`sk-ssh-ed25519@openssh.com`, OpenSSH's PROTOCOL.u2f).
    #[must_use]
    pub const fn security_key(key: [u8; 32], application: Application) -> Self {
        Self { key, application: Some(application) }
    }

    /// The ed25519 key.
    #[must_use]
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The application for which a FIDO key has made it.
    #[must_use]
    pub const fn application(&self) -> Option<&Application> {
        self.application.as_ref()
    }

    /// The fingerprint that `ssh-keygen -l` prints: `SHA256:...`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// The key as one line of a public key file, without a comment.
    #[must_use]
    pub fn openssh(&self) -> String {
        self.public_key().to_openssh().unwrap_or_default()
    }

    /// The key as OpenSSH has it.
    pub(crate) fn public_key(&self) -> PublicKey {
        let key = Ed25519PublicKey(self.key);
        match &self.application {
            None => KeyData::Ed25519(key).into(),
            Some(application) => KeyData::SkEd25519(SkEd25519::new(key, application.as_str())).into(),
        }
    }

    /// Reads a public key line, or the fingerprint-free part of one.
    #[must_use]
    pub fn from_openssh(line: &str) -> Option<Self> {
        Self::of_key(PublicKey::from_openssh(line.trim()).ok()?.key_data())
    }

    /// The identity that a key can be; others than ed25519 cannot.
    pub(crate) fn of_key(key: &KeyData) -> Option<Self> {
        match key {
            KeyData::Ed25519(key) => Some(Self::ed25519(key.0)),
            KeyData::SkEd25519(key) => {
                Some(Self::security_key(key.public_key().0, Application::new(key.application())?))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// For what a FIDO key has made a key: `ssh:`, unless ssh-keygen was told another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Application {
    length: u8,
    /// UTF-8, and zeros to the end.
    bytes: [u8; Self::LONGEST],
}

impl Application {
    /// Of how many bytes it may be: an identity is small, and always of one size.
    pub const LONGEST: usize = 64;

    /// One that is neither empty nor too long.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let length = u8::try_from(text.len()).ok().filter(|length| *length > 0)?;
        let mut bytes = [0; Self::LONGEST];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { length, bytes })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length.into()).unwrap_or_default();
        str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by ssh-keygen with a FIDO key of OpenSSH's tests.
    const SECURITY_KEY: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIFn+sJz3cMzIQYyqZdwgXRFq6QkmMV9glyQFLEHcqBnRAAAABHNzaDo=";

    #[test]
    fn a_key_reads_as_it_was_written() {
        let plain = Identity::ed25519(*iroh::SecretKey::from_bytes(&[1; 32]).public().as_bytes());
        assert_eq!(Identity::from_openssh(&plain.openssh()), Some(plain));
        let key = Identity::from_openssh(SECURITY_KEY).expect("a key");
        assert_eq!(key.application().map(Application::as_str), Some("ssh:"));
        assert_eq!(key.openssh(), SECURITY_KEY);
        // The same bytes without a FIDO key would be another's identity.
        assert_ne!(Identity::ed25519(*key.key()), key);
        assert_ne!(Identity::ed25519(*key.key()).fingerprint(), key.fingerprint());
    }

    #[test]
    fn an_application_has_a_longest_length() {
        let longest = "x".repeat(Application::LONGEST);
        assert_eq!(Application::new(&longest).expect("it fits").as_str(), longest);
        assert_eq!(Application::new(&(longest + "x")), None);
        assert_eq!(Application::new(""), None);
    }
}
