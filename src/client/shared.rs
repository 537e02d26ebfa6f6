//! What the parts of a connection know together.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use russh::keys::PublicKey;
use tokio::sync::watch;

use crate::client::{
    event::EventSink,
    inboxes::Inboxes,
    incoming::Expected,
    metadata::{Algorithms, RemoteMetadata},
    state::Disconnected,
};

/// The most that is kept of a server's banners, in bytes.
const LONGEST_BANNER: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) inboxes: Inboxes,
    pub(crate) incoming: Expected,
    pub(crate) events: EventSink,
    why: watch::Sender<Option<Disconnected>>,
    leaving: AtomicBool,
    metadata: Mutex<RemoteMetadata>,
}

impl Shared {
    pub(crate) fn new(metadata: RemoteMetadata, events: EventSink) -> Self {
        Self {
            inboxes: Inboxes::default(),
            incoming: Expected::default(),
            events,
            why: watch::Sender::new(None),
            leaving: AtomicBool::new(false),
            metadata: Mutex::new(metadata),
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

    /// Waits until the connection is gone. Cancel safe.
    pub(crate) async fn wait_disconnected(&self) -> Disconnected {
        let mut why = self.why.subscribe();
        let gone = why.wait_for(Option::is_some).await;
        gone.ok().and_then(|why| why.clone()).unwrap_or(Disconnected::Gone)
    }

    /// The channels that are open, and those of the server that are still being connected.
    pub(crate) fn channels(&self) -> usize {
        self.inboxes.len() + self.incoming.connecting()
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
}
