//! A relay with QUIC address discovery at an address, until it is killed: for scripts/lab. It writes its certificate to a
//! file once it serves.

#[path = "../harness/relay.rs"]
#[allow(dead_code, reason = "a part of it is enough here")]
mod relay;

use anyhow::Context;
use relay::{Certificate, Relay};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, file] = &arguments[..] else { anyhow::bail!("usage: lab_relay ADDRESS FILE") };
    let certificate = Certificate::of(&[address], 2999);
    let _relay = Relay::with_discovery(&certificate, address.parse().context("no address")?);
    std::fs::write(file, &certificate.pem)?;
    loop {
        std::thread::park();
    }
}
