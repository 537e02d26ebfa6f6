//! An authority of a team: it signs certificates with ssh-keygen.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{new_key, succeed};

/// A key that signs certificates.
pub(crate) struct Authority {
    key: PathBuf,
    /// Its public half, as a line.
    pub(crate) public: String,
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let key = folder.join(name);
        let public = new_key(&key);
        Self { key, public }
    }

    /// Signs a public key; the certificate is beside it then (`KEY-cert.pub`).
    pub(crate) fn sign(&self, key: &Path, arguments: &[&str]) {
        let mut command = Command::new("ssh-keygen");
        command.arg("-q").arg("-s").arg(&self.key).args(["-I", "laptop of the team"]).args(arguments);
        succeed(command.arg(key));
    }

    /// Writes a list of revoked keys and certificates (ssh-keygen(1), KEY REVOCATION LISTS).
    pub(crate) fn revoke(&self, list: &Path, what: &str) {
        let spec = self.key.with_extension("revoked");
        std::fs::write(&spec, format!("{what}\n")).expect("written");
        let scratch = list.with_extension("new");
        let mut command = Command::new("ssh-keygen");
        command.arg("-q").arg("-k").arg("-f").arg(&scratch).arg("-s").arg(self.key.with_extension("pub"));
        succeed(command.arg(&spec));
        std::fs::rename(scratch, list).expect("renamed");
    }
}
