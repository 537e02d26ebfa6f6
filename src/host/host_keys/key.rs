//! SSH host keys, and the files that they are read from.

use std::{fmt, io, path::Path};

use russh::keys::{HashAlg, PublicKey};
use serde::{Deserialize, Serialize};

/// Where OpenSSH's packages keep a machine's host keys.
pub(super) const OPENSSH_FOLDER: &str = "/etc/ssh";

/// A public key that an SSH server proves itself with.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostKey(PublicKey);

impl HostKey {
    /// Reads a line of a public key file.
    #[must_use]
    pub fn from_openssh(line: &str) -> Option<Self> {
        PublicKey::from_openssh(line.trim()).ok().map(Self::from)
    }

    /// The key's type, such as `ssh-ed25519`; a server has one key of each.
    #[must_use]
    pub fn kind(&self) -> String {
        self.0.algorithm().to_string()
    }

    /// The fingerprint that `ssh-keygen -l` prints: `SHA256:...`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The key as one line of a public key file, without a comment.
    #[must_use]
    pub fn openssh(&self) -> String {
        self.0.to_openssh().unwrap_or_default()
    }

    /// The key's blob (RFC 4253 section 6.6).
    #[must_use]
    pub fn blob(&self) -> Vec<u8> {
        self.0.to_bytes().unwrap_or_default()
    }
}

impl From<PublicKey> for HostKey {
    /// Without the comment, which says nothing about the key.
    fn from(key: PublicKey) -> Self {
        Self(PublicKey::from(key.key_data().clone()))
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.fingerprint())
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for HostKey {
    type Error = String;

    fn try_from(line: String) -> Result<Self, String> {
        Self::from_openssh(&line).ok_or_else(|| format!("`{line}` is not an SSH public key"))
    }
}

impl From<HostKey> for String {
    fn from(key: HostKey) -> Self {
        key.openssh()
    }
}

/// The keys of a file of public keys, a line each.
///
/// # Errors
///
/// What the system says, or what is wrong with the file; with its name.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<HostKey>> {
    let wrong = |kind, what: String| io::Error::new(kind, format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.kind(), error.to_string()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(|line| {
        HostKey::try_from(line.to_owned()).map_err(|error| wrong(io::ErrorKind::InvalidData, error))
    });
    let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(wrong(io::ErrorKind::InvalidData, "there is no key in it".to_owned()));
    }
    Ok(keys)
}

/// The public host keys of this machine's own OpenSSH.
pub(super) fn of_this_machine() -> Vec<HostKey> {
    let Ok(files) = std::fs::read_dir(OPENSSH_FOLDER) else {
        return Vec::new();
    };
    let is_host_key = |name: &str| name.starts_with("ssh_host_") && name.ends_with("_key.pub");
    let named = files.flatten().filter(|file| file.file_name().to_str().is_some_and(is_host_key));
    let mut keys: Vec<_> = named.filter_map(|file| read_file(&file.path()).ok()).flatten().collect();
    keys.sort();
    keys
}
