//! Files of our own: where they are, and how they are written so that nothing is lost or shown.

mod atomic;
mod lock;
mod owner;
mod paths;
mod place;
mod trusted;

pub use atomic::{
    PrivateFileError, create_private_dir, create_private_file, read_file, read_private_file, update_file,
    write_file,
};
pub use lock::{Lock, LockError};
pub use owner::OwnerError;
pub(crate) use owner::open_socket;
pub use paths::{NoHome, Paths, home};
pub use trusted::{read_trusted_bytes, read_trusted_file};
