//! Where a file is: its folder as an open descriptor, and its name in it.
//!
//! Everything that is done with a file goes through its [`Place`], so that what was looked at is what is used, whatever
//! is renamed meanwhile. Root is led by nobody: it follows no name in a folder that somebody else may change.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStringExt, fs::MetadataExt},
    },
    path::{Component, Path, PathBuf},
};

use nix::unistd::{Uid, User, geteuid};
use rustix::{
    fs::{AtFlags, Mode, OFlags, RenameFlags, Stat},
    io::Errno,
};

/// Symbolic links on the way to one file, as many as Linux follows.
const MOST_LINKS: usize = 40;

/// A file's folder and its name there. There need not be such a file.
pub(super) struct Place {
    folder: OwnedFd,
    name: OsString,
    /// The folders on the way, by their real names, from the root or from where the process is.
    way: Vec<(PathBuf, Stat)>,
}

/// A file or folder that is another user's, who may exchange what is in it while it is looked at.
#[derive(Debug, thiserror::Error)]
#[error(
    "{path} belongs to {owner}, who could change it meanwhile\nrun this as {owner}, or: chown {us} {path}",
    path = .path.display(), owner = name_of(*.uid), us = name_of(geteuid().as_raw())
)]
pub(super) struct Foreign {
    pub(super) path: PathBuf,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Place {
    /// Finds a file's place; symbolic links are followed, also where nothing is at their end.
    ///
    /// # Errors
    ///
    /// What the system says; [`Foreign`] in an [`io::Error`] where root would have to trust another user.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        Walk::start(path)?.finish(false)
    }

    /// The same, and makes the folders above the file with mode 0700.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        Walk::start(path)?.finish(true)
    }

    /// Finds a place that may be in folders of another user's, of whom no link is followed.
    pub(super) fn find_at(path: &Path, owner: u32) -> io::Result<Self> {
        let mut walk = Walk::start(path)?;
        walk.owner = Some(owner);
        walk.finish(false)
    }

    /// Opens the file, which has to be a regular one. Never waits, and never follows a link.
    pub(super) fn open(&self, flags: OFlags, mode: u32) -> io::Result<(File, Stat)> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, &self.name, flags, Mode::from_raw_mode(mode))?;
        let stat = rustix::fs::fstat(&file)?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok((file.into(), stat))
    }

    /// Opens the file for reading, if there is one.
    pub(super) fn read(&self) -> io::Result<Option<(File, Stat)>> {
        existing(self.open(OFlags::RDONLY, 0))
    }

    /// Opens the socket of this name for nothing but to be connected to, and tells whose it is.
    pub(super) fn open_socket(&self) -> io::Result<(OwnedFd, u32)> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let socket = rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&socket)?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_socket() {
            return Err(io::Error::other("it is not a socket"));
        }
        Ok((socket, stat.st_uid))
    }

    /// What the file is like, if there is one.
    pub(super) fn stat(&self) -> io::Result<Option<Stat>> {
        Ok(existing(self.open(OFlags::PATH, 0))?.map(|(_, stat)| stat))
    }

    /// A place in the same folder, with this after the name.
    pub(super) fn beside(&self, suffix: &str) -> io::Result<Self> {
        let mut name = self.name.clone();
        name.push(suffix);
        Ok(Self { folder: self.folder.try_clone()?, name, way: Vec::new() })
    }

    /// Gives the file the name of another place in the same folder, in place of what is there.
    pub(super) fn rename(&self, to: &Self) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.folder, &self.name, &to.folder, &to.name)?)
    }

    /// The same, where nothing has that name.
    pub(super) fn rename_to_free(&self, to: &Self) -> io::Result<()> {
        let flags = RenameFlags::NOREPLACE;
        Ok(rustix::fs::renameat_with(&self.folder, &self.name, &to.folder, &to.name, flags)?)
    }

    /// Gives the file a second name, that of another place in the same folder.
    pub(super) fn link(&self, to: &Self) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.folder, &self.name, &to.folder, &to.name, AtFlags::empty())?)
    }

    /// Whether something has the name.
    pub(super) fn is_taken(&self) -> io::Result<bool> {
        match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(false),
            found => Ok(found.map(|_| true)?),
        }
    }

    /// Removes the file.
    pub(super) fn remove(&self) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty())?)
    }

    /// Waits until the names in the folder are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        File::from(rustix::fs::openat(&self.folder, ".", flags, Mode::empty())?).sync_all()
    }

    /// The file's folder and the folders above it, as they were when they were entered: from the home
    /// directory on where that is on the way, as sshd looks at them, and those of symbolic links, too.
    pub(super) fn way(&self) -> &[(PathBuf, Stat)] {
        &self.way
    }
}

/// What was found; `None` where there is nothing.
pub(super) fn existing<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// On the way to a file.
struct Walk {
    at: OwnedFd,
    real: PathBuf,
    way: Vec<(PathBuf, Stat)>,
    /// What is still to be gone, the next one last.
    left: Vec<OsString>,
    links: usize,
    /// Device and inode of the home directory.
    home: Option<(u64, u64)>,
    is_root: bool,
    /// Another user whose folders root enters, and whether this is one of them.
    owner: Option<u32>,
    is_theirs: bool,
}

impl Walk {
    fn start(path: &Path) -> io::Result<Self> {
        let home = std::env::home_dir().and_then(|home| home.metadata().ok());
        let (real, first) = match path.is_absolute() {
            true => (PathBuf::from("/"), "/"),
            false => (std::env::current_dir()?, "."),
        };
        let mut walk = Self {
            at: rustix::fs::open(first, FOLDER, Mode::empty())?,
            real,
            way: Vec::new(),
            left: Vec::new(),
            links: 0,
            home: home.map(|home| (home.dev(), home.ino())),
            is_root: geteuid().is_root(),
            owner: None,
            is_theirs: false,
        };
        walk.look()?;
        walk.add(path);
        Ok(walk)
    }

    fn finish(mut self, make: bool) -> io::Result<Place> {
        loop {
            let Some(name) = self.left.pop() else {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a folder"));
            };
            if let Some(target) = self.link(&name)? {
                self.follow(&target)?;
            } else if self.left.is_empty() && name != ".." {
                return Ok(Place { folder: self.at, name, way: self.way });
            } else {
                self.enter(&name, make)?;
            }
        }
    }

    fn add(&mut self, path: &Path) {
        self.left.extend(path.components().rev().filter_map(|component| match component {
            Component::ParentDir => Some(OsString::from("..")),
            Component::Normal(name) => Some(name.to_owned()),
            _ => None,
        }));
    }

    /// What a symbolic link says; `None` for all else.
    fn link(&self, name: &OsStr) -> io::Result<Option<PathBuf>> {
        // Before it is read: in a folder such as /tmp, nobody exchanges what is root's.
        let stat = match rustix::fs::statat(&self.at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            found => found?,
        };
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink() {
            return Ok(None);
        }
        if self.is_theirs {
            return Err(Errno::LOOP.into());
        }
        if self.is_root {
            refuse_foreign(&self.real.join(name), &stat)?;
        }
        let target = rustix::fs::readlinkat(&self.at, name, Vec::new())?;
        Ok(Some(OsString::from_vec(target.into_bytes()).into()))
    }

    fn follow(&mut self, target: &Path) -> io::Result<()> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        if target.is_absolute() {
            self.at = rustix::fs::open("/", FOLDER, Mode::empty())?;
            self.real = PathBuf::from("/");
            self.look()?;
        }
        self.add(target);
        Ok(())
    }

    fn enter(&mut self, name: &OsStr, make: bool) -> io::Result<()> {
        let flags = FOLDER | OFlags::NOFOLLOW;
        let entered = match rustix::fs::openat(&self.at, name, flags, Mode::empty()) {
            Err(Errno::NOENT) if make => {
                match rustix::fs::mkdirat(&self.at, name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                rustix::fs::openat(&self.at, name, flags, Mode::empty())
            }
            entered => entered,
        };
        self.at = entered?;
        if name == ".." {
            self.real.pop();
        } else {
            self.real.push(name);
        }
        self.look()
    }

    /// Looks at the folder that was just entered.
    fn look(&mut self) -> io::Result<()> {
        let stat = rustix::fs::fstat(&self.at)?;
        self.is_theirs = self.owner == Some(stat.st_uid);
        if self.is_root {
            if !self.is_theirs {
                refuse_foreign(&self.real, &stat)?;
            }
            refuse_writable(&self.real, &stat)?;
        }
        if self.home == Some((stat.st_dev, stat.st_ino)) {
            self.way.retain(|(above, _)| !self.real.starts_with(above));
        }
        self.way.push((self.real.clone(), stat));
        Ok(())
    }
}

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Refuses what is neither this user's nor root's.
pub(super) fn refuse_foreign(path: &Path, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = (stat.st_uid, stat.st_gid);
    if uid == geteuid().as_raw() || is_root(uid) {
        return Ok(());
    }
    let error = Foreign { path: path.to_owned(), uid, gid };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, error))
}

/// Refuses what others can write, but for folders such as /tmp, where nobody replaces what is another's.
pub(super) fn refuse_writable(path: &Path, stat: &Stat) -> io::Result<()> {
    let (mode, kind) = (stat.st_mode & 0o7777, rustix::fs::FileType::from_raw_mode(stat.st_mode));
    if mode & 0o022 == 0 || mode & 0o1000 != 0 && kind.is_dir() {
        return Ok(());
    }
    let path = path.display();
    let message = format!("{path} can be written by others (mode {mode:04o})\nrun: chmod go-w {path}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

/// Whether this is root, or whoever it is that is root outside of this user namespace.
fn is_root(uid: u32) -> bool {
    const NOBODY: u32 = 65534;
    let is_known = |map: String| {
        map.lines().any(|line| {
            let numbers: Vec<u32> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            matches!(numbers[..], [first, _, count] if NOBODY >= first && NOBODY - first < count)
        })
    };
    uid == 0 || uid == NOBODY && std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !is_known(map))
}

/// A user's name, or number.
pub(super) fn name_of(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("the user {uid}"), |user| user.name)
}
