//! Runs a command on a host and collects what it says: `cargo run --example run_command`.
#![allow(clippy::print_stdout, reason = "it is an example")]

mod support;

use irosh::client::{ClientOptions, Exit};
use support::{Failed, Place, serve_if_asked};

fn main() -> Result<(), Failed> {
    serve_if_asked()?;
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<(), Failed> {
    let place = Place::start().await?;
    let session = place.client.connect(&place.target, ClientOptions::new(&place.login)).await?;
    let server = session.remote_metadata();
    println!("connected to {:?}", server);

    // At most 1 MiB of each kind of output is kept.
    let output = session.capture_exec("echo hello; echo trouble >&2; exit 3", 1 << 20).await?;
    println!("stdout: {:?}", String::from_utf8_lossy(&output.stdout));
    println!("stderr: {:?}", String::from_utf8_lossy(&output.stderr));
    println!("{}", output.exit);
    assert_eq!((output.stdout.as_slice(), output.exit), (&b"hello\n"[..], Exit::Status(3)));
    assert_eq!(output.stderr, b"trouble\n");
    place.end().await
}
