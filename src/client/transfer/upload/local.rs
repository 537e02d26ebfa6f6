//! Local sources. All of it blocks, but for [`look`].
//!
//! Below a folder that was named, every path is a name in an open folder: whoever may write there cannot have
//! something else read by exchanging a name for a link, unless links are followed.

use std::{
    collections::HashSet,
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use rustix::{
    buffer::spare_capacity,
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};

use super::super::{
    super::sftp::Attributes,
    context::SharedPath,
    disk::Disk,
    error::{Side, TransferError},
    names::{Version, join},
    options::Links,
};

/// A file or folder to copy.
#[derive(Debug, Clone)]
pub(in super::super) struct Source {
    place: Place,
    /// Its path.
    pub(super) shown: SharedPath,
    pub(super) version: Version,
    /// Seconds.
    pub(super) accessed: i64,
    pub(super) mode: u32,
    /// Device and number.
    pub(super) identity: (u64, u64),
}

/// Where a source is.
#[derive(Debug, Clone)]
enum Place {
    /// A path that a person named. Links are followed.
    Named,
    /// A name in a folder. Links are followed or not.
    In(Arc<SourceFolder>, Vec<u8>, Links),
}

/// A folder that is open to be read.
#[derive(Debug)]
pub(super) struct SourceFolder {
    fd: OwnedFd,
    path: SharedPath,
    /// Counts those that are open.
    _opened: Arc<()>,
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    File(Source),
    Folder(Source),
    /// A link that is to be kept or skipped, and where it leads.
    Link(Vec<u8>),
    Special,
}

/// What is in a folder.
pub(super) struct Listed {
    /// Device and number of the folder, as it was when it was opened.
    pub(super) identity: (u64, u64),
    pub(super) entries: Vec<Entry>,
}

/// An entry of a folder.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) path: Vec<u8>,
    pub(super) found: Result<Found, io::Error>,
}

impl Listed {
    pub(super) fn names(&self) -> HashSet<&[u8]> {
        self.entries.iter().map(|entry| entry.name.as_slice()).collect()
    }
}

/// What a path that a person named leads to. Links are followed.
pub(super) async fn look(disk: &Disk, path: &Path) -> Result<Found, TransferError> {
    let own = path.to_owned();
    let found = disk.run(move || {
        let stat = rustix::fs::statat(CWD, &own, AtFlags::empty())?;
        Ok(Source::found(Place::Named, own.as_os_str().as_bytes().into(), &stat))
    });
    found.await.map_err(|error| TransferError::local(path, error))
}

/// What is in a folder. `opened` counts it for as long as anything is to be read from it.
pub(super) fn list(folder: &Source, links: Links, opened: Arc<()>) -> io::Result<Listed> {
    let fd = folder.open_as(OFlags::DIRECTORY)?;
    let identity = identity_of(&rustix::fs::fstat(&fd)?);
    let folder = Arc::new(SourceFolder { fd, path: Arc::clone(&folder.shown), _opened: opened });
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder.fd.as_fd())? {
        let name = entry?.file_name().to_bytes().to_vec();
        if !matches!(&name[..], b"." | b"..") {
            let path = join(&folder.path, &name);
            let found = folder.look(&name, &path, links);
            entries.push(Entry { name, path, found });
        }
    }
    Ok(Listed { identity, entries })
}

impl SourceFolder {
    fn look(self: &Arc<Self>, name: &[u8], path: &[u8], links: Links) -> io::Result<Found> {
        let mut stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            if links != Links::Follow {
                return Ok(Found::Link(rustix::fs::readlinkat(&self.fd, name, Vec::new())?.into_bytes()));
            }
            stat = rustix::fs::statat(&self.fd, name, AtFlags::empty())?;
        }
        Ok(Source::found(Place::In(Arc::clone(self), name.to_vec(), links), path.into(), &stat))
    }
}

impl Source {
    /// What is set on the copy when the source's times or modes are kept.
    pub(super) fn attributes(&self, mode: Option<u32>, times: bool) -> Attributes {
        let seconds = |time: i64| u32::try_from(time).unwrap_or(if time < 0 { 0 } else { u32::MAX });
        let times = times.then(|| (seconds(self.accessed), seconds(self.version.changed)));
        Attributes { permissions: mode, times, ..Attributes::default() }
    }

    fn found(place: Place, shown: SharedPath, stat: &Stat) -> Found {
        let source = || Self {
            place,
            shown,
            version: version_of(stat),
            accessed: accessed_of(stat),
            mode: mode_of(stat),
            identity: identity_of(stat),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Found::File(source()),
            FileType::Directory => Found::Folder(source()),
            _ => Found::Special,
        }
    }

    /// Opens it, and looks at it again: it may have changed since it was listed.
    pub(super) fn open(&self) -> io::Result<(File, Self)> {
        // What is a FIFO by now is not waited for.
        let file = File::from(self.open_as(OFlags::NONBLOCK)?);
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("is no regular file any more"));
        }
        let (version, accessed, mode) = (version_of(&stat), accessed_of(&stat), mode_of(&stat));
        Ok((file, Self { version, accessed, mode, ..self.clone() }))
    }

    fn open_as(&self, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = match &self.place {
            Place::Named => rustix::fs::open(&self.shown[..], flags, Mode::empty()),
            Place::In(folder, name, Links::Follow) => {
                rustix::fs::openat(&folder.fd, &name[..], flags, Mode::empty())
            }
            Place::In(folder, name, Links::Keep | Links::Skip) => {
                rustix::fs::openat(&folder.fd, &name[..], flags | OFlags::NOFOLLOW, Mode::empty())
            }
        };
        Ok(opened?)
    }

    /// Reads all of a short file.
    ///
    /// # Errors
    /// It is longer than `most`, or not as long as it says.
    pub(super) fn load(&self, most: usize) -> io::Result<Loaded> {
        let (file, source) = self.open()?;
        let Ok(size) = usize::try_from(source.version.size) else { return Ok(Loaded::Long) };
        if size > most {
            return Ok(Loaded::Long);
        }
        // A byte more, to see that the end is there. Files of the kernel say that they are empty and are
        // not.
        let content = read_at(&file, 0, if size == 0 { most + 1 } else { size + 1 })?;
        if size == 0 && content.len() <= most {
            let version = Version { size: content.len() as u64, ..source.version };
            return Ok(Loaded::Whole(content, Self { version, ..source }));
        }
        Ok(if content.len() == size { Loaded::Whole(content, source) } else { Loaded::Changed })
    }

    pub(super) fn changed(&self) -> TransferError {
        TransferError::SourceChanged { side: Side::Local, path: Arc::clone(&self.shown) }
    }

    pub(super) fn error(&self, error: io::Error) -> TransferError {
        let exchanged = [Errno::LOOP, Errno::MLINK, Errno::NOTDIR].map(Errno::raw_os_error);
        match &self.place {
            // It was no link when it was listed, or a folder.
            Place::In(.., Links::Keep | Links::Skip)
                if error.raw_os_error().is_some_and(|code| exchanged.contains(&code)) =>
            {
                self.changed()
            }
            _ => TransferError::local_bytes(&self.shown, error),
        }
    }
}

/// A short file.
pub(super) enum Loaded {
    Whole(Bytes, Source),
    /// It is not short any more.
    Long,
    /// It was being written to.
    Changed,
}

/// Reads so many bytes at an offset, or up to the end.
pub(super) fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut content = Vec::with_capacity(length);
    while content.len() < length {
        let at = offset + content.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut content), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    content.truncate(length);
    Ok(content.into())
}

/// The version of an open file.
pub(super) fn version_now(file: &File) -> io::Result<Version> {
    Ok(version_of(&rustix::fs::fstat(file)?))
}

#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the fields differ between systems")]
fn version_of(stat: &Stat) -> Version {
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    Version { size, changed: stat.st_mtime as i64, nanoseconds: stat.st_mtime_nsec as i64 }
}

#[allow(clippy::unnecessary_cast, reason = "the fields differ between systems")]
fn accessed_of(stat: &Stat) -> i64 {
    stat.st_atime as i64
}

#[allow(clippy::unnecessary_cast, reason = "the fields differ between systems")]
fn mode_of(stat: &Stat) -> u32 {
    stat.st_mode as u32 & 0o777
}

#[allow(clippy::unnecessary_cast, reason = "the fields differ between systems")]
fn identity_of(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    async fn named(path: &Path) -> Source {
        match look(&Disk::new(tokio_util::sync::CancellationToken::new()), path).await {
            Ok(Found::Folder(source)) => source,
            other => panic!("no folder: {other:?}"),
        }
    }

    fn entry(folder: &Source, links: Links) -> Source {
        let listed = list(folder, links, Arc::default()).expect("listed");
        match listed.entries.into_iter().next().expect("an entry").found.expect("looked at") {
            Found::File(source) | Found::Folder(source) => source,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_exchanged_for_a_link_is_not_listed() {
        let dir = tempfile::tempdir().expect("a folder");
        let (tree, secret) = (dir.path().join("tree"), dir.path().join("secret"));
        fs::create_dir_all(tree.join("inner")).expect("a folder");
        fs::create_dir(&secret).expect("a folder");
        fs::write(secret.join("file"), "x").expect("a file");
        let top = named(&tree).await;
        let [kept, skipped, followed] =
            [Links::Keep, Links::Skip, Links::Follow].map(|links| entry(&top, links));
        fs::rename(tree.join("inner"), tree.join("moved")).expect("moved");
        std::os::unix::fs::symlink(&secret, tree.join("inner")).expect("a link");
        for inner in [kept, skipped] {
            let error = list(&inner, Links::Keep, Arc::default()).map(|_| ()).expect_err("a link");
            assert!(matches!(inner.error(error), TransferError::SourceChanged { .. }));
        }
        assert_eq!(list(&followed, Links::Follow, Arc::default()).expect("listed").entries.len(), 1);
    }

    #[tokio::test]
    async fn a_folder_above_that_is_exchanged_makes_no_difference() {
        let dir = tempfile::tempdir().expect("a folder");
        let (tree, secret) = (dir.path().join("tree"), dir.path().join("secret"));
        for folder in [&tree, &secret] {
            fs::create_dir_all(folder.join("inner")).expect("a folder");
            fs::write(folder.join("inner/file"), folder.as_os_str().as_bytes()).expect("a file");
        }
        let inner = entry(&named(&tree).await, Links::Keep);
        let file = entry(&inner, Links::Keep);
        fs::rename(&tree, dir.path().join("moved")).expect("moved");
        std::os::unix::fs::symlink(&secret, &tree).expect("a link");
        let Ok(Loaded::Whole(content, _)) = file.load(1 << 10) else { panic!("it is still there") };
        assert_eq!(content, tree.as_os_str().as_bytes());
    }
}
