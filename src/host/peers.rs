//! `authorized_peers`: who may come in, in the grammar of sshd's `authorized_keys`.
//!
//! A line is `[options] ssh-ed25519 AAAA... comment` (sshd(8), AUTHORIZED_KEYS FILE FORMAT). A line
//! that is not understood, or that has an option that is not, is refused alone; the rest stays in
//! force. With the option `revoked`, a line keeps its peer out; such a line may have a fingerprint in
//! place of the key. With `cert-authority`, it is an [`Authority`]'s.

use std::path::Path;

use jiff::tz::TimeZone;

use super::{
    authorities::Authority,
    line::{Line, identity_in},
    peer::{Peer, Revoked},
};
pub use crate::transport::Identity;
use crate::{files::read_trusted_file, log::printable};

/// A line that is not in force, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
    /// Whose line it is, as far as that can be seen.
    pub identity: Option<Identity>,
}

/// The content of an `authorized_peers` file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorizedPeers {
    /// The lines that admit, in order.
    pub peers: Vec<Peer>,
    /// The lines that admit whoever has a certificate, in order.
    pub authorities: Vec<Authority>,
    /// The lines that keep out.
    pub revoked: Vec<Revoked>,
    /// The lines that are not.
    pub refused: Vec<BadLine>,
}

impl AuthorizedPeers {
    /// Reads the text of a file; `time_zone` is that of times without a `Z`.
    #[must_use]
    pub fn parse(text: &str, time_zone: &TimeZone) -> Self {
        let mut read = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match Line::parse(line, time_zone) {
                Ok(Line::Peer(peer)) if peer.options.revoked => read.revoked.push(peer.into()),
                Ok(Line::Peer(peer)) => read.peers.push(peer),
                Ok(Line::Revoked(revoked)) => read.revoked.push(revoked),
                Ok(Line::Authority(authority)) => read.authorities.push(authority),
                Err(reason) => {
                    let bad =
                        BadLine { line: index + 1, reason: printable(&reason), identity: identity_in(line) };
                    read.refused.push(bad);
                }
            }
        }
        read
    }

    /// Reads a file; one that is not there admits nobody.
    ///
    /// # Errors
    ///
    /// What the system says, with the file's name.
    pub fn load(path: &Path) -> std::io::Result<Self> {
        match read_trusted_file(path) {
            Ok(Some(text)) => Ok(Self::parse(&text, &TimeZone::system())),
            Ok(None) => Ok(Self::default()),
            Err(error) => Err(std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        }
    }

    /// The line that admits an identity; the first one counts, as in sshd, and none where there is one that
    /// keeps it out.
    #[must_use]
    pub fn find(&self, identity: &Identity) -> Option<&Peer> {
        let admits = self.peers.iter().find(|peer| peer.identity == *identity);
        admits.filter(|_| !self.keeps_out(identity))
    }

    /// Whether a line keeps an identity out.
    #[must_use]
    pub fn keeps_out(&self, identity: &Identity) -> bool {
        let fingerprint = identity.fingerprint();
        self.revoked.iter().any(|revoked| revoked.fingerprint == fingerprint)
    }
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;
