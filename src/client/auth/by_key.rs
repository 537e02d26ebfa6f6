//! Where a key was all that a login took the last time: there it is offered in the same breath as the question what the
//! server takes, which saves a round trip.
//!
//! Not elsewhere: a server that takes no keys counts it as a failure, one that wants something else first refuses it, and
//! one that needs nothing at all may not expect it any more.

use std::{fs, io, path::PathBuf};

use iroh::EndpointId;

use crate::files::{Paths, create_private_dir, write_file};

/// Longer names are not noted: they would be no names of files.
const LONGEST_LOGIN: usize = 64;

/// Whether a key was all that it took, for a login at a host: a file that is there or not.
#[derive(Debug, Clone)]
pub(crate) struct ByKey(PathBuf);

impl ByKey {
    /// Noted in this file.
    pub(crate) fn at(file: PathBuf) -> Self {
        Self(file)
    }

    pub(crate) fn of(paths: &Paths, host: EndpointId, login: &[u8]) -> Option<Self> {
        let name = format!("{host}-{}", hex::encode(login));
        (login.len() <= LONGEST_LOGIN).then(|| Self(paths.logins_by_key().join(name)))
    }

    /// Whether it was so the last time.
    pub(super) fn is_expected(&self) -> bool {
        self.0.exists()
    }

    /// Notes how it was. A server is as good without.
    pub(super) fn note(&self, by_key: bool) {
        if by_key == self.is_expected() {
            return;
        }
        let noted = if by_key { self.add() } else { fs::remove_file(&self.0) };
        if let Err(error) = noted {
            tracing::debug!("how the login went is not noted: {error}");
        }
    }

    fn add(&self) -> io::Result<()> {
        self.0.parent().map_or(Ok(()), create_private_dir)?;
        write_file(&self.0, b"", 0o600)
    }
}
