//! The driver: does what a session's machine asks for, on its local end and its legs.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep_until, timeout},
};

use super::{
    ended::{Ended, Report},
    frozen::{Frozen, FrozenState, joined},
    leg::{Arrived, Incoming, Leg, LegEnd, Lost, NewLeg, Outgoing},
    local::{LocalReader, LocalWriter, SLICES, Took},
    machine::{Delivered, End, Machine, Role},
};
use crate::protocol::{Acknowledged, CloseCode, Closed, Frame, LegReply, Position, SessionId};

/// Words that may wait for a driver.
const WORDS: usize = 32;

/// Bytes that a leg is handed at once.
const PORTION: usize = 1 << 20;

/// The local end is read when there is room for so many bytes: a window that opens bit by bit is not to be read in
/// crumbs.
const CRUMBS: u64 = 4 << 10;

/// How long room of less is left alone. Then it is used after all, so that the window is full where nothing is
/// acknowledged, and no window is too small (RFC 1122, section 4.2.3.4: the sender's override timeout).
const OVERRIDE: Duration = Duration::from_millis(200);

/// How long the other side may take to say that it knows of the session's end.
const ECHO: Duration = Duration::from_secs(1);

/// What a session is told.
pub enum Word {
    /// The leg that it has is to be replaced: nothing more is taken off it, and this is where this side is.
    LetGo(oneshot::Sender<Position>),
    /// A leg.
    Attach(Box<NewLeg>),
    /// The other side has delivered this.
    Acknowledged(Delivered),
    /// The other side says that it is over.
    Closed(CloseCode),
    /// This side ends it.
    Close(CloseCode),
    /// Another process goes on with it: what it is goes there.
    Freeze(oneshot::Sender<Frozen>),
}

/// What a session tells of its legs.
#[derive(Debug)]
pub enum News {
    /// It has one.
    Attached,
    /// The other side has taken it.
    Opened,
    /// All that the local end said has been delivered, and it says no more.
    Delivered,
    /// It has none.
    Detached(LegEnd),
}

/// Bytes moved so far; read while the session runs.
#[derive(Debug, Default)]
pub struct Counters {
    from_local: AtomicU64,
    to_local: AtomicU64,
}

impl Counters {
    /// Bytes that the local end has sent.
    #[must_use]
    pub fn from_local(&self) -> u64 {
        self.from_local.load(Ordering::Relaxed)
    }

    /// Bytes that the local end was sent.
    #[must_use]
    pub fn to_local(&self) -> u64 {
        self.to_local.load(Ordering::Relaxed)
    }
}

/// One side of a session.
pub struct Session {
    id: SessionId,
    role: Role,
    machine: Machine,
    reader: LocalReader,
    writer: LocalWriter,
    words: mpsc::Receiver<Word>,
    news: Box<dyn FnMut(News) + Send>,
    leg: Option<Leg>,
    /// What is being written to the local end: the first chunks that wait.
    writing: Vec<Bytes>,
    /// For how long it waits for a leg.
    patience: Option<Duration>,
    /// Until when it does, while it has none.
    waits_until: Option<Instant>,
    /// Whether the local end has more to say.
    reads: bool,
    /// Until when what room there is counts as too little.
    crumbs: Option<Instant>,
    /// What was wrong with the local end.
    failed: Option<io::Error>,
    /// Why it has no leg, and waits for none.
    lost: Option<LegEnd>,
    /// Who goes on with it.
    successor: Option<oneshot::Sender<Frozen>>,
    counters: Arc<Counters>,
}

impl Session {
    /// A session without a leg, and where it is told what.
    ///
    /// Either side may have sent `window` bytes that were not delivered yet. Once it has lost its leg, it waits for
    /// another for as long as `patience`, or for ever.
    pub fn new(
        id: SessionId,
        role: Role,
        window: u32,
        patience: Option<Duration>,
        (reader, writer): (LocalReader, LocalWriter),
    ) -> (Box<Self>, mpsc::Sender<Word>) {
        let (sender, words) = mpsc::channel(WORDS);
        let session = Box::new(Self {
            id,
            role,
            machine: Machine::new(role, window.into(), window.into()),
            reader,
            writer,
            words,
            news: Box::new(|_| {}),
            leg: None,
            writing: Vec::new(),
            patience,
            waits_until: None,
            reads: true,
            crumbs: None,
            failed: None,
            lost: None,
            successor: None,
            counters: Arc::default(),
        });
        (session, sender)
    }

    /// A session that goes on from where another process has left it. It waits for a leg for as long as `left`, and from
    /// then on as long as `patience`. Nothing where it cannot go on.
    pub fn thaw(
        id: SessionId,
        role: Role,
        frozen: Frozen,
        (patience, left): (Duration, Duration),
        local: (LocalReader, LocalWriter),
    ) -> Option<(Box<Self>, mpsc::Sender<Word>)> {
        let Frozen { state: FrozenState { machine, reads, from_local, to_local }, held } = frozen;
        let now = Instant::now();
        let held = (joined(held.tail), joined(held.queue));
        let machine = Machine::thaw(role, machine, held, now)?;
        let (session, words) = Self::new(id, role, 0, Some(patience), local);
        let counters = Counters { from_local: from_local.into(), to_local: to_local.into() };
        let waits_until = Some(now + left);
        let counters = Arc::new(counters);
        Some((Box::new(Self { machine, reads, waits_until, counters, ..*session }), words))
    }

    /// Has what becomes of its legs told there.
    #[must_use]
    pub fn telling(mut self: Box<Self>, news: impl FnMut(News) + Send + 'static) -> Box<Self> {
        self.news = Box::new(news);
        self
    }

    /// What it has moved so far.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Moves bytes until the session is over.
    pub async fn run(mut self: Box<Self>) -> Report {
        while self.machine.end().is_none() && self.successor.is_none() {
            self.prepare();
            self.turn().await;
        }
        match self.successor.take() {
            Some(successor) => self.freeze(successor),
            None => Box::pin(self.finish()).await,
        }
    }

    /// Has another process go on.
    fn freeze(mut self: Box<Self>, successor: oneshot::Sender<Frozen>) -> Report {
        self.let_go();
        self.refuse_legs();
        let (from_local, to_local) = (self.counters.from_local(), self.counters.to_local());
        let (machine, held) = self.machine.freeze();
        let state = FrozenState { machine, reads: self.reads, from_local, to_local };
        let _ = successor.send(Frozen { state, held });
        Report { from_local, to_local, ended: Ended::HandedOver, told: true }
    }

    /// Takes no leg any more. One that is dropped counts as finished, which is an end of file.
    fn refuse_legs(&mut self) {
        self.words.close();
        while let Ok(word) = self.words.try_recv() {
            if let Word::Attach(mut leg) = word {
                let _ = leg.send.reset(CloseCode::Detached.into());
            }
        }
    }

    /// Has everything at hand that can be done without waiting.
    fn prepare(&mut self) {
        let Self { machine, leg, writing, .. } = self;
        if writing.is_empty() {
            machine.next_writes(SLICES, |chunk| writing.push(chunk));
        }
        if let Some(leg) = leg {
            if leg.outgoing.is_empty() {
                machine.next_sends(PORTION, |chunk| leg.outgoing.push(chunk));
            }
            if leg.outgoing.is_empty() && machine.ends_leg() {
                leg.outgoing.finish();
                machine.leg_ended();
            }
        }
    }

    /// Waits for one thing to happen.
    async fn turn(&mut self) {
        let now = Instant::now();
        let room = self.machine.room();
        let too_little = self.too_little(room, now);
        let Self { machine, reader, writer, words, leg, writing, .. } = self;
        let reads = self.reads && room > 0 && too_little.is_none();
        let ends = machine.ends_local();
        let due = machine.acknowledgement_due();
        let deadline = [machine.deadline(), self.waits_until, too_little].into_iter().flatten().min();
        let acknowledges = due.is_some_and(|due| due <= now);
        let (outgoing, incoming, control) = match leg {
            Some(leg) => (Some(&mut leg.outgoing), Some(&mut leg.incoming), Some(&leg.control)),
            None => (None, None, None),
        };
        let sends = outgoing.as_ref().is_some_and(|outgoing| !outgoing.is_empty());
        tokio::select! {
            word = words.recv() => match word {
                Some(word) => self.hear(word),
                // Nobody is left who could give it a leg, or end it.
                None => self.machine.close(CloseCode::Interrupted as u32),
            },
            read = reader.read(room), if reads => self.local_said(read),
            took = writer.next(writing, ends) => self.local_took(took),
            sent = write(outgoing), if sends => {
                if let Err(lost) = sent {
                    self.detach(lost.into());
                }
            }
            arrived = read(incoming) => self.arrived(arrived),
            permit = reserve(control), if acknowledges => match permit {
                Some(permit) => {
                    if let Some(Delivered { bytes, end }) = self.machine.next_acknowledgement(now) {
                        let _ = permit.send(Frame::Acknowledged(Acknowledged { session: self.id, bytes, end }));
                    }
                }
                None => self.detach(Lost::Failed("the control stream has ended".to_owned()).into()),
            },
            () = until(deadline), if !acknowledges => {
                self.tick(Instant::now());
            }
        }
    }

    /// Until when there is too little room to read, if that is so.
    fn too_little(&mut self, room: u64, now: Instant) -> Option<Instant> {
        if !self.reads || !(1..CRUMBS).contains(&room) {
            self.crumbs = None;
            return None;
        }
        let until = *self.crumbs.get_or_insert(now + OVERRIDE);
        (until > now).then_some(until)
    }

    fn tick(&mut self, now: Instant) {
        self.machine.tick(now);
        if self.waits_until.is_some_and(|until| until <= now) {
            self.machine.close(CloseCode::Expired as u32);
        }
    }

    fn hear(&mut self, word: Word) {
        let now = Instant::now();
        match word {
            Word::LetGo(tell) => {
                self.let_go();
                let _ = tell.send(self.machine.position());
            }
            Word::Attach(leg) => self.attach(*leg, now),
            Word::Acknowledged(delivered) => {
                self.machine.acknowledged(delivered);
                if delivered.end {
                    (self.news)(News::Delivered);
                }
            }
            Word::Closed(code) => self.machine.closed(code as u32, now),
            Word::Close(code) => self.machine.close(code as u32),
            Word::Freeze(successor) => self.successor = Some(successor),
        }
    }

    fn attach(&mut self, mut leg: NewLeg, now: Instant) {
        // What is stated here is what the new leg goes on from: nothing comes from the old one any more.
        let position = self.machine.position();
        if !self.machine.attach(leg.number, leg.position, now) {
            tracing::debug!(session = %self.id, "a leg that is not taken");
            leg.refuse(self.machine.end().map_or(CloseCode::Detached, Ended::code));
            if self.machine.end().is_some() {
                // Who is told why, wherever the leg before it was.
                self.leg = Some(Leg::new(leg, None));
            }
            return;
        }
        let answer = leg.answer.then(|| LegReply::Resumed(position).encode().into());
        self.leg = Some(Leg::new(leg, answer));
        self.waits_until = None;
        (self.news)(News::Attached);
    }

    fn let_go(&mut self) -> bool {
        self.writing.shrink_to_fit();
        self.leg.take().is_some_and(|leg| self.machine.detach(leg.number))
    }

    fn detach(&mut self, why: LegEnd) {
        if !self.let_go() {
            return;
        }
        tracing::debug!(session = %self.id, "the leg has ended: {why}");
        match (self.role, &why) {
            // A client that closes the connection has done with all that is on it.
            (Role::Host, LegEnd::Lost(Lost::Closed(code @ (CloseCode::Done | CloseCode::Interrupted)))) => {
                self.machine.closed(*code as u32, Instant::now());
            }
            _ if self.patience == Some(Duration::ZERO) => {
                self.lost = Some(why);
                self.machine.closed(CloseCode::Expired as u32, Instant::now());
            }
            _ => {
                self.waits_until = self.patience.map(|patience| Instant::now() + patience);
                (self.news)(News::Detached(why));
            }
        }
    }

    fn arrived(&mut self, arrived: Result<Arrived, LegEnd>) {
        let Some(number) = self.leg.as_ref().map(|leg| leg.number) else { return };
        match arrived {
            Ok(Arrived::Chunks(chunks)) => {
                let now = Instant::now();
                for chunk in chunks {
                    self.machine.received(number, chunk, now);
                }
            }
            Ok(Arrived::Opened(window)) => {
                self.machine.set_window(window.into(), window.into());
                (self.news)(News::Opened);
            }
            Ok(Arrived::End) => self.machine.received_end(number),
            Err(why) => self.detach(why),
        }
    }

    fn local_said(&mut self, read: io::Result<Bytes>) {
        match read {
            Ok(chunk) if !chunk.is_empty() => {
                self.counters.from_local.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                return self.machine.read(chunk);
            }
            Ok(_) => {}
            // A reset is how TCP says that the other end closed with bytes of ours unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => self.failed = Some(error),
        }
        self.reads = false;
        self.machine.read_end();
    }

    fn local_took(&mut self, took: Took) {
        let now = Instant::now();
        match took {
            Took::Bytes(0) => return,
            Took::Bytes(count) => {
                self.counters.to_local.fetch_add(count as u64, Ordering::Relaxed);
                self.machine.written(count, now);
            }
            Took::End(()) => self.machine.local_ended(now),
            Took::Gone => self.machine.reader_gone(now),
            Took::Failed(error) => {
                self.failed = Some(error);
                self.machine.reader_gone(now);
            }
        }
        self.writing.clear();
    }

    /// Says that it is over, and waits for the other side to know: a word that is lost would be taken for a network
    /// that is lost.
    async fn finish(mut self: Box<Self>) -> Report {
        let end = self.machine.end().cloned();
        let code = end.as_ref().map_or(CloseCode::Done, Ended::code);
        let by_peer = matches!(end, Some(End::Closed { by_peer: true, .. }));
        // A host answers its client beside the session, which may have no leg, or be no more.
        let tells = self.role == Role::Client || !by_peer;
        let told = by_peer || self.leg.is_some();
        if let Some(leg) = self.leg.take().filter(|_| tells) {
            let closed = Frame::Closed(Closed { session: self.id, reason: code as u32 });
            let _ = timeout(ECHO, async {
                let said = leg.control.send(closed).await.is_ok();
                if said && !by_peer && self.role == Role::Client {
                    self.echo(leg.incoming).await;
                }
            })
            .await;
        }
        // Who comes back with it right now is to come once more, and hears then that it is over.
        self.words.close();
        while let Ok(word) = self.words.try_recv() {
            if let Word::Attach(mut leg) = word {
                leg.refuse(CloseCode::Detached);
            }
        }
        let ended = match self.lost {
            Some(why) => Ended::Lost(why),
            None => Ended::of(self.role, end, !self.reads, self.failed),
        };
        Report { from_local: self.counters.from_local(), to_local: self.counters.to_local(), ended, told }
    }

    /// Waits until the other side says that the session is over, or lets go of the leg.
    async fn echo(&mut self, mut incoming: Incoming) {
        loop {
            tokio::select! {
                word = self.words.recv() => if matches!(word, None | Some(Word::Closed(_))) {
                    return;
                },
                arrived = incoming.read() => if arrived.is_err() {
                    return;
                },
            }
        }
    }
}

// Of a leg that is not there, and of a time that does not come, nothing ever resolves.

async fn write(outgoing: Option<&mut Outgoing>) -> Result<(), Lost> {
    match outgoing {
        Some(outgoing) => outgoing.write().await,
        None => std::future::pending().await,
    }
}

async fn read(incoming: Option<&mut Incoming>) -> Result<Arrived, LegEnd> {
    match incoming {
        Some(incoming) => incoming.read().await,
        None => std::future::pending().await,
    }
}

/// Waits for room on the control stream; there is none where the connection has ended.
async fn reserve(control: Option<&mpsc::Sender<Frame>>) -> Option<mpsc::OwnedPermit<Frame>> {
    match control {
        Some(control) => control.clone().reserve_owned().await.ok(),
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
