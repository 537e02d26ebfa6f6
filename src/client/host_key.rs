//! Whether a server is the right one.

use std::{fmt, sync::Arc};

use russh::keys::{HashAlg, PublicKey, ssh_key::Algorithm};

use crate::client::algorithms;

/// How a server's key is checked. Nobody is ever asked.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum HostKeyPolicy {
    /// The keys that the host announces, which has proven who it is. Over a stream of the program's own there is no host,
    /// and no key is the right one.
    #[default]
    Host,
    /// One of exactly these keys.
    Pinned(Vec<PublicKey>),
    /// Whatever this says; called in the connection's own task, so it must not block.
    Callback(Arc<dyn Fn(&PublicKey) -> bool + Send + Sync>),
}

impl fmt::Debug for HostKeyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("Host"),
            Self::Pinned(keys) => f.debug_tuple("Pinned").field(&fingerprints(keys)).finish(),
            Self::Callback(_) => f.write_str("Callback"),
        }
    }
}

/// A server has shown a key that is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeyMismatch {
    /// The fingerprint of what it has shown.
    pub shown: String,
    /// The fingerprints that were announced; none where a callback has refused.
    pub announced: Vec<String>,
}

impl HostKeyPolicy {
    /// As [`HostKeyPolicy::Callback`].
    pub fn callback(trusts: impl Fn(&PublicKey) -> bool + Send + Sync + 'static) -> Self {
        Self::Callback(Arc::new(trusts))
    }

    /// # Errors
    ///
    /// [`HostKeyMismatch`].
    pub(crate) fn check(&self, shown: &PublicKey) -> Result<(), HostKeyMismatch> {
        let (trusted, announced) = match self {
            Self::Host => (false, Vec::new()),
            Self::Pinned(keys) => {
                (keys.iter().any(|key| key.key_data() == shown.key_data()), fingerprints(keys))
            }
            Self::Callback(trusts) => (trusts(shown), Vec::new()),
        };
        if trusted { Ok(()) } else { Err(HostKeyMismatch { shown: fingerprint(shown), announced }) }
    }

    /// The host key algorithms to offer, so that the server shows a key of a type that is known.
    pub(crate) fn algorithms(&self) -> Vec<Algorithm> {
        let all = algorithms::host_keys();
        match self {
            Self::Callback(_) => all,
            Self::Host => Vec::new(),
            Self::Pinned(keys) => all
                .into_iter()
                .filter(|algorithm| keys.iter().any(|key| same_type(&key.algorithm(), algorithm)))
                .collect(),
        }
    }
}

/// Whether keys of this type sign with this algorithm.
fn same_type(key: &Algorithm, signature: &Algorithm) -> bool {
    match signature {
        Algorithm::Rsa { .. } => matches!(key, Algorithm::Rsa { .. }),
        other => key == other,
    }
}

fn fingerprints(keys: &[PublicKey]) -> Vec<String> {
    keys.iter().map(fingerprint).collect()
}

/// As ssh-keygen -l prints it, with the type before it.
fn fingerprint(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti user@example.com";

    #[test]
    fn only_types_that_were_announced_are_asked_for_and_only_the_very_key_will_do() {
        let key = PublicKey::from_openssh(ED25519).expect("a key");
        let policy = HostKeyPolicy::Pinned(vec![key.clone()]);
        assert_eq!(policy.algorithms(), [Algorithm::Ed25519]);
        assert_eq!(policy.check(&key), Ok(()));
        for none in [HostKeyPolicy::Pinned(Vec::new()), HostKeyPolicy::Host] {
            let mismatch = none.check(&key).expect_err("none is known");
            assert!(mismatch.shown.starts_with("ssh-ed25519 SHA256:") && mismatch.announced.is_empty());
            assert!(none.algorithms().is_empty());
        }
    }
}
