//! Where a forward listens.

use std::{net::SocketAddr, path::PathBuf};

/// Where a forward listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// On these addresses, all with one port, at this side.
    Addresses(Vec<SocketAddr>),
    /// On this socket at this side.
    Socket(PathBuf),
    /// On a port of the server.
    RemotePort {
        /// As it was asked for.
        address: String,
        /// The port, which the server has chosen if it was to.
        port: u16,
    },
    /// On a socket of the server.
    RemoteSocket(PathBuf),
}
