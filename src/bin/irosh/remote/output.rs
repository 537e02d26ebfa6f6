//! What a session says, printed.

use std::{cell::Cell, io, sync::Arc, time::Duration};

use bytes::Bytes;
use irosh::{
    client::{Exit, SessionEvent, SessionEvents, SessionSender},
    stdio::write_all,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Bytes that may wait for a reader of stdout, and as many for one of stderr: as in ssh, whose window it is.
const WAITING: u32 = 2 << 20;

/// How long what was said on one of the two keeps what was said later on the other one waiting, so that both
/// stand in their order where they go to one place.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a session has said, and how its process ended.
pub(super) struct Printed {
    /// `None` where the server did not tell.
    pub(super) exit: Option<Exit>,
    /// Whether the reader of stdout left.
    pub(super) unread: bool,
}

/// Prints what the session says until it is over, or it is enough, and returns how its process ended.
///
/// # Errors
///
/// Output could not be written, so whatever the process exits with, this did not go well. A reader that has
/// gone is no error. Where the connection was lost before the output's end, it is not known how it ended.
pub(super) async fn print(
    mut events: SessionEvents,
    sender: SessionSender,
    enough: CancellationToken,
) -> io::Result<Printed> {
    let mut writers = JoinSet::new();
    let stdout = Output::start(&mut writers, Name::Stdout);
    let stderr = Output::start(&mut writers, Name::Stderr);
    let (mut exit, mut whole, mut unread) = (None, false, false);
    let mut queueing = Box::pin(async {
        // That the connection is lost is seen below.
        while let Ok(Some(event)) = events.next().await {
            match event {
                SessionEvent::Stdout(data) => stdout.push(data, &stderr).await,
                SessionEvent::Stderr(data) => stderr.push(data, &stdout).await,
                SessionEvent::ExitStatus(status) => exit = Some(Exit::Status(status)),
                SessionEvent::ExitSignal(signal) => exit = Some(Exit::Signal(signal)),
                SessionEvent::Eof => whole = true,
                _ => {}
            }
        }
    });
    loop {
        tokio::select! {
            () = &mut queueing => break,
            () = enough.cancelled() => break,
            Some(ended) = writers.join_next() => {
                if Ended::of(ended)? == Ended::StdoutUnread {
                    unread = true;
                    // The command learns that, too (`irosh exec … | head`), and what it says on stderr is still
                    // wanted. Where it cannot be told, all that can be done is to leave it.
                    if sender.stop_reading().await.is_err() {
                        break;
                    }
                }
            }
        }
    }
    drop(queueing);
    drop((stdout, stderr));
    while let Some(ended) = writers.join_next().await {
        unread |= Ended::of(ended)? == Ended::StdoutUnread;
    }
    let cut_off = !whole && events.disconnected().is_some();
    Ok(Printed { exit: exit.filter(|_| !cut_off), unread })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Stdout,
    Stderr,
}

/// What is to be written to stdout or to stderr, by a task of its own.
struct Output {
    queue: mpsc::UnboundedSender<(Bytes, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    /// Whether its reader did not keep up the last time that it was waited for.
    is_late: Cell<bool>,
}

/// How a writer ended that did not fail.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Well,
    StdoutUnread,
}

type Written = (Name, io::Result<()>);

impl Ended {
    /// # Errors
    ///
    /// It could not write, and not because its reader is gone.
    fn of(ended: Result<Written, tokio::task::JoinError>) -> io::Result<Self> {
        let (name, written) = ended?;
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let name = if name == Name::Stdout { "stdout" } else { "stderr" };
                Err(io::Error::new(error.kind(), format!("cannot write to {name}: {error}")))
            }
            Err(_) if name == Name::Stdout => Ok(Self::StdoutUnread),
            _ => Ok(Self::Well),
        }
    }
}

impl Output {
    fn start(writers: &mut JoinSet<Written>, name: Name) -> Self {
        let (queue, mut waiting) = mpsc::unbounded_channel::<(Bytes, OwnedSemaphorePermit)>();
        let room = Arc::new(Semaphore::new(WAITING as usize));
        let ours = Arc::clone(&room);
        writers.spawn(async move {
            let mut written = Ok(());
            while written.is_ok()
                && let Some((bytes, place)) = waiting.recv().await
            {
                let writing = tokio::task::spawn_blocking(move || match name {
                    Name::Stdout => write_all(io::stdout(), &bytes),
                    Name::Stderr => write_all(io::stderr(), &bytes),
                });
                written = writing.await.unwrap_or_else(|error| Err(error.into()));
                drop(place);
            }
            // What comes from now on goes nowhere, and waits for nothing.
            ours.close();
            (name, written)
        });
        Self { queue, room, is_late: Cell::new(false) }
    }

    /// Queues bytes behind what was said on the other one, if that does not take too long.
    async fn push(&self, bytes: Bytes, other: &Self) {
        other.settle().await;
        let length = u32::try_from(bytes.len()).unwrap_or(WAITING).min(WAITING);
        if let Ok(place) = Arc::clone(&self.room).acquire_many_owned(length).await {
            let _ = self.queue.send((bytes, place));
        }
    }

    /// Waits until all of it is written, but not for one that stands still.
    async fn settle(&self) {
        let patience = if self.is_late.get() { Duration::ZERO } else { PATIENCE };
        self.is_late.set(timeout(patience, self.room.acquire_many(WAITING)).await.is_err());
    }
}
