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
mod fatal;
mod files;
mod handles;
mod limits;
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
pub use fatal::Fatal;
pub use handles::Closed;
pub use limits::{MAX_DATA, MAX_PACKET};
pub use pump::Pump;
pub use requests::requests;
pub use server::{Options, Server};
pub(super) use thread::serve_in_thread;
pub use user::User;

pub use super::log_level::LogLevel;
