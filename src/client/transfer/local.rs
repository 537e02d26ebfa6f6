//! Local folders that are written to. All of it blocks.
//!
//! Below the destination every path is a name in an open folder, and no link is followed.

use std::{
    collections::HashMap,
    ffi::{CString, OsStr},
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid},
    io::Errno,
};

use super::{
    error::{Side, TransferError},
    names::{is_part, join},
};

/// What may be read and written by its owner alone.
const PRIVATE: u32 = 0o600;

/// An open folder.
#[derive(Debug)]
pub(super) struct LocalFolder {
    fd: OwnedFd,
    pub(super) path: Vec<u8>,
    /// What is in it; none when that was not looked at.
    known: Option<HashMap<Vec<u8>, LocalState>>,
    /// The names of parts in it.
    pub(super) parts: Vec<Vec<u8>>,
}

/// What there is under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LocalState {
    pub(super) kind: LocalKind,
    pub(super) size: u64,
    /// Seconds.
    pub(super) changed: i64,
    pub(super) mode: u32,
    /// User and group.
    pub(super) owner: (u32, u32),
}

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalKind {
    File,
    Folder,
    Link,
    Other,
}

impl LocalFolder {
    /// Opens a folder that a person named; links are followed.
    pub(super) fn open(path: &Path, listed: bool) -> io::Result<Self> {
        let fd = rustix::fs::open(path, folder_flags(), Mode::empty())?;
        Self::new(fd, path.as_os_str().as_bytes().to_vec(), listed)
    }

    /// Makes a folder in this one, or takes the one that is there. Whether it was made is told, too.
    pub(super) fn make(&self, name: &[u8], mode: u32) -> Result<(Self, bool), TransferError> {
        let path = join(&self.path, name);
        let failed = |error: Errno| TransferError::local_bytes(&path, error.into());
        let made = match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode as _)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(failed(error)),
        };
        let fd = rustix::fs::openat(&self.fd, name, folder_flags() | OFlags::NOFOLLOW, Mode::empty());
        let fd = match fd {
            Ok(fd) => fd,
            Err(Errno::LOOP | Errno::MLINK | Errno::NOTDIR) => {
                let link =
                    self.state(name).is_ok_and(|state| state.is_some_and(|s| s.kind == LocalKind::Link));
                let path = path.into();
                return Err(match link {
                    true => TransferError::LinkInTheWay { path },
                    false => TransferError::NotDirectory { side: Side::Local, path },
                });
            }
            Err(error) => return Err(failed(error)),
        };
        let folder = if made {
            Ok(Self { fd, path: path.clone(), known: Some(HashMap::new()), parts: Vec::new() })
        } else {
            Self::new(fd, path.clone(), true)
        };
        folder.map(|folder| (folder, made)).map_err(|error| TransferError::local_bytes(&path, error))
    }

    /// What there is under a name, as it was when the folder was listed, or as it is.
    pub(super) fn known(&self, name: &[u8]) -> io::Result<Option<LocalState>> {
        match &self.known {
            Some(known) => Ok(known.get(name).copied()),
            None => self.state(name),
        }
    }

    /// Whether there was nothing of that name when the folder was listed.
    pub(super) fn has_none(&self, name: &[u8]) -> bool {
        self.known.as_ref().is_some_and(|known| !known.contains_key(name))
    }

    pub(super) fn state(&self, name: &[u8]) -> io::Result<Option<LocalState>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(LocalState::new(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a link leads to a device, a socket or the like.
    pub(super) fn leads_to_special(&self, name: &[u8]) -> bool {
        let end = rustix::fs::statat(&self.fd, name, AtFlags::empty());
        end.is_ok_and(|stat| LocalState::new(&stat).kind == LocalKind::Other)
    }

    /// Opens a file to read it, if it is a regular one.
    pub(super) fn read(&self, name: &[u8]) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        Ok(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?.into())
    }

    /// Makes a new part. Gives the mode that a file of `mode` has, less the umask.
    pub(super) fn create_part(self: &Arc<Self>, name: &[u8], mode: u32) -> io::Result<(LocalPart, u32)> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // It is made with the mode it gets in the end, which tells the umask, and is then made private
        // before anything is in it.
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode as _))?;
        let part = LocalPart {
            file: Arc::new(fd.into()),
            folder: Arc::clone(self),
            name: name.to_vec(),
            remove: true,
        };
        let granted = mode_of(&rustix::fs::fstat(&part.file)?) & mode;
        if granted != PRIVATE {
            // On a file system without modes there is nothing to be done about it.
            let _ = rustix::fs::fchmod(&part.file, Mode::from_raw_mode(PRIVATE as _));
        }
        Ok((part, granted))
    }

    /// Puts a part that an earlier run left in the place of one that was just made: of two runs, one gets
    /// it. Tells how long it is.
    ///
    /// # Errors
    /// Its name may have been lost to something else then: the part that was made is of no use.
    pub(super) fn take_over(&self, left: &[u8], part: &mut LocalPart) -> io::Result<u64> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::openat(&self.fd, left, flags, Mode::empty())?);
        let (stat, made) = (rustix::fs::fstat(&file)?, rustix::fs::fstat(&part.file)?);
        // What others own or can write to is not ours. A file system without owners or modes, as on a
        // memory card or a share, has one for all files: that of a file which was just made.
        let ours = stat.st_uid == made.st_uid && mode_of(&stat) & !mode_of(&made) & 0o022 == 0;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || !ours {
            return Err(io::Error::other("is no part of ours"));
        }
        rustix::fs::renameat(&self.fd, left, &self.fd, part.name.as_slice())?;
        let renamed = rustix::fs::statat(&self.fd, part.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)?;
        if (renamed.st_dev, renamed.st_ino) != (stat.st_dev, stat.st_ino) {
            return Err(io::Error::other("was exchanged for something else"));
        }
        part.file = Arc::new(file);
        Ok(u64::try_from(stat.st_size).unwrap_or_default())
    }

    pub(super) fn remove(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Makes a link, and replaces another one.
    pub(super) fn link(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        match rustix::fs::symlinkat(target, &self.fd, name) {
            Err(Errno::EXIST) => {
                let there = rustix::fs::readlinkat(&self.fd, name, Vec::new())?;
                if CString::new(target).is_ok_and(|target| target == there) {
                    return Ok(());
                }
                self.remove(name)?;
                Ok(rustix::fs::symlinkat(target, &self.fd, name)?)
            }
            other => Ok(other?),
        }
    }

    /// Sets mode and times of the folder itself.
    pub(super) fn finish(&self, mode: u32, times: Option<(u32, u32)>) -> io::Result<()> {
        if let Some(times) = times {
            rustix::fs::futimens(&self.fd, &timestamps(times))?;
        }
        Ok(rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(mode as _))?)
    }

    fn new(fd: OwnedFd, path: Vec<u8>, listed: bool) -> io::Result<Self> {
        let mut folder = Self { fd, path, known: None, parts: Vec::new() };
        if listed {
            folder.list()?;
        }
        Ok(folder)
    }

    fn list(&mut self) -> io::Result<()> {
        let mut known = HashMap::new();
        for entry in Dir::read_from(self.fd.as_fd())? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            if is_part(name) {
                self.parts.push(name.to_vec());
            }
            if let Some(state) = self.state(name)? {
                known.insert(name.to_vec(), state);
            }
        }
        self.known = Some(known);
        Ok(())
    }
}

impl LocalState {
    fn new(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => LocalKind::File,
            FileType::Directory => LocalKind::Folder,
            FileType::Symlink => LocalKind::Link,
            _ => LocalKind::Other,
        };
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        #[allow(clippy::unnecessary_cast, reason = "it is shorter on other systems")]
        Self {
            kind,
            size,
            changed: stat.st_mtime as i64,
            mode: mode_of(stat),
            owner: (stat.st_uid, stat.st_gid),
        }
    }
}

/// The local part of a file on its way. It is removed unless it is kept.
#[derive(Debug)]
pub(super) struct LocalPart {
    pub(super) file: Arc<File>,
    folder: Arc<LocalFolder>,
    name: Vec<u8>,
    remove: bool,
}

impl LocalPart {
    /// Whether it is removed when this is dropped.
    pub(super) fn remove_on_drop(&mut self, remove: bool) {
        self.remove = remove;
    }

    /// Sets owner, mode and times, and gives it its name. `granted` is the mode of a new file.
    pub(super) fn finish(mut self, name: &[u8], granted: u32, last: Last) -> io::Result<()> {
        // The file that is replaced stays its owner's. Whoever may not give files away owns it.
        if let Some((uid, gid)) = last.owner {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            let _ = rustix::fs::fchown(&self.file, Some(uid), Some(gid));
        }
        let mode = last.mode.unwrap_or(granted);
        if mode != PRIVATE {
            last.outcome(rustix::fs::fchmod(&self.file, Mode::from_raw_mode(mode as _)))?;
        }
        if let Some(times) = last.times {
            last.outcome(rustix::fs::futimens(&self.file, &timestamps(times)))?;
        }
        rustix::fs::renameat(&self.folder.fd, self.name.as_slice(), &self.folder.fd, name)?;
        self.remove = false;
        Ok(())
    }
}

/// What a file gets before its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last {
    /// The mode; none is that of a new file.
    pub(super) mode: Option<u32>,
    /// Access and modification, in seconds.
    pub(super) times: Option<(u32, u32)>,
    /// User and group of the file that is replaced.
    pub(super) owner: Option<(u32, u32)>,
    /// Whether it is an error that mode or times cannot be set.
    pub(super) strict: bool,
}

impl Last {
    /// A file system without modes still takes files.
    fn outcome(self, set: Result<(), Errno>) -> io::Result<()> {
        match set {
            Err(error) if self.strict => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Drop for LocalPart {
    fn drop(&mut self) {
        if self.remove {
            let _ = self.folder.remove(&self.name);
        }
    }
}

/// Writes all of it at an offset.
pub(super) fn write_at(file: &File, offset: u64, content: &[u8]) -> io::Result<()> {
    file.write_all_at(content, offset)
}

/// What a path that a person named leads to.
pub(super) fn look(path: &[u8]) -> io::Result<Option<LocalState>> {
    match rustix::fs::statat(CWD, OsStr::from_bytes(path), AtFlags::empty()) {
        Ok(stat) => Ok(Some(LocalState::new(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn mode_of(stat: &Stat) -> u32 {
    #[allow(clippy::unnecessary_cast, reason = "it is shorter on other systems")]
    let mode = stat.st_mode as u32;
    mode & 0o7777
}

fn timestamps((accessed, changed): (u32, u32)) -> Timestamps {
    let time = |seconds: u32| Timespec { tv_sec: seconds.into(), tv_nsec: 0 };
    Timestamps { last_access: time(accessed), last_modification: time(changed) }
}
