//! One session between this process's stdin and stdout and a host.

use std::{
    future::Future,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::{
    announced::save_host_keys,
    connection::{HostConnection, SessionError},
    dial::Dialer,
    dial_error::DialError,
    session::ClientSession,
    stdio::stdio,
};
use crate::{
    files::Paths,
    protocol::CloseCode,
    session::Ended,
    transport::{Network, Target},
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
    interrupted: impl Future<Output = Signal>,
) -> Result<(), BridgeError> {
    tokio::pin!(interrupted);
    let begun = Instant::now();
    let dialer = Dialer::bind(network, identity).await.map_err(DialError::from)?.noted(paths);
    let result = tokio::select! {
        host = dialer.dial(target) => match host {
            Ok(host) => carry(paths, &dialer, host, target, interrupted).await,
            Err(error) => Err(error.into()),
        },
        signal = &mut interrupted => told(signal, || dialer.so_far(target, begun.elapsed()).into()),
    };
    dialer.close().await;
    result
}

async fn carry(
    paths: &Paths,
    dialer: &Dialer,
    host: HostConnection,
    target: &Target,
    interrupted: std::pin::Pin<&mut impl Future<Output = Signal>>,
) -> Result<(), BridgeError> {
    let (reader, writer) = stdio().map_err(BridgeError::Stdio)?;
    let begun = Instant::now();
    // ssh may ask for the keys as soon as it has the server's first bytes, so they are kept before.
    let writer = writer.after(keep_host_keys(paths.clone(), host.clone(), target.addr().id));
    let (session, status) = ClientSession::open(dialer, target, host, (reader, writer)).await?;
    let session = session.run();
    tokio::pin!(session);
    let outcome = tokio::select! {
        outcome = &mut session => outcome,
        signal = interrupted => {
            if status.counters().to_local() == 0 {
                return told(signal, || Arc::new(status.why_silent(begun.elapsed())).into());
            }
            match timeout(LAST_WORDS, &mut session).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    status.close(CloseCode::Interrupted).await;
                    let _ = session.await;
                    return Ok(());
                }
            }
        }
    };
    let report = outcome?;
    tracing::debug!(sent = report.from_local, received = report.to_local, "session over: {}", report.ended);
    match report.ended {
        Ended::ServerClosed if report.to_local == 0 && report.from_local > 0 => {
            Err(BridgeError::Session(Arc::new(SessionError::Silent("ended the session"))))
        }
        Ended::Failed(_, error) => Err(BridgeError::Write(error)),
        _ => Ok(()),
    }
}

/// ssh hangs up on us when its own patience is over (`ConnectTimeout`), and knows no reason: we do. Who types Ctrl-C
/// wants none.
fn told(signal: Signal, why: impl FnOnce() -> BridgeError) -> Result<(), BridgeError> {
    if signal == Signal::SIGINT { Ok(()) } else { Err(why()) }
}

async fn keep_host_keys(paths: Paths, host: HostConnection, id: iroh::EndpointId) {
    let Ok(welcome) = host.welcome().await else {
        return;
    };
    if let Err(error) = save_host_keys(&paths, id, &welcome.host_keys) {
        // KnownHostsCommand will ask the host itself.
        tracing::debug!("the host's ssh keys are not kept: {error}");
    }
}
