//! The hosts that an agent reaches: one connection each, kept for a while after its last session.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use iroh::EndpointId;
use russh::keys::Certificate;
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::status::{Failure, HostStatus, SessionState, SessionStatus};
use crate::{
    files::Paths,
    protocol::CloseCode,
    proxy::{Credentials, DialError, Dialer, HostConnection, Link, SessionStatus as Running, State},
    transport::{Identity, Network, Target},
};

/// How long a host that has gone is looked for, where no session waits for it.
const LOOKS: Duration = Duration::from_secs(60);

/// How many sessions a host allows on a connection, until it has said so.
const ALLOWED: u32 = 64;

/// For how long it is remembered what went wrong.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// How many of the hosts that could not be reached are remembered.
const FAILURES: usize = 64;

/// The hosts; clones are the same.
#[derive(Clone)]
pub(super) struct Hosts(Arc<Inner>);

struct Inner {
    paths: Paths,
    keep_warm: Duration,
    /// An endpoint for each way to use the network and each identity: mostly one.
    dialers: AsyncMutex<Vec<(Network, Dialer)>>,
    hosts: Mutex<Vec<Arc<Host>>>,
    failures: Mutex<HashMap<EndpointId, (String, Instant, String)>>,
    tasks: TaskTracker,
    number: AtomicU64,
}

/// A host, as one identity reaches it.
struct Host {
    network: Network,
    identity: Identity,
    /// What it was shown, as far as that was known before: whoever has another one has a connection of their own.
    certificate: Option<Certificate>,
    link: Link,
    name: Mutex<String>,
    users: watch::Sender<Users>,
    sessions: Mutex<BTreeMap<u64, (Instant, Running)>>,
}

/// How many use a host.
#[derive(Debug, Clone, Copy, Default)]
struct Users {
    sessions: usize,
    questions: usize,
}

/// What somebody uses a host for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A session, of which a host allows so many on a connection.
    Session,
    /// Something about the host, for which there is always room.
    Question,
}

/// A use of a host, which keeps it; dropped, it may be given up some time later.
pub(super) struct Use {
    host: Arc<Host>,
    hosts: Hosts,
    purpose: Purpose,
    number: u64,
    /// How many other sessions used it at that time.
    place: usize,
}

impl Hosts {
    pub(super) fn new(paths: Paths, keep_warm: Duration) -> Self {
        Self(Arc::new(Inner {
            paths,
            keep_warm,
            dialers: AsyncMutex::default(),
            hosts: Mutex::default(),
            failures: Mutex::default(),
            tasks: TaskTracker::new(),
            number: AtomicU64::new(0),
        }))
    }

    pub(super) fn paths(&self) -> &Paths {
        &self.0.paths
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0.hosts).is_empty()
    }

    /// Whether something went wrong a short while ago, about which somebody may ask.
    pub(super) fn have_failed_lately(&self) -> bool {
        lock(&self.0.failures).values().any(|(_, at, _)| at.elapsed() < self.0.keep_warm)
    }

    /// The host that a target leads to.
    ///
    /// # Errors
    ///
    /// [`DialError`] where no socket could be opened.
    pub(super) async fn host(
        &self,
        network: Network,
        credentials: Credentials,
        target: &Target,
        purpose: Purpose,
    ) -> Result<Use, DialError> {
        let (identity, certificate) = (credentials.identity(), credentials.certificate());
        // Under the lock, so that all who come at once have one endpoint and one host.
        let mut dialers = self.0.dialers.lock().await;
        let is_it = |host: &&Arc<Host>| {
            let is_same = host.is(&network, identity, target) && host.certificate == certificate;
            is_same && (purpose == Purpose::Question || host.has_room())
        };
        let known = lock(&self.0.hosts).iter().find(is_it).map(Arc::clone);
        let host = match known {
            Some(host) => {
                host.link.renew(&credentials);
                host
            }
            None => {
                let is_it = |(used, dialer): &&(Network, Dialer)| {
                    *used == network && dialer.credentials().identity() == identity
                };
                let dialer = match dialers.iter().find(is_it) {
                    Some((_, dialer)) => dialer.by(credentials),
                    None => {
                        let dialer = Dialer::bind(network.clone(), credentials).await?.noted(&self.0.paths);
                        dialers.push((network.clone(), dialer.clone()));
                        dialer
                    }
                };
                let host = Arc::new(Host {
                    network,
                    identity,
                    certificate,
                    link: Link::new(&dialer, target),
                    name: Mutex::default(),
                    users: watch::Sender::default(),
                    sessions: Mutex::default(),
                });
                lock(&self.0.hosts).push(Arc::clone(&host));
                self.0.tasks.spawn(self.clone().keep(Arc::clone(&host)));
                host
            }
        };
        // Not what was typed, which may be an invite.
        *lock(&host.name) = target.short_name();
        let mut place = 0;
        host.users.send_modify(|users| {
            place = users.sessions;
            *users.of(purpose) += 1;
        });
        let number = self.0.number.fetch_add(1, Ordering::Relaxed);
        Ok(Use { host, hosts: self.clone(), purpose, number, place })
    }

    /// Keeps a connection for as long as it is used and a while longer, and reaches the host again if it is lost.
    async fn keep(self, host: Arc<Host>) {
        loop {
            tokio::select! {
                () = host.unused_for(self.0.keep_warm) => {}
                () = host.refresh() => {}
            }
            // Nobody takes it meanwhile, and nobody binds before all is closed.
            let mut dialers = self.0.dialers.lock().await;
            if !host.users.borrow().is_none() {
                continue;
            }
            host.link.close(CloseCode::Done);
            let of_others = self.forget(&host);
            let is_it = |(used, dialer): &(Network, Dialer)| {
                *used == host.network && dialer.credentials().identity() == host.identity
            };
            if !of_others && let Some(number) = dialers.iter().position(is_it) {
                dialers.swap_remove(number).1.close().await;
            }
            return;
        }
    }

    /// Forgets a host; says whether others are reached from where it was.
    fn forget(&self, host: &Arc<Host>) -> bool {
        let mut hosts = lock(&self.0.hosts);
        hosts.retain(|other| !Arc::ptr_eq(other, host));
        hosts.iter().any(|other| other.network == host.network && other.identity == host.identity)
    }

    /// Ends all that is left.
    pub(super) async fn close(&self) {
        for host in std::mem::take(&mut *lock(&self.0.hosts)) {
            host.link.close(CloseCode::Interrupted);
        }
        let dialers = std::mem::take(&mut *self.0.dialers.lock().await);
        futures_util::future::join_all(dialers.iter().map(|(_, dialer)| dialer.close())).await;
    }

    pub(super) fn status(&self) -> Vec<HostStatus> {
        let hosts: Vec<_> = lock(&self.0.hosts).clone();
        let mut failures = lock(&self.0.failures).clone();
        failures.retain(|_, (_, at, _)| at.elapsed() < REMEMBERED);
        let failure =
            |(_, at, message): (String, Instant, String)| Failure { ago: at.elapsed().as_secs(), message };
        let mut all: Vec<_> = hosts
            .iter()
            .map(|host| {
                let id = host.link.target().addr().id;
                HostStatus { last_failure: failures.remove(&id).map(failure), ..host.status() }
            })
            .collect();
        all.extend(failures.into_iter().map(|(id, failed)| HostStatus {
            name: failed.0.clone(),
            endpoint_id: id.to_string(),
            warm: false,
            path: None,
            sessions: Vec::new(),
            last_failure: Some(failure(failed)),
        }));
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}

impl Host {
    fn is(&self, network: &Network, identity: Identity, target: &Target) -> bool {
        let own = self.link.target();
        // An invite is shown on a connection of its own: what it admits to is said there.
        // So is a ticket that knows of other ways.
        let is_target = own.addr() == target.addr() && own.secret() == target.secret();
        is_target && self.identity == identity && self.network == *network
    }

    /// Whether one more may use its connection: for those who are too many there is another one.
    fn has_room(&self) -> bool {
        let allowed = self.link.current().and_then(|host| host.allows()).unwrap_or(ALLOWED);
        self.users.borrow().sessions < allowed.max(1) as usize
    }

    /// Waits until nobody has used it for so long. What was never reached, or is lost, is not kept.
    async fn unused_for(&self, keep_warm: Duration) {
        let mut users = self.users.subscribe();
        loop {
            let _ = users.wait_for(Users::is_none).await;
            if self.link.connections().borrow().is_none() {
                return;
            }
            tokio::select! {
                () = sleep(keep_warm) => return,
                _ = users.wait_for(|users| !users.is_none()) => {}
            }
        }
    }

    /// Reaches the host again each time that its connection is lost with nobody there who waits for it; resolves when it
    /// is not to be reached.
    async fn refresh(&self) {
        let mut connections = self.link.connections();
        loop {
            let current = connections.borrow_and_update().clone();
            if let Some(host) = current {
                host.lost().await;
                if self.users.borrow().is_none() {
                    let again = async { host.may_come_back() && self.link.again(&host).await.is_ok() };
                    if !timeout(LOOKS, again).await.unwrap_or(false) && self.users.borrow().is_none() {
                        return;
                    }
                }
            }
            if connections.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn status(&self) -> HostStatus {
        let current = self.link.current();
        let sessions = lock(&self.sessions);
        let sessions = sessions.values().map(|(since, running)| {
            let (state, waits) = match &*running.state().borrow() {
                State::Opening => (SessionState::Opening, None),
                State::Attached => (SessionState::Attached, None),
                State::Detached { since, .. } => (SessionState::Detached, Some(since.elapsed().as_secs())),
            };
            SessionStatus {
                age: since.elapsed().as_secs(),
                state,
                waits,
                sent: running.counters().from_local(),
                received: running.counters().to_local(),
            }
        });
        HostStatus {
            name: lock(&self.name).clone(),
            endpoint_id: self.link.target().addr().id.to_string(),
            warm: current.is_some(),
            path: current.as_ref().and_then(HostConnection::path),
            sessions: sessions.collect(),
            last_failure: None,
        }
    }
}

impl Users {
    fn is_none(&self) -> bool {
        self.sessions == 0 && self.questions == 0
    }

    fn of(&mut self, purpose: Purpose) -> &mut usize {
        match purpose {
            Purpose::Session => &mut self.sessions,
            Purpose::Question => &mut self.questions,
        }
    }
}

impl Use {
    /// Whether the host allows one more session on its connection, which the first one need not wait to hear.
    pub(super) async fn fits(&self) -> bool {
        if self.place == 0 || self.purpose == Purpose::Question {
            return true;
        }
        // Where it is not reached, or does not let us in, whoever opens a session there is told.
        let Ok(host) = self.host.link.reach().await else { return true };
        let _ = host.welcome().await;
        host.allows().is_none_or(|allowed| self.place < allowed.max(1) as usize)
    }

    /// The way to the host.
    pub(super) fn link(&self) -> &Link {
        &self.host.link
    }

    /// Notes a session that runs.
    pub(super) fn has(&self, session: Running) {
        lock(&self.host.sessions).insert(self.number, (Instant::now(), session));
    }

    /// Notes that it went wrong. That is not forgotten when all goes well the next time: ssh may have thrown the message
    /// away.
    pub(super) fn failed(&self, message: &str) {
        let id = self.host.link.target().addr().id;
        let name = lock(&self.host.name).clone();
        let mut failures = lock(&self.hosts.0.failures);
        if failures.len() >= FAILURES && !failures.contains_key(&id) {
            let oldest = failures.iter().min_by_key(|(_, (_, at, _))| *at).map(|(id, _)| *id);
            oldest.and_then(|oldest| failures.remove(&oldest));
        }
        failures.insert(id, (name, Instant::now(), message.to_owned()));
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        lock(&self.host.sessions).remove(&self.number);
        self.host.users.send_modify(|users| *users.of(self.purpose) -= 1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_failure_is_kept_for_who_asks_as_long_as_a_connection_is() {
        for (keep_warm, kept) in [(Duration::from_secs(600), true), (Duration::ZERO, false)] {
            let hosts = Hosts::new(Paths::under(Path::new("/nonexistent")), keep_warm);
            assert!(!hosts.have_failed_lately());
            let failure = ("box".to_owned(), Instant::now(), "it does not answer".to_owned());
            lock(&hosts.0.failures).insert(iroh::SecretKey::from_bytes(&[1; 32]).public(), failure);
            assert_eq!(hosts.have_failed_lately(), kept);
            assert_eq!(hosts.status()[0].name, "box");
        }
    }
}
