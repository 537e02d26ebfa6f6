//! The list of keys and certificates that are kept out (`revoked-keys` in `host.toml`, as sshd's `RevokedKeys`).

use std::{
    io,
    path::{Path, PathBuf},
};

use super::settings::HostSettings;
use crate::{
    files::{Paths, read_trusted_bytes},
    server::revoked::RevokedKeys,
};

/// Checks that the list of revoked keys can be used that these settings name, or the usual one beside the list of peers.
///
/// # Errors
///
/// What is wrong, with the file's name: nobody can be let in then.
pub fn check_revoked_keys(paths: &Paths, settings: &HostSettings) -> io::Result<PathBuf> {
    let named = settings.revoked_keys.as_ref().map(|file| paths.host_settings().with_file_name(file));
    let list = RevokedList::new(named, &paths.authorized_peers());
    list.load().map(|_| list.path)
}

/// Where the list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RevokedList {
    path: PathBuf,
    /// Whether somebody has said so: then it has to be there.
    named: bool,
}

impl RevokedList {
    /// The file that the settings name, or `revoked_peers` beside the list of peers.
    pub(super) fn new(named: Option<PathBuf>, peers: &Path) -> Self {
        match named {
            Some(path) => Self { path, named: true },
            None => Self { path: peers.with_file_name("revoked_peers"), named: false },
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it: a KRL, or lines that begin with a key or certificate.
    ///
    /// # Errors
    ///
    /// What is wrong, with the file's name. Nobody can be let in then.
    pub(super) fn load(&self) -> io::Result<RevokedKeys> {
        let told =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        match read_trusted_bytes(&self.path).map_err(told)? {
            Some(bytes) => RevokedKeys::parse(&bytes).map_err(|error| told(io::Error::other(error))),
            None if self.named => Err(told(io::ErrorKind::NotFound.into())),
            None => Ok(RevokedKeys::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_named_has_to_be_there_and_to_make_sense() {
        let folder = tempfile::tempdir().expect("a folder");
        let peers = folder.path().join("authorized_peers");
        let usual = RevokedList::new(None, &peers);
        assert!(usual.load().expect("none").is_empty());
        let named = RevokedList::new(Some(usual.path().to_owned()), &peers);
        assert!(named.load().expect_err("missing").to_string().contains("revoked_peers: "));
        let key =
            crate::transport::Identity::ed25519(*iroh::SecretKey::from_bytes(&[1; 32]).public().as_bytes());
        std::fs::write(usual.path(), format!("# gone\n{} laptop\n", key.openssh())).expect("written");
        assert!(usual.load().expect("read").revokes(key.public_key().key_data()));
        // A key that was to be kept out may be on it.
        std::fs::write(usual.path(), "nonsense\n").expect("written");
        assert!(usual.load().is_err());
    }
}
