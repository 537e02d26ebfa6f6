//! The SFTP subsystem: version 3 of the protocol (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions.
//!
//! [`Server`] turns one request into one reply and knows nothing of streams. [`Pump`] cuts a byte
//! stream into requests and collects the replies, and is pure too. [`serve`] and [`serve_fds`] are the
//! thin drivers that read and write. What a client sees (codes, messages, long names, the order of
//! what is tried) is what OpenSSH's sftp-server does, unless a comment says otherwise.
//!
//! Paths are bytes and are never decoded. The server runs with the rights of its process.

mod arguments;
mod attributes;
mod directories;
mod drive;
mod expand;
mod extensions;
mod files;
mod handles;
mod log;
mod longname;
mod paths;
mod pump;
mod requests;
mod server;
mod status;
mod sys;
mod thread;
mod umask;
mod user;
mod wire;

#[cfg(test)]
mod tests;

pub use arguments::{ArgumentError, Command};
pub use drive::{serve, serve_fds};
pub use handles::Closed;
pub use log::LogLevel;
pub use pump::Pump;
pub use requests::requests;
pub use server::{Fatal, Options, Server};
pub(super) use thread::serve_in_thread;
pub use user::User;

/// The longest packet either way, in bytes after its length: OpenSSH's `SFTP_MAX_MSG_LENGTH`.
pub const MAX_PACKET: usize = 256 << 10;

/// The most bytes of a file in one read or write: OpenSSH's `SFTP_MAX_READ_LENGTH`.
pub const MAX_DATA: usize = MAX_PACKET - 1024;
