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
    bridge::{Stop, carry},
    bridge_error::BridgeError,
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
#[non_exhaustive]
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
    let until = stop.clone();
    accept(port, until, move |accepted| {
        let (paths, link, failed, stop) = (paths.clone(), link.clone(), failed.clone(), stop.clone());
        async move {
            let stop = async {
                stop.cancelled().await;
                Stop::Gone
            };
            let carried = match accepted.local {
                Ok(local) => carry(&paths, &link, local, |_| {}, stop).await.map_err(ListenError::from),
                Err(error) => Err(error),
            };
            if let Err(error) = carried {
                failed(accepted.from, error);
            }
        }
    })
    .await;
}

/// A connection that has come.
pub(crate) struct Accepted {
    pub(crate) from: SocketAddr,
    /// This end of it, or why it is refused.
    pub(crate) local: Result<(LocalReader, LocalWriter), ListenError>,
}

/// Has each connection to a port served, until `stop` is cancelled and all of them are.
pub(crate) async fn accept<F>(
    port: TcpListener,
    stop: CancellationToken,
    serve: impl Fn(Accepted) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send,
{
    let sessions = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(port.accept()).await {
        match accepted {
            Ok((stream, from)) => {
                let serve = serve.clone();
                sessions.spawn(async move {
                    if let Some(local) = admit(stream, from).await {
                        serve(Accepted { from, local }).await;
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

/// The connection, if it is this user's; nothing where nobody is there any more.
async fn admit(
    stream: TcpStream,
    from: SocketAddr,
) -> Option<Result<(LocalReader, LocalWriter), ListenError>> {
    match caller(&stream, from).await {
        Caller::Foreign(uid) => return Some(Err(ListenError::Foreign(uid))),
        Caller::Gone => return None,
        Caller::Trusted | Caller::Unknown => {}
    }
    // Where it is not granted, bytes arrive all the same.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    Some(Ok((LocalReader::new(reader), LocalWriter::new(writer))))
}

async fn caller(stream: &TcpStream, from: SocketAddr) -> Caller {
    let Ok(at) = stream.local_addr() else { return Caller::Gone };
    spawn_blocking(move || of_caller(at, from)).await.unwrap_or(Caller::Gone)
}
