//! Peers that come back with sessions, or say that they do: the worst of them.

mod harness;

use std::{collections::HashMap, path::Path, time::Duration};

use harness::{DEADLINE, Host, HostSetup, Line, Random, Raw, Route, folder, number};
use iroh::{
    SecretKey,
    endpoint::{ReadError, RecvStream, SendStream},
};
use irosh::{
    protocol::{
        Acknowledged, CloseCode, Closed, Frame, Hello, Instance, LegHeader, LegReply, MAX_CONTROL_FRAME,
        MAX_LEG_FRAME, Position, RefusalCode, SessionId,
    },
    session::{FrameReadError, Lost, read_frame},
    transport::KeyFile,
};
use serde_json::Value;
use tokio::{runtime::Runtime, time::timeout};

const SOON: Duration = Duration::from_secs(20);

const START: Position = Position { received: 0, end: false };

/// A host that sends back what it is sent, and who may come in.
struct Echo {
    host: Host,
    identity: SecretKey,
    folder: tempfile::TempDir,
}

impl Echo {
    fn new(settings: &str) -> Self {
        let folder = folder();
        let host = HostSetup::new(&folder.path().join("host"), "exec:cat").settings(settings).start();
        let identity = admitted(&host, &folder.path().join("one"));
        Self { host, identity, folder }
    }
}

/// A new identity that a host knows.
fn admitted(host: &Host, path: &Path) -> SecretKey {
    let key = KeyFile::load_or_create(path, "test").expect("a key");
    host.allow(&key.public().to_openssh().expect("a line"));
    key.secret().clone()
}

/// A peer that was let in.
struct Peer {
    raw: Raw,
    control: SendStream,
    said: RecvStream,
}

impl Peer {
    async fn new(host: &Host, identity: &SecretKey) -> Self {
        let raw = Raw::connect(host).await;
        let (answer, control, said) = raw.greet(identity).await;
        assert!(matches!(answer, Frame::Welcome(_)), "{answer:?}");
        Self { raw, control, said }
    }

    /// A session, once the host has opened it.
    async fn open(&self) -> (SessionId, Leg) {
        let session = SessionId::generate();
        let (reply, leg) = self.asks(&LegHeader::Open(session)).await;
        assert!(matches!(reply, Ok(LegReply::Opened { .. })), "{reply:?}");
        (session, leg)
    }

    /// A leg for a session, and what the host says to it, or the code with which it is reset.
    async fn asks(&self, header: &LegHeader) -> (Result<LegReply, u64>, Leg) {
        let (send, mut recv) = self.raw.say(&header.encode()).await;
        let reply = timeout(SOON, read_frame(&mut recv, MAX_LEG_FRAME)).await.expect("in time");
        let reply = match reply {
            Ok(reply) => Ok(LegReply::decode(&reply).expect("a reply")),
            Err(FrameReadError::Lost(Lost::Closed(code))) => Err(code as u64),
            Err(other) => panic!("no answer, and no reset: {other}"),
        };
        (reply, Leg { send, recv })
    }

    async fn resume(&self, session: SessionId, leg: u32, position: Position) -> (Result<LegReply, u64>, Leg) {
        self.asks(&LegHeader::Resume { session, leg, position }).await
    }

    async fn says(&mut self, frame: Frame) {
        self.control.write_all(&frame.encode()).await.expect("said");
    }

    async fn acknowledges(&mut self, session: SessionId, bytes: u64) {
        self.says(Frame::Acknowledged(Acknowledged { session, bytes, end: false })).await;
    }

    /// Waits for the host to say something of this kind on the control stream.
    async fn hears<T>(&mut self, wanted: impl Fn(Frame) -> Option<T>) -> T {
        let hearing = async {
            loop {
                let frame = read_frame(&mut self.said, MAX_CONTROL_FRAME).await.expect("a frame");
                if let Some(found) = wanted(Frame::decode(&frame).expect("a frame")) {
                    return found;
                }
            }
        };
        timeout(SOON, hearing).await.expect("in time")
    }

    /// Waits for the host to say why a session is over.
    async fn hears_closed(&mut self, session: SessionId) -> u32 {
        let of_it = |closed: Closed| (closed.session == session).then_some(closed.reason);
        self.hears(|frame| if let Frame::Closed(closed) = frame { of_it(closed) } else { None }).await
    }

    /// Leaves without ending any session, and waits until the host knows it of this one.
    fn leaves(&self, host: &Host, session: SessionId) {
        self.raw.connection.close(CloseCode::Detached.into(), b"");
        tokio::task::block_in_place(|| event_of(host, "session_detached", session));
    }
}

/// The streams of a leg.
struct Leg {
    send: SendStream,
    recv: RecvStream,
}

/// One that is dropped would count as finished, which is an end of file, and as stopped in peace, which ends the
/// session.
impl Drop for Leg {
    fn drop(&mut self) {
        let _ = self.send.reset(CloseCode::Detached.into());
        let _ = self.recv.stop(CloseCode::Detached.into());
    }
}

impl Leg {
    /// What is said comes back.
    async fn echoes(&mut self, bytes: &[u8]) {
        self.send.write_all(bytes).await.expect("sent");
        self.brings(bytes).await;
    }

    async fn brings(&mut self, bytes: &[u8]) {
        let mut heard = vec![0; bytes.len()];
        timeout(SOON, self.recv.read_exact(&mut heard)).await.expect("in time").expect("bytes");
        assert!(heard == bytes, "other bytes than were said");
    }

    /// Waits for the host to give it up; returns the code.
    async fn is_reset(&mut self) -> u64 {
        let mut rest = [0; 1 << 10];
        loop {
            match timeout(SOON, self.recv.read(&mut rest)).await.expect("in time") {
                Ok(Some(_)) => {}
                Err(ReadError::Reset(code)) => return code.into_inner(),
                other => panic!("not reset: {other:?}"),
            }
        }
    }
}

/// Goes on while a test waits for its host.
fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

/// What a host says of a session.
fn event_of(host: &Host, kind: &str, session: SessionId) -> Value {
    host.wait_event(|event| event["event"] == kind && event["session"] == session.to_string())
}

fn at(received: u64) -> Position {
    Position { received, end: false }
}

#[test]
fn a_session_cannot_be_resumed_that_never_was() {
    let line = Line::new(Route::Exec);
    let identity = KeyFile::load(&line.client.home().join("identity")).expect("a key").secret().clone();
    runtime().block_on(async {
        let peer = Peer::new(line.host(), &identity).await;
        let (reply, _leg) = peer.resume(SessionId::generate(), 1, at(7)).await;
        let Ok(LegReply::Refused(refusal)) = reply else { panic!("not refused: {reply:?}") };
        assert_eq!(refusal.code, RefusalCode::CannotResume);
        assert!(refusal.sentence.ends_with("\nconnect again"), "{refusal}");
    });
}

#[test]
fn a_session_is_resumed_by_its_own_identity_alone() {
    let echo = Echo::new("");
    let other = admitted(&echo.host, &echo.folder.path().join("other"));
    runtime().block_on(async {
        let peer = Peer::new(&echo.host, &echo.identity).await;
        let (session, mut leg) = peer.open().await;
        let mut theirs = Peer::new(&echo.host, &other).await;
        // Nor is it told anything, or ended.
        theirs.acknowledges(session, u64::MAX).await;
        theirs.says(Frame::Closed(Closed { session, reason: CloseCode::Done as u32 })).await;
        assert_eq!(theirs.hears_closed(session).await, CloseCode::Done as u32);
        let (refused, _leg) = theirs.resume(session, 1, START).await;
        assert!(
            matches!(&refused, Ok(LegReply::Refused(refusal)) if refusal.code == RefusalCode::CannotResume)
        );
        leg.echoes(b"still here").await;
        // On another connection of the same identity, it goes on.
        let again = Peer::new(&echo.host, &echo.identity).await;
        let (reply, mut next) = again.resume(session, 1, at(10)).await;
        assert_eq!(reply, Ok(LegReply::Resumed(at(10))));
        next.echoes(b"here").await;
        assert_eq!(leg.is_reset().await, CloseCode::Detached as u64);
    });
}

#[test]
fn a_connection_that_goes_is_missed_after_both_ends_of_file_as_well() {
    let echo = Echo::new("");
    runtime().block_on(async {
        let mut peer = Peer::new(&echo.host, &echo.identity).await;
        let (session, mut leg) = peer.open().await;
        leg.echoes(b"all").await;
        leg.send.finish().expect("not finished yet");
        assert_eq!(leg.recv.read(&mut [0; 9]).await.expect("an end of file"), None);
        // Whoever hears an answer to what was said later has heard that this has arrived.
        let other = SessionId::generate();
        peer.says(Frame::Closed(Closed { session: other, reason: CloseCode::Done as u32 })).await;
        peer.hears_closed(other).await;
        // The session itself is told nothing: neither that all was delivered, nor that it is over.
        peer.leaves(&echo.host, session);
    });
}

#[test]
fn a_session_that_is_there_is_not_opened_again() {
    let echo = Echo::new("");
    runtime().block_on(async {
        let peer = Peer::new(&echo.host, &echo.identity).await;
        let (session, mut leg) = peer.open().await;
        let (reply, _leg) = peer.asks(&LegHeader::Open(session)).await;
        assert!(
            matches!(&reply, Ok(LegReply::Refused(refusal)) if refusal.code == RefusalCode::CannotResume)
        );
        leg.echoes(b"the first").await;
    });
}

#[test]
fn a_leg_is_not_replayed() {
    let echo = Echo::new("");
    runtime().block_on(async {
        let peer = Peer::new(&echo.host, &echo.identity).await;
        let (session, mut first) = peer.open().await;
        first.echoes(b"first").await;
        let (reply, mut fifth) = peer.resume(session, 5, at(5)).await;
        assert_eq!(reply, Ok(LegReply::Resumed(at(5))));
        for old in [0, 4, 5] {
            let (reply, _leg) = peer.resume(session, old, at(5)).await;
            assert_eq!(reply.map_err(|code| code == CloseCode::Detached as u64), Err(true), "leg {old}");
        }
        // What comes on a leg that is the session's no more is no part of it.
        let _ = first.send.write_all(b"late").await;
        fifth.echoes(b"fifth").await;
    });
}

#[test]
fn of_two_resumes_at_once_the_later_leg_is_the_session_s() {
    let echo = Echo::new("");
    runtime().block_on(async {
        let peers =
            [Peer::new(&echo.host, &echo.identity).await, Peer::new(&echo.host, &echo.identity).await];
        let (session, mut leg) = peers[0].open().await;
        leg.echoes(b"0").await;
        for round in 0..20 {
            let position = at(1 + u64::from(round));
            let [earlier, later] = [1 + 2 * round, 2 + 2 * round];
            // Whichever of them the host sees first.
            let (one, other) = tokio::join!(
                peers[round as usize % 2].resume(session, earlier, position),
                peers[1 - round as usize % 2].resume(session, later, position),
            );
            let (mut lost, mut won) = (one.1, other.1);
            assert_eq!(other.0, Ok(LegReply::Resumed(position)));
            won.echoes(b"1").await;
            match one.0 {
                Ok(reply) => {
                    assert_eq!(reply, LegReply::Resumed(position));
                    assert_eq!(lost.is_reset().await, CloseCode::Detached as u64);
                }
                Err(code) => assert_eq!(code, CloseCode::Detached as u64),
            }
        }
    });
}

#[test]
fn an_acknowledgement_of_less_than_before_says_nothing() {
    let echo = Echo::new("");
    runtime().block_on(async {
        let mut peer = Peer::new(&echo.host, &echo.identity).await;
        let (session, mut leg) = peer.open().await;
        leg.echoes(b"0123456789").await;
        peer.acknowledges(session, 10).await;
        peer.acknowledges(session, 3).await;
        leg.echoes(b"more").await;
        let (reply, mut leg) = peer.resume(session, 1, at(12)).await;
        assert_eq!(reply, Ok(LegReply::Resumed(at(14))));
        leg.brings(b"re").await;
        leg.echoes(b"!").await;
    });
}

/// Each on a session of its own, of which ten bytes came and five are acknowledged.
const LIES: [(&str, Position); 4] = [
    ("no longer kept", Position { received: 4, end: false }),
    ("never sent", Position { received: 11, end: false }),
    ("as far as there are numbers", Position { received: u64::MAX, end: false }),
    ("an end of file that was not sent", Position { received: 10, end: true }),
];

#[test]
fn a_resume_from_out_of_range_ends_that_session_and_says_why_where_it_was_asked() {
    let echo = Echo::new("");
    runtime().block_on(async {
        let mut bystander = Peer::new(&echo.host, &echo.identity).await;
        let (_, mut other) = bystander.open().await;
        for detached in [false, true] {
            for (lie, position) in LIES {
                let mut peer = Peer::new(&echo.host, &echo.identity).await;
                let (session, mut leg) = peer.open().await;
                leg.echoes(b"0123456789").await;
                peer.acknowledges(session, 5).await;
                // What is said on this stream comes in its turn.
                let nobody = SessionId::generate();
                peer.says(Frame::Closed(Closed { session: nobody, reason: 0 })).await;
                peer.hears_closed(nobody).await;
                if detached {
                    peer.leaves(&echo.host, session);
                }
                let (reply, _leg) = bystander.resume(session, 1, position).await;
                assert_eq!(reply, Err(CloseCode::Protocol as u64), "{lie}");
                assert_eq!(bystander.hears_closed(session).await, CloseCode::Protocol as u32, "{lie}");
            }
        }
        other.echoes(b"as before").await;
    });
    assert!(!echo.host.log().contains("panicked"), "{}", echo.host.log());
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_ends_that_session_alone() {
    let echo = Echo::new("");
    runtime().block_on(async {
        let mut peer = Peer::new(&echo.host, &echo.identity).await;
        let (_, mut other) = peer.open().await;
        for (bytes, end) in [(11, false), (u64::MAX, false), (10, true), (0, true)] {
            let (session, mut leg) = peer.open().await;
            leg.echoes(b"0123456789").await;
            peer.says(Frame::Acknowledged(Acknowledged { session, bytes, end })).await;
            assert_eq!(peer.hears_closed(session).await, CloseCode::Protocol as u32, "{bytes} {end}");
        }
        other.echoes(b"as before").await;
    });
}

#[test]
fn of_sessions_that_wait_for_too_many_clients_the_oldest_goes_first() {
    let echo = Echo::new("[limits]\nmax-detached-per-peer = 2\nmax-detached = 3\n");
    let other = admitted(&echo.host, &echo.folder.path().join("other"));
    let evicted = |session| {
        let ended = tokio::task::block_in_place(|| event_of(&echo.host, "session_ended", session));
        assert_eq!(ended["reason"], "the client was away, and the host needed the place");
    };
    runtime().block_on(async {
        let mut sessions = Vec::new();
        for identity in [&echo.identity, &echo.identity, &echo.identity, &other, &other] {
            let peer = Peer::new(&echo.host, identity).await;
            let (session, mut leg) = peer.open().await;
            leg.echoes(b"here").await;
            peer.leaves(&echo.host, session);
            sessions.push(session);
            match sessions.len() {
                // Of one identity, and of all.
                3 => evicted(sessions[0]),
                5 => evicted(sessions[1]),
                _ => {}
            }
        }
        let peer = Peer::new(&echo.host, &echo.identity).await;
        for (index, session) in sessions[..3].iter().enumerate() {
            let (reply, _leg) = peer.resume(*session, 1, at(4)).await;
            match reply {
                Ok(LegReply::Refused(refusal)) if index < 2 => {
                    assert_eq!(refusal.code, RefusalCode::CannotResume);
                }
                reply => assert_eq!((reply, index), (Ok(LegReply::Resumed(at(4))), 2)),
            }
        }
    });
}

/// What each of a crowd of sessions says, and how far it has come.
struct Talk {
    session: SessionId,
    words: Vec<u8>,
}

#[test]
fn a_thousand_sessions_of_one_client_are_resumed_at_once_and_none_is_lost() {
    const EACH: usize = 50;
    let many = number("IROSH_TEST_SESSIONS", 1000);
    let limits =
        "[limits]\nmax-detached-per-peer = 4096\nmax-detached = 4096\nmax-sessions-per-peer = 4096\n";
    let echo = Echo::new(limits);
    runtime().block_on(async {
        let mut crowds = HashMap::new();
        for crowd in 0..many / EACH {
            let peer = Peer::new(&echo.host, &echo.identity).await;
            let mut talks = Vec::new();
            for number in 0..EACH {
                let (session, mut leg) = peer.open().await;
                let words = Random::bytes((crowd * EACH + number) as u64, 2000);
                leg.send.write_all(&words[..1000]).await.expect("sent");
                talks.push(Talk { session, words });
            }
            peer.leaves(&echo.host, talks[0].session);
            crowds.insert(crowd, talks);
        }
        // All of them in the same moment.
        let mut coming = tokio::task::JoinSet::new();
        for talks in crowds.into_values() {
            let peer = Peer::new(&echo.host, &echo.identity).await;
            coming.spawn(async move {
                let resuming = talks.iter().map(|talk| goes_on(&peer, talk));
                futures_util::future::join_all(resuming).await;
                peer
            });
        }
        timeout(DEADLINE, coming.join_all()).await.expect("in time");
    });
    assert_eq!(echo.host.count("session_ended"), 0);
}

/// Nothing has been read of the session's first half, and nobody knows how much of it has arrived.
async fn goes_on(peer: &Peer, talk: &Talk) {
    let (reply, mut leg) = peer.resume(talk.session, 1, START).await;
    let Ok(LegReply::Resumed(position)) = reply else { panic!("not resumed: {reply:?}") };
    let received = usize::try_from(position.received).expect("small");
    leg.send.write_all(&talk.words[received..]).await.expect("sent");
    leg.brings(&talk.words).await;
}

#[test]
fn processes_that_come_again_have_twice_the_connections_and_no_more() {
    let echo = Echo::new("[limits]\nmax-connections = 2\n");
    runtime().block_on(async {
        let mut held = Vec::new();
        let [one, other] = [(); 2].map(|()| Instance::generate());
        for (instance, comes_in) in
            [(one, true), (one, true), (other, false), (one, true), (one, true), (one, false)]
        {
            let raw = Raw::connect(&echo.host).await;
            let hello = Hello { instance, ..raw.hello(&echo.identity) };
            let (send, mut recv) = raw.say(&Frame::Hello(hello.into()).encode()).await;
            let answer = timeout(SOON, read_frame(&mut recv, MAX_CONTROL_FRAME)).await.expect("in time");
            match Frame::decode(&answer.expect("a frame")) {
                Ok(Frame::Welcome(_)) if comes_in => held.push((raw, send, recv)),
                Ok(Frame::Refused(refusal)) if !comes_in => assert_eq!(refusal.code, RefusalCode::TooMany),
                other => panic!("{other:?}"),
            }
        }
    });
}
