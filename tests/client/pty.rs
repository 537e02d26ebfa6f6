//! Terminals.

use crate::servers::{Said, Server, wait_for};
use irosh::client::{PtyMode, PtyOptions, PtySize, SessionError, SessionEvent};

on_every_server!(
    a_terminal_has_its_size_its_kind_and_its_modes,
    a_terminal_is_resized,
    an_interrupt_typed_ends_the_command,
    a_login_shell_talks_on_a_terminal,
    a_break_is_answered,
);

fn size() -> PtySize {
    PtySize { columns: 91, rows: 37, width_px: 910, height_px: 740 }
}

async fn a_terminal_has_its_size_its_kind_and_its_modes(server: Server) {
    let mut session = server.connect().await;
    let mut options = PtyOptions::new("vt220", size());
    options.modes = vec![(PtyMode::ECHO, 0), (PtyMode::VINTR, 24), (PtyMode::TTY_OP_OSPEED, 38400)];
    session.request_pty(&options).await.expect("a terminal");
    session.exec("stty size; echo $TERM; stty -a; tty").await.expect("started");
    let said = Said::of(&mut session).await;
    let text = said.text();
    assert!(text.starts_with("37 91\r\nvt220\r\n"), "{text}");
    assert!(text.contains("intr = ^X") && text.contains(" -echo ") && text.contains("38400"), "{text}");
    assert!(text.contains("/dev/") && said.stderr.is_empty(), "{text}");
}

async fn a_terminal_is_resized(server: Server) {
    let mut session = server.connect().await;
    session.request_pty(&PtyOptions::new("xterm", size())).await.expect("a terminal");
    session
        .exec("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done")
        .await
        .expect("started");
    wait_for(&mut session, "ready").await;
    session.resize(PtySize::new(132, 50)).await.expect("sent");
    wait_for(&mut session, "50 132").await;
}

async fn an_interrupt_typed_ends_the_command(server: Server) {
    let mut session = server.connect().await;
    session.request_pty(&PtyOptions::new("xterm", size())).await.expect("a terminal");
    session.exec("echo ready; exec sleep 100").await.expect("started");
    wait_for(&mut session, "ready").await;
    session.send("\x03").await.expect("sent");
    let said = Said::of(&mut session).await;
    let ended = said.events.iter().any(|event| match event {
        SessionEvent::ExitSignal(signal) => signal.name == "INT",
        SessionEvent::ExitStatus(status) => *status != 0,
        _ => false,
    });
    assert!(ended, "{said:?}");
}

async fn a_login_shell_talks_on_a_terminal(server: Server) {
    let mut session = server.connect().await;
    session.request_pty(&PtyOptions::new("dumb", size())).await.expect("a terminal");
    session.start_shell().await.expect("started");
    session.send("echo $((6 * 7))th; exit 4\r").await.expect("sent");
    let said = Said::of(&mut session).await;
    assert!(said.text().contains("42th"), "{said:?}");
    assert!(said.events.contains(&SessionEvent::ExitStatus(4)), "{said:?}");
}

/// A server may refuse it, but has to say so.
async fn a_break_is_answered(server: Server) {
    let session = server.connect().await;
    session.request_pty(&PtyOptions::new("xterm", size())).await.expect("a terminal");
    session.exec("cat").await.expect("started");
    let answer = session.send_break(100).await;
    assert!(matches!(answer, Ok(()) | Err(SessionError::Refused("break"))), "{answer:?}");
}
