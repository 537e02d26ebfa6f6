//! Where forwarded connections go.

use std::{fmt, io, path::PathBuf, time::Duration};

use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// How long a host that does not answer keeps a channel waiting. The kernel would give it two minutes.
const DEADLINE: Duration = Duration::from_secs(60);

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

pub(super) async fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect((host, port));
    let stream =
        timeout(DEADLINE, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub(super) async fn connect_socket(path: &std::path::Path) -> io::Result<UnixStream> {
    timeout(DEADLINE, UnixStream::connect(path))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
