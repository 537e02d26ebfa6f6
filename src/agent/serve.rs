//! The agent itself: hears callers until there is nothing left to do.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{fs::MetadataExt as _, net::UnixListener as StdListener},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{net::UnixListener, sync::Semaphore, time::MissedTickBehavior};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use super::{
    caller::Caller,
    client,
    confine::Confined,
    hosts::{Hosts, Purpose, Use},
    message::{Cause, Failed, IdentityWords, NetworkWords, socket_of},
    ports::Ports,
    status::Status,
};
use crate::{
    files::Paths,
    host::load_settings,
    names::Aliases,
    proxy::Credentials,
    settings::ClientSettings,
    transport::{Authorities, Network, Target},
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
pub enum ServeError {
    /// stdin is no socket at which somebody listens.
    #[error("stdin is not a socket to listen on: {0}\nthe agent starts by itself: see `irosh agent status`")]
    NoSocket(io::Error),
}

/// An agent while it serves.
pub(super) struct Agent {
    hosts: Hosts,
    ports: Ports,
    confined: Confined,
    /// Who the last caller was to hosts, or the agent itself: for those who come to a port, and say nothing.
    identity: Mutex<Option<IdentityWords>>,
    begun: Instant,
    stopping: CancellationToken,
    tasks: TaskTracker,
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
                    agent.ports.follow(&agent).await;
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

/// Whether an error is that a file may not be read.
fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        || error.to_string().contains("ermission denied")
}

impl Agent {
    pub(super) fn paths(&self) -> &Paths {
        self.hosts.paths()
    }

    /// The host that a caller means, with room for what they want of it.
    pub(super) async fn host(
        &self,
        network: &NetworkWords,
        identity: Option<&IdentityWords>,
        name: &str,
        purpose: Purpose,
    ) -> Result<Use, Failed> {
        let (network, credentials, target) =
            self.read(network, identity, name).map_err(|error| Cause::Caller.of(&*error))?;
        loop {
            let host = self.hosts.host(network.clone(), credentials.clone(), &target, purpose).await;
            let host = host.map_err(|error| Cause::Host.of(&error))?;
            if host.fits().await {
                return Ok(host);
            }
        }
    }

    /// Whether it can read what it takes to do what a caller wants, who may do without it otherwise. What else is wrong
    /// is said later.
    pub(super) fn can(&self, network: &NetworkWords, identity: Option<&IdentityWords>, name: &str) -> bool {
        match self.read(network, identity, name) {
            Ok((network, ..)) => match network.ca {
                Some(Authorities::File(file)) => self.confined.may_read(&file),
                _ => true,
            },
            Err(error) => !error.chain().any(is_denied),
        }
    }

    fn network(&self, words: &NetworkWords) -> anyhow::Result<Network> {
        let settings: ClientSettings = load_settings(&self.paths().client_settings())?;
        Ok(words.read()?.or(settings.into()))
    }

    /// What the files say, as they are now, of what a caller wants.
    fn read(
        &self,
        network: &NetworkWords,
        identity: Option<&IdentityWords>,
        name: &str,
    ) -> anyhow::Result<(Network, Credentials, Target)> {
        let paths = self.paths();
        let network = self.network(network)?;
        let target = Aliases::load(&paths.aliases())?.resolve(name)?;
        let credentials = match identity {
            Some(identity) => identity.read()?,
            None => Credentials::load(paths, None)?,
        };
        Ok((network, credentials, target))
    }

    /// Notes who a caller is to hosts.
    pub(super) fn note(&self, identity: Option<&IdentityWords>) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity.cloned();
    }

    /// Who the last one was.
    pub(super) fn noted(&self) -> Option<IdentityWords> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            age: self.begun.elapsed().as_secs(),
            hosts: self.hosts.status(),
            ports: self.ports.status(),
        }
    }

    /// Ends it, and all that it holds.
    pub(super) fn stop(&self) {
        self.stopping.cancel();
    }

    pub(super) async fn stopped(&self) {
        self.stopping.cancelled().await;
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Keeps it from leaving until that is dropped.
    pub(super) fn busy(&self) -> TaskTrackerToken {
        self.tasks.token()
    }

    fn is_useless(&self) -> bool {
        let has_none = self.tasks.is_empty() && self.hosts.is_empty() && self.ports.is_empty();
        has_none && !self.hosts.have_failed_lately()
    }
}
