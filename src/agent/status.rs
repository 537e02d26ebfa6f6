//! What an agent tells of itself.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use crate::transport::PathStatus;

/// An agent and what it holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The version of its program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it was started.
    pub age: u64,
    /// The hosts that it is connected to, or was not able to reach.
    pub hosts: Vec<HostStatus>,
    /// The ports that are hosts' SSH servers to programs of this user.
    #[serde(default)]
    pub ports: Vec<PortStatus>,
}

/// A port that leads to a host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PortStatus {
    /// The host's name.
    pub name: String,
    /// Where it is, or is to be.
    pub place: SocketAddr,
    /// Why it is not open, which is tried again and again.
    pub problem: Option<String>,
}

/// A host and the sessions there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostStatus {
    /// Its name as it was given last.
    pub name: String,
    /// Its endpoint id, in hex.
    pub endpoint_id: String,
    /// Whether a session can be opened without a dial.
    pub warm: bool,
    /// The path that is used.
    pub path: Option<PathStatus>,
    /// The sessions there.
    pub sessions: Vec<SessionStatus>,
    /// What went wrong last.
    pub last_failure: Option<Failure>,
}

/// A session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Seconds since it was opened.
    pub age: u64,
    /// How it stands with its host.
    pub state: SessionState,
    /// Seconds for which it has waited for its host, where it does.
    pub waits: Option<u64>,
    /// Bytes that ssh has sent.
    pub sent: u64,
    /// Bytes that ssh has received.
    pub received: u64,
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// The host has not answered yet.
    Opening,
    /// Bytes move.
    Attached,
    /// The connection was lost: it waits until there is another.
    Detached,
}

/// What went wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// How many seconds ago.
    pub ago: u64,
    /// What ssh was told, or would have been.
    pub message: String,
}
