//! Moves bytes over one bare iroh stream with the project's own endpoints: what a bridge is measured against.
//!
//! `bare-stream serve` prints a ticket and serves one transfer; `bare-stream up TICKET BYTES` and
//! `bare-stream down TICKET BYTES` move bytes. All print the CPU seconds that they took.

use std::io::Write;

use anyhow::{Context, bail};
use bytes::Bytes;
use iroh::SecretKey;
use iroh_tickets::endpoint::EndpointTicket;
use irosh::transport::{
    ALPN, Bind, NameService, Network, Relay, admit, bind_client, bind_host, close_quickly,
};

fn network() -> anyhow::Result<Network> {
    let bind = Bind(vec!["127.0.0.1:0".parse()?]);
    Ok(Network { relay: Relay::None, dns: NameService::None, bind, ..Network::default() })
}

fn cpu_seconds() -> anyhow::Result<f64> {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

async fn send(stream: &mut iroh::endpoint::SendStream, mut left: u64) -> anyhow::Result<()> {
    let block = Bytes::from(vec![0; 256 << 10]);
    while left > 0 {
        let count = left.min(block.len() as u64);
        stream.write_chunk(block.slice(..count as usize)).await?;
        left -= count;
    }
    stream.finish()?;
    stream.stopped().await?;
    Ok(())
}

async fn receive(stream: &mut iroh::endpoint::RecvStream) -> anyhow::Result<u64> {
    let mut chunks = [const { Bytes::new() }; 64];
    let mut total = 0;
    while let Some(count) = stream.read_many_chunks(&mut chunks).await? {
        total += chunks[..count].iter().map(|chunk| chunk.len() as u64).sum::<u64>();
    }
    Ok(total)
}

async fn serve() -> anyhow::Result<()> {
    let endpoint = bind_host(&network()?, SecretKey::generate(), false).await?;
    while endpoint.addr().is_empty() {
        tokio::task::yield_now().await;
    }
    writeln!(std::io::stdout(), "{}", EndpointTicket::new(endpoint.addr()))?;
    let connection = endpoint.accept().await.context("closed")?.await?;
    admit(&connection, 1, 128 << 20);
    let (mut to, mut from) = connection.accept_bi().await?;
    let mut header = [0; 8];
    from.read_exact(&mut header).await?;
    match u64::from_be_bytes(header) {
        0 => to.write_all(&receive(&mut from).await?.to_be_bytes()).await?,
        bytes => send(&mut to, bytes).await?,
    }
    let _ = to.finish();
    connection.closed().await;
    Ok(())
}

async fn dial(ticket: &str, bytes: u64, up: bool) -> anyhow::Result<()> {
    let endpoint = bind_client(&network()?).await?;
    let ticket: EndpointTicket = ticket.parse()?;
    let connection = endpoint.connect(ticket.endpoint_addr().clone(), ALPN).await?;
    let (mut to, mut from) = connection.open_bi().await?;
    to.write_all(&if up { 0 } else { bytes }.to_be_bytes()).await?;
    let moved = if up {
        send(&mut to, bytes).await?;
        let mut moved = [0; 8];
        from.read_exact(&mut moved).await?;
        u64::from_be_bytes(moved)
    } else {
        to.finish()?;
        receive(&mut from).await?
    };
    if moved != bytes {
        bail!("{moved} bytes of {bytes} arrived");
    }
    connection.close(0_u32.into(), b"");
    close_quickly(&endpoint).await;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        // As many threads as the host and the proxy have.
        ["serve"] => tokio::runtime::Runtime::new()?.block_on(serve())?,
        [way @ ("up" | "down"), ticket, bytes] => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(dial(ticket, bytes.parse()?, way == "up"))?;
        }
        _ => bail!("bare-stream serve | up TICKET BYTES | down TICKET BYTES"),
    }
    writeln!(std::io::stdout(), "cpu {:.3}", cpu_seconds()?)?;
    Ok(())
}
