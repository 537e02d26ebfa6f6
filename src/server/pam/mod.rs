//! PAM, in a process of its own.
//!
//! Modules block, change the user they run as, keep state and leak, so none of them runs in the server.
//! For each login the server starts a [`PamProcess`], which is the same program running [`run`] with a
//! socket as its stdin. It asks what PAM asks, until it grants or denies the login. A login that was
//! granted has a session opened while the server is still root, and then the server becomes the user.
//! The PAM process remains root, and listens to nothing any more: when the connection's socket closes,
//! it closes the session and ends.
//!
//! [`PamAuthenticator`] does all this for a server; what it is made of is public, too.
//!
//! If it ends before that, a login is refused, and a session goes on.

mod authenticator;
mod client;
mod codec;
mod conversation;
mod legacy;
mod libpam;
mod messages;
mod password;
mod process;
mod surroundings;
mod wire;
#[cfg(test)]
mod wire_tests;

pub use authenticator::PamAuthenticator;
pub use client::{PamError, PamProcess, PamStep};
pub use conversation::LinkError;
pub use messages::{Denied, Granted, Legacy, Prompt, Proof, Questions, Refusal, Request, Secret, Session};
pub use process::{PamProcessError, run};
pub use wire::{LONGEST_ANSWER, WireError};
