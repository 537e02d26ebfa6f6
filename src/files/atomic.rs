//! Files that are written so that a crash or a full disk leaves the old file or the new one.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::geteuid;
use rustix::fs::{Gid, Mode, OFlags, Stat, Uid};
use zeroize::Zeroizing;

use super::{
    lock::{Lock, LockError},
    place::{Place, existing},
};

/// A file that holds a secret could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
pub fn read_private_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let io = |source| PrivateFileError::Io { path: path.to_owned(), source };
    let found = existing(Place::find(path)).and_then(|place| place.map_or(Ok(None), |place| place.read()));
    let Some((mut file, stat)) = found.map_err(io)? else {
        return Err(PrivateFileError::Missing(path.to_owned()));
    };
    let mode = stat.st_mode & 0o777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::Open { path: path.to_owned(), mode });
    }
    // Room for all of it, so that no part stays behind in memory where it grows.
    let room = usize::try_from(stat.st_size).unwrap_or_default().min(1 << 20);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    file.read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// Reads a file, whoever may write it; `None` where there is none.
///
/// # Errors
///
/// What the system says.
pub fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let found = existing(Place::find(path)).and_then(|place| place.map_or(Ok(None), |place| place.read()))?;
    let Some((mut file, _)) = found else { return Ok(None) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Creates a file of mode 0600 with these bytes, and the folders above it with mode 0700.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`] when the file is there already, so that of two processes that
/// make a key at once both end up with the same one; otherwise what the system says.
pub fn create_private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create_by(&[Place::link, Place::rename_to_free], path, bytes)
}

/// A way to give a file a name that nothing has yet.
type Naming = fn(&Place, &Place) -> io::Result<()>;

fn create_by(ways: &[Naming], path: &Path, bytes: &[u8]) -> io::Result<()> {
    let place = Place::make(path)?;
    let scratch = write_scratch(&place, bytes, 0o600, None)?;
    let named = name_by(ways, &scratch, &place, path);
    // Where it was renamed, it is gone.
    let _ = scratch.remove();
    named?;
    place.sync()
}

/// Not every file system has hard links (FAT, many of FUSE, Android), nor a rename that replaces nothing.
fn name_by(ways: &[Naming], scratch: &Place, place: &Place, path: &Path) -> io::Result<()> {
    for way in ways {
        match way(scratch, place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                tracing::debug!("{} is named in another way: {error}", path.display());
            }
            named => return named,
        }
    }
    let _lock = lock_beside(place, path).map_err(io::Error::other)?;
    if place.is_taken()? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    scratch.rename(place)
}

/// Replaces a file's content in one step, keeping its mode; a new file gets `mode`. A symbolic link stays one:
/// what it points to is replaced.
///
/// # Errors
///
/// What the system says; the old content is then still there.
pub fn write_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace(&Place::make(path)?, bytes, mode)
}

fn replace(place: &Place, bytes: &[u8], mode: u32) -> io::Result<()> {
    let old = place.stat()?;
    let mode = old.map_or(mode, |old| old.st_mode & 0o777);
    let scratch = write_scratch(place, bytes, mode, old)?;
    if let Err(error) = scratch.rename(place) {
        let _ = scratch.remove();
        return Err(error);
    }
    place.sync()
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
    let place = Place::make(path)?;
    let _lock = lock_beside(&place, path)?;
    let mut old = String::new();
    if let Some((mut file, _)) = place.read()? {
        file.read_to_string(&mut old)?;
    }
    let (new, result) = change(&old)?;
    if let Some(new) = new {
        replace(&place, new.as_bytes(), mode)?;
    }
    Ok(result)
}

fn lock_beside(place: &Place, path: &Path) -> Result<Lock, LockError> {
    let path = path.with_added_extension("lock");
    let place = place.beside(".lock").map_err(|error| LockError::Io(path.clone(), error))?;
    Lock::wait_at(&place, &path, Duration::from_secs(5))
}

/// Creates a folder that only its owner may enter, and those above it.
///
/// # Errors
///
/// What the system says, or [`io::ErrorKind::PermissionDenied`] when the folder is another user's
/// or open to others.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    let place = Place::make(&path.join("x"))?;
    let ours = |stat: &Stat| stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o022 == 0;
    if !place.way().last().is_some_and(|(_, stat)| ours(stat)) {
        let message = format!("{} is not a folder of this user's alone", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

/// Writes a file in the same folder, that takes the place of `old`.
fn write_scratch(place: &Place, bytes: &[u8], mode: u32, old: Option<Stat>) -> io::Result<Place> {
    // Nobody can foresee the name, and whatever has it already is not opened.
    let scratch = place.beside(&format!(".{:016x}.tmp", RandomState::new().hash_one(mode)))?;
    let (mut file, _) = scratch.open(OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, 0o600)?;
    // In a folder of root's, a file may be a service's.
    let owned = match old.filter(|_| geteuid().is_root()) {
        Some(old) => {
            let (uid, gid) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
            rustix::fs::fchown(&file, Some(uid), Some(gid))
        }
        None => Ok(()),
    };
    let written = owned
        .and_then(|()| rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)))
        .map_err(io::Error::from)
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = scratch.remove();
        return Err(error);
    }
    Ok(scratch)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    };

    use super::*;

    #[test]
    fn a_private_file_is_made_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/key");
        create_private_file(&path, b"one").expect("made");
        let again = create_private_file(&path, b"two").expect_err("refused");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(*read_private_file(&path).expect("read"), b"one");
        let left: Vec<_> = fs::read_dir(path.parent().expect("parent")).expect("list").collect();
        assert_eq!(left.len(), 1, "no scratch file stays");
    }

    #[test]
    fn where_there_are_no_hard_links_a_private_file_is_still_made_once() {
        let refuse: Naming = |_, _| Err(io::Error::from_raw_os_error(nix::libc::EPERM));
        let ways: [&[Naming]; 3] = [&[Place::link], &[refuse, Place::rename_to_free], &[refuse, refuse]];
        for ways in ways {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("key");
            let made = std::thread::scope(|scope| {
                let create = |number: u8| create_by(ways, &path, &[number; 1000]);
                let threads: Vec<_> = (0..16).map(|number| scope.spawn(move || create(number))).collect();
                let results = threads.into_iter().map(|thread| thread.join().expect("no panic"));
                results
                    .filter(|result| match result {
                        Err(error) => {
                            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}");
                            false
                        }
                        Ok(()) => true,
                    })
                    .count()
            });
            assert_eq!(made, 1);
            let bytes = read_private_file(&path).expect("read");
            assert_eq!(*bytes, [bytes[0]; 1000], "it is whole");
        }
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
        symlink("real", &link).expect("link");
        write_file(&link, b"new", 0o600).expect("replace");
        assert!(fs::symlink_metadata(&link).expect("stat").file_type().is_symlink());
        assert_eq!(fs::read_to_string(&real).expect("read"), "new");
        assert_eq!(fs::metadata(&real).expect("stat").mode() & 0o777, 0o640);
        fs::remove_file(&real).expect("removed");
        write_file(&link, b"newer", 0o600).expect("what a link points to is made");
        assert_eq!(fs::read_to_string(&real).expect("read"), "newer");
    }

    /// A folder of another user's, within one of root's.
    fn foreign_folder() -> Option<(tempfile::TempDir, PathBuf)> {
        if !geteuid().is_root() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let foreign = folder.path().join("foreign");
        fs::create_dir(&foreign).expect("a folder");
        chown(&foreign, Some(4711), Some(4711)).expect("chown");
        Some((folder, foreign))
    }

    #[test]
    fn root_works_in_no_folder_of_another_user() {
        let Some((_folder, foreign)) = foreign_folder() else { return };
        for path in [foreign.join("list"), foreign.join("made/list")] {
            let refused = |error: String| assert!(error.contains("belongs to the user 4711"), "{error}");
            refused(write_file(&path, b"x", 0o600).expect_err("refused").to_string());
            refused(create_private_file(&path, b"x").expect_err("refused").to_string());
            refused(read_private_file(&path).expect_err("refused").to_string());
            refused(Lock::wait(&path, Duration::ZERO).expect_err("refused").to_string());
            refused(create_private_dir(&path).expect_err("refused").to_string());
            let update = update_file::<(), crate::host::EditError>(&path, 0o600, |_| Ok((None, ())));
            refused(update.expect_err("refused").to_string());
        }
        assert_eq!(fs::read_dir(&foreign).expect("read").count(), 0);
    }

    #[test]
    fn root_follows_no_link_of_another_user() {
        let Some((folder, foreign)) = foreign_folder() else { return };
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").expect("write");
        symlink(&real, &link).expect("link");
        write_file(&link, b"new", 0o600).expect("root's own link is followed");
        std::os::unix::fs::lchown(&link, Some(4711), Some(4711)).expect("chown");
        assert!(write_file(&link, b"newer", 0o600).is_err());
        symlink(&real, foreign.join("link")).expect("link");
        assert!(write_file(&foreign.join("link"), b"newer", 0o600).is_err());
        assert_eq!(fs::read_to_string(&real).expect("read"), "new");
    }

    #[test]
    fn a_services_file_in_a_folder_of_roots_stays_the_services() {
        let Some((folder, _)) = foreign_folder() else { return };
        let path = folder.path().join("list");
        fs::write(&path, "old").expect("write");
        chown(&path, Some(4711), Some(4711)).expect("chown");
        write_file(&path, b"new", 0o600).expect("written");
        let found = fs::metadata(&path).expect("stat");
        assert_eq!((found.uid(), found.gid()), (4711, 4711));
    }
}
