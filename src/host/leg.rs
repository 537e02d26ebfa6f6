//! One leg of a session, from its header on.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use iroh::endpoint::{RecvStream, SendStream, VarInt, WeakConnectionHandle};
use tokio::{io::AsyncReadExt, sync::mpsc, time::timeout};

use super::{
    backend::{Backend, BackendChild, BackendStream, BuiltinServer, Caller},
    limit_settings::LimitSettings,
    registry::{ConnectionPlace, SessionPlace},
    roll::Standing,
    sessions::HostedSession,
    shared::Shared,
};
use crate::{
    protocol::{
        CloseCode, Frame, Instance, LegHeader, LegReply, MAX_LEG_FRAME, Position, Refusal, RefusalCode,
        SessionId,
    },
    session::{
        FrameReadError, LegNumber, LocalReader, LocalWriter, NewLeg, Receiving, Role, Session, Word,
        read_frame,
    },
};

/// How long a `Welcome` or a leg waits for the SSH server's host keys, once.
pub(super) const HOST_KEYS_WAIT: Duration = Duration::from_secs(2);

/// How long a refusal may take to arrive.
const REFUSAL_WAIT: Duration = Duration::from_secs(1);

/// What a leg's task needs of its connection.
pub(super) struct Leg {
    pub(super) shared: Arc<Shared>,
    pub(super) standing: Arc<Standing>,
    pub(super) instance: Instance,
    /// A session may outlive the connection that it was opened on.
    pub(super) place: Weak<ConnectionPlace>,
    pub(super) backend: Backend,
    pub(super) from: String,
    pub(super) connection: WeakConnectionHandle,
}

impl Leg {
    /// Reads a leg's header, and starts the session that it opens, or gives the leg to the one that it names.
    pub(super) async fn serve(
        self,
        mut send: SendStream,
        mut recv: RecvStream,
        control: mpsc::Sender<Frame>,
    ) {
        let limits = self.shared.limits.read().await.clone();
        let header = match timeout(limits.grace(), read_frame(&mut recv, MAX_LEG_FRAME)).await {
            Ok(Ok(frame)) => LegHeader::decode(&frame).map_err(FrameReadError::from),
            Ok(Err(error)) => Err(error),
            Err(_) => return reset(&mut send, &mut recv, CloseCode::Deadline),
        };
        let session = match header {
            Ok(LegHeader::Open(session)) => session,
            Ok(LegHeader::Resume { session, leg, position }) => {
                let leg = NewLeg {
                    number: LegNumber(leg),
                    position,
                    answer: true,
                    send,
                    recv: Receiving::Open(recv),
                    control,
                    connection: self.connection.clone(),
                };
                return self.resume(session, leg).await;
            }
            Err(error) => {
                tracing::debug!("a leg without a header: {error}");
                return reset(&mut send, &mut recv, CloseCode::Protocol);
            }
        };
        let opened = async {
            if self.shared.stop.drain.is_cancelled() {
                return Err(going_away());
            }
            if let Some(objection) = self.shared.host_keys.objection(&self.backend, HOST_KEYS_WAIT).await {
                return Err(objection);
            }
            let gone = || Refusal::new(RefusalCode::Internal, "the connection has ended");
            let place = self.place.upgrade().ok_or_else(gone)?.start(&limits)?;
            let (standing, address) = self.look_up_again().await?;
            let BuiltinServer { command: builtin, max_startups } = &self.shared.builtin;
            let limit = max_startups.filter(|_| self.backend == Backend::Builtin);
            let enter = |limit| self.shared.startups.enter(standing.peer.identity, limit);
            let startup = limit.map(enter).transpose()?;
            let tells_login = startup.is_some();
            let caller = Caller { peer: Some((&standing, address)), builtin, tells_login };
            let mut stream = self.backend.connect(caller).await?;
            if let Some(mut logged_in) = stream.logged_in.take() {
                tokio::spawn(async move {
                    let _ = logged_in.read(&mut [0]).await;
                    drop(startup);
                });
            }
            Ok((stream.hold(place), stream))
        };
        let opened = match opened.await {
            Ok(opened) => opened,
            Err(refusal) => {
                self.shared.audit.session_refused(&self.standing.peer, &refusal);
                return refuse(send, refusal).await;
            }
        };
        self.start(session, &limits, opened, (send, recv, control)).await;
    }

    /// Gives the leg to a session of this identity.
    async fn resume(&self, session: SessionId, leg: NewLeg) {
        let left = match self.shared.sessions.of(&self.standing.peer.identity, session) {
            Some(words) => words.send(Word::Attach(Box::new(leg))).await.err().map(|error| error.0),
            None => Some(Word::Attach(Box::new(leg))),
        };
        if let Some(Word::Attach(leg)) = left {
            let NewLeg { mut send, .. } = *leg;
            if self.shared.is_handing_over() {
                // It is with the next process, or will be.
                let _ = send.reset(CloseCode::Detached.into());
                return;
            }
            let sentence = "the host no longer has this session: it has ended, or the host was started anew\nconnect again";
            refuse(send, Refusal::new(RefusalCode::CannotResume, sentence)).await;
        }
    }

    /// What the list says of the peer by now.
    async fn look_up_again(&self) -> Result<(Standing, Ipv4Addr), Refusal> {
        let (shared, standing) = (self.shared.clone(), self.standing.clone());
        tokio::task::spawn_blocking(move || shared.admission.look_up_again(&standing))
            .await
            .map_err(|_| Refusal::new(RefusalCode::Internal, "the host failed; its log says why"))?
    }

    /// Has the session's bytes moved until it is over, by this leg and those that follow it.
    async fn start(
        &self,
        id: SessionId,
        limits: &LimitSettings,
        (place, stream): (Option<SessionPlace>, BackendStream),
        // Of this connection, which the session may outlive.
        (mut send, mut recv, control): (SendStream, RecvStream, mpsc::Sender<Frame>),
    ) {
        let window = limits.session_window(self.shared.registry.sessions());
        let patience = limits.resume(&self.standing.peer.options);
        let Self { shared, standing, instance, backend, from, .. } = self;
        let BackendStream { reader, writer, child, socket, .. } = stream;
        let local = (LocalReader::from(reader), LocalWriter::from(writer));
        let (session, words) = Session::new(id, Role::Host, window, Some(patience), local);
        let hosted = Arc::new(HostedSession {
            id,
            standing: standing.clone(),
            instance: *instance,
            started: Instant::now(),
            counters: session.counters(),
            told: shared.audit.tells_of_session(&standing.peer),
            pid: child.as_ref().and_then(BackendChild::pid),
            socket,
        });
        let entry = match shared.sessions.enter(hosted.clone(), words.clone()) {
            Ok(entry) => entry,
            Err(_) if shared.is_handing_over() => return reset(&mut send, &mut recv, CloseCode::Detached),
            Err(refusal) => return refuse(send, refusal).await,
        };
        let opened = LegReply::Opened { window }.encode();
        if !matches!(timeout(limits.grace(), send.write_all(&opened)).await, Ok(Ok(()))) {
            return reset(&mut send, &mut recv, CloseCode::Deadline);
        }
        let leg = NewLeg {
            number: LegNumber(0),
            position: Position { received: 0, end: false },
            answer: false,
            send,
            recv: Receiving::Open(recv),
            control,
            connection: self.connection.clone(),
        };
        let _ = words.send(Word::Attach(Box::new(leg))).await;
        if hosted.told {
            shared.audit.session_started(&standing.peer, id, from, backend);
        }
        // What it took to get here is not to be held for as long as the session lives.
        let shared = shared.clone();
        tokio::spawn(async move {
            hosted.carry(shared, session, entry, child).await;
            drop(place);
        });
    }
}

pub(super) fn going_away() -> Refusal {
    Refusal::new(
        RefusalCode::GoingAway,
        "the host is stopping and takes no new sessions\ntry again when it is back",
    )
}

async fn refuse(mut send: SendStream, refusal: Refusal) {
    last_words(&mut send, &LegReply::Refused(refusal).encode()).await;
}

/// Says a last thing on a stream and gives it a while to arrive. The peer may have given no credit
/// for it.
pub(super) async fn last_words(send: &mut SendStream, bytes: &[u8]) {
    let _ = timeout(REFUSAL_WAIT, async {
        send.write_all(bytes).await.ok()?;
        send.finish().ok()?;
        send.stopped().await.ok()
    })
    .await;
}

fn reset(send: &mut SendStream, recv: &mut RecvStream, code: CloseCode) {
    let code: VarInt = code.into();
    let _ = send.reset(code);
    let _ = recv.stop(code);
}
