//! Talks to a shell on a terminal: `cargo run --example interactive_shell alice@box`.
#![allow(clippy::print_stdout, reason = "it is an example")]

use irosh::client::{PtyOptions, PtySize, SessionEvent};

#[tokio::main]
async fn main() -> irosh::Result<()> {
    let host = irosh::connect(std::env::args().nth(1).unwrap_or_default()).await?;
    let mut session = host.open_session().await?;
    session.request_pty(&PtyOptions::new("xterm", PtySize::new(80, 24))).await?;
    session.start_shell().await?;
    session.send("stty size; echo first $((6 * 7))\n").await?;
    let (mut said, mut resized) = (String::new(), false);
    while let Some(event) = session.next_event().await {
        match event {
            SessionEvent::Stdout(bytes) => said.push_str(&String::from_utf8_lossy(&bytes)),
            SessionEvent::ExitStatus(status) => {
                said.push_str(&format!("[the shell ended with status {status}]\n"))
            }
            _ => {}
        }
        if !resized && said.contains("first 42") {
            // A window that is made larger.
            session.resize(PtySize::new(132, 50)).await?;
            session.send("stty size; exit 7\n").await?;
            resized = true;
        }
    }
    println!("{said}");
    host.disconnect().await;
    Ok(())
}
