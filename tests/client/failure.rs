//! Servers that go, freeze, or talk nonsense.

use std::time::Duration;

use crate::servers::{Kind, Random, Script, Scripted, Server, loss, wait_for};
use irosh::client::{
    ClientOptions, ConnectError, Disconnected, HostKeyPolicy, Phase, SessionError, SessionState,
};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

on_every_server!(
    a_server_that_is_killed_ends_every_session,
    a_server_that_freezes_is_found_by_keepalives,
    a_server_that_freezes_before_the_login_meets_the_deadline,
    a_stream_that_is_damaged_ends_the_connection,
    a_goodbye_ends_the_server,
    connecting_that_is_given_up_ends_the_server,
);

async fn a_server_that_is_killed_ends_every_session(server: Server) {
    let mut session = server.connect().await;
    session.exec("echo ready; cat").await.expect("started");
    wait_for(&mut session, "ready").await;
    let waiting = session.connection().open_session().await.expect("opened");
    let captured = tokio::spawn(async move { waiting.capture_exec("sleep 1000", 10).await });
    let mut idle = session.connection().open_session().await.expect("opened");
    server.kill();
    let why = loss(&mut session).await;
    assert_eq!(session.state(), SessionState::Disconnected(why.clone()));
    assert_eq!(session.next_event().await, Ok(None));
    assert_eq!(loss(&mut idle).await, why);
    let captured = captured.await.expect("joined");
    assert!(matches!(captured, Err(SessionError::Disconnected(_))), "{captured:?}");
    assert!(matches!(session.exec("true").await, Err(SessionError::Disconnected(_))));
    let sent = session.send("x").await;
    assert!(matches!(sent, Err(SessionError::Disconnected(_))), "{sent:?}");
    assert!(session.connection().open_session().await.is_err());
    assert!(matches!(
        session.resize(irosh::client::PtySize::new(1, 1)).await,
        Err(SessionError::Disconnected(_))
    ));
}

async fn a_server_that_freezes_is_found_by_keepalives(server: Server) {
    if server.kind == Kind::Embedded {
        return crate::harness::skip("no process of its own to freeze");
    }
    let options = server.options().keepalive(Some(Duration::from_millis(300)), 2);
    let mut session = irosh::client::connect(server.stream(), options).await.expect("connected");
    session.exec("echo ready; cat").await.expect("started");
    wait_for(&mut session, "ready").await;
    server.signal(Signal::SIGSTOP);
    assert_eq!(loss(&mut session).await, Disconnected::Silent);
    assert_eq!(session.connection().disconnected(), Some(Disconnected::Silent));
    server.signal(Signal::SIGCONT);
}

async fn a_server_that_freezes_before_the_login_meets_the_deadline(server: Server) {
    if server.kind == Kind::Embedded {
        return crate::harness::skip("no process of its own to freeze");
    }
    let stream = server.stream();
    let limit = Duration::from_millis(700);
    // It freezes while the user thinks about the password of the key.
    crate::servers::new_key(&server.path("locked"), "ed25519", "open");
    server.authorize(&std::fs::read_to_string(server.path("locked.pub")).expect("read"));
    let server = std::sync::Arc::new(server);
    let freezing = std::sync::Arc::clone(&server);
    let prompt = move |_: irosh::client::auth::Question<'_>| {
        freezing.signal(Signal::SIGSTOP);
        Some(irosh::client::auth::Secret::new("open".to_owned()))
    };
    let standard = irosh::client::auth::Standard::new(server.with_files(&["locked"])).prompt(prompt);
    let options = server.options().authenticator(standard).authentication_deadline(limit);
    let error = irosh::client::connect(stream, options).await.expect_err("frozen");
    server.signal(Signal::SIGCONT);
    assert!(matches!(error, ConnectError::Deadline { phase: Phase::Authentication, .. }), "{error}");
}

/// Changes one byte of what the server sends, after so many.
async fn damage(server: &Server, after: usize) -> DuplexStream {
    let (mut reader, mut writer) = server.stream().into_split();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (mut from_client, mut to_client) = tokio::io::split(theirs);
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut writer).await });
    tokio::spawn(async move {
        let (mut buffer, mut seen) = (vec![0; 1 << 14], 0);
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            if (seen..seen + count).contains(&after) {
                buffer[after - seen] ^= 0x55;
            }
            seen += count;
            if to_client.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
        let _ = to_client.shutdown().await;
    });
    ours
}

async fn a_stream_that_is_damaged_ends_the_connection(server: Server) {
    for after in [5, 60, 300, 700, 1200, 1500, 1600, 1700, 2000, 60_000] {
        let limit = Duration::from_millis(1500);
        let options = server.options().handshake_deadline(limit).authentication_deadline(limit);
        let options = options.keepalive(Some(Duration::from_millis(500)), 2);
        let connected = irosh::client::connect(damage(&server, after).await, options).await;
        if let Ok(session) = connected {
            let output = session.capture_exec("head -c 1000000 /dev/zero", 2_000_000).await;
            assert!(output.is_err(), "byte {after} was changed, and nobody has noticed");
        }
    }
}

async fn a_goodbye_ends_the_server(server: Server) {
    let session = server.connect().await;
    session.disconnect().await;
    if server.kind == crate::servers::Kind::OpenSsh {
        while !server.log().contains("disconnected by user") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn connecting_that_is_given_up_ends_the_server(server: Server) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (mut from_client, mut to_client) = tokio::io::split(theirs);
    {
        let connecting = irosh::client::connect(ours, server.options());
        let mut first = [0; 8];
        tokio::select! {
            result = connecting => panic!("{result:?}"),
            // The client's identification has come.
            result = from_client.read(&mut first) => drop(result.expect("read")),
        }
    }
    let mut rest = Vec::new();
    from_client.read_to_end(&mut rest).await.expect("the end of the stream");
    let _ = to_client.shutdown().await;
}

#[tokio::test]
async fn output_that_is_cut_off_after_the_status_is_no_success() {
    let script = Script { open: true, cut_off: Some("the first half"), ..Script::default() };
    let (stream, host_keys) = Scripted::start(script);
    let options = ClientOptions::new("me").host_keys(host_keys);
    let session = irosh::client::connect(stream, options).await.expect("connected");
    let captured = session.capture_exec("anything", 100).await;
    assert!(matches!(captured, Err(SessionError::Disconnected(_))), "{captured:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_session_whose_server_takes_nothing_is_closed() {
    let script = Script { open: true, takes_nothing: true, ..Script::default() };
    let closed = script.closed.clone();
    let (stream, host_keys) = Scripted::start(script);
    let options = ClientOptions::new("me").host_keys(host_keys).keepalive(None, 0);
    let session = irosh::client::connect(stream, options).await.expect("connected");
    session.send(vec![0; 5 << 20]).await.expect("queued");
    drop(session);
    closed.cancelled().await;
}

mod nonsense {
    use super::*;

    fn options() -> ClientOptions {
        let limit = Duration::from_millis(400);
        ClientOptions::new("me").host_keys(HostKeyPolicy::callback(|_| true)).handshake_deadline(limit)
    }

    async fn answer(bytes: Vec<u8>, close: bool) -> ConnectError {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let talking = tokio::spawn(async move {
            let _ = theirs.write_all(&bytes).await;
            if close {
                let _ = theirs.shutdown().await;
            }
            let mut sink = Vec::new();
            let _ = theirs.read_to_end(&mut sink).await;
        });
        let error = irosh::client::connect(ours, options()).await.expect_err("nonsense");
        talking.await.expect("the client has closed the stream");
        error
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_meets_the_deadline() {
        let error = answer(Vec::new(), false).await;
        assert!(matches!(error, ConnectError::Deadline { phase: Phase::Handshake, .. }), "{error}");
        let error = answer(b"SSH-2.0-slow\r\n".to_vec(), false).await;
        assert!(matches!(error, ConnectError::Deadline { phase: Phase::Handshake, .. }), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_closes_at_once_is_gone() {
        let error = answer(Vec::new(), true).await;
        let gone = ConnectError::Disconnected { phase: Phase::Handshake, why: Disconnected::Gone };
        assert_eq!(error.to_string(), gone.to_string());
        let error = answer(b"SSH-2.0-x\r\n".to_vec(), true).await;
        assert_eq!(error.to_string(), gone.to_string());
    }

    #[tokio::test]
    async fn what_is_no_ssh_server_is_called_so() {
        let lines = "HTTP/1.1 400 Bad Request\r\n".repeat(5000).into_bytes();
        assert!(matches!(answer(lines, true).await, ConnectError::NotSsh));
        assert!(matches!(answer(vec![b'x'; 100_000], true).await, ConnectError::NotSsh));
    }

    #[tokio::test]
    async fn random_packets_end_in_an_error() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let mut bytes = b"SSH-2.0-OpenSSH_9.9\r\n".to_vec();
            for _ in 0..5 {
                let length = usize::from(random.bytes(1)[0]) + 8;
                let mut packet = random.bytes(length);
                packet[0] = (packet[0] % 8).min(u8::try_from(length - 6).unwrap_or(8));
                packet[1] = [20, 31, 1, 2, 21, 7, 52, 94][usize::from(packet[1] % 8)];
                bytes.extend(u32::try_from(length).expect("small").to_be_bytes());
                bytes.extend(packet);
            }
            answer(bytes, true).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_answers_no_open_keeps_no_connection() {
    let script = Script { open: true, opens_nothing: true, ..Script::default() };
    let left = script.left.clone();
    let (stream, policy) = Scripted::start(script);
    let options = ClientOptions::new("me").host_keys(policy);
    let connection = irosh::client::connect_without_session(stream, options).await.expect("connected");
    let opening = connection.clone();
    let opening = tokio::spawn(async move { opening.open_session().await.map(drop) });
    drop(connection);
    tokio::select! {
        () = left.cancelled() => panic!("somebody waits for it"),
        // What is on its way has gone when the clock moves on: nothing ends as long as somebody waits.
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    opening.abort();
    tokio::time::timeout(crate::servers::DEADLINE, left.cancelled()).await.expect("it has ended");
}
