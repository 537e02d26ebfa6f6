//! A program that is host and client in one, with SSH served within it and no program run for it:
//! `cargo run --example embed`.
#![allow(clippy::print_stdout, reason = "it is an example")]

mod support;

use std::sync::Arc;

use irosh::{
    client::{ClientOptions, HostKeyPolicy, connect},
    server::{ServeOptions, serve},
};
use support::{Failed, Place, serve_if_asked};

fn main() -> Result<(), Failed> {
    serve_if_asked()?;
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<(), Failed> {
    // Over the network: a host within this program, which several sessions share a connection to.
    let place = Place::start().await?;
    let session = place.client.connect(&place.target, ClientOptions::new(&place.login)).await?;
    let second = session.open_session().await?;
    let (one, two) =
        tokio::try_join!(session.capture_exec("echo one", 100), second.capture_exec("echo two", 100))?;
    print!("{}{}", String::from_utf8_lossy(&one.stdout), String::from_utf8_lossy(&two.stdout));
    assert_eq!((one.stdout.as_slice(), two.stdout.as_slice()), (&b"one\n"[..], &b"two\n"[..]));

    // Over any stream: server and client joined by a pipe.
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let (reader, writer) = tokio::io::split(theirs);
    let options = ServeOptions {
        config: Arc::default(),
        host_key: place.folder.path().join("key"),
        vouched_logins: vec![place.login.clone()],
        ..ServeOptions::default()
    };
    let serving = tokio::spawn(serve(reader, writer, options));
    let trusting = HostKeyPolicy::Callback(Box::new(|key| {
        println!("the server shows {}", key.fingerprint(irosh::client::HashAlg::Sha256));
        true
    }));
    let session = connect(ours, ClientOptions::new(&place.login).host_keys(trusting)).await?;
    let connection = session.connection();
    let output = session.capture_exec("echo three", 100).await?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.stdout, b"three\n");
    connection.disconnect().await;
    serving.await??;
    place.end().await
}
