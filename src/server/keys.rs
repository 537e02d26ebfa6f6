//! Host keys and host certificates.

use std::path::{Path, PathBuf};

use russh::keys::ssh_key::{Algorithm, Certificate, PrivateKey};

use super::config::Config;
use crate::{
    private_key,
    transport::{KeyError, KeyFile},
};

/// A host key or its certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostKeyError {
    /// The server's own key.
    #[error(transparent)]
    Own(#[from] KeyError),
    /// A file of HostKey or HostCertificate.
    #[error("{path}: {reason}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// None of the files of HostKey can be used.
    #[error("no host key can be used\ncheck the files that HostKey names")]
    None,
}

/// The keys that a server proves itself with, and their certificates.
#[derive(Debug, Clone)]
pub(super) struct HostKeys {
    pub(super) keys: Vec<PrivateKey>,
    pub(super) certificates: Vec<Certificate>,
}

impl HostKeys {
    /// Reads the configured keys; where none is, the server's own, which is made on first use.
    ///
    /// # Errors
    ///
    /// [`HostKeyError`]. Of several configured keys, those that cannot be used are left out, as in sshd.
    pub(super) fn load(config: &Config, own: &Path) -> Result<Self, HostKeyError> {
        let keys = if config.host_key.is_empty() {
            let key = KeyFile::load_or_create(own, "irosh sshd")?;
            vec![read_key(key.path())?]
        } else {
            let read = config.host_key.iter().map(|path| read_key(path.as_ref()));
            read.filter_map(|key| key.inspect_err(|error| tracing::warn!("{error}")).ok()).collect()
        };
        if keys.is_empty() {
            return Err(HostKeyError::None);
        }
        let read = config.host_certificate.iter().map(|path| read_certificate(path.as_ref()));
        let fits = |certificate: &Certificate| {
            keys.iter().any(|key| key.public_key().key_data() == certificate.public_key())
        };
        let certificates = read
            .filter_map(|read| read.inspect_err(|error| tracing::warn!("{error}")).ok())
            .filter(fits)
            .collect();
        Ok(Self { keys, certificates })
    }
}

fn read_key(path: &Path) -> Result<PrivateKey, HostKeyError> {
    let wrong = |reason: String| HostKeyError::File { path: path.to_owned(), reason };
    let bytes = crate::files::read_private_file(path).map_err(|error| wrong(error.to_string()))?;
    let key = private_key::from_openssh(&bytes).map_err(|error| wrong(error.to_string()))?;
    if key.is_encrypted() {
        return Err(wrong("it has a passphrase".to_owned()));
    }
    if matches!(key.algorithm(), Algorithm::Dsa) {
        return Err(wrong("DSA keys are not used any more".to_owned()));
    }
    Ok(key)
}

fn read_certificate(path: &Path) -> Result<Certificate, HostKeyError> {
    let wrong = |reason: String| HostKeyError::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Certificate::from_openssh(text.trim()).map_err(|error| wrong(error.to_string()))
}
