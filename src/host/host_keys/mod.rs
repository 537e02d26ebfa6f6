//! Which SSH host keys the servers behind the host have, so that no client needs to ask.
//!
//! A host vouches only for keys that it has reason to believe: see [`verdict`].

mod asked;
mod kept;
mod key;
mod offer;
mod scan;
mod signs;
mod verdict;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{sync::watch, task::spawn_blocking, time::timeout};

use self::{
    asked::Asked,
    kept::KeptFile,
    scan::{Answer, Trouble, scan},
    signs::{Signs, Stamp, stamp},
    verdict::{Evidence, Place, Verdict},
};
pub use self::{
    kept::{KeptKeys, accept_seen_keys, ask_again, kept_keys, was_asked},
    key::HostKey,
    verdict::Basis,
};
use super::{backend::Backend, event::Event, peer_edits::EditError};
use crate::protocol::Refusal;

/// How often the file of the kept keys is looked at for changes.
const FILE_CHECK: Duration = Duration::from_secs(1);

/// How often it is looked whether a server may be another one, for as long as peers come. No server is stopped and
/// another one started in less.
const LOOK: Duration = Duration::from_millis(100);

/// How long all servers may take to be asked at once, where somebody waits for it.
const ASKING: Duration = Duration::from_secs(20);

/// Is told what happens.
pub(super) type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// The host keys of all backends of a host.
pub(super) struct HostKeys {
    /// What is kept.
    file: PathBuf,
    /// The backend whose keys are configured.
    own: Backend,
    configured: Vec<HostKey>,
    /// The command of the built-in server.
    builtin: Vec<OsString>,
    events: Events,
    servers: Mutex<BTreeMap<String, Arc<Server>>>,
}

/// One backend.
struct Server {
    backend: Backend,
    asked: watch::Sender<Asked>,
}

impl HostKeys {
    pub(super) fn new(
        file: PathBuf,
        own: Backend,
        configured: Vec<HostKey>,
        builtin: Vec<OsString>,
        events: Events,
    ) -> Arc<Self> {
        Arc::new(Self { file, own, configured, builtin, events, servers: Mutex::default() })
    }

    /// Key blobs (RFC 4253 section 6.6) that the host vouches for. Waits so long where the server has to be asked.
    pub(super) async fn announced(self: &Arc<Self>, backend: &Backend, wait: Duration) -> Vec<Vec<u8>> {
        self.asked(backend, wait).await.borrow().announced().iter().map(HostKey::blob).collect()
    }

    /// Why a session is not handed to a backend. Waits so long where the server has to be asked.
    pub(super) async fn objection(self: &Arc<Self>, backend: &Backend, wait: Duration) -> Option<Refusal> {
        self.asked(backend, wait).await.borrow().objection(backend)
    }

    /// What is wrong with the host's own backend. Waits so long where the server has to be asked.
    pub(super) async fn problem(self: &Arc<Self>, wait: Duration) -> Option<String> {
        self.asked(&self.own, wait).await.borrow().problem()
    }

    /// What is known of a backend now, or after that time.
    async fn asked(self: &Arc<Self>, backend: &Backend, wait: Duration) -> watch::Receiver<Asked> {
        let server = self.server(backend);
        self.look(&server).await;
        let mut asked = server.asked.subscribe();
        let _ = timeout(wait, asked.wait_for(|asked| asked.at.is_some())).await;
        asked
    }

    /// Has each server asked again before the next answer is given.
    pub(super) fn forget(&self) {
        for server in self.all() {
            server.asked.send_modify(|asked| asked.at = None);
        }
    }

    /// Takes up what other commands do to the file of the kept keys.
    pub(super) async fn watch_file(self: Arc<Self>) {
        let mut check = tokio::time::interval(FILE_CHECK);
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last: Stamp = None;
        loop {
            check.tick().await;
            let path = self.file.clone();
            let now = spawn_blocking(move || stamp(&path)).await.unwrap_or_default();
            if now.is_some() && now != last {
                last = now;
                self.read_file().await;
            }
        }
    }

    /// Has each server show its keys now, the host's own at least.
    pub(super) async fn ask_all(self: &Arc<Self>) {
        self.server(&self.own);
        // In tasks of their own: who waits no longer does not stop them.
        let asking = self.all().into_iter().map(|server| tokio::spawn(self.clone().ask(server)));
        if timeout(ASKING, join_all(asking)).await.is_err() {
            tracing::warn!("the ssh servers do not show their keys in time");
        }
    }

    /// Takes up what the file says by now.
    pub(super) async fn read_file(self: &Arc<Self>) {
        let Ok(file) = self.update(|file| file.clone()).await else {
            return;
        };
        for server in self.all() {
            if let Some(kept) = file.of(&server.backend.to_string()) {
                self.note(&server, |asked| asked.kept = Some(kept.clone()));
            }
        }
        if file.ask {
            for server in self.all() {
                self.clone().ask(server).await;
            }
            let _ = self.update(|file| file.ask = false).await;
        }
    }

    fn server(&self, backend: &Backend) -> Arc<Server> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Server { backend: backend.clone(), asked: watch::Sender::default() });
        servers.entry(backend.to_string()).or_insert_with(new).clone()
    }

    fn all(&self) -> Vec<Arc<Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Has a server asked, in a task of its own, where it may be another one than it was.
    async fn look(self: &Arc<Self>, server: &Arc<Server>) {
        let due = server.modify(|asked| {
            let due = asked.looked.is_none_or(|at| at.elapsed() >= LOOK);
            if due {
                asked.looked = Some(Instant::now());
            }
            due
        });
        if due {
            let backend = server.backend.clone();
            let signs = spawn_blocking(move || Signs::of(&backend)).await.unwrap_or_default();
            server.modify(|asked| {
                if asked.signs != signs {
                    (asked.at, asked.signs) = (None, signs);
                }
            });
        }
        let due = server.modify(|asked| {
            let due = !asked.asking && asked.is_old();
            asked.asking |= due;
            due
        });
        if due {
            tokio::spawn(self.clone().ask(server.clone()));
        }
    }

    /// Asks a server and decides which keys are announced.
    async fn ask(self: Arc<Self>, server: Arc<Server>) {
        let place = Place::of(&server.backend);
        let machine = spawn_blocking(key::of_this_machine).await.unwrap_or_default();
        let answer = match place {
            Place::Elsewhere => Answer::default(),
            _ => scan(&server.backend, &self.builtin, &machine).await,
        };
        let (keys, backend) = (self.clone(), server.backend.clone());
        let Answer { keys: seen, trouble } = answer;
        let unprovable = matches!(trouble, Some(Trouble::NothingInCommon { .. }));
        let judging = spawn_blocking(move || keys.judge(&backend, &machine, seen, unprovable));
        let judged = judging.await.unwrap_or_else(|error| (None, Err(io::Error::other(error).into())));
        self.note(&server, |asked| {
            asked.answer(trouble);
            if let (Some(kept), _) = &judged {
                asked.kept = Some(kept.clone());
            }
            asked.failure = judged.1.err().map(|error| format!("the host keys cannot be kept: {error}"));
        });
    }

    /// What is announced from now on, which is also kept; blocks.
    ///
    /// What cannot be kept is announced nevertheless where having kept it is not the reason to believe it.
    fn judge(
        &self,
        backend: &Backend,
        machine: &[HostKey],
        seen: Vec<HostKey>,
        unprovable: bool,
    ) -> (Option<KeptKeys>, Result<(), EditError>) {
        let mut judged = None;
        let configured = if *backend == self.own { &self.configured[..] } else { &[] };
        let updated = KeptFile::update(&self.file, |file| {
            let name = backend.to_string();
            let old = file.of(&name);
            let (kept, last) =
                old.map(|old| (old.vouched_for().to_vec(), old.seen.clone())).unwrap_or_default();
            let place = Place::of(backend);
            let seen = if seen.is_empty() && place != Place::Elsewhere { last } else { seen };
            let evidence = Evidence { place, configured, machine, kept: &kept, seen: &seen, unprovable };
            let Verdict { basis, announced } = evidence.verdict();
            let new = KeptKeys { backend: name, basis, announced, seen };
            judged = Some(new.clone());
            file.put(new);
        });
        if updated.is_err() {
            judged = judged.filter(|judged| judged.basis != Basis::Kept);
        }
        (judged, updated)
    }

    async fn update<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut KeptFile) -> T + Send + 'static,
    ) -> Result<T, EditError> {
        let path = self.file.clone();
        let updating = spawn_blocking(move || KeptFile::update(&path, change));
        updating.await.unwrap_or_else(|error| Err(io::Error::other(error).into()))
    }

    /// Notes something about a server, and tells what is new about it.
    fn note(&self, server: &Server, change: impl FnOnce(&mut Asked)) {
        let news = server.modify(|asked| {
            change(asked);
            asked.news(&server.backend)
        });
        if let Some(waiting) = news {
            let keys = waiting.iter().map(HostKey::fingerprint).collect();
            (self.events)(Event::HostKeysChanged { backend: server.backend.to_string(), keys });
        }
    }
}

impl Server {
    fn modify<T>(&self, change: impl FnOnce(&mut Asked) -> T) -> T {
        let mut result = None;
        self.asked.send_modify(|asked| result = Some(change(asked)));
        match result {
            Some(result) => result,
            None => unreachable!("send_modify calls its closure"),
        }
    }
}

impl Place {
    fn of(backend: &Backend) -> Self {
        match backend {
            Backend::Builtin => Self::Builtin,
            Backend::Tcp(addr) if !addr.ip().to_canonical().is_loopback() => Self::Elsewhere,
            Backend::Tcp(_) | Backend::Unix(_) | Backend::Exec(_) => Self::Here,
        }
    }
}

/// Whether this machine has an sshd of its own, going by its keys and by what a host has kept in this file; blocks.
pub(super) fn machine_has_sshd(file: &Path, at: &Backend) -> bool {
    let was_seen = |kept: &KeptKeys| kept.backend == at.to_string() && !kept.seen.is_empty();
    !key::of_this_machine().is_empty() || kept_keys(file).is_ok_and(|kept| kept.iter().any(was_seen))
}

/// Reads what a settings file names as host keys: lines of public key files, or paths of such files; blocks.
///
/// # Errors
///
/// What cannot be read, or is not a key.
pub fn configured_keys(named: &[String]) -> io::Result<Vec<HostKey>> {
    let mut keys = Vec::new();
    for text in named {
        if text.starts_with('/') {
            keys.extend(key::read_file(Path::new(text))?);
        } else {
            let key = HostKey::try_from(text.clone());
            keys.push(key.map_err(|error| {
                let what = format!("{error}\nuse `ssh-ed25519 AAAA...`, or the path of a public key file");
                io::Error::new(io::ErrorKind::InvalidData, what)
            })?);
        }
    }
    keys.sort();
    keys.dedup();
    Ok(keys)
}
