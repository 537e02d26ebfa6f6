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
    // Its status may come before its last words.
    while session.next_event().await.is_some() {}
    let SessionState::Closed(Some(Exit::Status(status))) = session.state() else {
        return Err("the shell has left without a status".into());
    };
    println!("the shell ended with status {status}");
    assert_eq!(status, 7);
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
