//! Forwards of ports and sockets, both ways, and SOCKS.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use crate::servers::{DEADLINE, Random, Server};
use irosh::client::{
    ConnectionEvent,
    forward::{Bound, ForwardError, Listen, Place, RemoteListen},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::timeout,
};

on_every_server!(
    a_local_forward_keeps_both_half_closes,
    a_server_that_speaks_first_is_heard,
    a_target_that_is_not_there_is_told_and_reset,
    a_remote_forward_brings_connections_here_on_a_port_of_the_servers_choice,
    remote_forwards_at_once_each_get_a_port_and_their_own_target,
    a_remote_target_that_is_not_there_closes,
    sockets_are_forwarded_here,
    sockets_are_forwarded_there,
    sixty_four_connections_at_once_with_one_that_stands_still,
    sixty_four_connections_from_there_with_one_that_stands_still,
    a_forward_ends_when_it_is_cancelled_and_connections_go_on,
    a_remote_forward_that_is_cancelled_or_dropped_is_gone,
    socks_of_every_version_is_understood_by_curl,
    a_direct_stream_is_like_a_socket,
    an_agent_is_lent,
    a_forward_twice_is_refused,
    a_lost_connection_resets_what_it_carried,
    a_lost_connection_leaves_a_socket_that_takes_nothing,
    a_client_that_leaves_ends_what_is_sent_to_it,
);

/// A listener that greets, echoes, and says goodbye after the end of input.
async fn echo() -> (u16, Place) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo_on(stream));
        }
    });
    (port, Place::tcp("127.0.0.1", port))
}

async fn echo_on(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = vec![0; 1 << 16];
    if stream.write_all(b"hello ").await.is_err() {
        return;
    }
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    let _ = stream.write_all(b" bye").await;
    let _ = stream.shutdown().await;
}

/// What comes back for some bytes.
async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sending = async {
        writer.write_all(bytes).await.expect("written");
        writer.shutdown().await.expect("shut down");
    };
    let mut got = Vec::new();
    let reading = async { reader.read_to_end(&mut got).await.expect("read") };
    tokio::join!(sending, reading);
    got
}

async fn assert_echo(stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) {
    let got = talk(stream, bytes).await;
    assert!(got.starts_with(b"hello ") && got.ends_with(b" bye"), "{} bytes", got.len());
    assert!(&got[6..got.len() - 4] == bytes, "{} bytes", got.len());
}

async fn dial(port: Option<u16>) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port.expect("a port"))).await.expect("connected")
}

async fn a_local_forward_keeps_both_half_closes(server: Server) {
    let session = server.connect().await;
    let (_, target) = echo().await;
    let forward = session.connection().local_forward(&Listen::Loopback(0), target).await.expect("forwarded");
    let Bound::Addresses(addresses) = forward.bound() else { panic!("addresses") };
    assert!(addresses.iter().all(|address| address.ip().is_loopback()));
    assert_echo(dial(forward.port()).await, &Random::new(2).bytes(3 << 20)).await;
    assert_echo(dial(forward.port()).await, b"").await;
}

async fn a_server_that_speaks_first_is_heard(server: Server) {
    let session = server.connect().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 welcome").await;
        }
    });
    let listen = Listen::Loopback(0);
    let forward =
        session.connection().local_forward(&listen, Place::tcp("localhost", port)).await.expect("forwarded");
    for _ in 0..50 {
        let mut got = Vec::new();
        dial(forward.port()).await.read_to_end(&mut got).await.expect("read");
        assert_eq!(got, b"220 welcome");
    }
}

async fn a_target_that_is_not_there_is_told_and_reset(server: Server) {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let options = server.options().on_event(move |event| drop(tell.send(event)));
    let session = irosh::client::connect(server.stream(), options).await.expect("connected");
    let port = free_port().await;
    let forward =
        session.connection().local_forward(&Listen::Loopback(0), Place::tcp("127.0.0.1", port)).await;
    let forward = forward.expect("forwarded");
    // The reset may come before this side knows that it is connected.
    let read = async {
        let mut stream = TcpStream::connect(("127.0.0.1", forward.port().expect("a port"))).await?;
        stream.read(&mut [0; 10]).await
    };
    assert_eq!(read.await.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
    let event = told.recv().await.expect("told");
    let expected = format!("127.0.0.1:{port}");
    assert!(
        matches!(&event, ConnectionEvent::ForwardFailed { target, .. } if *target == expected),
        "{event:?}"
    );
    assert_eq!(
        session.connection().open_direct("127.0.0.1", port).await.err(),
        Some(irosh::client::OpenError::ConnectFailed)
    );
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    listener.local_addr().expect("an address").port()
}

async fn a_remote_forward_brings_connections_here_on_a_port_of_the_servers_choice(server: Server) {
    let session = server.connect().await;
    let (_, target) = echo().await;
    let forward =
        session.connection().remote_forward(RemoteListen::loopback(0), target).await.expect("forwarded");
    assert!(forward.port().is_some_and(|port| port > 0));
    assert_echo(dial(forward.port()).await, &Random::new(3).bytes(3 << 20)).await;
    assert_echo(dial(forward.port()).await, b"").await;
}

async fn remote_forwards_at_once_each_get_a_port_and_their_own_target(server: Server) {
    let session = server.connect().await;
    let connection = session.connection();
    let gone = Place::tcp("127.0.0.1", free_port().await);
    let (_, target) = echo().await;
    let (one, other) = tokio::join!(
        connection.remote_forward(RemoteListen::loopback(0), target),
        connection.remote_forward(RemoteListen::loopback(0), gone),
    );
    let (one, other) = (one.expect("forwarded"), other.expect("forwarded as well"));
    assert_echo(dial(one.port()).await, b"here").await;
    let mut got = Vec::new();
    let _ = dial(other.port()).await.read_to_end(&mut got).await;
    assert!(got.is_empty());
}

async fn a_remote_target_that_is_not_there_closes(server: Server) {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let options = server.options().on_event(move |event| drop(tell.send(event)));
    let session = irosh::client::connect(server.stream(), options).await.expect("connected");
    let target = Place::tcp("127.0.0.1", free_port().await);
    let forward =
        session.connection().remote_forward(RemoteListen::loopback(0), target).await.expect("forwarded");
    let mut got = Vec::new();
    let _ = dial(forward.port()).await.read_to_end(&mut got).await;
    assert!(got.is_empty());
    assert!(matches!(told.recv().await, Some(ConnectionEvent::ForwardFailed { .. })));
}

async fn sockets_are_forwarded_here(server: Server) {
    let session = server.connect().await;
    let there = server.path("there");
    let listener = UnixListener::bind(&there).expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo_on(stream));
        }
    });
    let path = server.path("here");
    let listen = Listen::Socket { path: path.clone(), unlink: false };
    let forward = session.connection().local_forward(&listen, Place::Socket(there)).await.expect("forwarded");
    assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    assert_echo(UnixStream::connect(&path).await.expect("connected"), &Random::new(4).bytes(1 << 20)).await;
    forward.cancel().await.expect("cancelled");
    assert!(!path.exists());
}

async fn sockets_are_forwarded_there(server: Server) {
    let session = server.connect().await;
    let (_, target) = echo().await;
    let there = server.path("there");
    let listen = RemoteListen::Socket(there.clone());
    let forward = session.connection().remote_forward(listen, target).await.expect("forwarded");
    assert_echo(UnixStream::connect(&there).await.expect("connected"), &Random::new(5).bytes(1 << 20)).await;
    forward.cancel().await.expect("cancelled");
    assert!(UnixStream::connect(&there).await.is_err());
}

/// One connection that never reads, and many that do.
async fn crowd(port: Option<u16>) {
    let mut still = dial(port).await;
    let (mut reader, mut writer) = still.split();
    let stuff = async {
        // Its echo is never read, so this stops somewhere.
        let chunk = vec![0; 1 << 20];
        loop {
            if writer.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    let others = async {
        let all: Vec<_> = (0..64)
            .map(|seed| {
                tokio::spawn(
                    async move { assert_echo(dial(port).await, &Random::new(seed).bytes(400_000)).await },
                )
            })
            .collect();
        for one in all {
            one.await.expect("echoed");
        }
    };
    tokio::select! {
        () = stuff => panic!("the connection that stands still has ended"),
        () = others => {}
    }
    let mut hello = [0; 6];
    reader.read_exact(&mut hello).await.expect("still there");
    assert_eq!(&hello, b"hello ");
}

async fn sixty_four_connections_at_once_with_one_that_stands_still(server: Server) {
    let session = server.connect().await;
    let (_, target) = echo().await;
    let forward = session.connection().local_forward(&Listen::Loopback(0), target).await.expect("forwarded");
    crowd(forward.port()).await;
    assert!(session.capture_exec("true", 0).await.expect("run").success());
}

async fn sixty_four_connections_from_there_with_one_that_stands_still(server: Server) {
    let session = server.connect().await;
    let (_, target) = echo().await;
    let forward =
        session.connection().remote_forward(RemoteListen::loopback(0), target).await.expect("forwarded");
    crowd(forward.port()).await;
    assert!(session.capture_exec("true", 0).await.expect("run").success());
}

async fn a_forward_ends_when_it_is_cancelled_and_connections_go_on(server: Server) {
    let session = server.connect().await;
    let (_, target) = echo().await;
    let connection = session.connection();
    let forward = connection.local_forward(&Listen::Loopback(0), target.clone()).await.expect("forwarded");
    let port = forward.port();
    let mut stream = dial(port).await;
    stream.read_exact(&mut [0; 6]).await.expect("hello");
    forward.cancel().await.expect("cancelled");
    assert!(TcpStream::connect(("127.0.0.1", port.expect("a port"))).await.is_err());
    stream.write_all(b"still here").await.expect("written");
    stream.shutdown().await.expect("shut down");
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await.expect("read");
    assert_eq!(got, b"still here bye");
    // The same place can be used again at once.
    let listen = Listen::Loopback(port.expect("a port"));
    let again = connection.local_forward(&listen, target).await.expect("forwarded");
    drop(again);
    while TcpStream::connect(("127.0.0.1", port.expect("a port"))).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

async fn a_remote_forward_that_is_cancelled_or_dropped_is_gone(server: Server) {
    let session = server.connect().await;
    let (_, target) = echo().await;
    let connection = session.connection();
    let forward =
        connection.remote_forward(RemoteListen::loopback(0), target.clone()).await.expect("forwarded");
    let port = forward.port().expect("a port");
    forward.cancel().await.expect("cancelled");
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    let forward =
        connection.remote_forward(RemoteListen::loopback(port), target).await.expect("forwarded again");
    assert_eq!(forward.port(), Some(port));
    drop(forward);
    while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn socks_of_every_version_is_understood_by_curl(server: Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nfound").await;
        }
    });
    let session = server.connect().await;
    let forward = session.connection().dynamic_forward(&Listen::Loopback(0)).await.expect("forwarded");
    let proxy = forward.port().expect("a port");
    for scheme in ["socks4", "socks4a", "socks5", "socks5h"] {
        let host = if scheme == "socks4" { "127.0.0.1" } else { "localhost" };
        let output = tokio::process::Command::new("curl")
            .args(["-sS", "-4", "-m", "20", "-x", &format!("{scheme}://127.0.0.1:{proxy}")])
            .arg(format!("http://{host}:{port}/"))
            .output()
            .await
            .expect("curl");
        let (said, wrong) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(said, "found", "{scheme}: {wrong}");
    }
    let nowhere = free_port().await;
    let output = tokio::process::Command::new("curl")
        .args(["-sS", "-m", "20", "-x", &format!("socks5h://127.0.0.1:{proxy}")])
        .arg(format!("http://127.0.0.1:{nowhere}/"))
        .output()
        .await
        .expect("curl");
    assert_eq!(output.status.code(), Some(97), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn a_direct_stream_is_like_a_socket(server: Server) {
    let session = server.connect().await;
    let (port, _) = echo().await;
    let stream = session.connection().open_direct("127.0.0.1", port).await.expect("opened");
    assert_echo(stream, &Random::new(6).bytes(2 << 20)).await;
}

async fn an_agent_is_lent(server: Server) {
    let socket = server.path("agent");
    let listener = UnixListener::bind(&socket).expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // A question for identities is answered with none.
                let mut question = [0; 5];
                while stream.read_exact(&mut question).await.is_ok() {
                    let _ = stream.write_all(&[0, 0, 0, 5, 12, 0, 0, 0, 0]).await;
                }
            });
        }
    });
    let lent = irosh::client::connect(server.stream(), server.options().forward_agent(Some(socket))).await;
    let output = lent.expect("connected").capture_exec("ssh-add -l", 1000).await.expect("run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("no identities"), "{said} {}", String::from_utf8_lossy(&output.stderr));
    let without = server.connect().await.capture_exec("echo \"<$SSH_AUTH_SOCK>\"", 100).await.expect("run");
    assert_eq!(without.stdout, b"<>\n");
}

async fn a_forward_twice_is_refused(server: Server) {
    let session = server.connect().await;
    let connection = session.connection();
    let target = Place::tcp("127.0.0.1", 1);
    let first =
        connection.remote_forward(RemoteListen::loopback(0), target.clone()).await.expect("forwarded");
    let port = first.port().expect("a port");
    let second = connection.remote_forward(RemoteListen::loopback(port), target.clone()).await;
    assert!(matches!(second, Err(ForwardError::Twice(_))));
    let local = connection.local_forward(&Listen::Loopback(0), target.clone()).await.expect("forwarded");
    let taken = Listen::Loopback(local.port().expect("a port"));
    assert!(matches!(
        connection.local_forward(&taken, target.clone()).await,
        Err(ForwardError::Listen { .. })
    ));
    // A port that somebody else has there.
    let other = RemoteListen::loopback(local.port().expect("a port"));
    assert!(matches!(connection.remote_forward(other, target).await, Err(ForwardError::Refused(_))));
}

async fn a_lost_connection_resets_what_it_carried(server: Server) {
    let session = server.connect().await;
    let (_, target) = echo().await;
    let forward = session.connection().local_forward(&Listen::Loopback(0), target).await.expect("forwarded");
    let mut stream = dial(forward.port()).await;
    stream.read_exact(&mut [0; 6]).await.expect("hello");
    server.kill();
    let read = stream.read(&mut [0; 10]).await;
    assert_eq!(read.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
}

async fn a_lost_connection_leaves_a_socket_that_takes_nothing(server: Server) {
    let session = server.connect().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let target = Place::tcp("127.0.0.1", listener.local_addr().expect("an address").port());
    let path = server.path("near");
    let listen = Listen::Socket { path: path.clone(), unlink: false };
    let _forward = session.connection().local_forward(&listen, target).await.expect("forwarded");
    let mut near = UnixStream::connect(&path).await.expect("connected");
    let (mut far, _) = listener.accept().await.expect("a connection");
    tokio::spawn(async move {
        let chunk = vec![7; 64 << 10];
        while far.write_all(&chunk).await.is_ok() {}
    });
    // From here on it takes nothing, and much more is on its way than fits.
    near.read_exact(&mut vec![0; 1 << 20]).await.expect("some of it");
    server.kill();
    // It sees the end of the other side without reading.
    let chunk = vec![7; 64 << 10];
    let written = timeout(DEADLINE, async { while near.write_all(&chunk).await.is_ok() {} });
    written.await.expect("it was left");
}

async fn a_client_that_leaves_ends_what_is_sent_to_it(server: Server) {
    let session = server.connect().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let target = Place::tcp("127.0.0.1", listener.local_addr().expect("an address").port());
    let forward = session.connection().local_forward(&Listen::Loopback(0), target).await.expect("forwarded");
    let mut near = dial(forward.port()).await;
    let (mut far, _) = listener.accept().await.expect("a connection");
    let endless = tokio::spawn(async move {
        let chunk = vec![7; 64 << 10];
        while far.write_all(&chunk).await.is_ok() {}
    });
    near.read_exact(&mut [0; 1000]).await.expect("some of it");
    drop(near);
    // The server closes the connection, which the target notices.
    endless.await.expect("it has ended");
}
