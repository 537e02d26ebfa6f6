//! Files and trees between this machine and a file server.
//!
//! [`upload`] and [`download`] follow scp's and cp's rules for what a destination means: an existing
//! folder takes the sources in, anything else is the new name of a single source. A missing parent is an
//! error. `~` and `~user` are understood in remote paths, and `*`, `?` and `[...]` in those to download.
//!
//! **A name is taken by a whole file or not at all.** Content goes to a part in the same folder
//! (`.NAME.HASH.irosh-part`, mode 0600), which is renamed when it is complete. A link of that name is
//! replaced and not followed. Without [`TransferOptions::resume`] a part is removed when its transfer
//! fails or is dropped; with it the part stays, and the next run goes on behind what had arrived, less 1
//! MiB. A part belongs to a name, a size and a time of last change: when the source has changed, its old
//! parts are removed and it starts anew.
//!
//! **Symbolic links** that are named as a source are followed. Those within a tree are followed too, as
//! scp does, unless [`Links`] says otherwise. FIFOs, sockets and devices within a tree are skipped and
//! reported; one that is named as a source is an error.
//!
//! **A hostile server** cannot write outside of the destination: names that are no plain names are
//! refused, and below the destination every folder is opened relative to the one above it without
//! following links. A link that stands where a folder of the tree belongs is an error (rsync replaces it,
//! scp follows it). Nor can it take all memory: folders are copied while they are listed, those that wait are
//! counted, and a tree that is nested more than 1024 deep, or a file that is longer than it says and goes on and on,
//! is an error of its own.
//!
//! **Whoever can write to a source** cannot have something else sent by exchanging a name for a link, where links
//! are kept or skipped: below a folder that was named they are not followed.
//!
//! **After a machine has crashed**, a part may have the right length and not the right content: it is not
//! synced. The bytes before the place to resume from are compared, and
//! [`TransferOptions::checksum`] proves the whole.

mod checksum;
mod context;
mod disk;
mod download;
mod error;
mod glob;
mod local;
mod names;
mod options;
mod part;
mod pattern;
mod placement;
mod progress;
mod removals;
mod report;
mod resume;
mod stream;
mod tree;
mod umask;
mod upload;

#[cfg(test)]
mod tests;

pub use checksum::{RemoteSha256, Sha256Digest, Sha256Future};
pub use download::download;
pub use error::{Side, TransferError, TransferFailure};
pub use options::{Links, TransferOptions};
pub use progress::TransferProgress;
pub use report::{Skipped, TransferReport, WhySkipped};
pub use upload::upload;
