//! The ports of hosts that have one (`listen` in hosts.toml), open for as long as the agent lives.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{SocketAddr, TcpListener as StdListener},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::{net::TcpListener, task::yield_now};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::status::PortStatus;
use crate::{
    log::with_causes,
    names::{Aliases, Place},
    proxy::{ListenError, accept},
    questions::BoxFuture,
    repeats::Repeats,
    session::{LocalReader, LocalWriter},
};

/// Carries a connection to a port, to the host of this name.
pub(super) type Carry =
    Arc<dyn Fn(String, (LocalReader, LocalWriter)) -> BoxFuture<'static, ()> + Send + Sync>;

/// Refusals that are told one by one in a minute: of one user at one port, and in all.
const REFUSALS: (u32, u32) = (10, 100);

/// The ports, by the names of their hosts.
#[derive(Default)]
pub(super) struct Ports {
    state: Mutex<State>,
    refused: Arc<Refused>,
}

/// Connections of other users, who may make as many as they like.
struct Refused(Mutex<Repeats<(String, u32)>>);

#[derive(Default)]
struct State {
    /// Which file was read last.
    read: Option<Version>,
    /// Why it was not read anew.
    unread: Option<String>,
    ports: BTreeMap<String, Port>,
}

struct Port {
    place: Place,
    /// Where it is, or what is in the way.
    open: Result<(SocketAddr, DropGuard), String>,
}

/// What tells a file from another one, and from itself before it was changed.
type Version = [i128; 7];

impl Ports {
    /// Opens and closes them as hosts.toml says by now, and tries those again that could not be opened.
    pub(super) async fn follow(&self, aliases: &Path, carry: &Carry) {
        self.refused.sum_up();
        self.lock().read(aliases);
        // What was closed is let go of, so that it can be another host's.
        yield_now().await;
        for (name, port) in &mut self.lock().ports {
            port.try_to_open(name, carry, &self.refused);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all of them; sessions go on.
    pub(super) fn close(&self) {
        *self.lock() = State::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().ports.is_empty()
    }

    pub(super) fn status(&self) -> Vec<PortStatus> {
        let state = self.lock();
        let status = |(name, port): (&String, &Port)| PortStatus {
            name: name.clone(),
            place: port.open.as_ref().map_or(port.place.0, |(at, _)| *at),
            problem: port.open.as_ref().err().cloned(),
        };
        state.ports.iter().map(status).collect()
    }
}

impl State {
    /// Reads the file, unless it is the one that was read.
    fn read(&mut self, file: &Path) {
        let now = version(file);
        if self.read == now {
            return;
        }
        match Aliases::load(file) {
            Ok(aliases) => {
                (self.read, self.unread) = (now, None);
                self.follow(&aliases.ports);
            }
            // What is open stays so, until the file is mended.
            Err(error) => {
                let why = with_causes(&error);
                if self.unread.as_ref() != Some(&why) {
                    tracing::warn!("ports stay as they are: {why}");
                }
                self.unread = Some(why);
            }
        }
    }

    fn follow(&mut self, wanted: &BTreeMap<String, Place>) {
        self.ports.retain(|name, port| wanted.get(name) == Some(&port.place));
        for (name, place) in wanted {
            let closed = || Port { place: *place, open: Err(String::new()) };
            self.ports.entry(name.clone()).or_insert_with(closed);
        }
    }
}

impl Port {
    fn try_to_open(&mut self, name: &str, carry: &Carry, refused: &Arc<Refused>) {
        let Err(before) = &self.open else { return };
        let opened = match self.place.reached_from_elsewhere() {
            None => bind(self.place).map_err(|error| error.to_string()),
            Some(why) => Err(why),
        };
        self.open = opened
            .map(|(listener, at)| {
                tracing::info!("{name}: listening at {at}");
                let stop = CancellationToken::new();
                let (carry, refused) = (Arc::clone(carry), Arc::clone(refused));
                tokio::spawn(serve(name.to_owned(), listener, carry, refused, stop.clone()));
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

async fn serve(
    name: String,
    listener: TcpListener,
    carry: Carry,
    refused: Arc<Refused>,
    stop: CancellationToken,
) {
    accept(listener, stop, move |accepted| {
        let (name, carry, refused) = (name.clone(), Arc::clone(&carry), Arc::clone(&refused));
        async move {
            match accepted.local {
                Ok(local) => carry(name, local).await,
                Err(error) => refused.tell(&name, accepted.from, &error),
            }
        }
    })
    .await;
}

impl Refused {
    fn tell(&self, name: &str, from: SocketAddr, error: &ListenError) {
        let is_told = match error {
            ListenError::Foreign(uid) => self.lock().tell((name.to_owned(), *uid), Instant::now()),
            ListenError::Bridge(_) => true,
        };
        if is_told {
            tracing::warn!("{name}: the connection from {from}: {error}");
        }
    }

    /// Tells in sum what was not told one by one in the last minute.
    fn sum_up(&self) {
        for (of, more) in self.lock().sum_up(Instant::now()) {
            match of {
                Some((name, uid)) => tracing::warn!("{name}: {more} more connections of the user {uid}"),
                None => tracing::warn!("{more} more connections of other users"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Repeats<(String, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Refused {
    fn default() -> Self {
        Self(Mutex::new(Repeats::new(REFUSALS.0, REFUSALS.1)))
    }
}

/// `None` where there is none.
fn version(file: &Path) -> Option<Version> {
    let found = fs::metadata(file).ok()?;
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()].map(i128::from);
    let [a, b, c, d] = times;
    Some([found.dev().into(), found.ino().into(), found.size().into(), a, b, c, d])
}
