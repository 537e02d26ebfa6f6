//! A session at a host, and what keeps it on the network for as long as it lives.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use tokio_util::sync::CancellationToken;

use super::{
    again::jittered,
    bridge_error::BridgeError,
    connection::HostConnection,
    dial::Dialer,
    link::Link,
    patience::Patience,
    session_error::{OPEN_DEADLINE, SessionError},
};
use crate::{
    protocol::{CloseCode, FIRST_WINDOW, Position, RefusalCode, SessionId, Welcome},
    session::{
        Counters, Ended, LegEnd, LegNumber, LocalReader, LocalWriter, Lost, News, Report, Role, Session, Word,
    },
    transport::Target,
};

/// Where a session is of which nothing has arrived.
const START: Position = Position { received: 0, end: false };

/// How long an SSH server may take to say its first word, which no client has to wait for otherwise
/// (RFC 4253 section 4.2).
const FIRST_WORD: Duration = Duration::from_secs(60);

/// How long a host takes that starts anew, about: who is there before it has to ask a second time, and only a second
/// later.
const STARTS_ANEW: Duration = Duration::from_millis(300);

/// A session between a local end and a host.
pub struct ClientSession {
    session: Box<Session>,
    keeper: Keeper,
    counters: Arc<Counters>,
}

/// Sees to it that a session has a leg.
struct Keeper {
    link: Link,
    id: SessionId,
    host: Arc<Mutex<HostConnection>>,
    /// Whether the host was known to answer on the connection, so that silence is not that of a host that is slow.
    warm: bool,
    words: mpsc::Sender<Word>,
    news: mpsc::UnboundedReceiver<News>,
    state: watch::Sender<State>,
    delivered: CancellationToken,
    legs: u32,
    /// Since when the host has taken the session.
    opened: Option<Instant>,
    /// Why the host has not taken the session yet.
    busy: Arc<Mutex<Option<LegEnd>>>,
}

/// How a session stands with its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The host has not answered yet.
    Opening,
    /// Bytes move.
    Attached,
    /// The connection was lost: the session waits until there is another.
    Detached {
        /// Why it was lost.
        why: LegEnd,
        /// Since when.
        since: Instant,
    },
}

/// What is known of a session while it runs; clones share it.
#[derive(Clone)]
pub struct SessionStatus {
    state: watch::Receiver<State>,
    counters: Arc<Counters>,
    host: Arc<Mutex<HostConnection>>,
    busy: Arc<Mutex<Option<LegEnd>>>,
    delivered: CancellationToken,
    words: mpsc::Sender<Word>,
}

impl ClientSession {
    /// Opens a session on a connection of its own, without waiting for the host's answer: what the local end says is
    /// sent at once.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when the connection is lost, or the host takes nothing.
    pub async fn open(
        dialer: &Dialer,
        target: &Target,
        host: HostConnection,
        local: (LocalReader, LocalWriter),
    ) -> Result<(Self, SessionStatus), Arc<SessionError>> {
        Self::open_on(&Link::to(dialer, target, host.clone()), host, local).await
    }

    /// The same on a connection to which others may come, and which is reached again for all of them.
    ///
    /// # Errors
    ///
    /// [`SessionError`] when the connection is lost, or the host takes nothing.
    pub async fn open_on(
        link: &Link,
        host: HostConnection,
        local: (LocalReader, LocalWriter),
    ) -> Result<(Self, SessionStatus), Arc<SessionError>> {
        let id = SessionId::generate();
        let (tell, news) = mpsc::unbounded_channel();
        let (session, words) = Session::new(id, Role::Client, FIRST_WINDOW, None, local);
        let session = session.telling(move |news| _ = tell.send(news));
        let (state, watched) = watch::channel(State::Opening);
        let counters = session.counters();
        let mut keeper = Keeper {
            link: link.clone(),
            id,
            host: Arc::new(Mutex::new(host.clone())),
            warm: host.is_answered(),
            words: words.clone(),
            news,
            state,
            delivered: CancellationToken::new(),
            legs: 0,
            opened: None,
            busy: Arc::default(),
        };
        if let Err(error) = keeper.open(&host).await {
            match &*error {
                SessionError::Lost(lost) if starts_anew(lost) => keeper.open_elsewhere(lost.clone()).await?,
                _ => return Err(error),
            }
        }
        let status = SessionStatus {
            state: watched,
            counters: Arc::clone(&counters),
            host: Arc::clone(&keeper.host),
            busy: Arc::clone(&keeper.busy),
            delivered: keeper.delivered.clone(),
            words,
        };
        Ok((Self { session, keeper, counters }, status))
    }

    /// Moves bytes until the session is over.
    ///
    /// # Errors
    ///
    /// [`SessionError`] for a session that neither side has closed.
    pub async fn run(self) -> Result<Report, Arc<SessionError>> {
        let Self { session, keeper, counters } = self;
        let words = keeper.words.clone();
        let (link, id) = (keeper.link.clone(), keeper.id);
        let mut failed = None;
        let running = session.run();
        tokio::pin!(running);
        let report = tokio::select! {
            biased;
            report = &mut running => report,
            error = keeper.keep(&counters) => {
                failed = Some(error);
                let _ = words.send(Word::Close(CloseCode::Interrupted)).await;
                running.await
            }
        };
        if !report.told {
            link.leave(id);
        }
        match (failed, &report.ended) {
            (Some(error), _) => Err(error),
            (None, Ended::Cut { code, .. }) => Err(Arc::new(SessionError::Cut(*code))),
            (None, Ended::Lost(why)) => Err(Arc::new(why.clone().into())),
            (None, Ended::Broken(broken)) => Err(Arc::new(SessionError::Protocol(broken.to_string()))),
            (None, _) => Ok(report),
        }
    }
}

impl SessionStatus {
    /// How the session stands.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Bytes moved so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The connection that it is on, or while it is detached, the one that was lost.
    #[must_use]
    pub fn host(&self) -> HostConnection {
        lock(&self.host).clone()
    }

    /// Waits until the host has opened the session, which it says right before the server's first word. Never
    /// resolves for a session that ends before.
    pub async fn opened(&self) {
        if self.state.clone().wait_for(|state| *state != State::Opening).await.is_err() {
            std::future::pending().await
        }
    }

    /// Is cancelled when the host's SSH server has all that the local end said, and that no more follows.
    pub(crate) fn delivered(&self) -> CancellationToken {
        self.delivered.clone()
    }

    /// Ends the session.
    pub async fn close(&self, code: CloseCode) {
        let _ = self.words.send(Word::Close(code)).await;
    }

    /// Why a session that was opened so long ago has said nothing yet.
    pub(crate) fn why_silent(&self, since: Duration) -> SessionError {
        if !lock(&self.host).is_answered() {
            return SessionError::NoAnswer(since);
        }
        match lock(&self.busy).take() {
            Some(LegEnd::Refused(refusal)) => refusal.into(),
            _ => SessionError::NoWord(since),
        }
    }
}

/// The connection may go on without the session.
impl Drop for Keeper {
    fn drop(&mut self) {
        lock(&self.host).forget(self.id);
    }
}

impl Keeper {
    /// Gives the session legs until it is over, which is seen elsewhere, or cannot have another.
    async fn keep(mut self, counters: &Counters) -> Arc<SessionError> {
        let mut patience = Patience::until(Instant::now() + OPEN_DEADLINE);
        loop {
            let host = lock(&self.host).clone();
            let opened = self.opened;
            let news = tokio::select! {
                biased;
                code = host.closed() => return Arc::new(SessionError::Cut(code)),
                news = self.news.recv() => news,
                silent = stays_silent(opened, counters) => match silent {
                    true => return Arc::new(SessionError::Silent("said nothing for a minute")),
                    false => continue,
                },
                () = host.falls_silent(), if opened.is_some() || self.warm => {
                    Some(News::Detached(Lost::Silent.into()))
                }
            };
            let error = match news {
                None => std::future::pending().await,
                Some(News::Attached) => continue,
                Some(News::Delivered) => {
                    self.delivered.cancel();
                    continue;
                }
                Some(News::Opened) => {
                    self.opened.get_or_insert_with(Instant::now);
                    self.state.send_replace(State::Attached);
                    continue;
                }
                Some(News::Detached(LegEnd::Refused(refusal)))
                    if opened.is_none() && refusal.code == RefusalCode::Busy =>
                {
                    *lock(&self.busy) = Some(LegEnd::Refused(refusal.clone()));
                    match patience.pause().await {
                        true => self.open(&host).await.err(),
                        false => Some(Arc::new(refusal.into())),
                    }
                }
                Some(News::Detached(why)) if opened.is_some() && why.may_pass() => {
                    self.return_to_network(host, why).await.err()
                }
                // The host starts anew, or ends, or a connection that was kept is one no more: what was said here is
                // for the one that follows.
                Some(News::Detached(LegEnd::Lost(lost)))
                    if opened.is_none() && (self.warm || starts_anew(&lost) || self.is_elsewhere(&host)) =>
                {
                    self.open_elsewhere(lost).await.err()
                }
                // A host that does not let us in says so elsewhere, and closes the connection.
                Some(News::Detached(why)) if opened.is_none() => {
                    Some(host.welcome().await.err().unwrap_or_else(|| Arc::new(why.into())))
                }
                Some(News::Detached(why)) => Some(Arc::new(why.into())),
            };
            if let Some(error) = error {
                return error;
            }
        }
    }

    /// Asks a host to open the session.
    async fn open(&mut self, host: &HostConnection) -> Result<(), Arc<SessionError>> {
        host.tell(self.id, self.words.clone());
        let leg = host.open(self.id, LegNumber(self.legs)).await?;
        self.legs += 1;
        // Nobody takes it where the session is over.
        let _ = self.words.send(Word::Attach(Box::new(leg))).await;
        Ok(())
    }

    /// Opens the session on another connection: on this one, the host has not taken it, as far as is known.
    async fn open_elsewhere(&mut self, lost: Lost) -> Result<(), Arc<SessionError>> {
        let within = if starts_anew(&lost) { STARTS_ANEW * 10 } else { OPEN_DEADLINE };
        let deadline = Instant::now() + within;
        loop {
            if starts_anew(&lost) {
                sleep(jittered(STARTS_ANEW)).await;
            }
            let before = lock(&self.host).clone();
            let reached = tokio::select! {
                biased;
                // What was said there has its answer there.
                () = before.comes_back(), if lost == Lost::Silent && before.is_open() => return Ok(()),
                reached = timeout_at(deadline, self.link.again(&before)) => reached,
            };
            let Ok(reached) = reached else {
                return Err(Arc::new(SessionError::Lost(lost)));
            };
            let host = reached?;
            let position = self.let_go().await;
            before.forget(self.id);
            lock(&self.host).clone_from(&host);
            self.warm = false;
            if position != START {
                return self.resume(&host, position).await;
            }
            // The host may have taken it without a word of that having arrived here.
            host.end(self.id).await;
            match self.open(&host).await {
                Err(error) if is_of_start(&error) && Instant::now() < deadline => {}
                other => return other,
            }
        }
    }

    /// Has the session take nothing more off the leg that it has; says where it is then. What was told of that leg is of no
    /// use any more.
    async fn let_go(&mut self) -> Position {
        let (tell, position) = oneshot::channel();
        let _ = self.words.send(Word::LetGo(tell)).await;
        // A session that is over tells nothing, and is seen to end elsewhere.
        let Ok(position) = position.await else { std::future::pending().await };
        while let Ok(news) = self.news.try_recv() {
            if matches!(news, News::Delivered) {
                self.delivered.cancel();
            }
        }
        position
    }

    /// Goes on with the session on a connection.
    async fn resume(&mut self, host: &HostConnection, position: Position) -> Result<(), Arc<SessionError>> {
        host.tell(self.id, self.words.clone());
        let leg = host.resume(self.id, LegNumber(self.legs), position).await;
        self.legs += 1;
        // Nobody takes it where the session is over.
        let _ = self.words.send(Word::Attach(Box::new(leg?))).await;
        self.attached().await;
        self.opened.get_or_insert_with(Instant::now);
        self.state.send_replace(State::Attached);
        Ok(())
    }

    /// Whether there is another connection by now than one that was lost.
    fn is_elsewhere(&self, lost: &HostConnection) -> bool {
        self.link.current().is_some_and(|other| !other.is(lost))
    }

    /// Waits until the session has taken a leg. What is told until then is of the leg before it.
    async fn attached(&mut self) {
        while let Some(news) = self.news.recv().await {
            match news {
                News::Attached => return,
                News::Delivered => self.delivered.cancel(),
                News::Opened | News::Detached(_) => {}
            }
        }
        // It is over, which is seen elsewhere.
        std::future::pending().await
    }

    /// Reaches the host again, however long it takes, and goes on there with the session; or on the old connection,
    /// if that comes back first.
    async fn return_to_network(&mut self, old: HostConnection, why: LegEnd) -> Result<(), Arc<SessionError>> {
        let kept = match old.welcome().await {
            Ok(welcome) => Duration::from_secs(welcome.limits.resume_seconds.into()),
            Err(_) => Duration::ZERO,
        };
        if kept.is_zero() {
            return Err(Arc::new(why.into()));
        }
        tracing::debug!("the connection is lost ({why}): reaching the host again");
        let since = Instant::now();
        self.state.send_replace(State::Detached { why: why.clone(), since });
        let reaching = async {
            if why == LegEnd::Lost(Lost::Closed(CloseCode::Detached)) {
                sleep(jittered(STARTS_ANEW)).await;
            }
            self.link.again(&old).await
        };
        let host = tokio::select! {
            biased;
            code = old.closed() => return Err(Arc::new(SessionError::Cut(code))),
            () = old.comes_back(), if why == LegEnd::Lost(Lost::Silent) => {
                tracing::debug!("the connection is back");
                self.state.send_replace(State::Attached);
                return Ok(());
            }
            reached = timeout(kept, reaching) => match reached {
                Ok(reached) => reached?,
                Err(_) => return Err(Arc::new(why.into())),
            },
        };
        let position = self.let_go().await;
        let old = std::mem::replace(&mut *lock(&self.host), host.clone());
        let resumed = self.resume(&host, position).await;
        old.close(CloseCode::Detached);
        match resumed {
            Err(error) => match &*error {
                SessionError::Lost(lost) => Box::pin(self.return_to_network(host, lost.clone().into())).await,
                _ => Err(error),
            },
            Ok(()) => Ok(()),
        }
    }
}

impl Dialer {
    /// Connects to a host and has it let us in; once more, where it starts anew.
    ///
    /// # Errors
    ///
    /// [`BridgeError`] when it is not reached, or does not let us in.
    pub async fn let_in(&self, target: &Target) -> Result<(HostConnection, Arc<Welcome>), BridgeError> {
        let mut patience = Patience::until(Instant::now() + STARTS_ANEW * 10);
        loop {
            let host = self.dial(target).await?;
            match host.welcome().await {
                Ok(welcome) => return Ok((host, welcome)),
                Err(error) if is_of_start(&error) && patience.pause().await => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// How a connection is lost to a host that ends, or starts anew.
fn starts_anew(lost: &Lost) -> bool {
    matches!(lost, Lost::Closed(CloseCode::Detached | CloseCode::Done) | Lost::Forgotten)
}

fn is_of_start(error: &SessionError) -> bool {
    matches!(error, SessionError::Lost(lost) if starts_anew(lost))
}

/// Whether the SSH server has said nothing a minute after it was connected; resolves then.
async fn stays_silent(opened: Option<Instant>, counters: &Counters) -> bool {
    match opened {
        Some(since) if counters.to_local() == 0 => {
            sleep_until(since + FIRST_WORD).await;
            counters.to_local() == 0
        }
        _ => std::future::pending().await,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
