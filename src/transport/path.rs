//! The network path that a connection takes.

use std::{fmt, time::Duration};

use futures_util::StreamExt as _;
use iroh::{TransportAddr, endpoint::Connection};
use serde::{Deserialize, Serialize};

/// A network path. It is shown without its round-trip time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathStatus {
    /// The other side's address, or the relay's URL.
    pub address: String,
    /// Whether it leads through a relay.
    pub relayed: bool,
    /// The round-trip time in milliseconds, as QUIC has it.
    pub rtt_ms: f64,
}

impl fmt::Display for PathStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.relayed { "relayed by" } else { "direct to" }, self.address)
    }
}

/// The path that is used.
pub(crate) fn path_of(connection: &Connection) -> Option<PathStatus> {
    let paths = connection.paths();
    let path = paths.iter().find(|path| path.is_selected())?;
    let address = match path.remote_addr() {
        TransportAddr::Ip(addr) => addr.to_string(),
        TransportAddr::Relay(url) => url.to_string(),
        other => format!("{other:?}"),
    };
    Some(PathStatus { address, relayed: path.is_relay(), rtt_ms: milliseconds(path.rtt()) })
}

/// Resolves when the path that is used leads to no relay. Cancel safe.
pub(crate) async fn is_direct(connection: &Connection) {
    let mut paths = connection.paths_stream();
    while let Some(paths) = paths.next().await {
        if paths.iter().any(|path| path.is_selected() && path.is_ip()) {
            return;
        }
    }
    std::future::pending().await
}

/// As people and programs are told of a time.
#[must_use]
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
