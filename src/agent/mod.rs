//! The agent: a background process of a user that holds the connections to hosts, and the sessions on them, for the
//! programs that ssh runs.
//!
//! A caller hands it the descriptors of ssh and waits for the outcome; the bytes never pass through the caller. Where
//! there is no agent and none can be started, the caller does without.
//!
//! ```text
//! ssh --pipes or a socket--> agent --QUIC--> irosh host
//!  `- irosh-proxy --socket: what is wanted, and how it went--'
//! ```

mod call;
mod client;
mod message;
mod session;
mod status;

#[cfg(feature = "cli")]
mod caller;
#[cfg(feature = "cli")]
mod confine;
#[cfg(feature = "cli")]
mod hosts;
#[cfg(feature = "cli")]
mod ports;
#[cfg(feature = "cli")]
mod serve;
#[cfg(feature = "cli")]
mod state;

pub use call::{Called, call_for_known_hosts, call_for_session, pass_to_ssh, start};
pub use client::{Running, running};
pub use message::NetworkWords;
pub use session::AgentError;
pub(crate) use session::{AgentNews, AgentSession};
pub use status::{Failure, HostStatus, PathStatus, PortStatus, SessionState, SessionStatus, Status};

#[cfg(feature = "cli")]
pub use {
    confine::{Confined, confine},
    serve::{ServeError, serve},
};
