//! Forwards a port here to one that the host sees, as `ssh -L` does, and has a SOCKS proxy, as `ssh -D`:
//! `cargo run --example tunnel alice@box 127.0.0.1 5432`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is an example")]

use irosh::client::forward::{Listen, Place};

#[tokio::main]
async fn main() -> irosh::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [target, address, port] = &arguments[..] else {
        eprintln!("usage: tunnel [USER@]HOST ADDRESS PORT");
        return Ok(());
    };
    let port = port.parse().expect("a port");
    let host = irosh::connect(target).await?;
    // Any port that is free here; it is forwarded for as long as this value lives.
    let forward = host.local_forward(&Listen::Loopback(0), Place::tcp(address, port)).await?;
    let socks = host.dynamic_forward(&Listen::Loopback(0)).await?;
    println!("forward on port {}", forward.port().expect("a port"));
    println!("SOCKS proxy on port {}", socks.port().expect("a port"));
    let why = host.wait_disconnected().await;
    Err(why.into())
}
