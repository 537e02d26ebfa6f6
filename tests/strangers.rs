//! Peers that do not keep to the protocol, and what they may cost.

mod harness;

use std::time::Duration;

use harness::{HostSetup, Line, Random, Raw, Route, Said, raw_runtime};
use iroh::{
    SecretKey,
    endpoint::{ReadExactError, ReadToEndError, RecvStream},
};
use irosh::{
    protocol::{
        BackendKind, CloseCode, FIRST_WINDOW, Frame, LegHeader, LegReply, Limits, MAX_CONTROL_FRAME,
        MAX_LEG_FRAME, RefusalCode, SessionId, Welcome,
    },
    session::read_frame,
    transport::{KeyFile, Target},
};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// How long somebody who may send would not be kept waiting.
const NO_MORE: Duration = Duration::from_secs(2);

/// A host with short deadlines.
fn line() -> Line {
    Line::with_settings(Route::Exec, "[limits]\nlogin-grace-time = 1\n")
}

/// The identity of the line's client, who is admitted.
fn admitted(line: &Line) -> SecretKey {
    let file = KeyFile::load(&line.client.home().join("identity")).expect("the client's key");
    file.secret().clone()
}

/// Frames that are none: garbage, cut off, too long, of unknown types, and in the wrong place.
fn not_frames(max: usize) -> Vec<Vec<u8>> {
    let too_long = u32::try_from(max + 1).expect("a length").to_be_bytes();
    let limits = Limits { sessions: 1, resume_seconds: 0 };
    vec![
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 4096],
        vec![0; 64],
        too_long.to_vec(),
        [&5_u32.to_be_bytes()[..], &[100, 1, 2, 3, 4]].concat(),
        [&2_u32.to_be_bytes()[..], &[1, 1]].concat(),
        Frame::Welcome(Welcome::new("me", BackendKind::Tcp, Vec::new(), limits).into()).encode(),
        LegReply::Opened { window: FIRST_WINDOW }.encode(),
    ]
}

async fn is_reset(mut recv: RecvStream) -> u64 {
    let mut byte = [0];
    match timeout(SOON, recv.read_exact(&mut byte)).await.expect("an answer in time") {
        Err(ReadExactError::ReadError(iroh::endpoint::ReadError::Reset(code))) => code.into_inner(),
        other => panic!("not reset: {other:?}"),
    }
}

/// The host still serves those who behave.
fn still_serves(line: &Line) {
    let output = line.client.exec("echo in");
    assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
    assert!(!line.host().log().contains("panicked"), "{}", line.host().log());
}

#[test]
fn what_is_not_a_frame_on_the_control_stream_closes_the_connection() {
    let line = line();
    raw_runtime().block_on(async {
        for bytes in not_frames(MAX_CONTROL_FRAME) {
            let raw = Raw::connect(line.host()).await;
            let _streams = raw.say(&bytes).await;
            assert_eq!(raw.closed().await, CloseCode::Protocol as u64, "{bytes:?}");
        }
        // A frame that is cut off by the stream's end.
        let raw = Raw::connect(line.host()).await;
        let (mut send, _recv) = raw.say(&[0, 0, 0, 9, 1]).await;
        send.finish().expect("finished");
        assert_eq!(raw.closed().await, CloseCode::Protocol as u64);
    });
    still_serves(&line);
}

#[test]
fn what_is_not_a_frame_after_the_greeting_closes_the_connection() {
    let line = line();
    let identity = admitted(&line);
    raw_runtime().block_on(async {
        for bytes in not_frames(MAX_CONTROL_FRAME) {
            let raw = Raw::connect(line.host()).await;
            let (answer, mut send, _recv) = raw.greet(&identity).await;
            assert!(matches!(answer, Frame::Welcome(_)), "{answer:?}");
            send.write_all(&bytes).await.expect("sent");
            assert_eq!(raw.closed().await, CloseCode::Protocol as u64, "{bytes:?}");
        }
    });
    still_serves(&line);
}

#[test]
fn what_is_not_a_frame_on_a_leg_ends_that_leg_alone() {
    let line = line();
    let identity = admitted(&line);
    raw_runtime().block_on(async {
        let raw = Raw::connect(line.host()).await;
        let (_answer, _send, _recv) = raw.greet(&identity).await;
        for bytes in not_frames(MAX_LEG_FRAME) {
            let (_send, recv) = raw.say(&bytes).await;
            assert_eq!(is_reset(recv).await, CloseCode::Protocol as u64, "{bytes:?}");
        }
        let (mut send, recv) = raw.say(&[0, 0, 0, 17, 16, 1, 2]).await;
        send.finish().expect("finished");
        assert_eq!(is_reset(recv).await, CloseCode::Protocol as u64);
        // The connection is as good as before.
        let (_send, mut recv) = raw.say(&LegHeader::Open(SessionId::generate()).encode()).await;
        let reply =
            timeout(SOON, read_frame(&mut recv, MAX_LEG_FRAME)).await.expect("in time").expect("a frame");
        assert!(matches!(LegReply::decode(&reply), Ok(LegReply::Opened { .. })), "{reply:?}");
        let mut banner = [0; 4];
        recv.read_exact(&mut banner).await.expect("a banner");
        assert_eq!(&banner, b"SSH-");
    });
    still_serves(&line);
}

#[test]
fn a_leg_without_a_header_is_ended_at_the_deadline() {
    let line = line();
    let identity = admitted(&line);
    raw_runtime().block_on(async {
        let raw = Raw::connect(line.host()).await;
        let (_answer, _send, _recv) = raw.greet(&identity).await;
        let (_send, recv) = raw.say(&[0, 0]).await;
        assert_eq!(is_reset(recv).await, CloseCode::Deadline as u64);
    });
    still_serves(&line);
}

#[test]
fn a_client_of_another_version_is_told_so_and_not_punished() {
    let line = line();
    raw_runtime().block_on(async {
        for _ in 0..20 {
            let raw = Raw::connect(line.host()).await;
            let hello = [&[0, 0, 0, 9, 1, 0, 0, 0, 7][..], b"more"].concat();
            let (_send, mut recv) = raw.say(&hello).await;
            let answer = timeout(SOON, read_frame(&mut recv, MAX_CONTROL_FRAME)).await.expect("in time");
            let Ok(Frame::Refused(refusal)) = Frame::decode(&answer.expect("a frame")) else {
                panic!("not refused")
            };
            assert_eq!(refusal.code, RefusalCode::Version);
            assert!(refusal.sentence.contains("speaks version 1 of irosh/1, and your client version 7"));
        }
    });
    still_serves(&line);
}

#[test]
fn a_stranger_that_says_nothing_is_closed_at_the_deadline() {
    let line = line();
    raw_runtime().block_on(async {
        let raw = Raw::connect(line.host()).await;
        assert_eq!(raw.closed().await, CloseCode::Deadline as u64);
        // One that opens a stream and stops within a frame is no better.
        let raw = Raw::connect(line.host()).await;
        let _streams = raw.say(&[0, 0, 0, 100, 1]).await;
        assert_eq!(raw.closed().await, CloseCode::Deadline as u64);
    });
    line.host().daemon.stderr.wait_for("it did not say who it is within 1 s");
    still_serves(&line);
}

#[test]
fn a_stranger_gets_a_few_streams_of_the_thousand_it_wants() {
    let line = line();
    raw_runtime().block_on(async {
        let raw = Raw::connect(line.host()).await;
        let mut streams = Vec::new();
        let opening = async {
            for _ in 0..1000 {
                let Ok((mut send, recv)) = raw.connection.open_bi().await else { break };
                let _ = send.write_all(&[0]).await;
                streams.push((send, recv));
            }
        };
        let _ = timeout(SOON, opening).await;
        assert!(streams.len() <= 16, "{} streams", streams.len());
        assert_eq!(raw.closed().await, CloseCode::Deadline as u64);
    });
    still_serves(&line);
}

#[test]
fn a_stranger_gets_rid_of_a_few_bytes_only() {
    let line = line();
    raw_runtime().block_on(async {
        let raw = Raw::connect(line.host()).await;
        let (_first, _recv) = raw.say(&[0, 0]).await;
        let (mut second, _recv) = raw.say(&[0]).await;
        let mut sent = 0;
        while let Ok(count) = second.write(&[0; 1 << 10]).await {
            sent += count;
            if sent > 64 << 20 {
                break;
            }
        }
        let moved = raw.connection.stats().udp_tx.bytes;
        // What is written waits here; what has left is bounded by what the host gave credit for.
        assert!(moved < 512 << 10, "{moved} bytes left");
    });
    still_serves(&line);
}

#[test]
fn a_proof_of_another_connection_is_refused() {
    let line = line();
    let identity = admitted(&line);
    raw_runtime().block_on(async {
        let first = Raw::connect(line.host()).await;
        let second = Raw::connect(line.host()).await;
        let stolen = Frame::Hello(first.hello(&identity).into()).encode();
        let (_send, mut recv) = second.say(&stolen).await;
        let answer = timeout(SOON, read_frame(&mut recv, MAX_CONTROL_FRAME)).await.expect("in time");
        let Ok(Frame::Refused(refusal)) = Frame::decode(&answer.expect("a frame")) else {
            panic!("not refused")
        };
        assert_eq!(refusal.code, RefusalCode::BadProof);
        assert_eq!(second.closed().await, CloseCode::Refused as u64);
    });
    still_serves(&line);
}

#[test]
fn sessions_of_a_stranger_never_reach_the_backend() {
    let line = line();
    raw_runtime().block_on(async {
        let raw = Raw::connect(line.host()).await;
        let (_leg_send, mut leg) = {
            let control = raw.say(&Frame::Hello(raw.hello(&SecretKey::generate()).into()).encode()).await;
            let leg = raw.say(&LegHeader::Open(SessionId::generate()).encode()).await;
            drop(control);
            leg
        };
        let read = timeout(SOON, leg.read_to_end(100)).await.expect("in time");
        assert!(matches!(read, Err(ReadToEndError::Read(_))) || read.is_ok_and(|bytes| bytes.is_empty()));
    });
    still_serves(&line);
    assert_eq!(line.host().count("session_started"), 1);
}

#[test]
fn an_address_that_has_to_prove_itself_gets_in() {
    // From half of the first number on, addresses are validated: here always.
    let line = Line::with_settings(Route::Exec, "[limits]\nmax-startups = \"1:0:100\"\n");
    for _ in 0..3 {
        still_serves(&line);
    }
}

#[test]
fn who_comes_while_all_places_for_strangers_are_taken_gets_in_when_one_is_free() {
    let settings = "[limits]\nmax-startups = \"1:100:1\"\nlogin-grace-time = 2\n";
    let line = Line::with_settings(Route::Exec, settings);
    raw_runtime().block_on(async {
        let _silent = Raw::connect(line.host()).await;
        let ssh = tokio::task::spawn_blocking(move || {
            still_serves(&line);
            line
        });
        ssh.await.expect("served");
    });
}

#[test]
fn what_peers_have_sent_and_nobody_reads_is_bounded_in_all() {
    const CONNECTIONS: usize = 16;
    let line = line();
    let identity = admitted(&line);
    let setup = HostSetup::new(&line.folder.path().join("deaf"), "exec:sleep 1000");
    let host = setup.settings("[limits]\nmax-unread = 8\n").start();
    host.allow(&line.client.identity);
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.split_whitespace().next().and_then(|kib| kib.parse::<usize>().ok()).expect("a number") << 10
    };
    let before = memory();
    raw_runtime().block_on(async {
        let (mut crowd, mut legs) = (Vec::new(), tokio::task::JoinSet::new());
        for _ in 0..CONNECTIONS {
            let raw = Raw::connect(&host).await;
            let (answer, send, recv) = raw.greet(&identity).await;
            assert!(matches!(answer, Frame::Welcome(_)), "{answer:?}");
            crowd.push((raw, send, recv));
        }
        for (raw, ..) in &crowd {
            for _ in 0..4 {
                let (mut send, recv) = raw.say(&LegHeader::Open(SessionId::generate()).encode()).await;
                legs.spawn(async move {
                    let _held = recv;
                    // No credit for so long is no credit. Who sends more than the window loses the session.
                    while let Ok(Ok(_)) = timeout(NO_MORE, send.write(&[0; 64 << 10])).await {}
                    send
                });
            }
        }
        legs.join_all().await;
    });
    // All legs could have 512 MiB.
    let more = memory() - before;
    assert!(more < 64 << 20, "{more} bytes");
}

/// A QUIC Initial packet (RFC 9000 section 17.2.2) whose token and payload are random.
fn made_up_packet(seed: u64) -> Vec<u8> {
    let random = Random::bytes(seed, 1200);
    // Long header of version 1, connection ids of 8 bytes each, a token of 56 bytes.
    let mut packet =
        [&[0xc3, 0, 0, 0, 1, 8][..], &random[..8], &[8], &random[8..16], &[56], &random[16..72]].concat();
    let rest = 1200 - packet.len() - 2;
    packet.extend((0x4000 | u16::try_from(rest).expect("short")).to_be_bytes());
    packet.extend(&random[1200 - rest..]);
    packet
}

#[test]
fn a_first_packet_with_a_made_up_token_is_survived() {
    let line = line();
    let target: Target = line.host().ticket().parse().expect("a ticket");
    let addr = *target.addr().ip_addrs().next().expect("a direct address");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for seed in 0..200 {
        socket.send_to(&made_up_packet(seed), addr).expect("sent");
        socket.send_to(&Random::bytes(seed, 1 + 6 * seed as usize), addr).expect("sent");
    }
    still_serves(&line);
}
