//! What the parts of a connection know together.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use russh::keys::PublicKey;
use tokio::sync::watch;

use crate::client::{
    connection::{Connection, Inner},
    event::EventSink,
    forward::incoming::RemoteForwards,
    inboxes::Inboxes,
    metadata::{Algorithms, RemoteMetadata},
    state::Disconnected,
};

/// The most that is kept of a server's banners, in bytes.
const LONGEST_BANNER: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inboxes: Inboxes,
    pub(crate) remote_forwards: RemoteForwards,
    pub(crate) events: EventSink,
    /// The socket of the agent that is lent.
    pub(crate) agent: Option<PathBuf>,
    why: watch::Sender<Option<Disconnected>>,
    leaving: AtomicBool,
    connecting: AtomicUsize,
    metadata: Mutex<RemoteMetadata>,
    connection: OnceLock<Weak<Inner>>,
}

impl Shared {
    pub(crate) fn new(login: &str, events: EventSink, agent: Option<PathBuf>) -> Self {
        Self {
            inboxes: Inboxes::default(),
            remote_forwards: RemoteForwards::default(),
            events,
            agent,
            why: watch::Sender::new(None),
            leaving: AtomicBool::new(false),
            connecting: AtomicUsize::new(0),
            metadata: Mutex::new(RemoteMetadata { login: login.to_owned(), ..RemoteMetadata::default() }),
            connection: OnceLock::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, RemoteMetadata> {
        self.metadata.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes why the connection is gone; the first reason stays.
    pub(crate) fn disconnect(&self, why: Disconnected) -> Disconnected {
        let left = !matches!(why, Disconnected::ByServer { .. }) && self.leaving.load(Ordering::Relaxed);
        let why = if left { Disconnected::ByUs } else { why };
        self.why.send_if_modified(|noted| {
            let first = noted.is_none();
            if first {
                *noted = Some(why.clone());
            }
            first
        });
        self.why.borrow().clone().unwrap_or(why)
    }

    /// This side is about to say goodbye.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub(crate) fn why(&self) -> &watch::Sender<Option<Disconnected>> {
        &self.why
    }

    /// The channels that are open, and those of the server that are still being connected.
    pub(crate) fn channels(&self) -> usize {
        self.inboxes.len() + self.connecting.load(Ordering::Relaxed)
    }

    pub(crate) fn metadata(&self) -> RemoteMetadata {
        self.lock().clone()
    }

    pub(crate) fn add_banner(&self, text: &str) {
        let mut metadata = self.lock();
        let banner = metadata.banner.get_or_insert_default();
        if banner.len() + text.len() <= LONGEST_BANNER {
            banner.push_str(text);
        }
    }

    pub(crate) fn set_host_key(&self, key: PublicKey) {
        self.lock().host_key = Some(key);
    }

    pub(crate) fn set_algorithms(&self, algorithms: Algorithms, identification: &[u8]) {
        let mut metadata = self.lock();
        metadata.identification = String::from_utf8_lossy(identification).trim_end().to_owned();
        metadata.algorithms = algorithms;
    }

    pub(crate) fn set_connection(&self, connection: Weak<Inner>) {
        let _ = self.connection.set(connection);
    }

    /// The connection, as long as somebody holds it.
    pub(crate) fn connection(&self) -> Option<Connection> {
        self.connection.get().and_then(Weak::upgrade).map(Connection::from)
    }
}

/// One channel of the server that is being connected, while this lives.
pub(crate) struct Connecting(Arc<Shared>);

impl Connecting {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.connecting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.connecting.fetch_sub(1, Ordering::Relaxed);
    }
}
