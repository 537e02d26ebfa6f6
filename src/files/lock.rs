//! Locks on files.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::OFlags;

use super::place::{Place, existing};

/// A lock on a file, held until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// A lock could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds it.
    #[error("{0} is locked by another process")]
    Held(PathBuf),
    /// The operating system said no.
    #[error("cannot lock {0}: {1}")]
    Io(PathBuf, io::Error),
}

impl Lock {
    /// Waits for the lock.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] when it was not free within `deadline`.
    pub fn wait(path: &Path, deadline: Duration) -> Result<Self, LockError> {
        let place = Place::make(path).map_err(|error| LockError::Io(path.to_owned(), error))?;
        Self::wait_at(&place, path, deadline)
    }

    /// The same for a place, which has this path in messages.
    pub(super) fn wait_at(place: &Place, path: &Path, deadline: Duration) -> Result<Self, LockError> {
        let end = Instant::now() + deadline;
        loop {
            let taken = place.open(OFlags::WRONLY | OFlags::CREATE, 0o600).and_then(|(file, _)| {
                match file.try_lock() {
                    Ok(()) => Ok(Some(file)),
                    Err(TryLockError::WouldBlock) => Ok(None),
                    Err(TryLockError::Error(error)) => Err(error),
                }
            });
            match taken {
                Ok(Some(file)) => return Ok(Self { _file: file }),
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
                Ok(None) => return Err(LockError::Held(path.to_owned())),
                Err(error) => return Err(LockError::Io(path.to_owned(), error)),
            }
        }
    }

    /// Whether a process holds the lock. Who looks makes no file, and is not in the way of others who look; who
    /// takes the lock may have to wait for them.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn is_held(path: &Path) -> io::Result<bool> {
        let Some(place) = existing(Place::find(path))? else { return Ok(false) };
        let Some((file, _)) = place.read()? else { return Ok(false) };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        assert!(!Lock::is_held(&path).expect("looked"));
        assert!(!path.exists(), "who looks makes no file");
        let held = Lock::wait(&path, Duration::ZERO).expect("free");
        assert!(matches!(Lock::wait(&path, Duration::ZERO), Err(LockError::Held(_))));
        assert!(Lock::is_held(&path).expect("looked"));
        drop(held);
        assert!(!Lock::is_held(&path).expect("looked"));
        Lock::wait(&path, Duration::ZERO).expect("free again");
    }

    #[test]
    fn who_looks_whether_a_lock_is_held_does_not_hold_it_for_another_who_looks() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        drop(Lock::wait(&path, Duration::ZERO).expect("free"));
        let looker = File::open(&path).expect("open");
        looker.lock_shared().expect("looking");
        assert!(!Lock::is_held(&path).expect("looked"));
    }

    #[test]
    fn only_a_regular_file_is_locked_and_nothing_else_keeps_anybody_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        assert!(matches!(Lock::wait(&path, Duration::ZERO), Err(LockError::Io(..))));
        assert!(Lock::is_held(&path).is_err());
    }
}
