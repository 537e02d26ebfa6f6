//! What can be seen of a server without asking it, so that it is asked only when it may have other keys.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::key::OPENSSH_FOLDER;
use crate::{host::backend::Backend, owner};

/// How old an answer may get where the signs would tell of a new server.
const MAX_AGE_TOLD: Duration = Duration::from_secs(15 * 60);

/// How old an answer may get where they would not.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Enough of a file's metadata to see that it has changed.
pub(super) type Stamp = Option<(u64, u64, SystemTime)>;

/// Where they are others than before, a server may be another one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// What listens at its TCP port.
    listeners: Vec<u64>,
    /// Its unix socket.
    socket: Stamp,
    /// The files of this machine's OpenSSH.
    files: BTreeMap<PathBuf, SystemTime>,
}

impl Signs {
    /// Those of this backend now; reads files, so it blocks.
    pub(super) fn of(backend: &Backend) -> Self {
        let (mut listeners, mut socket) = (Vec::new(), None);
        match backend {
            Backend::Tcp(addr) => listeners = owner::listeners(addr.port()),
            Backend::Unix(path) => socket = stamp(path),
            Backend::Exec(_) | Backend::Builtin => {}
        }
        Self { listeners, socket, files: openssh_files() }
    }

    /// How old an answer may get before the server is asked again all the same.
    pub(super) fn max_age(&self) -> Duration {
        if self.listeners.is_empty() && self.socket.is_none() { MAX_AGE } else { MAX_AGE_TOLD }
    }
}

/// What a file looks like now; blocks.
pub(super) fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
}

fn openssh_files() -> BTreeMap<PathBuf, SystemTime> {
    let Ok(files) = std::fs::read_dir(OPENSSH_FOLDER) else {
        return BTreeMap::new();
    };
    files.flatten().filter_map(|file| Some((file.path(), file.metadata().ok()?.modified().ok()?))).collect()
}
