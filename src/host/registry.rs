//! The connections and sessions of a running host.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use iroh::endpoint::Connection;
use tokio_util::sync::CancellationToken;

use super::{peers::Identity, settings::LimitSettings};
use crate::protocol::{CloseCode, Refusal, RefusalCode};

/// Who is connected, and with how many sessions.
#[derive(Debug, Clone, Default)]
pub(super) struct Registry(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    serial: u64,
    connections: HashMap<u64, (Identity, Connection)>,
    sessions: HashMap<Identity, u32>,
    /// Set while the host waits for its last session to end.
    empty: Option<CancellationToken>,
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
}

impl Registry {
    /// Takes a connection in.
    ///
    /// # Errors
    ///
    /// [`RefusalCode::TooMany`] when the identity has as many as it may.
    pub(super) fn enter(
        &self,
        identity: Identity,
        connection: &Connection,
        limits: &LimitSettings,
    ) -> Result<ConnectionPlace, Refusal> {
        self.with(|state| {
            let held = state.connections.values().filter(|(other, _)| *other == identity).count();
            if held >= limits.max_connections as usize {
                return Err(too_many(&format!("{held} connections")));
            }
            state.serial += 1;
            let serial = state.serial;
            state.connections.insert(serial, (identity, connection.clone()));
            Ok(ConnectionPlace { registry: self.clone(), serial })
        })
    }

    /// Takes a session in.
    ///
    /// # Errors
    ///
    /// [`RefusalCode::TooMany`] when the identity has as many as it may.
    pub(super) fn start(&self, identity: Identity, limits: &LimitSettings) -> Result<SessionPlace, Refusal> {
        self.with(|state| {
            let held = state.sessions.entry(identity).or_default();
            if *held >= limits.max_sessions_per_peer {
                return Err(too_many(&format!("{held} sessions")));
            }
            *held += 1;
            Ok(SessionPlace { registry: self.clone(), identity })
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

    /// Closes the connections of every identity that may not stay.
    pub(super) fn close_unless(&self, may_stay: impl Fn(&Identity) -> bool) -> Vec<Identity> {
        let leaving: Vec<_> = self.with(|state| {
            state.connections.values().filter(|(identity, _)| !may_stay(identity)).cloned().collect()
        });
        leaving
            .into_iter()
            .map(|(identity, connection)| {
                connection.close(CloseCode::Revoked.into(), b"revoked");
                identity
            })
            .collect()
    }

    /// Closes every connection.
    pub(super) fn close_all(&self, code: CloseCode) {
        self.with(|state| {
            for (_, connection) in state.connections.values() {
                connection.close(code.into(), b"");
            }
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
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
