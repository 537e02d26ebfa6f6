//! One session between this process's stdin and stdout and a host.

use std::{future::Future, io, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    announced::save_host_keys,
    dial::{DialError, Dialer, HostConnection, SessionError},
    stdio::stdio,
};
use crate::{
    files::Paths,
    protocol::CloseCode,
    session::{Counters, Ended, Lost, Side, relay},
    transport::{Network, Target, close_quickly},
};

/// How long a session has to end by itself once we are told to stop: ssh sends SIGHUP as it leaves,
/// and its last bytes may still be in the pipe.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A bridge could not be built, or broke.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The host was not reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The host took no session.
    #[error(transparent)]
    Session(#[from] Arc<SessionError>),
    /// stdin or stdout cannot be used.
    #[error("cannot use stdin and stdout: {0}\nirosh-proxy is run by ssh: see `irosh ssh-config print`")]
    Stdio(io::Error),
    /// The session was cut off.
    #[error("the session was cut off: {0}")]
    Lost(Lost),
    /// stdout took no more.
    #[error("cannot write to ssh: {0}")]
    Write(io::Error),
}

/// Bridges stdin and stdout to a session on `target` until it is over or `interrupted` resolves.
///
/// # Errors
///
/// [`BridgeError`]; a session that either side closed is none.
pub async fn bridge(
    paths: &Paths,
    network: Network,
    identity: iroh::SecretKey,
    target: &Target,
    interrupted: impl Future<Output = ()>,
) -> Result<(), BridgeError> {
    tokio::pin!(interrupted);
    let dialer = Dialer::bind(network, identity).await.map_err(DialError::from)?;
    let result = tokio::select! {
        host = dialer.dial(target) => match host {
            Ok(host) => {
                let result = carry(paths, &host, target, interrupted).await;
                host.close(if result.is_ok() { CloseCode::Done } else { CloseCode::Interrupted });
                result
            }
            Err(error) => Err(error.into()),
        },
        () = &mut interrupted => Ok(()),
    };
    close_quickly(dialer.endpoint()).await;
    result
}

async fn carry(
    paths: &Paths,
    host: &HostConnection,
    target: &Target,
    interrupted: std::pin::Pin<&mut impl Future<Output = ()>>,
) -> Result<(), BridgeError> {
    let client = stdio().map_err(BridgeError::Stdio)?;
    let (source, sink) = host.open().await.map_err(BridgeError::Lost)?;
    // ssh may ask for the keys as soon as it has the server's first bytes, so they are kept before.
    let source = source.after(keep_host_keys(paths.clone(), host.clone(), target.addr().id));
    let counters = Counters::default();
    let session = relay(client, Side { source, sink }, &counters);
    tokio::pin!(session);
    let report = tokio::select! {
        report = &mut session => report,
        () = interrupted => match timeout(LAST_WORDS, session).await {
            Ok(report) => report,
            Err(_) => return Ok(()),
        },
    };
    tracing::debug!(sent = report.to_server, received = report.to_client, "session over: {}", report.ended);
    match report.ended {
        Ended::ServerClosed if report.to_client == 0 && report.to_server > 0 => {
            Err(BridgeError::Session(Arc::new(SessionError::Silent("ended the session"))))
        }
        Ended::ServerClosed | Ended::ClientClosed => Ok(()),
        Ended::Lost(lost) => Err(BridgeError::Lost(lost)),
        Ended::ClientFailed(error) => Err(BridgeError::Write(error)),
        Ended::ServerFailed(error) => match error.downcast::<Arc<SessionError>>() {
            Ok(error) => Err(BridgeError::Session(error)),
            Err(error) => Err(BridgeError::Lost(Lost::Failed(error.to_string()))),
        },
    }
}

async fn keep_host_keys(paths: Paths, host: HostConnection, id: iroh::EndpointId) {
    let Ok(welcome) = host.welcome().await else {
        return;
    };
    if let Err(error) = save_host_keys(&paths, id, &welcome.host_keys) {
        tracing::warn!("cannot keep the host's ssh keys for KnownHostsCommand: {error}");
    }
}
