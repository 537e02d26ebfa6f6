//! A local port whose connections are sessions at a host, for programs that have an SSH library and run no
//! `irosh-proxy`.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    task::spawn_blocking,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    bridge::{BridgeError, Stop, carry},
    link::Link,
};
use crate::{
    files::Paths,
    owner::{Caller, of_caller},
    session::{LocalReader, LocalWriter},
};

/// The pause after a connection that could not be accepted, as when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection to the port that became no session, or none that ended well.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another user has made it.
    #[error("the user {0} has made it, and the port is for this user alone")]
    Foreign(u32),
    /// Its session has failed.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
}

/// Has each connection to a port carried to a host as a session, until `stop` is cancelled and all of them are closed.
///
/// All share the link's connection, which is dialled when the first of them comes. Those of other users of this machine
/// are refused, where the system tells whose they are. `failed` is told of each that does not go well, and from where it
/// came.
pub async fn listen(
    paths: Paths,
    link: Link,
    port: TcpListener,
    failed: impl Fn(SocketAddr, ListenError) + Clone + Send + 'static,
    stop: CancellationToken,
) {
    let sessions = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(port.accept()).await {
        match accepted {
            Ok((stream, from)) => {
                let (paths, link, failed, stop) = (paths.clone(), link.clone(), failed.clone(), stop.clone());
                sessions.spawn(async move {
                    if let Err(error) = serve(&paths, &link, stream, from, stop).await {
                        failed(from, error);
                    }
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                sleep(PAUSE).await;
            }
        }
    }
    drop(port);
    sessions.close();
    sessions.wait().await;
}

async fn serve(
    paths: &Paths,
    link: &Link,
    stream: TcpStream,
    from: SocketAddr,
    stop: CancellationToken,
) -> Result<(), ListenError> {
    match caller(&stream, from).await {
        Caller::Foreign(uid) => return Err(ListenError::Foreign(uid)),
        Caller::Gone => return Ok(()),
        Caller::Trusted | Caller::Unknown => {}
    }
    // Where it is not granted, bytes arrive all the same.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let local = (LocalReader::new(reader), LocalWriter::new(writer));
    let stop = async {
        stop.cancelled().await;
        Stop::Gone
    };
    Ok(carry(paths, link, local, |_| {}, stop).await?)
}

async fn caller(stream: &TcpStream, from: SocketAddr) -> Caller {
    let Ok(at) = stream.local_addr() else { return Caller::Gone };
    spawn_blocking(move || of_caller(at, from)).await.unwrap_or(Caller::Gone)
}
