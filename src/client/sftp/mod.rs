//! A client of SFTP version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions.
//!
//! [`Sftp`] is a handle that is cheap to clone. Any number of tasks may ask at once: requests go out in
//! the order in which they are made, and answers are told apart by their numbers. Two tasks drive it;
//! all that is decided is in pure modules below them: `wire` (requests), `packets` (a byte stream cut
//! into packets), `answers` (what a packet says), `outbox` (what is to be written).
//!
//! Paths are bytes and are never decoded. A future that is dropped leaves nothing behind: its answer is
//! dropped when it comes, and a file or folder that it opened is closed.
//!
//! Memory is bounded: [`WINDOW`] bytes of file content may be on their way in each direction, and of a folder that
//! is read no more is kept than a few answers.

mod answers;
mod attributes;
mod complete;
mod connection;
mod directories;
mod drive;
mod error;
mod expand;
mod extensions;
mod file;
mod files;
mod handle;
mod held;
mod limits;
mod outbox;
mod packets;
mod path;
mod paths;
mod pending;
mod read_dir;
mod session;
mod shown;
mod wire;

#[cfg(test)]
pub(crate) mod tests;

pub use answers::Entry;
pub use attributes::{Attributes, FileKind};
pub use complete::{Completion, complete};
pub use error::{Nonsense, SftpError, StatusCode};
pub use extensions::FileSystem;
pub use file::File;
pub use files::OpenFlags;
pub use handle::Handle;
pub use limits::{Limits, MAX_DATA, MAX_PACKET, WINDOW};
pub use path::RemotePath;
pub use read_dir::ReadDir;
pub use session::Sftp;
pub use shown::Shown;

pub(crate) use held::Held;
pub(crate) use pending::Pending;
