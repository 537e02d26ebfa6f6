//! What a transfer can fail with, in words that a person can act on.

use std::{fmt, io, os::unix::ffi::OsStrExt, path::Path, sync::Arc};

use super::{
    super::sftp::{SftpError, Shown, StatusCode},
    report::TransferReport,
};

/// Failures that are listed in a message.
const LISTED: usize = 10;

/// Which machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// This one.
    Local,
    /// The file server.
    Remote,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Remote => "remote",
        })
    }
}

/// Why a file, or all of a transfer, failed. Paths are bytes, as the machine has them.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A source, or a destination that must be there, does not exist.
    #[error("{}: no such {side} file or folder", Shown(path))]
    NoSuchFile {
        /// Where.
        side: Side,
        /// Which.
        path: Arc<[u8]>,
    },
    /// Several sources go into a folder, which does not exist.
    #[error("{}: several sources need a {side} folder\nmake it first", Shown(path))]
    NeedsFolder {
        /// Where.
        side: Side,
        /// The destination.
        path: Arc<[u8]>,
    },
    /// The folder that a destination would be in does not exist.
    #[error("{}: its {side} folder does not exist\nmake it first", Shown(path))]
    NoParent {
        /// Where.
        side: Side,
        /// The destination.
        path: Arc<[u8]>,
    },
    /// No right to read, or to write.
    #[error("{}: permission denied on the {side} side", Shown(path))]
    PermissionDenied {
        /// Where.
        side: Side,
        /// Which.
        path: Arc<[u8]>,
    },
    /// A folder has the name that a file is to get.
    #[error("{}: there is a {side} folder of that name", Shown(path))]
    IsDirectory {
        /// Where.
        side: Side,
        /// Which.
        path: Arc<[u8]>,
    },
    /// A file has the name that a folder is to have.
    #[error("{}: is no {side} folder", Shown(path))]
    NotDirectory {
        /// Where.
        side: Side,
        /// Which.
        path: Arc<[u8]>,
    },
    /// A source is a folder, and folders were not asked for.
    #[error("{}: is a folder\nask for it with everything that is in it", Shown(path))]
    NeedsRecursive {
        /// Which.
        path: Arc<[u8]>,
    },
    /// Two sources would get one name.
    #[error("{}: two sources have this name", Shown(path))]
    SameName {
        /// The name at the destination.
        path: Arc<[u8]>,
    },
    /// The destination has no room, or the user's quota is used up.
    #[error("{}: the {side} disk is full", Shown(path))]
    DiskFull {
        /// Where.
        side: Side,
        /// Which.
        path: Arc<[u8]>,
    },
    /// What arrived is not what was sent.
    #[error("{}: what arrived differs from the source, and was thrown away", Shown(path))]
    Checksum {
        /// The destination.
        path: Arc<[u8]>,
    },
    /// The source was written to while it was read.
    #[error("{}: the {side} file changed while it was being read", Shown(path))]
    SourceChanged {
        /// Where.
        side: Side,
        /// The source.
        path: Arc<[u8]>,
    },
    /// A link leads to a folder that it is in.
    #[error("{}: the link leads to a folder that contains it", Shown(path))]
    Loop {
        /// The link.
        path: Arc<[u8]>,
    },
    /// Folders are nested as no person nests them.
    #[error("{}: folders are nested too deeply, and this {side} one is left out", Shown(path))]
    TooDeep {
        /// Where.
        side: Side,
        /// Which.
        path: Arc<[u8]>,
    },
    /// The server tells of more folders than are remembered at once.
    #[error("{}: so many folders wait that no more are remembered\ncopy them in several runs", Shown(path))]
    TooManyFolders {
        /// The first remote folder that is not.
        path: Arc<[u8]>,
    },
    /// More names fit a pattern than are remembered.
    #[error("{}: too many names fit\ncopy the folder that they are in", Shown(path))]
    TooManyMatches {
        /// The pattern.
        path: Arc<[u8]>,
    },
    /// A file that is longer than it says goes on and on.
    #[error("{}: is longer than it says, and has no end", Shown(path))]
    Endless {
        /// The remote file.
        path: Arc<[u8]>,
    },
    /// A server's name for an entry would lead elsewhere, or is longer than any.
    #[error("{}: the server lists an entry named `{}`, which is no name", Shown(folder), Shown(name))]
    HostileName {
        /// The remote folder.
        folder: Arc<[u8]>,
        /// The name, cut short.
        name: Arc<[u8]>,
    },
    /// A local link stands where a folder of the tree belongs.
    #[error("{}: is a symbolic link, which is not followed\nremove it to continue", Shown(path))]
    LinkInTheWay {
        /// The link.
        path: Arc<[u8]>,
    },
    /// Something that is neither a file nor a link has the name that a file is to get.
    #[error("{}: is no {side} file, but a device, a socket or the like\nit is not replaced", Shown(path))]
    Special {
        /// Where.
        side: Side,
        /// Which.
        path: Arc<[u8]>,
    },
    /// A source that was named is neither a file nor a folder.
    #[error("{}: is a {side} FIFO, socket or device, which is not copied", Shown(path))]
    SpecialSource {
        /// Where.
        side: Side,
        /// Which.
        path: Arc<[u8]>,
    },
    /// A file is larger than the system, or a limit of this process, lets one be.
    #[error("{}: is larger than a {side} file may be\nlook at `ulimit -f`", Shown(path))]
    TooLarge {
        /// Where.
        side: Side,
        /// Which.
        path: Arc<[u8]>,
    },
    /// Another run goes on with the part of this one.
    #[error("{}: another run copies it, and has gone on with what was there", Shown(path))]
    TakenOver {
        /// The destination.
        path: Arc<[u8]>,
    },
    /// The part of a file that was not copied in full could not be removed.
    #[error("{}: what had arrived is left there\nremove it, or resume the copy", Shown(path))]
    PartLeft {
        /// The part at the server.
        path: Arc<[u8]>,
    },
    /// A file was moved out of the way of the new one, which then could not get its name.
    #[error("{}: could not be replaced: {error}\nwhat it held is in {}", Shown(path), Shown(aside))]
    LeftAside {
        /// The file that was to be replaced.
        path: Arc<[u8]>,
        /// Its name now.
        aside: Arc<[u8]>,
        /// Why.
        error: SftpError,
    },
    /// Any other error of this machine.
    #[error("{}: {error}", Shown(path))]
    Local {
        /// Which file.
        path: Arc<[u8]>,
        /// What the system says.
        error: Arc<io::Error>,
    },
    /// Any other error of the server or the connection.
    #[error(transparent)]
    Remote(SftpError),
    /// The transfer was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl TransferError {
    /// Which file or folder it is about, where that is known.
    #[must_use]
    pub fn path(&self) -> Option<&[u8]> {
        match self {
            Self::NoSuchFile { path, .. }
            | Self::NeedsFolder { path, .. }
            | Self::NoParent { path, .. }
            | Self::PermissionDenied { path, .. }
            | Self::IsDirectory { path, .. }
            | Self::NotDirectory { path, .. }
            | Self::NeedsRecursive { path }
            | Self::SameName { path }
            | Self::DiskFull { path, .. }
            | Self::Checksum { path }
            | Self::SourceChanged { path, .. }
            | Self::Loop { path }
            | Self::HostileName { folder: path, .. }
            | Self::TooDeep { path, .. }
            | Self::TooManyFolders { path }
            | Self::TooManyMatches { path }
            | Self::Endless { path }
            | Self::LinkInTheWay { path }
            | Self::Special { path, .. }
            | Self::SpecialSource { path, .. }
            | Self::TooLarge { path, .. }
            | Self::TakenOver { path }
            | Self::PartLeft { path }
            | Self::LeftAside { path, .. }
            | Self::Local { path, .. } => Some(path),
            Self::Remote(error) => error.path(),
            Self::Cancelled => None,
        }
    }

    /// Whether no other file can succeed either.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Cancelled | Self::TooManyFolders { .. } => true,
            Self::Remote(error) | Self::LeftAside { error, .. } => error.is_fatal(),
            _ => false,
        }
    }

    /// Whether a part that led to this is of no use to a later run.
    pub(super) fn spoils_part(&self) -> bool {
        matches!(self, Self::Checksum { .. } | Self::SourceChanged { .. })
    }

    pub(super) fn local(path: &Path, error: io::Error) -> Self {
        Self::local_bytes(path.as_os_str().as_bytes(), error)
    }

    pub(super) fn local_bytes(path: &[u8], error: io::Error) -> Self {
        let (side, path) = (Side::Local, path.into());
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoSuchFile { side, path },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { side, path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { side, path },
            io::ErrorKind::FileTooLarge => Self::TooLarge { side, path },
            io::ErrorKind::NotADirectory => Self::NotDirectory { side, path },
            io::ErrorKind::IsADirectory => Self::IsDirectory { side, path },
            _ => Self::Local { path, error: Arc::new(error) },
        }
    }

    /// An error of a request about a path.
    pub(super) fn remote(path: &[u8], error: SftpError) -> Self {
        let (side, path) = (Side::Remote, path.into());
        match error.code() {
            Some(StatusCode::NoSuchFile) => Self::NoSuchFile { side, path },
            Some(StatusCode::PermissionDenied) => Self::PermissionDenied { side, path },
            _ if says_full(&error) => Self::DiskFull { side, path },
            _ => Self::Remote(error),
        }
    }
}

/// Whether a server says in words that there is no room: the code for it came after version 3.
pub(super) fn says_full(error: &SftpError) -> bool {
    let SftpError::Status { message, .. } = error else { return false };
    let message = message.to_ascii_lowercase();
    ["no space left", "quota exceeded", "disk full", "disk is full"]
        .iter()
        .any(|words| message.contains(words))
}

/// A transfer that was not done in full. What the report counts was done all the same.
#[derive(Debug, Clone)]
pub struct TransferFailure {
    /// Why, at least one: what ended the whole transfer first, then file by file; at most 1000.
    pub errors: Vec<TransferError>,
    /// How many there were.
    pub errors_total: u64,
    /// What was done.
    pub report: TransferReport,
}

impl fmt::Display for TransferFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.errors.iter().take(LISTED).enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            error.fmt(f)?;
        }
        let more = self.errors_total.saturating_sub(LISTED as u64);
        if more > 0 {
            write!(f, "\nand {more} more")?;
        }
        Ok(())
    }
}

impl std::error::Error for TransferFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.errors.first().and_then(std::error::Error::source)
    }
}
