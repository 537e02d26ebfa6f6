//! Forwards ports both ways through one connection: `cargo run --example tunnel`.
#![allow(clippy::print_stdout, reason = "it is an example")]

mod support;

use irosh::client::{
    ClientOptions,
    forward::{Listen, Place as To, RemoteListen},
};
use support::{Failed, Place, serve_if_asked};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn main() -> Result<(), Failed> {
    serve_if_asked()?;
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<(), Failed> {
    // What is to be reached.
    let greeter = TcpListener::bind("127.0.0.1:0").await?;
    let port = greeter.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = greeter.accept().await {
            let _ = stream.write_all(b"hello").await;
        }
    });

    let place = Place::start().await?;
    let options = ClientOptions::new(&place.login);
    let connection = place.client.connect_without_session(&place.target, options).await?;
    // As `ssh -L 0:127.0.0.1:PORT`, `-R` and `-D`: any free port here, and any at the host.
    let local = connection.local_forward(&Listen::Loopback(0), To::tcp("127.0.0.1", port)).await?;
    let remote = connection.remote_forward(RemoteListen::loopback(0), To::tcp("127.0.0.1", port)).await?;
    let socks = connection.dynamic_forward(&Listen::Loopback(0)).await?;
    for (what, forward) in [("local", &local), ("remote", &remote)] {
        let at = forward.port().ok_or("a port")?;
        let mut said = String::new();
        TcpStream::connect(("127.0.0.1", at)).await?.read_to_string(&mut said).await?;
        println!("{what} forward on port {at}: {said}");
        assert_eq!(said, "hello");
    }
    println!("a SOCKS proxy on port {}", socks.port().ok_or("a port")?);

    // One that is cancelled listens no more.
    let at = local.port().ok_or("a port")?;
    local.cancel().await?;
    assert!(TcpStream::connect(("127.0.0.1", at)).await.is_err());
    connection.disconnect().await;
    place.end().await
}
