//! The connections and sessions of a running host.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use iroh::endpoint::Connection;
use tokio_util::sync::CancellationToken;

use super::{limit_settings::LimitSettings, peers::Identity, roll::Standing};
use crate::{
    protocol::{CloseCode, Instance, Refusal, RefusalCode},
    transport,
};

/// Who is connected, and with how many sessions.
#[derive(Debug, Clone, Default)]
pub(super) struct Registry(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    serial: u64,
    connections: HashMap<u64, Entry>,
    /// What those who come now may have unread, if not all those who are here may have as much.
    window: u32,
    /// The most connections since somebody asked.
    most: usize,
    sessions: HashMap<Identity, u32>,
    /// Set while the host waits for its last session to end.
    empty: Option<CancellationToken>,
}

/// A connection whose peer has proved who it is.
#[derive(Debug)]
struct Entry {
    identity: Identity,
    instance: Instance,
    connection: Connection,
    since: Instant,
    /// By what right the peer is here, once that is decided.
    standing: Option<Arc<Standing>>,
    sessions: u32,
    /// Bytes that it may have unread, once it is decided that it may come in.
    window: u32,
}

impl Entry {
    fn is(&self, listed: bool) -> bool {
        self.standing.as_ref().is_some_and(|standing| standing.listed == listed)
    }
}

/// A connection whose peer has come in, as it is at some moment.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) standing: Arc<Standing>,
    pub(super) connection: Connection,
    pub(super) since: Instant,
    pub(super) sessions: u32,
}

/// A place in the registry, given back when dropped.
#[derive(Debug)]
pub(super) struct ConnectionPlace {
    registry: Registry,
    serial: u64,
}

/// A session's place in the registry, given back when dropped.
#[derive(Debug)]
pub(super) struct SessionPlace {
    registry: Registry,
    identity: Identity,
    serial: u64,
}

impl ConnectionPlace {
    /// Notes that the peer may come in, and lifts its connection to what it is allowed then.
    ///
    /// # Errors
    ///
    /// [`RefusalCode::TooMany`] for a stranger when there are as many as there may be.
    pub(super) fn admit(&self, standing: Arc<Standing>, limits: &LimitSettings) -> Result<(), Refusal> {
        self.registry.with(|state| {
            let strangers = state.connections.values().filter(|entry| entry.is(false));
            if !standing.listed && strangers.count() >= limits.max_strangers as usize {
                let sentence = "as many strangers are connected as this host allows\ntry again later, or ask its owner to put you on its list";
                return Err(Refusal::new(RefusalCode::TooMany, sentence));
            }
            let window = limits.budget().window(state.connections.len());
            state.shrink_windows(window);
            if let Some(entry) = state.connections.get_mut(&self.serial) {
                if standing.listed {
                    transport::admit(&entry.connection, limits.max_sessions, window);
                } else {
                    transport::admit_stranger(&entry.connection, window);
                }
                (entry.standing, entry.window) = (Some(standing), window);
            }
            Ok(())
        })
    }

    /// Takes a session on this connection in.
    ///
    /// # Errors
    ///
    /// [`RefusalCode::TooMany`] when the connection or its identity has as many as it may.
    pub(super) fn start(&self, limits: &LimitSettings) -> Result<SessionPlace, Refusal> {
        self.registry.with(|state| {
            let Some(entry) = state.connections.get_mut(&self.serial) else {
                return Err(Refusal::new(RefusalCode::Internal, "the connection has ended"));
            };
            if entry.sessions >= limits.max_sessions {
                return Err(too_many(&format!("{} sessions on one connection", entry.sessions)));
            }
            let held = state.sessions.entry(entry.identity).or_default();
            if *held >= limits.max_sessions_per_peer {
                return Err(too_many(&format!("{held} sessions")));
            }
            *held += 1;
            entry.sessions += 1;
            Ok(SessionPlace {
                registry: self.registry.clone(),
                identity: entry.identity,
                serial: self.serial,
            })
        })
    }
}

impl Registry {
    /// Takes a connection in.
    ///
    /// # Errors
    ///
    /// [`RefusalCode::TooMany`] when the identity has as many as it may, [`RefusalCode::Busy`] when there are as
    /// many as there is memory for.
    pub(super) fn enter(
        &self,
        identity: Identity,
        instance: Instance,
        connection: &Connection,
        limits: &LimitSettings,
    ) -> Result<ConnectionPlace, Refusal> {
        self.with(|state| {
            let mut theirs = state.connections.values().filter(|entry| entry.identity == identity);
            let held = theirs.clone().count();
            // A process that comes again has lost the connection before, which counts here for a while yet.
            let again = usize::from(theirs.any(|entry| entry.instance == instance));
            if held >= (limits.max_connections as usize) << again {
                return Err(too_many(&format!("{held} connections")));
            }
            if state.connections.len() >= limits.budget().connections() {
                let sentence = "the host has as many connections as it has memory for\ntry again later";
                return Err(Refusal::new(RefusalCode::Busy, sentence));
            }
            state.serial += 1;
            let serial = state.serial;
            let connection = connection.clone();
            let entry = Entry {
                identity,
                instance,
                connection,
                since: Instant::now(),
                standing: None,
                sessions: 0,
                window: 0,
            };
            state.connections.insert(serial, entry);
            state.most = state.most.max(state.connections.len());
            Ok(ConnectionPlace { registry: self.clone(), serial })
        })
    }

    /// Takes a session in that an earlier process has left, and that has no connection.
    pub(super) fn inherit(&self, identity: Identity) -> SessionPlace {
        self.with(|state| *state.sessions.entry(identity).or_default() += 1);
        // No connection has this number.
        SessionPlace { registry: self.clone(), identity, serial: 0 }
    }

    /// How many connections there are, and the most that there were since this was asked last.
    pub(super) fn connections(&self) -> (usize, usize) {
        self.with(|state| {
            let now = state.connections.len();
            (now, std::mem::replace(&mut state.most, now))
        })
    }

    /// How many sessions run.
    pub(super) fn sessions(&self) -> usize {
        self.with(|state| state.sessions.values().map(|count| *count as usize).sum())
    }

    /// Resolves when no session runs.
    pub(super) async fn empty(&self) {
        let empty = self.with(|state| {
            let token = state.empty.get_or_insert_with(CancellationToken::new).clone();
            state.announce_if_empty();
            token
        });
        empty.cancelled().await;
    }

    /// Who has come in, by the number of the connection.
    pub(super) fn admitted(&self) -> Vec<(u64, Arc<Standing>)> {
        self.with(|state| {
            let entries = state.connections.iter();
            entries.filter_map(|(serial, entry)| Some((*serial, entry.standing.clone()?))).collect()
        })
    }

    /// The connections of those who have come in.
    pub(super) fn connected(&self) -> Vec<Connected> {
        let connected = |entry: &Entry| {
            let Entry { connection, since, sessions, .. } = entry;
            let (standing, connection) = (entry.standing.clone()?, connection.clone());
            Some(Connected { standing, connection, since: *since, sessions: *sessions })
        };
        self.with(|state| state.connections.values().filter_map(connected).collect())
    }

    /// Closes a connection.
    pub(super) fn close(&self, serial: u64, code: CloseCode) {
        self.with(|state| {
            if let Some(entry) = state.connections.get(&serial) {
                entry.connection.close(code.into(), b"");
            }
        });
    }

    /// Closes every connection.
    pub(super) fn close_all(&self, code: CloseCode) {
        self.with(|state| {
            for entry in state.connections.values() {
                entry.connection.close(code.into(), b"");
            }
        });
    }

    /// Has the peers of live connections know how many sessions each may have.
    pub(super) fn set_max_sessions(&self, sessions: u32) {
        self.with(|state| {
            for entry in state.connections.values() {
                if entry.is(true) {
                    transport::set_max_sessions(&entry.connection, sessions);
                }
            }
        });
    }

    /// Looks at each connection.
    pub(super) fn look_at<T: FromIterator<U>, U>(&self, look: impl FnMut(&Connection) -> U) -> T {
        self.with(|state| state.connections.values().map(|entry| &entry.connection).map(look).collect())
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// Sees to it that nobody has more unread than this. What was taken away is not given back: who could
    /// make it come and go would get more each time.
    fn shrink_windows(&mut self, window: u32) {
        if window < self.window {
            for entry in self.connections.values_mut().filter(|entry| entry.window > window) {
                entry.window = window;
                transport::set_window(&entry.connection, window);
            }
        }
        self.window = window;
    }

    fn announce_if_empty(&self) {
        if let (true, Some(empty)) = (self.sessions.is_empty(), &self.empty) {
            empty.cancel();
        }
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.registry.with(|state| state.connections.remove(&self.serial));
    }
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        self.registry.with(|state| {
            if let Some(entry) = state.connections.get_mut(&self.serial) {
                entry.sessions -= 1;
            }
            if let Some(count) = state.sessions.get_mut(&self.identity) {
                *count -= 1;
                if *count == 0 {
                    state.sessions.remove(&self.identity);
                }
            }
            state.announce_if_empty();
        });
    }
}

fn too_many(what: &str) -> Refusal {
    let sentence =
        format!("you have {what} to this host, which is as many as it allows\nend some of them first");
    Refusal::new(RefusalCode::TooMany, sentence)
}
