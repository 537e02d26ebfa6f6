//! What an agent holds while it serves.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use super::{
    confine::Confined,
    hosts::{Hosts, Purpose, Use},
    message::{Cause, Failed, IdentityWords, NetworkWords},
    ports::Ports,
    status::Status,
};
use crate::{
    files::Paths,
    names::Aliases,
    proxy::Credentials,
    settings::{ClientSettings, load_settings},
    transport::{Authorities, Network, Target},
};

/// An agent while it serves.
pub(super) struct Agent {
    pub(super) hosts: Hosts,
    pub(super) ports: Ports,
    pub(super) confined: Confined,
    /// Who the last caller was to hosts, or the agent itself: for those who come to a port, and say nothing.
    pub(super) identity: Mutex<Option<IdentityWords>>,
    pub(super) begun: Instant,
    pub(super) stopping: CancellationToken,
    pub(super) tasks: TaskTracker,
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

    pub(super) fn is_useless(&self) -> bool {
        let has_none = self.tasks.is_empty() && self.hosts.is_empty() && self.ports.is_empty();
        has_none && !self.hosts.have_failed_lately()
    }
}
