//! Open files and directories, and the numbers a client knows them by.

use std::{
    fs::{File, ReadDir},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use nix::sys::resource::{Resource, getrlimit};

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
    most: Most,
}

/// How many handles a table may have.
#[derive(Debug, Clone, Copy)]
enum Most {
    /// So many.
    Own(u64),
    /// What others in this process leave of so many.
    Shared(u64),
}

/// The handles that are open in this process, whosever they are.
static OPEN: AtomicU64 = AtomicU64::new(0);

/// The most that one process has open for clients of sftp, whatever it may open.
const MOST_SHARED: u64 = 4096;

impl Handles {
    /// A table of at most so many handles; unless set, of what others leave.
    pub(super) fn new(most: Option<u64>) -> Self {
        let shared = || {
            let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
            Most::Shared(MOST_SHARED.min(files / 2))
        };
        Self { places: Vec::new(), free: Vec::new(), most: most.map_or_else(shared, Most::Own) }
    }

    /// How many handles there may be now. Where they are shared it is one at least: to announce none would
    /// mean that there is no limit.
    pub(super) fn limit(&self) -> u64 {
        match self.most {
            Most::Own(most) => most,
            Most::Shared(all) => {
                let others = OPEN.load(Ordering::Relaxed).saturating_sub(self.count());
                all.saturating_sub(others).max(1)
            }
        }
    }

    /// Whether there is no room for another.
    pub(super) fn is_full(&self) -> bool {
        self.count() >= self.limit()
    }

    fn count(&self) -> u64 {
        (self.places.len() - self.free.len()) as u64
    }

    /// Keeps a handle, or drops it when there are too many.
    pub(super) fn insert(&mut self, handle: Handle) -> Result<[u8; 4], Status> {
        if self.is_full() {
            return Err(Status::Failure);
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        let name = u32::try_from(place).map_err(|_| Status::Failure)?;
        self.places[place] = Some(handle);
        OPEN.fetch_add(1, Ordering::Relaxed);
        Ok(name.to_be_bytes())
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Handle> {
        let place = place_of(name)?;
        let handle = self.places.get_mut(place)?.take()?;
        self.free.push(place);
        OPEN.fetch_sub(1, Ordering::Relaxed);
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

impl Drop for Handles {
    fn drop(&mut self) {
        OPEN.fetch_sub(self.count(), Ordering::Relaxed);
    }
}

fn place_of(name: &[u8]) -> Option<usize> {
    let name = <[u8; 4]>::try_from(name).ok()?;
    usize::try_from(u32::from_be_bytes(name)).ok()
}
