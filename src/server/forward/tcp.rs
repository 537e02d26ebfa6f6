//! TCP connections for the client (RFC 4254 section 7.2).

use std::{io, time::Duration};

use tokio::{net::TcpStream, time::timeout};

/// How long a host that does not answer keeps a channel waiting. The kernel would give it two minutes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Connects to a name or an address.
pub(in crate::server) async fn connect(host: String, port: u16) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect((host.as_str(), port));
    let stream =
        timeout(DEADLINE, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
