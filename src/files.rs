//! Files of our own: where they are, and how they are written so that nothing is lost or shown.

mod atomic;
mod paths;

pub use atomic::{
    Lock, LockError, PrivateFileError, create_private_dir, create_private_file, read_private_file,
    refuse_writable_by_others, update_file, write_file,
};
pub use paths::{NoHome, Paths};
