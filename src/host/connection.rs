//! One connection to a host, from its first packet to its last session.

use std::sync::Arc;

use iroh::endpoint::{Connection, Incoming, RecvStream, SendStream};
use tokio::{sync::mpsc, time::timeout};
use tracing::Instrument;

use super::{
    admission::Admitted,
    backend::Backend,
    claim::Claim,
    leg::{HOST_KEYS_WAIT, Leg, going_away, last_words},
    limit_settings::LimitSettings,
    newcomer::Newcomer,
    peer::Peer,
    peers::Identity,
    registry::ConnectionPlace,
    roll::Standing,
    shared::Shared,
};
use crate::{
    protocol::{
        Acknowledged, CloseCode, EXPORTER_LABEL, EXPORTER_LENGTH, Frame, FrameError, Hello, Instance, Limits,
        MAX_CONTROL_FRAME, Refusal, RefusalCode, VERSION, Welcome,
    },
    session::{Delivered, FrameReadError, Word, read_frame},
    transport::STRANGER_SESSIONS,
};

/// Frames that may wait to be sent on a control stream.
const CONTROL: usize = 64;

/// Seconds of penalty for a peer that breaks the protocol or proves nothing.
const PENALTY_PROTOCOL: u64 = 15;

/// Seconds of penalty for a peer that is not admitted, or never says who it is: a few tries are a person's.
const PENALTY_REFUSED: u64 = 5;

/// Serves a connection until it closes.
pub(super) async fn serve(shared: Arc<Shared>, incoming: Incoming, mut newcomer: Newcomer) {
    let limits = shared.limits.read().await.clone();
    let Ok(accepting) = incoming.accept() else {
        return newcomer.fail(PENALTY_REFUSED).await;
    };
    let shaken = timeout(limits.grace(), accepting).await.map_err(|_| "it took too long".to_owned());
    let connection = match shaken.and_then(|shaken| shaken.map_err(|error| error.to_string())) {
        Ok(connection) => connection,
        Err(why) => {
            tracing::debug!("handshake failed: {why}");
            return newcomer.fail(PENALTY_REFUSED).await;
        }
    };
    newcomer.prove();
    let from = from(&connection);
    let span = tracing::info_span!("connection", %from);
    let guest = async {
        let heard = match timeout(limits.grace(), hear(&connection)).await {
            Ok(heard) => heard,
            Err(_) => Err(TurnedAway::Silent { seconds: limits.grace().as_secs() }),
        };
        let guest = match heard {
            Ok(hello) => greet(&shared, &connection, hello, &limits).await,
            Err(turned_away) => Err(turned_away),
        };
        match guest {
            Ok(guest) => Some((guest, newcomer)),
            Err(turned_away) => {
                turned_away.tell(&shared, &connection, newcomer, &from).await;
                None
            }
        }
    };
    let Some((guest, newcomer)) = guest.instrument(span.clone()).await else { return };
    drop(newcomer);
    guest.host(shared, connection).instrument(span).await;
}

/// A connection whose peer may come in.
struct Guest {
    admitted: Admitted,
    instance: Instance,
    control: (SendStream, RecvStream),
    backend: Backend,
    place: ConnectionPlace,
}

/// Why a connection does not get in.
enum TurnedAway {
    Refused { refusal: Refusal, identity: Option<Identity>, control: SendStream, penalty: u64 },
    Protocol(String),
    Silent { seconds: u64 },
    Lost,
}

impl From<FrameReadError> for TurnedAway {
    fn from(error: FrameReadError) -> Self {
        match error {
            FrameReadError::Lost(_) => Self::Lost,
            error => Self::Protocol(error.to_string()),
        }
    }
}

/// What a peer says first, and the control stream on which it does.
type Heard = (Hello, SendStream, RecvStream);

/// Reads the peer's `Hello`.
async fn hear(connection: &Connection) -> Result<Heard, TurnedAway> {
    let (send, mut recv) = connection.accept_bi().await.map_err(|_| TurnedAway::Lost)?;
    let frame = read_frame(&mut recv, MAX_CONTROL_FRAME).await?;
    match Frame::decode(&frame) {
        Ok(Frame::Hello(hello)) => Ok((*hello, send, recv)),
        Err(FrameError::Version(theirs)) => {
            let sentence = format!(
                "this host speaks version {VERSION} of irosh/1, and your client version {theirs}\nuse releases of one time at both ends"
            );
            let refusal = Refusal::new(RefusalCode::Version, sentence);
            Err(TurnedAway::Refused { refusal, identity: None, control: send, penalty: 0 })
        }
        Ok(other) => Err(TurnedAway::Protocol(other.unexpected().to_string())),
        Err(error) => Err(TurnedAway::Protocol(error.to_string())),
    }
}

/// Answers a peer's `Hello`.
async fn greet(
    shared: &Arc<Shared>,
    connection: &Connection,
    (hello, mut send, recv): Heard,
    limits: &LimitSettings,
) -> Result<Guest, TurnedAway> {
    let mut exported = [0; EXPORTER_LENGTH];
    if connection.export_keying_material(&mut exported, EXPORTER_LABEL, &hello.identity).is_err() {
        return Err(TurnedAway::Protocol("no keying material".to_owned()));
    }
    let claim = match Claim::prove(&hello, &exported) {
        Ok(claim) => claim,
        Err(refusal) => {
            return Err(TurnedAway::Refused {
                refusal,
                identity: None,
                control: send,
                penalty: PENALTY_PROTOCOL,
            });
        }
    };
    let (instance, identity) = (hello.instance, claim.identity);
    let entered = enter(shared, connection, claim, hello, limits).await;
    let (admitted, backend, place) = match entered {
        Ok(entered) => entered,
        Err(refusal) => {
            let penalty = if is_their_fault(refusal.code) { PENALTY_REFUSED } else { 0 };
            return Err(TurnedAway::Refused { refusal, identity: Some(identity), control: send, penalty });
        }
    };
    let host_keys = shared.host_keys.announced(&backend, HOST_KEYS_WAIT).await;
    let resume = limits.resume(&admitted.peer.options);
    let resume_seconds = u32::try_from(resume.as_secs()).unwrap_or(u32::MAX);
    let sessions = match admitted.listed {
        true => limits.max_sessions,
        false => limits.max_sessions.min(STRANGER_SESSIONS),
    };
    let allowed = Limits { sessions, resume_seconds };
    let welcome = Welcome::new(&shared.name, backend.kind(), host_keys, allowed);
    match timeout(limits.grace(), send.write_all(&Frame::Welcome(welcome.into()).encode())).await {
        Ok(Ok(())) => {}
        _ => return Err(TurnedAway::Lost),
    }
    Ok(Guest { admitted, instance, control: (send, recv), backend, place })
}

/// Whether a refusal is for what the peer is or shows, and not for what the host is short of.
fn is_their_fault(code: RefusalCode) -> bool {
    matches!(
        code,
        RefusalCode::NotAdmitted
            | RefusalCode::Expired
            | RefusalCode::BadProof
            | RefusalCode::InviteUnknown
            | RefusalCode::InviteExpired
            | RefusalCode::InviteUsed
    )
}

/// Decides about an identity that has been proved.
async fn enter(
    shared: &Arc<Shared>,
    connection: &Connection,
    claim: Claim,
    hello: Hello,
    limits: &LimitSettings,
) -> Result<(Admitted, Backend, ConnectionPlace), Refusal> {
    let identity = claim.identity;
    let place = shared.registry.enter(identity, hello.instance, connection, limits)?;
    let (deciding, span) = (shared.clone(), tracing::Span::current());
    let decide = move || span.in_scope(|| deciding.decide(claim, hello.invite.as_ref()));
    let admitted = tokio::task::spawn_blocking(decide)
        .await
        .map_err(|_| Refusal::new(RefusalCode::Internal, "the host failed; its log says why"))??;
    place.admit(Arc::new(admitted.standing()), limits)?;
    shared.forgive(&identity);
    let backend = backend_for(&admitted.peer, &shared.backend)?;
    Ok((admitted, backend, place))
}

/// What takes a peer's sessions: its own backend, or the host's.
fn backend_for(peer: &Peer, of_host: &Backend) -> Result<Backend, Refusal> {
    let Peer { identity, options, .. } = peer;
    let backend = match &options.backend {
        None => of_host.clone(),
        Some(own) => own.parse().map_err(|error| {
            tracing::error!(peer = %identity, "backend= in authorized_peers: {error}");
            Refusal::new(
                RefusalCode::Backend,
                "the backend that the host has for you cannot be used\nits log says why",
            )
        })?,
    };
    if backend != Backend::Builtin && !options.restrictions.is_empty() {
        tracing::error!(peer = %identity, "authorized_peers or its certificate restricts it by options that the built-in server alone knows, and {backend} takes its sessions");
        let sentence =
            "the host restricts you by options that its ssh server does not know\nits log says which";
        return Err(Refusal::new(RefusalCode::Backend, sentence));
    }
    Ok(backend)
}

impl TurnedAway {
    async fn tell(self, shared: &Shared, connection: &Connection, newcomer: Newcomer, from: &str) {
        let origin = newcomer.origin();
        let (penalty, refused) = match self {
            Self::Refused { refusal, identity, control, penalty } => {
                shared.audit.refused(identity.as_ref(), origin, from, &refusal);
                if let Some(identity) = identity.filter(|_| penalty > 0) {
                    shared.penalize(identity, penalty);
                }
                (penalty, Some((control, refusal)))
            }
            Self::Protocol(error) => {
                shared.audit.closed(origin, from, &format!("not our protocol: {error}"));
                connection.close(CloseCode::Protocol.into(), error.as_bytes());
                (PENALTY_PROTOCOL, None)
            }
            Self::Silent { seconds } => {
                shared.audit.closed(origin, from, &format!("it did not say who it is within {seconds} s"));
                connection.close(CloseCode::Deadline.into(), b"no Hello in time");
                (PENALTY_REFUSED, None)
            }
            Self::Lost => {
                tracing::debug!("the peer left before it was let in");
                (PENALTY_REFUSED, None)
            }
        };
        // Others need not wait for the place until the peer has taken the refusal.
        tokio::join!(newcomer.fail(penalty), async {
            if let Some((mut control, refusal)) = refused {
                last_words(&mut control, &Frame::Refused(refusal).encode()).await;
                connection.close(CloseCode::Refused.into(), b"refused");
            }
        });
    }
}

impl Guest {
    /// Takes legs until the connection closes.
    async fn host(self, shared: Arc<Shared>, connection: Connection) {
        let Self { admitted, instance, control: (send, recv), backend, place } = self;
        let (standing, place) = (Arc::new(admitted.standing()), Arc::new(place));
        let (control, frames) = mpsc::channel(CONTROL);
        let saying = say(send, frames);
        let listening = listen(&shared, &standing, &connection, recv, &control);
        tokio::pin!(saying, listening);
        let mut going = false;
        loop {
            tokio::select! {
                leg = connection.accept_bi() => match leg {
                    Ok((send, recv)) => {
                        let leg = Leg {
                            shared: shared.clone(),
                            standing: standing.clone(),
                            instance,
                            place: Arc::downgrade(&place),
                            backend: backend.clone(),
                            from: from(&connection),
                            connection: connection.weak_handle(),
                        };
                        tokio::spawn(leg.serve(send, recv, control.clone()).in_current_span());
                    }
                    Err(error) => return tracing::debug!("connection closed: {error}"),
                },
                () = &mut listening => return,
                () = &mut saying => return,
                () = shared.stop.drain.cancelled(), if !going => {
                    going = true;
                    // Who takes no words now finds out when the connection is closed.
                    let _ = control.try_send(Frame::GoAway(going_away()));
                }
            }
        }
    }
}

/// Sends frames on the control stream until the connection closes.
async fn say(mut send: SendStream, mut frames: mpsc::Receiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        if let Err(error) = send.write_all(&frame.encode()).await {
            return tracing::debug!("connection closed: {error}");
        }
    }
}

/// Reads what an admitted peer says on the control stream, until it or the connection ends.
async fn listen(
    shared: &Shared,
    standing: &Standing,
    connection: &Connection,
    mut recv: RecvStream,
    control: &mpsc::Sender<Frame>,
) {
    let identity = &standing.peer.identity;
    let error = loop {
        match read_frame(&mut recv, MAX_CONTROL_FRAME).await.map(|frame| Frame::decode(&frame)) {
            Ok(Ok(Frame::Acknowledged(Acknowledged { session, bytes, end }))) => {
                if let Some(words) = shared.sessions.of(identity, session) {
                    let _ = words.send(Word::Acknowledged(Delivered { bytes, end })).await;
                }
            }
            Ok(Ok(Frame::Closed(closed))) => {
                let code = CloseCode::from_number(closed.reason.into()).unwrap_or(CloseCode::Done);
                if let Some(words) = shared.sessions.of(identity, closed.session) {
                    let _ = words.send(Word::Closed(code)).await;
                }
                // Whether it has a leg, or is there at all.
                let _ = control.send(Frame::Closed(closed)).await;
            }
            Ok(Ok(Frame::Gone(instances))) => shared.sessions.gone(identity, &instances).await,
            Ok(Ok(Frame::GoAway(_))) => {}
            Ok(Ok(other)) => break other.unexpected().to_string(),
            Ok(Err(error)) => break error.to_string(),
            Err(FrameReadError::Lost(lost)) => return tracing::debug!("connection closed: {lost}"),
            Err(error) => break error.to_string(),
        }
    };
    tracing::info!("closed: not our protocol: {error}");
    connection.close(CloseCode::Protocol.into(), error.as_bytes());
}

/// Where a peer is: its direct address, or the relay between.
fn from(connection: &Connection) -> String {
    let paths = connection.paths();
    let selected = paths.iter().find(|path| path.is_selected()).or_else(|| paths.iter().next());
    match selected.map(|path| path.remote_addr().clone()) {
        Some(iroh::TransportAddr::Ip(addr)) => addr.to_string(),
        Some(iroh::TransportAddr::Relay(url)) => format!("relay {url}"),
        Some(other) => format!("{other:?}"),
        None => "unknown".to_owned(),
    }
}
