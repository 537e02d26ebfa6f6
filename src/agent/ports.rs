//! The ports of hosts that have one (`listen` in hosts.toml), open for as long as the agent lives.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{SocketAddr, TcpListener as StdListener},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{serve::Agent, status::PortStatus};
use crate::{
    log::with_causes,
    names::{Aliases, Place},
    proxy::accept,
};

/// The ports, by the names of their hosts.
#[derive(Default)]
pub(super) struct Ports(Mutex<State>);

#[derive(Default)]
struct State {
    /// Which file was read last.
    read: Option<Version>,
    ports: BTreeMap<String, Port>,
}

struct Port {
    place: Place,
    /// Where it is, or what is in the way.
    open: Result<(SocketAddr, DropGuard), String>,
}

/// What tells a file from another one, and from itself before it was changed.
type Version = (u64, u64, i64, i64, u64);

impl Ports {
    /// Opens and closes them as hosts.toml says by now, and tries those again that could not be opened.
    pub(super) fn follow(&self, agent: &Arc<Agent>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let file = agent.paths().aliases();
        let now = version(&file);
        if state.read != now {
            state.read = now;
            match Aliases::load(&file) {
                Ok(aliases) => state.follow(&aliases.ports),
                // What is open stays so, until the file is mended.
                Err(error) => tracing::warn!("ports stay as they are: {}", with_causes(&error)),
            }
        }
        for (name, port) in &mut state.ports {
            port.try_to_open(name, agent);
        }
    }

    /// Closes all of them; sessions go on.
    pub(super) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ports.is_empty()
    }

    pub(super) fn status(&self) -> Vec<PortStatus> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let status = |(name, port): (&String, &Port)| PortStatus {
            name: name.clone(),
            place: port.open.as_ref().map_or(port.place.0, |(at, _)| *at),
            problem: port.open.as_ref().err().cloned(),
        };
        state.ports.iter().map(status).collect()
    }
}

impl State {
    fn follow(&mut self, wanted: &BTreeMap<String, Place>) {
        self.ports.retain(|name, port| wanted.get(name) == Some(&port.place));
        for (name, place) in wanted {
            let closed = || Port { place: *place, open: Err(String::new()) };
            self.ports.entry(name.clone()).or_insert_with(closed);
        }
    }
}

impl Port {
    fn try_to_open(&mut self, name: &str, agent: &Arc<Agent>) {
        let Err(before) = &self.open else { return };
        let opened = match self.place.reached_from_elsewhere() {
            None => bind(self.place).map_err(|error| error.to_string()),
            Some(why) => Err(why),
        };
        self.open = opened
            .map(|(listener, at)| {
                tracing::info!("{name}: listening at {at}");
                let stop = CancellationToken::new();
                tokio::spawn(serve(name.to_owned(), listener, Arc::clone(agent), stop.clone()));
                (at, stop.drop_guard())
            })
            .inspect_err(|why| {
                if why != before {
                    tracing::warn!("{name}: cannot listen at {}: {why}", self.place);
                }
            });
    }
}

fn bind(place: Place) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = StdListener::bind(place.0)?;
    listener.set_nonblocking(true)?;
    let at = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, at))
}

async fn serve(name: String, listener: TcpListener, agent: Arc<Agent>, stop: CancellationToken) {
    accept(listener, stop, move |accepted| {
        let (name, agent) = (name.clone(), Arc::clone(&agent));
        async move {
            match accepted.local {
                Ok(local) => agent.carry_for_port(&name, local).await,
                Err(error) => tracing::warn!("{name}: the connection from {}: {error}", accepted.from),
            }
        }
    })
    .await;
}

/// `None` where there is none.
fn version(file: &Path) -> Option<Version> {
    let found = fs::metadata(file).ok()?;
    Some((found.dev(), found.ino(), found.mtime(), found.mtime_nsec(), found.size()))
}
