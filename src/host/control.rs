//! The socket at which a running host tells of itself, to its own user and to root.

use std::{
    fs, io,
    os::unix::{fs::MetadataExt as _, net::UnixStream as StdUnixStream},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncWriteExt as _,
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{presence::is_running, run::Shared, status::Status};
use crate::{
    files::{Lock, LockError, Paths, create_private_dir},
    socket::{self, line},
};

/// How long a caller may take to say what it wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Callers that are heard at once.
const CALLERS: usize = 256;

/// How long a pause is where the system has no descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How long a host may take to answer: one that was stopped says nothing.
const ANSWERS: Duration = Duration::from_secs(3);

/// How long the place at the socket is waited for: a child that a host before this one has just started may have it for
/// a moment.
const FREED: Duration = Duration::from_millis(100);

/// What a caller says, once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    Status,
}

/// What a host says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Status(Box<Status>),
    /// It does not know what is wanted.
    Declined,
}

/// A host that runs.
#[derive(Debug)]
pub struct Running {
    /// How it is; nothing where it does not answer, or not as this version does.
    pub status: Option<Status>,
}

/// The host of these folders that runs, if one does.
#[must_use]
pub fn running(paths: &Paths) -> Option<Running> {
    match connect(paths) {
        Ok(stream) => Some(Running { status: ask(&stream).ok().flatten() }),
        Err(_) => is_running(paths).then_some(Running { status: None }),
    }
}

/// Connects to the host, which is the user's whose the folder is: root asks the system's, too. It could be led to another
/// socket there, but to none of root's own.
fn connect(paths: &Paths) -> io::Result<StdUnixStream> {
    let owner = fs::symlink_metadata(paths.host_control())?.uid();
    socket::connect(&socket_of(paths), |uid| uid == owner)
}

fn ask(mut stream: &StdUnixStream) -> io::Result<Option<Status>> {
    stream.set_write_timeout(Some(ANSWERS))?;
    io::Write::write_all(&mut stream, &line(&Request::Status))?;
    let answer = socket::read_last_line(stream, ANSWERS)?;
    Ok(match answer {
        Some(Answer::Status(status)) => Some(*status),
        Some(Answer::Declined) | None => None,
    })
}

fn socket_of(paths: &Paths) -> PathBuf {
    paths.host_control().join("host.sock")
}

/// A host's place at its socket.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    path: PathBuf,
    _lock: Lock,
}

impl Control {
    /// Takes the place, unless another host has it. A host is as good without.
    pub(super) fn claim(paths: &Paths) -> Option<Self> {
        let claimed = Self::try_claim(paths);
        claimed
            .inspect_err(|error| tracing::warn!("`irosh status` learns nothing of this host: {error}"))
            .ok()
    }

    fn try_claim(paths: &Paths) -> io::Result<Self> {
        let path = socket_of(paths);
        create_private_dir(&paths.host_control())?;
        let lock = Lock::wait(&path.with_extension("lock"), FREED).map_err(|error| match error {
            LockError::Held(_) => {
                io::Error::other(format!("another one that runs has the socket {}", path.display()))
            }
            other => io::Error::other(other),
        })?;
        let listener = socket::listen(&path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, path, _lock: lock })
    }

    /// Answers those who call, until it is dropped.
    pub(super) async fn serve(self, shared: Arc<Shared>) {
        let places = Arc::new(Semaphore::new(CALLERS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        let _ = timeout(PATIENCE, answer(stream, &shared)).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!("no caller can be heard: {error}");
                    sleep(EXHAUSTED).await;
                }
            }
        }
    }
}

/// Nobody finds it any more, before another may take its place.
impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer(mut stream: UnixStream, shared: &Shared) -> io::Result<()> {
    if !socket::is_own(&stream) {
        return Ok(());
    }
    // None are expected.
    let mut fds = Vec::new();
    let answer = match socket::hear(&stream, &mut fds).await? {
        Some(Request::Status) => Answer::Status(Box::new(shared.status())),
        None => Answer::Declined,
    };
    stream.write_all(&line(&answer)).await
}
