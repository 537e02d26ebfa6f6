//! Talks to a shell on a terminal: `cargo run --example interactive_shell`.
#![allow(clippy::print_stdout, reason = "it is an example")]

mod support;

use irosh::client::{ClientOptions, Exit, PtyOptions, PtySize, Session, SessionEvent, SessionState};
use support::{Failed, Place, serve_if_asked};

fn main() -> Result<(), Failed> {
    serve_if_asked()?;
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<(), Failed> {
    let place = Place::start().await?;
    let mut session = place.client.connect(&place.target, ClientOptions::new(&place.login)).await?;
    session.request_pty(&PtyOptions::new("xterm", PtySize::new(80, 24))).await?;
    session.start_shell().await?;
    session.send("stty size; echo first $((6 * 7))\n").await?;
    until(&mut session, "first 42").await?;
    // A window that is made larger.
    session.resize(PtySize::new(132, 50)).await?;
    session.send("stty size; exit 7\n").await?;
    until(&mut session, "50 132").await?;
    while let Some(event) = session.next_event().await {
        if let SessionEvent::ExitStatus(status) = event {
            println!("the shell ended with status {status}");
            assert_eq!(status, 7);
        }
    }
    assert_eq!(session.state(), SessionState::Closed(Some(Exit::Status(7))));
    place.end().await
}

/// Prints what the shell says until these words have come.
async fn until(session: &mut Session, words: &str) -> Result<(), Failed> {
    let mut said = String::new();
    while !said.contains(words) {
        match session.next_event().await.ok_or("the shell has left")? {
            SessionEvent::Stdout(bytes) => said.push_str(&String::from_utf8_lossy(&bytes)),
            SessionEvent::Closed => return Err("the shell has left".into()),
            _ => {}
        }
    }
    println!("{said}");
    Ok(())
}
