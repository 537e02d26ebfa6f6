//! The built-in SSH server, made with `russh`.
//!
//! [`serve`](fn.serve.html) speaks SSH on one stream, as `sshd -i` does: `irosh sshd` calls it with stdin and stdout,
//! one process a connection. Run by an ordinary user it serves that user alone; run by root it serves
//! any login, and the whole process becomes that user right after authentication, for good.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`config`] | the keywords of sshd_config(5), and where they come from |
//! | `auth` | who may log in, and by what |
//! | `account`, `login` | the user, and what the login may do |
//! | `serve` | a stream, from its first byte to its last |
//! | `connection` | what russh asks, answered |
//! | `session` | sessions: processes, terminals |
//! | `channel` | the queue of each channel, and what carries its bytes |
//! | `forward` | ports, sockets, the agent and X11 |
//! | `sftp` | the SFTP subsystem |
//!
//! With the feature `host` alone, there is what a host reads as well: [`config`], [`key_options`], [`revoked`] and what
//! they need. All else takes `server`.
//!
//! russh itself is in `vendor/russh`, a fork of its own name: a channel's window is opened again by what
//! has been used, a channel that the client closes can still be told how its process ended, an offered
//! certificate is shown before it is signed with, and a banner can come before any answer. Each change is
//! a patch in `vendor/patches/russh`.

mod algorithms;
pub mod config;
pub mod host_port;
pub mod key_options;
pub mod log_level;
pub(crate) mod option_list;
pub mod pattern;
pub mod revoked;
mod signatures;

#[cfg(feature = "server")]
mod account;
#[cfg(feature = "server")]
mod auth;
#[cfg(feature = "server")]
pub mod authorized_keys;
#[cfg(feature = "server")]
mod channel;
#[cfg(feature = "server")]
mod connection;
#[cfg(feature = "server")]
mod forward;
#[cfg(feature = "server")]
mod keys;
#[cfg(feature = "server")]
mod login;
#[cfg(feature = "server")]
mod origin;
#[cfg(feature = "server")]
mod pace;
#[cfg(feature = "server")]
mod serve;
#[cfg(feature = "server")]
mod session;
#[cfg(feature = "server")]
mod sessions;
#[cfg(feature = "server")]
pub mod sftp;
#[cfg(feature = "server")]
mod shown;

pub(crate) use signatures::may_sign;

#[cfg(feature = "server")]
pub use {
    crate::questions::{BoxFuture, Questions, Secret},
    auth::{
        Authenticator, Entrance, Interaction, LoginRequest, NotAdmitted, PasswordFile, SetPasswordError,
        set_password,
    },
    keys::HostKeyError,
    origin::Origin,
    serve::{NoAlgorithm, ServeError, ServeOptions, check_algorithms, check_host_keys, print_config, serve},
};
