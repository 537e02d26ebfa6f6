//! The agent itself: hears callers until there is nothing left to do.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{fs::MetadataExt as _, net::UnixListener as StdListener},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{net::UnixListener, sync::Semaphore, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    caller::Caller,
    client,
    confine::Confined,
    hosts::Hosts,
    message::socket_of,
    ports::{Carry, Ports},
    state::Agent,
};
use crate::{
    files::Paths,
    questions::BoxFuture,
    session::{LocalReader, LocalWriter},
};

/// How often an agent looks whether it is of any use. It leaves when it was of none twice.
const LOOK: Duration = Duration::from_secs(5);

/// Callers that are heard at once.
const CALLERS: usize = 4096;

/// How long a pause is where the system has no descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How long sessions have to end when the agent is stopped.
const ENDS: Duration = Duration::from_secs(2);

/// The agent could not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// stdin is no socket at which somebody listens.
    #[error("stdin is not a socket to listen on: {0}\nthe agent starts by itself: see `irosh agent status`")]
    NoSocket(io::Error),
}

/// Serves those who call at a socket, until it is told to stop or was of no use for a while.
///
/// # Errors
///
/// [`ServeError`].
pub async fn serve(
    paths: Paths,
    listener: OwnedFd,
    keep_warm: Duration,
    confined: Confined,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let listener = StdListener::from(listener);
    let found = found(&paths, &listener).map_err(ServeError::NoSocket)?;
    listener.set_nonblocking(true).map_err(ServeError::NoSocket)?;
    let listener = UnixListener::from_std(listener).map_err(ServeError::NoSocket)?;
    let agent = Arc::new(Agent {
        hosts: Hosts::new(paths, keep_warm),
        ports: Ports::default(),
        identity: Mutex::new(confined.identity.clone()),
        confined,
        begun: Instant::now(),
        stopping: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    let carry = for_ports(&agent);
    tokio::pin!(stop);
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut useless = 0;
    let places = Arc::new(Semaphore::new(CALLERS));
    loop {
        let heard = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        tokio::select! {
            (accepted, place) = heard => match accepted {
                Ok((stream, _)) => {
                    useless = 0;
                    let caller = Caller::new(stream).serve(Arc::clone(&agent));
                    agent.tasks.spawn(async move {
                        caller.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!("no caller can be heard: {error}");
                    tokio::time::sleep(EXHAUSTED).await;
                }
            },
            _ = looks.tick() => {
                if found.as_ref().is_none_or(|found| !found.is_superseded(agent.paths())) {
                    agent.ports.follow(&agent.paths().aliases(), &carry).await;
                } else {
                    agent.ports.close();
                }
                useless = if agent.is_useless() { useless + 1 } else { 0 };
                if useless > 2 && found.as_ref().is_none_or(Found::leave) {
                    // Who has called meanwhile is heard; others find no agent, and start one.
                    match futures_util::FutureExt::now_or_never(listener.accept()) {
                        Some(Ok((stream, _))) => {
                            useless = 0;
                            agent.tasks.spawn(Caller::new(stream).serve(Arc::clone(&agent)));
                        }
                        _ => break,
                    }
                }
            }
            () = &mut stop => break,
            () = agent.stopping.cancelled() => break,
        }
    }
    agent.stop();
    agent.ports.close();
    if let Some(found) = &found {
        found.leave();
    }
    drop(listener);
    agent.tasks.close();
    let _ = tokio::time::timeout(ENDS, agent.tasks.wait()).await;
    agent.hosts.close().await;
    Ok(())
}

/// Carries those who come to a port.
fn for_ports(agent: &Arc<Agent>) -> Carry {
    let agent = Arc::clone(agent);
    Arc::new(move |name: String, local: (LocalReader, LocalWriter)| -> BoxFuture<'static, ()> {
        let agent = Arc::clone(&agent);
        Box::pin(async move { agent.carry_for_port(&name, local).await })
    })
}

/// Where callers find the agent.
struct Found {
    path: PathBuf,
    inode: (u64, u64),
    /// Whether a service manager listens there.
    is_managed: bool,
}

impl Found {
    /// Whether an agent of another version was started after this one, and runs: ports are for that one to open.
    fn is_superseded(&self, paths: &Paths) -> bool {
        let begun = |path: &Path| path.symlink_metadata().and_then(|found| found.modified()).ok();
        let own = begun(&self.path);
        let runs = |path: &Path| crate::socket::connect(path, crate::socket::is_trusted).is_ok();
        client::sockets(paths).any(|other| other != self.path && begun(&other) > own && runs(&other))
    }

    /// Lets nobody find it any more. What has taken its place is another's, and a service manager goes on to listen.
    fn leave(&self) -> bool {
        if !self.is_managed
            && self.path.symlink_metadata().is_ok_and(|found| (found.dev(), found.ino()) == self.inode)
        {
            let _ = fs::remove_file(&self.path);
        }
        true
    }
}

/// Where the agent is found by those who look for one.
fn found(paths: &Paths, listener: &StdListener) -> io::Result<Option<Found>> {
    let own = socket_of(paths);
    let addr = listener.local_addr()?;
    // sd_listen_fds(3).
    let is_managed = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    match addr.as_pathname() {
        Some(path) if path == own => {
            let meta = path.symlink_metadata()?;
            Ok(Some(Found { path: own, inode: (meta.dev(), meta.ino()), is_managed }))
        }
        _ => Ok(None),
    }
}
