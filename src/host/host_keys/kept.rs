//! The file of the host keys that are announced, and of those that were seen last.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    key::HostKey,
    verdict::{Basis, waiting},
};
use crate::{files::update_file, host::peer_edits::EditError};

/// What is above the first record.
const HEADER: &str = "# The SSH host keys that this host announces, and those that it saw last.\n\
                      # A change is accepted by: irosh host-keys accept\n\n";

/// What a host knows of the keys of one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptKeys {
    /// The backend, as `--backend` takes it.
    pub backend: String,
    /// Why it vouches for those that it announces.
    pub basis: Basis,
    /// Those that it announces.
    #[serde(default)]
    pub announced: Vec<HostKey>,
    /// Those that the server has proved to hold when it was asked last.
    #[serde(default)]
    pub seen: Vec<HostKey>,
}

impl KeptKeys {
    /// The keys that the server shows and that wait to be accepted.
    #[must_use]
    pub fn waiting(&self) -> Vec<&HostKey> {
        waiting(&self.announced, &self.seen)
    }

    /// Whether the server proves none of the keys that are announced.
    pub(super) fn is_another(&self) -> bool {
        let proves = |key: &HostKey| self.announced.contains(key);
        !self.announced.is_empty() && !self.seen.is_empty() && !self.seen.iter().any(proves)
    }

    /// Those that it announces because the server, or a person, has said so. What is announced as the machine's own
    /// while the server can prove nothing gives way to the first proof.
    pub(super) fn vouched_for(&self) -> &[HostKey] {
        if self.basis == Basis::Machine && self.seen.is_empty() { &[] } else { &self.announced }
    }

    /// Announces what is seen.
    fn accept(&mut self) {
        if !self.waiting().is_empty() {
            (self.basis, self.announced) = (Basis::Kept, self.seen.clone());
        }
    }
}

/// The content of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptFile {
    /// Somebody waits for the running host to ask all its servers again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ask: bool,
    #[serde(default)]
    pub(super) server: Vec<KeptKeys>,
}

impl KeptFile {
    pub(super) fn of(&self, backend: &str) -> Option<&KeptKeys> {
        self.server.iter().find(|kept| kept.backend == backend)
    }

    /// Puts a record in the place of the one for the same backend.
    pub(super) fn put(&mut self, new: KeptKeys) {
        match self.server.iter_mut().find(|kept| kept.backend == new.backend) {
            Some(old) => *old = new,
            None => self.server.push(new),
        }
    }

    /// Reads the file, changes it under its lock and writes it where it has changed; blocks.
    ///
    /// # Errors
    ///
    /// [`EditError`]; a file that is damaged stays as it is, for with it would go what it vouches for.
    pub(super) fn update<T>(path: &Path, change: impl FnOnce(&mut Self) -> T) -> Result<T, EditError> {
        update_file(path, 0o600, |text| {
            let old = Self::parse(path, text)?;
            let mut new = old.clone();
            let result = change(&mut new);
            let text = (new != old).then(|| new.render()).transpose()?;
            Ok((text, result))
        })
    }

    fn parse(path: &Path, text: &str) -> io::Result<Self> {
        toml::from_str(text).map_err(|error| {
            let path = path.display();
            let message = format!(
                "{path}: {}\nmend it, or remove it to trust what the ssh servers show now",
                error.message()
            );
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }

    fn render(&self) -> io::Result<String> {
        toml::to_string_pretty(self).map(|text| format!("{HEADER}{text}")).map_err(io::Error::other)
    }
}

/// What is kept for each backend of a host; blocks.
///
/// # Errors
///
/// [`EditError`] when the file cannot be read.
pub fn kept_keys(path: &Path) -> Result<Vec<KeptKeys>, EditError> {
    KeptFile::update(path, |file| file.server.clone())
}

/// Announces what is seen at each backend whose keys are not configured; returns what has changed.
///
/// # Errors
///
/// [`EditError`] when the file cannot be read or written.
pub fn accept_seen_keys(path: &Path) -> Result<Vec<KeptKeys>, EditError> {
    KeptFile::update(path, |file| {
        let acceptable = |kept: &&mut KeptKeys| {
            matches!(kept.basis, Basis::Kept | Basis::Machine) && !kept.waiting().is_empty()
        };
        let changed = file.server.iter_mut().filter(acceptable).map(|kept| {
            kept.accept();
            kept.clone()
        });
        changed.collect()
    })
}

/// Has the running host ask all its servers again; whether that is done shows [`was_asked`].
///
/// # Errors
///
/// [`EditError`] when the file cannot be written.
pub fn ask_again(path: &Path) -> Result<(), EditError> {
    KeptFile::update(path, |file| file.ask = true)
}

/// Whether the host has done what [`ask_again`] asked for.
///
/// # Errors
///
/// [`EditError`] when the file cannot be read.
pub fn was_asked(path: &Path) -> Result<bool, EditError> {
    KeptFile::update(path, |file| !file.ask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Identity;

    fn key(seed: u8) -> HostKey {
        Identity::ed25519(*iroh::SecretKey::from_bytes(&[seed; 32]).public().as_bytes()).public_key().into()
    }

    fn kept(backend: &str, basis: Basis) -> KeptKeys {
        KeptKeys { backend: backend.to_owned(), basis, announced: vec![key(1)], seen: vec![key(2)] }
    }

    #[test]
    fn what_was_kept_is_read_again_and_a_person_can_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ssh_host_keys");
        assert_eq!(kept_keys(&path).expect("nothing yet"), []);
        assert!(!path.exists(), "reading makes no file");
        let records = [kept("tcp:127.0.0.1:22", Basis::Kept), kept("exec:a \"b\"", Basis::Machine)];
        KeptFile::update(&path, |file| records.iter().for_each(|kept| file.put(kept.clone()))).expect("kept");
        assert_eq!(kept_keys(&path).expect("read"), records);
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(text.contains(&key(1).openssh()) && text.contains("irosh host-keys accept"), "{text}");
    }

    #[test]
    fn accepting_puts_what_is_seen_in_the_place_of_what_was_kept_but_not_of_what_is_configured() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ssh_host_keys");
        let records = [kept("tcp:127.0.0.1:22", Basis::Kept), kept("unix:/s", Basis::Configured)];
        KeptFile::update(&path, |file| records.iter().for_each(|kept| file.put(kept.clone()))).expect("kept");
        let changed = accept_seen_keys(&path).expect("accepted");
        let [one] = &changed[..] else { panic!("{changed:?}") };
        assert_eq!((one.backend.as_str(), &one.announced), ("tcp:127.0.0.1:22", &vec![key(2)]));
        assert_eq!(accept_seen_keys(&path).expect("nothing left"), []);
        assert_eq!(kept_keys(&path).expect("read")[1], records[1]);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ssh_host_keys");
        for text in [
            "[[server]]\nbackend = 1\n",
            "nonsense",
            "[[server]]\nbackend=\"x\"\nbasis=\"kept\"\nseen=[\"ssh-rsa AA\"]\n",
        ] {
            std::fs::write(&path, text).expect("written");
            let error = kept_keys(&path).expect_err("damaged").to_string();
            assert!(error.contains("ssh_host_keys") && error.contains("remove it"), "{error}");
            assert!(ask_again(&path).is_err());
            assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
        }
    }
}
