//! A running host's place at its socket, and those who call there.

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use serde::de::DeserializeOwned;
use tokio::{
    io::AsyncWriteExt as _,
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::message::{Answer, Call, Hello, PROTOCOL, Request, socket_of};
use crate::{
    files::{Lock, LockError, Paths, create_private_dir},
    host::shared::Shared,
    socket::{self, LONGEST_ANSWER, line},
};

/// How long a caller may take to say what it wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long what a caller wants may take.
const DOES: Duration = Duration::from_secs(30);

/// Callers that are heard at once.
const CALLERS: usize = 256;

/// How long a pause is where the system has no descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How long the place at the socket is waited for: a child that a host before this one has just started may have it for
/// a moment.
const FREED: Duration = Duration::from_millis(100);

/// A host's place at its socket.
#[derive(Debug)]
pub(in crate::host) struct Control {
    listener: UnixListener,
    path: PathBuf,
    _lock: Lock,
}

impl Control {
    /// Takes the place, unless another host has it. A host is as good without: commands work on its files.
    pub(in crate::host) fn claim(paths: &Paths) -> Option<Self> {
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
    pub(in crate::host) async fn serve(self, shared: Arc<Shared>) {
        let places = Arc::new(Semaphore::new(CALLERS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        if let Some(uid) = socket::own_peer(&stream) {
                            let served = Caller { stream, uid, shared }.serve().await;
                            let _ = served.inspect_err(|error| tracing::debug!("a caller is left: {error}"));
                        }
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

/// Somebody who may call.
struct Caller {
    stream: UnixStream,
    uid: u32,
    shared: Arc<Shared>,
}

impl Caller {
    async fn serve(mut self) -> io::Result<()> {
        match self.hear::<Request>().await? {
            Some(Request::Status) => {
                let status = self.shared.status();
                self.say(&Answer::Status(Box::new(status))).await
            }
            Some(Request::Hello(hello)) if hello.protocol == PROTOCOL => match self.is_meant(hello).await {
                true => {
                    self.say(&Answer::hello()).await?;
                    self.take_call().await
                }
                false => self.say(&Answer::Elsewhere).await,
            },
            Some(Request::Hello(_)) | None => self.say(&Answer::unknown()).await,
        }
    }

    async fn take_call(mut self) -> io::Result<()> {
        let Some(call) = self.hear::<Call>().await? else { return self.say(&Answer::unknown()).await };
        // Who has gone meanwhile takes it for not done.
        if matches!(self.stream.try_read(&mut [0]), Ok(0)) {
            return Ok(());
        }
        let under_way = self.shared.calls.token();
        let Ok(done) = timeout(DOES, self.shared.perform(call, self.uid)).await else {
            // Whether it is done after all, nobody can say.
            return Err(io::ErrorKind::TimedOut.into());
        };
        let said = self.say(&done.map_or_else(Answer::Failed, Answer::Done)).await;
        drop(under_way);
        said
    }

    /// Whether a greeting is to this host.
    async fn is_meant(&self, hello: Hello) -> bool {
        let shared = Arc::clone(&self.shared);
        spawn_blocking(move || hello.is_to(shared.files.paths())).await.unwrap_or(false)
    }

    /// What it says; nothing where that makes no sense.
    async fn hear<T: DeserializeOwned>(&self) -> io::Result<Option<T>> {
        // No descriptors are expected.
        let mut fds = Vec::new();
        timeout(PATIENCE, socket::hear(&self.stream, &mut fds)).await?
    }

    async fn say(&mut self, answer: &Answer) -> io::Result<()> {
        let mut said = line(answer);
        if said.len() > LONGEST_ANSWER {
            said = line(&Answer::Failed(format!("the answer is longer than {} MiB", LONGEST_ANSWER >> 20)));
        }
        timeout(PATIENCE, self.stream.write_all(&said)).await?
    }
}
