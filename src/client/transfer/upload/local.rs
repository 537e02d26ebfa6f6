//! Local sources.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rustix::{buffer::spare_capacity, fs::OFlags};

use super::super::{
    context::SharedPath,
    disk::Disk,
    error::{Side, TransferError},
    names::Version,
    options::Links,
};

/// A file or folder to copy.
#[derive(Debug, Clone)]
pub(in super::super) struct Source {
    pub(super) path: PathBuf,
    pub(super) shown: SharedPath,
    pub(super) version: Version,
    /// Seconds.
    pub(super) accessed: i64,
    pub(super) mode: u32,
    /// Device and number.
    pub(super) identity: (u64, u64),
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

/// An entry of a folder.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) path: PathBuf,
    pub(super) found: Result<Found, io::Error>,
}

/// What a path that a person named leads to. Links are followed.
pub(super) async fn look(disk: &Disk, path: &Path) -> Result<Found, TransferError> {
    let own = path.to_owned();
    let found = disk.run(move || Ok(Source::found(own.clone(), &fs::metadata(own)?))).await;
    found.map_err(|error| TransferError::local(path, error))
}

/// What is in a folder. Blocks.
pub(super) fn list(folder: &Path, links: Links) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, path) = (entry.file_name().as_bytes().to_vec(), entry.path());
        let found = entry.metadata().and_then(|metadata| {
            Ok(match links {
                _ if !metadata.is_symlink() => Source::found(path.clone(), &metadata),
                Links::Follow => Source::found(path.clone(), &fs::metadata(&path)?),
                Links::Keep | Links::Skip => {
                    Found::Link(fs::read_link(&path)?.as_os_str().as_bytes().to_vec())
                }
            })
        });
        entries.push(Entry { name, path, found });
    }
    Ok(entries)
}

impl Source {
    fn found(path: PathBuf, metadata: &Metadata) -> Found {
        let kind = metadata.file_type();
        if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
            return Found::Special;
        }
        let source = Self::new(path, metadata);
        if kind.is_dir() { Found::Folder(source) } else { Found::File(source) }
    }

    fn new(path: PathBuf, metadata: &Metadata) -> Self {
        Self {
            shown: path.as_os_str().as_bytes().into(),
            path,
            version: version_of(metadata),
            accessed: metadata.atime(),
            mode: metadata.mode() & 0o777,
            identity: (metadata.dev(), metadata.ino()),
        }
    }

    /// Opens it, and looks at it again: it may have changed since it was listed. Blocks.
    pub(super) fn open(&self) -> io::Result<(File, Self)> {
        // What is a FIFO by now is not waited for.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("is no regular file any more"));
        }
        let mut source = self.clone();
        source.version = version_of(&metadata);
        source.accessed = metadata.atime();
        source.mode = metadata.mode() & 0o777;
        Ok((file, source))
    }

    /// Reads all of a short file. Blocks.
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
        TransferError::local(&self.path, error)
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

/// Reads so many bytes at an offset, or up to the end. Blocks.
pub(super) fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut content = Vec::with_capacity(length);
    while content.len() < length {
        let at = offset + content.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut content), at) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    content.truncate(length);
    Ok(content.into())
}

pub(super) fn version_of(metadata: &Metadata) -> Version {
    Version { size: metadata.len(), changed: metadata.mtime(), nanoseconds: metadata.mtime_nsec() }
}
