//! A shell on a host, on the terminal that this runs on: `cargo run --example interactive_shell alice@box`.
#![allow(clippy::print_stderr, reason = "it is an example")]

use std::io::{Write as _, stdin, stdout};

use irosh::client::{SessionEvent, terminal::Terminal};

#[tokio::main]
async fn main() {
    let ended = run(&std::env::args().nth(1).unwrap_or_default()).await;
    let status = ended.map_err(|error| eprintln!("{error}")).unwrap_or(255);
    // Not by a return, which would wait for the thread that waits for what is typed.
    std::process::exit(status.cast_signed())
}

async fn run(target: &str) -> irosh::Result<u32> {
    let terminal = Terminal::of(stdin())?.expect("a terminal");
    let mut shell = irosh::connect(target).await?.open_session().await?;
    shell.request_pty(&terminal.pty_options()).await?;
    shell.start_shell().await?;
    let raw = terminal.raw()?;
    let (mut typed, mut sizes) = (irosh::stdio::Input::stdin()?, terminal.sizes(Some(&raw))?);
    let mut status = 255;
    loop {
        tokio::select! {
            event = shell.next_event() => match event? {
                Some(SessionEvent::Stdout(bytes)) => stdout().write_all(&bytes).and_then(|()| stdout().flush())?,
                Some(SessionEvent::ExitStatus(ended)) => status = ended,
                Some(_) => {}
                None => return Ok(status),
            },
            size = sizes.next() => shell.resize(size).await?,
            bytes = typed.next() => match bytes? {
                gone if gone.is_empty() => return Ok(status),
                bytes => shell.send_bytes(bytes).await.unwrap_or_default(), // the last may find nobody
            },
        }
    }
}
