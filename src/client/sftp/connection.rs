//! The requests that wait for answers, and what is shared by all who ask.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry as Place},
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    answers::{Answer, Expect, Names, id_of},
    attributes::Attributes,
    error::{Nonsense, SftpError, StatusCode},
    held::Held,
    limits::{MAX_PACKET, WINDOW},
    outbox::{Outbox, Pieces},
    wire::{Request, Writer, kind},
};

/// Requests without content that may wait for an answer at once.
const REQUESTS: usize = 4096;

/// A connection as those who ask and the tasks that drive it see it.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Tells the writer that there is something to write.
    wake: Notify,
    /// Nobody asks any more: what is queued is written, and then the stream is closed.
    pub(super) left: CancellationToken,
    /// The connection is of no use any more.
    pub(super) failed: CancellationToken,
    /// The writer has ended.
    pub(super) written: CancellationToken,
    /// Bytes that may be read, in flight and until they are dropped.
    pub(super) reads: Arc<Semaphore>,
    /// Bytes that may be written, until they are answered.
    pub(super) writes: Arc<Semaphore>,
    /// Requests without content.
    pub(super) requests: Arc<Semaphore>,
    /// Tells of each answer.
    pub(super) answered: Notify,
}

#[derive(Default)]
struct State {
    next: u32,
    waiting: HashMap<u32, Waiting>,
    outbox: Outbox,
    /// Why no request is taken any more.
    end: Option<SftpError>,
}

/// A request that waits for its answer. It stays here when nobody wants the answer any more, so that its
/// number is not given to another.
struct Waiting {
    expect: Expect,
    path: Arc<[u8]>,
    sender: oneshot::Sender<Result<Reply, SftpError>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            wake: Notify::new(),
            left: CancellationToken::new(),
            failed: CancellationToken::new(),
            written: CancellationToken::new(),
            reads: Arc::new(Semaphore::new(WINDOW)),
            writes: Arc::new(Semaphore::new(WINDOW)),
            requests: Arc::new(Semaphore::new(REQUESTS)),
            answered: Notify::new(),
        })
    }

    /// Queues a request about a path at once. The permit is given back when it is answered; that of a read when
    /// what was read is dropped.
    pub(super) fn queue(
        &self,
        request: Request,
        payload: Option<Bytes>,
        expect: Expect,
        path: &Arc<[u8]>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> oneshot::Receiver<Result<Reply, SftpError>> {
        let (sender, receiver) = oneshot::channel();
        let length = payload.as_ref().map_or(0, Bytes::len);
        let refused = if request.length() + length > MAX_PACKET || path.contains(&0) {
            Some(SftpError::BadPath { path: Arc::clone(path) })
        } else {
            let mut state = self.state();
            let refused = state.end.clone();
            if refused.is_none() {
                let waiting = Waiting { expect, path: Arc::clone(path), sender, permit };
                let id = state.register(waiting);
                let idle = state.outbox.is_empty();
                state.outbox.push(id, &request.finish(id, length), payload);
                drop(state);
                if idle {
                    self.wake.notify_one();
                }
                return receiver;
            }
            refused
        };
        if let Some(error) = refused {
            let _ = sender.send(Err(error));
        }
        receiver
    }

    /// Takes in an answer.
    ///
    /// # Errors
    /// [`Nonsense`], with which the connection cannot go on.
    pub(super) fn receive(self: &Arc<Self>, packet: &Bytes) -> Result<(), Nonsense> {
        let id = id_of(packet)?;
        let waiting = self.state().waiting.remove(&id).ok_or(Nonsense::UnknownId(id))?;
        let Waiting { expect, path, sender, permit } = waiting;
        let reply = match Answer::read(packet, expect) {
            Ok(answer) => answer,
            Err(nonsense) => {
                let _ = sender.send(Err(nonsense.clone().into()));
                return Err(nonsense);
            }
        };
        let reply = match reply {
            Answer::Done => Reply::Done,
            Answer::Refused(code, message) => Reply::Refused(code, message),
            Answer::Handle(raw) => Reply::Opened(Opened::new(Arc::clone(self), raw, path)),
            Answer::Data(bytes) => Reply::Data(Held::new(bytes, permit)),
            Answer::Names(names) => Reply::Names(names),
            Answer::Attributes(attributes) => Reply::Attributes(attributes),
            Answer::Extended(body) => Reply::Extended(body),
        };
        // Nobody may be waiting any more. A handle closes itself then.
        let _ = sender.send(Ok(reply));
        self.answered.notify_waiters();
        Ok(())
    }

    /// Takes back the writes that are not on their way yet and whose answers nobody waits for. None of them
    /// is before another to the same file that is sent: who waits may be leaving at this moment, on another
    /// thread and the first answer first, and a file would get a gap that its size does not show.
    pub(super) fn take_back_writes(&self) {
        let mut state = self.state();
        let State { waiting, outbox, .. } = &mut *state;
        let mut sent = HashSet::new();
        outbox.take_back(|id| match waiting.entry(id) {
            Place::Occupied(place) if place.get().sender.is_closed() && !sent.contains(&place.get().path) => {
                place.remove();
                true
            }
            Place::Occupied(place) => {
                sent.insert(Arc::clone(&place.get().path));
                false
            }
            Place::Vacant(_) => false,
        });
    }

    /// Closes what nobody will use any more.
    fn forget(&self, raw: &[u8], path: &Arc<[u8]>) {
        drop(self.queue(Request::new(kind::CLOSE).string(raw), None, Expect::Status, path, None));
    }

    /// Whether something waits to be written.
    pub(super) fn is_queued(&self) -> bool {
        !self.state().outbox.is_empty()
    }

    /// Waits for something to write. Nothing once all who could ask have left.
    pub(super) async fn next_pieces(&self) -> Option<Pieces> {
        loop {
            let woken = self.wake.notified();
            {
                let mut state = self.state();
                if !state.outbox.is_empty() {
                    return Some(state.outbox.take());
                }
            }
            if self.left.is_cancelled() {
                return None;
            }
            tokio::select! {
                () = woken => {}
                () = self.left.cancelled() => {}
            }
        }
    }

    /// Takes no more requests, and lets those that are queued be written.
    pub(super) fn leave(&self) {
        self.state().end.get_or_insert(SftpError::Gone { source: None });
        self.left.cancel();
    }

    /// Ends the connection: all that wait are told why.
    pub(super) fn fail(&self, error: SftpError) {
        let (error, waiting) = {
            let mut state = self.state();
            let error = state.end.get_or_insert(error).clone();
            state.outbox.clear();
            (error, std::mem::take(&mut state.waiting))
        };
        for waiting in waiting.into_values() {
            let _ = waiting.sender.send(Err(error.clone()));
        }
        self.failed.cancel();
    }

    pub(super) fn lost(&self, error: Option<io::Error>) {
        self.fail(SftpError::Gone { source: error.map(Arc::new) });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn register(&mut self, waiting: Waiting) -> u32 {
        loop {
            let id = self.next;
            self.next = self.next.wrapping_add(1);
            // After 2^32 requests the first may still wait.
            if let Place::Vacant(place) = self.waiting.entry(id) {
                place.insert(waiting);
                return id;
            }
        }
    }
}

/// An answer with all that hangs on it.
#[derive(Debug)]
pub(super) enum Reply {
    Done,
    Refused(StatusCode, Arc<str>),
    Opened(Opened),
    Data(Held),
    Names(Names),
    Attributes(Attributes),
    Extended(Bytes),
}

/// A file or folder that the server has opened. It is closed when this is dropped.
pub(super) struct Opened {
    pub(super) shared: Arc<Shared>,
    pub(super) raw: Box<[u8]>,
    pub(super) path: Arc<[u8]>,
    closed: bool,
}

impl Opened {
    fn new(shared: Arc<Shared>, raw: Box<[u8]>, path: Arc<[u8]>) -> Self {
        Self { shared, raw, path, closed: false }
    }

    /// Somebody else closes it.
    pub(super) fn leave_open(&mut self) {
        self.closed = true;
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.closed {
            self.shared.forget(&self.raw, &self.path);
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = 32 << 10;

    fn write(shared: &Shared, file: &str) -> oneshot::Receiver<Result<Reply, SftpError>> {
        let path = file.as_bytes().into();
        let content = Bytes::from(vec![0; LENGTH]);
        shared.queue(Request::new(kind::WRITE), Some(content), Expect::Status, &path, None)
    }

    /// How many of them were to be sent.
    fn writes(shared: &Shared) -> usize {
        let pieces = shared.state().outbox.take();
        let mut places = [io::IoSlice::new(&[]); 20];
        let count = pieces.slices(&mut places);
        places[..count].iter().filter(|piece| piece.len() == LENGTH).count()
    }

    #[test]
    fn a_write_that_nobody_waits_for_is_not_taken_back_before_another_to_the_same_file() {
        for (left, sent) in [(vec![0], 2), (vec![1], 1), (vec![0, 1], 0)] {
            let shared = Shared::new();
            let mut waiting = [Some(write(&shared, "a")), Some(write(&shared, "a"))];
            drop(write(&shared, "b"));
            for number in &left {
                waiting[*number] = None;
            }
            shared.take_back_writes();
            assert_eq!(writes(&shared), sent, "{left:?}");
        }
    }
}
