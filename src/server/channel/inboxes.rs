//! The inboxes of a connection's channels.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use russh::ChannelId;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::inbox::Inbox;

/// The inboxes of all open channels; shared by those who carry them.
#[derive(Debug, Clone, Default)]
pub(in crate::server) struct Inboxes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Since when there has been none; `None` while there are some.
    unused: watch::Sender<Option<Instant>>,
}

#[derive(Debug, Default)]
struct State {
    map: HashMap<ChannelId, Arc<Inbox>>,
    /// Whether the client is gone.
    gone: bool,
}

impl Default for Shared {
    fn default() -> Self {
        Self { state: Mutex::default(), unused: watch::Sender::new(Some(Instant::now())) }
    }
}

impl Inboxes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The inbox of a channel, new if need be: whoever comes first, the client's data or who takes it. One that
    /// is taken once the client is gone is closed.
    pub(in crate::server) fn get_or_add(&self, id: ChannelId) -> Arc<Inbox> {
        let mut state = self.state();
        if state.gone {
            let inbox = Arc::<Inbox>::default();
            inbox.close();
            return inbox;
        }
        let inbox = Arc::clone(state.map.entry(id).or_default());
        self.0.unused.send_if_modified(|since| since.take().is_some());
        inbox
    }

    pub(in crate::server) fn get(&self, id: ChannelId) -> Option<Arc<Inbox>> {
        self.state().map.get(&id).cloned()
    }

    /// The client has closed a channel; whether anybody is there to answer.
    pub(in crate::server) fn close(&self, id: ChannelId) -> bool {
        let inbox = self.get(id);
        if let Some(inbox) = &inbox {
            inbox.close();
        }
        inbox.is_some()
    }

    /// This side has closed a channel.
    pub(in crate::server) fn forget(&self, id: ChannelId) {
        let mut state = self.state();
        if state.map.remove(&id).is_some() && state.map.is_empty() {
            self.0.unused.send_replace(Some(Instant::now()));
        }
    }

    pub(in crate::server) fn len(&self) -> usize {
        self.state().map.len()
    }

    /// The client is gone.
    pub(in crate::server) fn close_all(&self) {
        let mut state = self.state();
        state.gone = true;
        for (_, inbox) in state.map.drain() {
            inbox.close();
        }
        self.0.unused.send_replace(None);
    }

    /// Waits until no channel has been open for so long; whether the client is still there then.
    pub(in crate::server) async fn unused_for(&self, limit: Duration) -> bool {
        let mut unused = self.0.unused.subscribe();
        loop {
            let since = *unused.borrow_and_update();
            let end = async {
                match since {
                    Some(since) => sleep_until(since + limit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = unused.changed() => {}
                () = end => return true,
            }
            if self.state().gone {
                return false;
            }
        }
    }
}
