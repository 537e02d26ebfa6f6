//! How other commands on the machine know of a running host.

use std::{
    io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use iroh::{EndpointAddr, EndpointId};
use iroh_tickets::endpoint::EndpointTicket;
use serde::{Deserialize, Serialize};

use super::access::Access;
use crate::files::{Lock, LockError, Paths, create_private_dir, read_trusted_file, write_file};

/// A host's hold on its key, and the note that says where it can be reached.
#[derive(Debug)]
pub struct Presence {
    _lock: Lock,
    note: PathBuf,
}

/// A host could not take its place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PresenceError {
    /// Two hosts on one key would take each other's connections.
    #[error(
        "another host is running on the key {0}\nstop it first, or set IROSH_HOME for a second host with a key of its own"
    )]
    KeyInUse(PathBuf),
    /// The lock or the note could not be made.
    #[error("cannot note that the host is running: {0}")]
    Io(#[from] io::Error),
}

#[derive(Serialize, Deserialize)]
struct Note {
    ticket: String,
    access: Access,
}

impl Presence {
    /// Takes the key, for as long as the process lives.
    ///
    /// # Errors
    ///
    /// [`PresenceError::KeyInUse`] when another process has it.
    pub fn claim(paths: &Paths) -> Result<Self, PresenceError> {
        let key = paths.host_key();
        let lock = match Lock::wait(&lock_of(paths), LOOKS) {
            Err(LockError::Held(_)) => return Err(PresenceError::KeyInUse(key)),
            other => other.map_err(io::Error::other)?,
        };
        let note = paths.host_note();
        if let Some(folder) = note.parent() {
            create_private_dir(folder)?;
        }
        Ok(Self { _lock: lock, note })
    }

    /// Notes where the host is now.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn announce(&self, addr: &EndpointAddr, access: Access) -> io::Result<()> {
        let note = Note { ticket: EndpointTicket::new(addr.clone()).to_string(), access };
        write_file(&self.note, serde_json::to_string(&note)?.as_bytes(), 0o644)
    }

    /// Where a running host is, or `None` when none runs.
    ///
    /// # Errors
    ///
    /// What the system says, with the name of the file that cannot be looked at.
    pub fn of_running(paths: &Paths) -> io::Result<Option<EndpointAddr>> {
        let note = Self::note(paths)?;
        Ok(note.and_then(|note| EndpointTicket::from_str(&note.ticket).ok()).map(Into::into))
    }

    /// Who reaches SSH by a running host, or `None` when none runs.
    ///
    /// # Errors
    ///
    /// As [`Self::of_running`].
    pub fn access_of_running(paths: &Paths) -> io::Result<Option<Access>> {
        Ok(Self::note(paths)?.map(|note| note.access))
    }

    fn note(paths: &Paths) -> io::Result<Option<Note>> {
        let named = |path: PathBuf| {
            move |error: io::Error| {
                let message = format!("cannot look whether the host is running: {}: {error}", path.display());
                io::Error::new(error.kind(), message)
            }
        };
        let lock = lock_of(paths);
        if !Lock::is_held(&lock).map_err(named(lock))? {
            return Ok(None);
        }
        let note = paths.host_note();
        let text = read_trusted_file(&note).map_err(named(note))?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }
}

/// Whether a host runs, as far as this process can see.
pub(super) fn is_running(paths: &Paths) -> bool {
    // The lock of another user's host may be out of sight. The note is for all to read, and goes when the host stops;
    // that of one that was killed stays until the next start, or goes with the service's runtime folder.
    let is_noted =
        |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied && paths.host_note().exists();
    Lock::is_held(&lock_of(paths)).unwrap_or_else(is_noted)
}

/// Held by the host that has the key.
fn lock_of(paths: &Paths) -> PathBuf {
    paths.host_key().with_extension("lock")
}

/// How long those may take who look whether a host is running.
const LOOKS: Duration = Duration::from_secs(1);

impl Drop for Presence {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.note);
    }
}

/// The ports that the host of this key had last, so that its old tickets still lead to it.
pub(super) fn last_ports(path: &Path, id: EndpointId) -> Vec<u16> {
    let text = read_trusted_file(path).ok().flatten().unwrap_or_default();
    let mut words = text.split_ascii_whitespace();
    match words.next() {
        Some(owner) if owner == id.to_string() => words.filter_map(|port| port.parse().ok()).collect(),
        _ => Vec::new(),
    }
}

/// Keeps the ports for [`last_ports`].
pub(super) fn keep_ports(path: &Path, id: EndpointId, ports: &[u16]) -> io::Result<()> {
    let ports: String = ports.iter().map(|port| format!(" {port}")).collect();
    write_file(path, format!("{id}{ports}\n").as_bytes(), 0o600)
}
