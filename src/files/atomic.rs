//! Private files, written so that a crash or a full disk leaves the old file or the new one.

use std::{
    collections::hash_map::RandomState,
    fs::{self, File, OpenOptions, TryLockError},
    hash::BuildHasher,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A file that holds a secret could not be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// There is no such file.
    #[error("{0} does not exist")]
    Missing(PathBuf),
    /// Others than its owner can read or write it.
    #[error("{path} can be read by others (mode {mode:04o})\nrun: chmod 600 {path}", path = .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system said no.
    #[error("cannot use {path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Reads a file that only its owner may read.
///
/// # Errors
///
/// Any [`PrivateFileError`]; the permissions are checked on the open file, not on its name.
pub fn read_private_file(path: &Path) -> Result<Vec<u8>, PrivateFileError> {
    let io = |source| PrivateFileError::Io { path: path.to_owned(), source };
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(PrivateFileError::Missing(path.to_owned()));
        }
        other => other.map_err(io)?,
    };
    let mode = file.metadata().map_err(io)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::Open { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// Creates a file of mode 0600 with these bytes, and the folders above it with mode 0700.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`] when the file is there already, so that of two processes that
/// make a key at once both end up with the same one; otherwise what the system says.
pub fn create_private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let scratch = write_scratch(path, bytes, 0o600)?;
    let linked = fs::hard_link(&scratch, path);
    fs::remove_file(&scratch)?;
    linked?;
    sync_folder(path)
}

/// Replaces a file's content in one step, keeping its mode; a new file gets `mode`.
///
/// # Errors
///
/// What the system says; the old content is then still there.
pub fn write_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    refuse_planted_link(path)?;
    // A symbolic link stays one: what it points to is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mode = fs::metadata(path).map_or(mode, |old| old.mode() & 0o777);
    let scratch = write_scratch(path, bytes, mode)?;
    if let Err(error) = fs::rename(&scratch, path) {
        let _ = fs::remove_file(&scratch);
        return Err(error);
    }
    sync_folder(path)
}

/// Reads a text file under a lock, changes it and writes it back in one step.
///
/// A file that is not there reads as empty. `change` returns the new text, or `None` to leave the
/// file as it is.
///
/// # Errors
///
/// What `change` or the system says; the old content is then still there.
pub fn update_file<T, E: From<io::Error> + From<LockError>>(
    path: &Path,
    mode: u32,
    change: impl FnOnce(&str) -> Result<(Option<String>, T), E>,
) -> Result<T, E> {
    let _lock = Lock::wait(&beside(path, ".lock"), Duration::from_secs(5))?;
    refuse_planted_link(path)?;
    let old = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    let (new, result) = change(&old)?;
    if let Some(new) = new {
        write_file(path, new.as_bytes(), mode)?;
    }
    Ok(result)
}

/// Creates a folder that only its owner may enter, and those above it.
///
/// # Errors
///
/// What the system says, or [`io::ErrorKind::PermissionDenied`] when the folder is another user's
/// or open to others.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = fs::symlink_metadata(path)?;
    let ours = metadata.uid() == nix::unistd::geteuid().as_raw();
    if !metadata.is_dir() || !ours || metadata.mode() & 0o022 != 0 {
        let message = format!("{} is not a folder of this user's alone", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

/// For `open`: fails where the name is a symbolic link, which somebody else may have put there.
const NO_LINK: i32 = nix::fcntl::OFlag::O_NOFOLLOW.bits();

/// A lock on a file, held until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// A lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{0} is locked by another process")]
    Held(PathBuf),
    /// The operating system said no.
    #[error("cannot lock {0}: {1}")]
    Io(PathBuf, io::Error),
}

impl Lock {
    /// Takes the lock at once.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] when another process has it.
    pub fn try_new(path: &Path) -> Result<Self, LockError> {
        let io = |error| LockError::Io(path.to_owned(), error);
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(NO_LINK)
            .open(path)
            .map_err(io)?;
        // Of the folder: the file itself may be root's own, made just now.
        give_to_owner(&file, folder_of(path)).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    /// Waits for the lock.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] when it was not free within `deadline`.
    pub fn wait(path: &Path, deadline: Duration) -> Result<Self, LockError> {
        let end = Instant::now() + deadline;
        loop {
            match Self::try_new(path) {
                Err(LockError::Held(_)) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => return other,
            }
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn write_scratch(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // Nobody can foresee the name, and whatever has it already is not opened.
    let scratch = beside(path, &format!(".{:016x}.tmp", RandomState::new().hash_one(path)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&scratch)?;
    let owned = if path.symlink_metadata().is_ok() { path } else { folder_of(path) };
    let written = give_to_owner(&file, owned)
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(mode)))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = fs::remove_file(&scratch);
        return Err(error);
    }
    Ok(scratch)
}

/// Root follows no link that a service has put among its files: it would write for the service where the
/// service may not.
fn refuse_planted_link(path: &Path) -> io::Result<()> {
    let planted = nix::unistd::geteuid().is_root()
        && fs::symlink_metadata(path).is_ok_and(|link| link.file_type().is_symlink() && link.uid() != 0);
    if planted {
        let message = format!("{} is a symbolic link that is not root's", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

/// What root writes among a service's files belongs to the service, as the old file or the folder does.
fn give_to_owner(file: &File, of: &Path) -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::symlink_metadata(of)?;
    std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Refuses a file that says who or what may run here if others can write it, as sshd's `StrictModes`
/// does.
///
/// # Errors
///
/// [`io::ErrorKind::PermissionDenied`] with what to do.
pub fn refuse_writable_by_others(path: &Path) -> io::Result<()> {
    for path in [path, folder_of(path)] {
        let mode = match fs::metadata(path) {
            Ok(metadata) => metadata.mode() & 0o7777,
            Err(_) => continue,
        };
        // In a folder such as /tmp nobody replaces what is another's.
        if mode & 0o022 != 0 && mode & 0o1000 == 0 {
            let path = path.display();
            let message =
                format!("{path} can be written by others (mode {mode:04o})\nrun: chmod go-w {path}");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
    }
    Ok(())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_made_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/key");
        create_private_file(&path, b"one").expect("made");
        let again = create_private_file(&path, b"two").expect_err("refused");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read_private_file(&path).expect("read"), b"one");
        let left: Vec<_> = fs::read_dir(path.parent().expect("parent")).expect("list").collect();
        assert_eq!(left.len(), 1, "no scratch file stays");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        create_private_file(&path, b"secret").expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        let error = read_private_file(&path).expect_err("refused").to_string();
        assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn replacing_keeps_the_mode_and_a_symbolic_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let real = folder.path().join("real");
        let link = folder.path().join("link");
        fs::write(&real, "old").expect("write");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("chmod");
        std::os::unix::fs::symlink(&real, &link).expect("link");
        write_file(&link, b"new", 0o600).expect("replace");
        assert!(fs::symlink_metadata(&link).expect("stat").file_type().is_symlink());
        assert_eq!(fs::read_to_string(&real).expect("read"), "new");
        assert_eq!(fs::metadata(&real).expect("stat").mode() & 0o777, 0o640);
    }

    #[test]
    fn a_lock_is_held_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let held = Lock::try_new(&path).expect("free");
        assert!(matches!(Lock::try_new(&path), Err(LockError::Held(_))));
        drop(held);
        Lock::try_new(&path).expect("free again");
    }

    #[test]
    fn what_root_makes_in_a_services_folder_is_the_services() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::chown(folder.path(), Some(4711), Some(4711)).expect("chown");
        let path = folder.path().join("list");
        update_file::<_, crate::names::AliasError>(&path, 0o600, |_| Ok((Some("x".to_owned()), ())))
            .expect("written");
        for file in fs::read_dir(folder.path()).expect("read") {
            let file = file.expect("a file");
            assert_eq!(file.metadata().expect("stat").uid(), 4711, "{:?}", file.path());
        }
    }

    #[test]
    fn a_file_that_others_can_write_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        fs::write(&path, "x").expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        refuse_writable_by_others(&path).expect("fine");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).expect("chmod");
        let error = refuse_writable_by_others(&path).expect_err("refused").to_string();
        assert!(error.contains("chmod go-w"), "{error}");
    }
}
