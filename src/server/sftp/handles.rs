//! Open files and directories, and the numbers a client knows them by.

use std::{
    fs::{File, ReadDir},
    path::{Path, PathBuf},
};

use super::status::Status;

/// What is told of a file or directory when it is closed.
#[derive(Debug)]
pub struct Closed<'a> {
    /// The path it was opened by, made absolute.
    pub path: &'a Path,
    /// Whether it was a directory.
    pub directory: bool,
    /// Bytes the client has read from it.
    pub read: u64,
    /// Bytes the client has written to it.
    pub written: u64,
    /// Whether the connection ended before the client closed it.
    pub forced: bool,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Whether each write goes to the end, whatever its offset.
    pub(super) append: bool,
    /// Whether a read or a write may wait for somebody else, as on a FIFO or a terminal.
    pub(super) waits: bool,
    pub(super) read: u64,
    pub(super) written: u64,
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) entries: ReadDir,
    pub(super) path: PathBuf,
    /// Of `.` and `..`, which `ReadDir` leaves out, those that are still to be listed.
    pub(super) dots: &'static [&'static str],
}

#[derive(Debug)]
pub(super) enum Handle {
    File(Opened),
    Directory(Listing),
}

impl Handle {
    pub(super) fn closed(&self, forced: bool) -> Closed<'_> {
        match self {
            Self::File(Opened { path, read, written, .. }) => {
                Closed { path, directory: false, read: *read, written: *written, forced }
            }
            Self::Directory(Listing { path, .. }) => {
                Closed { path, directory: true, read: 0, written: 0, forced }
            }
        }
    }
}

/// A table of handles. A handle on the wire is its place as four bytes, as in OpenSSH; any other string
/// names nothing.
#[derive(Debug)]
pub(super) struct Handles {
    places: Vec<Option<Handle>>,
    free: Vec<usize>,
    most: usize,
}

impl Handles {
    pub(super) fn new(most: usize) -> Self {
        Self { places: Vec::new(), free: Vec::new(), most }
    }

    /// Whether there is no room for another.
    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty() && self.places.len() >= self.most
    }

    /// Keeps a handle, or drops it when there are too many.
    pub(super) fn insert(&mut self, handle: Handle) -> Result<[u8; 4], Status> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.is_full() => return Err(Status::Failure),
            None => {
                self.places.push(None);
                self.places.len() - 1
            }
        };
        let name = u32::try_from(place).map_err(|_| Status::Failure)?;
        self.places[place] = Some(handle);
        Ok(name.to_be_bytes())
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Handle> {
        let place = place_of(name)?;
        let handle = self.places.get_mut(place)?.take()?;
        self.free.push(place);
        Some(handle)
    }

    pub(super) fn file(&mut self, name: &[u8]) -> Option<&mut Opened> {
        match self.places.get_mut(place_of(name)?)?.as_mut()? {
            Handle::File(file) => Some(file),
            Handle::Directory(_) => None,
        }
    }

    /// An open file that is only looked at.
    pub(super) fn peek(&self, name: &[u8]) -> Option<&Opened> {
        match self.places.get(place_of(name)?)?.as_ref()? {
            Handle::File(file) => Some(file),
            Handle::Directory(_) => None,
        }
    }

    /// Two different open files at once.
    pub(super) fn pair(&mut self, one: &[u8], other: &[u8]) -> Option<(&mut Opened, &mut Opened)> {
        let places = self.places.get_disjoint_mut([place_of(one)?, place_of(other)?]).ok()?;
        match places {
            [Some(Handle::File(one)), Some(Handle::File(other))] => Some((one, other)),
            _ => None,
        }
    }

    pub(super) fn directory(&mut self, name: &[u8]) -> Option<&mut Listing> {
        match self.places.get_mut(place_of(name)?)?.as_mut()? {
            Handle::Directory(listing) => Some(listing),
            Handle::File(_) => None,
        }
    }

    /// What is still open.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Handle> {
        self.places.iter().flatten()
    }
}

fn place_of(name: &[u8]) -> Option<usize> {
    let name = <[u8; 4]>::try_from(name).ok()?;
    usize::try_from(u32::from_be_bytes(name)).ok()
}
