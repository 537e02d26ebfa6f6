//! Where forwarded connections go.

use std::{fmt, path::PathBuf};

/// A place to connect to, as the side that connects sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A port of a host, by name or address.
    Tcp {
        /// The name or the address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Socket(PathBuf),
}

impl Place {
    /// A port of a host.
    #[must_use]
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self::Tcp { host: host.into(), port }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}
