//! One session between this process's stdin and stdout and a host.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    announced::save_host_keys,
    bridge_error::BridgeError,
    connection::HostConnection,
    credentials::Credentials,
    dial::Dialer,
    dial_error::DialError,
    link::Link,
    session::{ClientSession, SessionStatus},
    session_error::SessionError,
    stdio::stdio,
};
use crate::{
    files::Paths,
    log,
    protocol::CloseCode,
    session::{Ended, LocalReader, LocalWriter},
    transport::{Network, Target},
};

/// How long a session has to end by itself once we are told to stop: ssh sends SIGHUP as it leaves,
/// and its last bytes may still be in the pipe.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl From<DialError> for BridgeError {
    fn from(error: DialError) -> Self {
        Arc::new(error).into()
    }
}

/// Why a session is to end before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// ssh hangs up when its own patience is over (`ConnectTimeout`), and knows no reason: we do.
    HangUp,
    /// Somebody typed Ctrl-C, and wants no reason.
    Interrupt,
    /// Whoever has asked for it is gone.
    Gone,
}

impl From<Signal> for Stop {
    fn from(signal: Signal) -> Self {
        if signal == Signal::SIGINT { Self::Interrupt } else { Self::HangUp }
    }
}

/// Bridges stdin and stdout to a session on `target` until it is over or `interrupted` resolves.
///
/// # Errors
///
/// [`BridgeError`]; a session that either side closed is none.
pub async fn bridge(
    paths: &Paths,
    network: Network,
    credentials: impl Into<Credentials>,
    target: &Target,
    interrupted: impl Future<Output = Signal>,
) -> Result<(), BridgeError> {
    let local = stdio().map_err(BridgeError::Stdio)?;
    let dialer = Dialer::bind(network, credentials).await.map_err(DialError::from)?.noted(paths);
    let link = Link::new(&dialer, target);
    let result = carry(paths, &link, local, |_| {}, async { interrupted.await.into() }).await;
    dialer.close().await;
    result
}

/// Carries a session between a local end and a host until it is over or is to stop; `begun` is told once it is opened.
///
/// # Errors
///
/// [`BridgeError`]; a session that either side closed is none.
pub async fn carry(
    paths: &Paths,
    link: &Link,
    (reader, writer): (LocalReader, LocalWriter),
    begun: impl FnOnce(&SessionStatus),
    stop: impl Future<Output = Stop>,
) -> Result<(), BridgeError> {
    tokio::pin!(stop);
    let since = Instant::now();
    let host = tokio::select! {
        host = link.reach() => host?,
        stop = &mut stop => return told(stop, || link.so_far(since.elapsed()).into()),
    };
    let since = Instant::now();
    // ssh may ask for the keys as soon as it has the server's first bytes, so they are kept before.
    let writer = writer.after(keep_host_keys(paths.clone(), host.clone(), link.target().addr().id));
    let (session, status) = tokio::select! {
        opened = ClientSession::open_on(link, host, (reader, writer)) => opened?,
        stop = &mut stop => return told(stop, || Arc::new(SessionError::NoAnswer(since.elapsed())).into()),
    };
    begun(&status);
    let session = session.run();
    tokio::pin!(session);
    let outcome = tokio::select! {
        outcome = &mut session => outcome,
        stop = stop => {
            if stop != Stop::Gone && status.counters().to_local() == 0 {
                return told(stop, || Arc::new(status.why_silent(since.elapsed())).into());
            }
            let last_words = if stop == Stop::Gone { Duration::ZERO } else { LAST_WORDS };
            match timeout(last_words, &mut session).await {
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

fn told(stop: Stop, why: impl FnOnce() -> BridgeError) -> Result<(), BridgeError> {
    if stop == Stop::HangUp { Err(why()) } else { Ok(()) }
}

async fn keep_host_keys(paths: Paths, host: HostConnection, id: iroh::EndpointId) {
    let Ok(welcome) = host.welcome().await else {
        return;
    };
    if let Err(why) = host_keys_kept(&paths, id, &welcome.host_keys) {
        tracing::warn!("{why}");
        // Who hands ssh a socket looks at what was said so far.
        let _ = spawn_blocking(log::flush).await;
    }
}

/// Keeps what a host announces; an error is what ssh's user is to be told.
pub(crate) fn host_keys_kept(paths: &Paths, id: iroh::EndpointId, keys: &[Vec<u8>]) -> Result<(), String> {
    // Of an alias, ssh looks for them there and nowhere else; of others, KnownHostsCommand asks the host.
    save_host_keys(paths, id, keys)
        .map_err(|error| format!("ssh may not know the host's keys, which cannot be kept: {error}"))
}
