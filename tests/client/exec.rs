//! Commands and shells: bytes, streams, ends.

use crate::servers::{Kind, Random, Said, Server, wait_for};
use bytes::Bytes;
use irosh::client::{Exit, ExitSignal, Running, SessionError, SessionEvent, SessionState};

on_every_server!(
    bytes_come_back_as_they_were,
    stdout_and_stderr_stay_apart,
    the_exit_status_is_told,
    the_signal_that_ended_a_command_is_told,
    output_after_the_end_of_input_arrives,
    input_ends_only_when_it_is_ended,
    a_shell_takes_commands,
    a_signal_reaches_the_command,
    variables_are_set_where_the_server_allows,
    output_is_captured_up_to_a_cap,
    a_subsystem_is_a_stream,
    a_command_that_is_closed_is_hung_up_on,
    a_session_that_is_dropped_is_closed,
    states_follow_each_other,
    what_is_not_there_is_refused,
    commands_are_bytes,
    what_nobody_reads_is_not_waited_for,
    the_rest_is_known_of_the_server,
);

async fn bytes_come_back_as_they_were(server: Server) {
    let session = server.connect().await;
    session.exec("cat").await.expect("started");
    let bytes = Random::new(1).bytes(5 << 20);
    let (sender, mut events) = session.split();
    let sent = Bytes::from(bytes.clone());
    let feeding = tokio::spawn(async move {
        for at in (0..sent.len()).step_by(10_007) {
            sender.send(sent.slice(at..(at + 10_007).min(sent.len()))).await.expect("sent");
        }
        sender.eof();
    });
    let (mut got, mut exit) = (Vec::new(), None);
    while let Some(event) = events.next().await.expect("connected") {
        match event {
            SessionEvent::Stdout(data) => got.extend_from_slice(&data),
            SessionEvent::ExitStatus(status) => exit = Some(status),
            _ => {}
        }
    }
    feeding.await.expect("fed");
    assert!(got == bytes, "{} of {} bytes", got.len(), bytes.len());
    assert_eq!(exit, Some(0));
}

async fn stdout_and_stderr_stay_apart(server: Server) {
    let mut session = server.connect().await;
    session
        .exec("printf out; printf err >&2; head -c 300000 /dev/zero; printf more >&2")
        .await
        .expect("started");
    let said = Said::of(&mut session).await;
    assert_eq!((said.stdout.len(), said.stderr), (300_003, b"errmore".to_vec()));
}

async fn the_exit_status_is_told(server: Server) {
    let mut session = server.connect().await;
    session.exec("exit 37").await.expect("started");
    let said = Said::of(&mut session).await;
    assert!(said.events.contains(&SessionEvent::ExitStatus(37)), "{:?}", said.events);
    assert_eq!(said.events.last(), Some(&SessionEvent::Closed));
    assert_eq!(session.next_event().await, Ok(None));
}

async fn the_signal_that_ended_a_command_is_told(server: Server) {
    let mut session = server.connect().await;
    session.exec("kill -TERM $$").await.expect("started");
    let said = Said::of(&mut session).await;
    let told = said.events.iter().any(|event| {
        matches!(event, SessionEvent::ExitSignal(ExitSignal { name, core_dumped: false, .. }) if name == "TERM")
    });
    assert!(told, "{:?}", said.events);
}

async fn output_after_the_end_of_input_arrives(server: Server) {
    let mut session = server.connect().await;
    session.exec("cat; sleep 0.2; echo after; echo err >&2").await.expect("started");
    session.send("before ").await.expect("sent");
    session.eof();
    let said = Said::of(&mut session).await;
    assert_eq!((said.text().as_str(), said.stderr.as_slice()), ("before after\n", &b"err\n"[..]));
}

async fn input_ends_only_when_it_is_ended(server: Server) {
    let mut session = server.connect().await;
    session.exec("while read line; do echo \"<$line>\"; done; echo over").await.expect("started");
    for word in ["one", "two"] {
        session.send(format!("{word}\n")).await.expect("sent");
        wait_for(&mut session, &format!("<{word}>")).await;
    }
    session.eof();
    wait_for(&mut session, "over").await;
    assert_eq!(session.send("late").await, Err(SessionError::Closed));
}

async fn a_shell_takes_commands(server: Server) {
    let mut session = server.connect().await;
    session.start_shell().await.expect("started");
    session.send("echo sum=$((40 + 2)); exit 5\n").await.expect("sent");
    let said = Said::of(&mut session).await;
    assert!(said.text().contains("sum=42"), "{said:?}");
    assert!(said.events.contains(&SessionEvent::ExitStatus(5)), "{:?}", said.events);
}

async fn a_signal_reaches_the_command(server: Server) {
    if server.kind == Kind::OpenSsh && nix::unistd::geteuid().is_root() {
        // "session signalling requires privilege separation", which logins of root have none of.
        eprintln!("skipped: sshd takes no signals for root");
        return;
    }
    let mut session = server.connect().await;
    session
        .exec("trap 'echo caught; exit 3' USR1; echo ready; while :; do sleep 0.1; done")
        .await
        .expect("started");
    wait_for(&mut session, "ready").await;
    session.signal("SIGUSR1").await.expect("sent");
    let said = Said::of(&mut session).await;
    assert_eq!(said.text(), "caught\n");
    assert!(said.events.contains(&SessionEvent::ExitStatus(3)), "{:?}", said.events);
}

async fn variables_are_set_where_the_server_allows(server: Server) {
    let options = server.options().variable("LC_FIRST", "one two").variable("FORBIDDEN", "x");
    let mut session = irosh::client::connect(server.stream(), options).await.expect("connected");
    session.set_env(b"LC_SECOND", b"2").await.expect("allowed");
    assert_eq!(session.set_env(b"NOT_THIS", b"2").await, Err(SessionError::Refused("env")));
    session.exec("echo \"$LC_FIRST,$LC_SECOND,$FORBIDDEN,$NOT_THIS\"").await.expect("started");
    assert_eq!(Said::of(&mut session).await.text(), "one two,2,,\n");
}

async fn output_is_captured_up_to_a_cap(server: Server) {
    let mut session = server.connect().await;
    let output =
        session.capture_exec("head -c 100000 /dev/zero; echo oh >&2; exit 9", 1000).await.expect("run");
    assert_eq!((output.stdout.len(), output.stderr.as_slice()), (1000, &b"oh\n"[..]));
    assert!(output.truncated && output.exit == Exit::Status(9) && !output.success());
    let output = session.capture_exec("cat; echo ok", 3).await.expect("run");
    assert!(!output.truncated && output.success() && output.stdout == b"ok\n");
    // Each was on a channel of its own, and this one is as it was.
    session.exec("echo here").await.expect("started");
    assert_eq!(Said::of(&mut session).await.text(), "here\n");
}

async fn a_subsystem_is_a_stream(server: Server) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let session = server.connect().await;
    session.subsystem("sftp").await.expect("started");
    let mut stream = session.into_stream();
    // SSH_FXP_INIT of version 3 is answered with SSH_FXP_VERSION.
    stream.write_all(&[0, 0, 0, 5, 1, 0, 0, 0, 3]).await.expect("written");
    stream.flush().await.expect("flushed");
    let mut header = [0; 9];
    stream.read_exact(&mut header).await.expect("read");
    assert_eq!(header[4..], [2, 0, 0, 0, 3]);
    stream.shutdown().await.expect("shut down");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("the end");
}

async fn a_command_that_is_closed_is_hung_up_on(server: Server) {
    let session = server.connect().await;
    let watch = session.connection().open_session().await.expect("opened");
    let file = server.path("pid");
    let mut running = session.connection().open_session().await.expect("opened");
    running
        .exec(format!(
            "echo $$ > {}; echo ready; cat > /dev/null; echo > {}.gone",
            file.display(),
            file.display()
        ))
        .await
        .expect("started");
    wait_for(&mut running, "ready").await;
    running.close().await;
    let wait = format!("while ! test -e {}.gone; do sleep 0.05; done; echo seen", file.display());
    assert_eq!(watch.capture_exec(wait, 100).await.expect("run").stdout, b"seen\n");
}

async fn a_session_that_is_dropped_is_closed(server: Server) {
    let session = server.connect().await;
    let gone = server.path("gone");
    let mut running = session.connection().open_session().await.expect("opened");
    running.exec(format!("echo ready; cat > {}", gone.display())).await.expect("started");
    wait_for(&mut running, "ready").await;
    running.send("last words").await.expect("sent");
    drop(running);
    let wait = format!("while ! grep -q words {}; do sleep 0.05; done; echo seen", gone.display());
    assert_eq!(session.capture_exec(wait, 100).await.expect("run").stdout, b"seen\n");
}

async fn states_follow_each_other(server: Server) {
    let mut session = server.connect().await;
    let mut states = session.watch_state();
    assert_eq!(session.state(), SessionState::Authenticated);
    session.exec("cat; exit 2").await.expect("started");
    assert_eq!(session.state(), SessionState::Running(Running::Exec));
    session.eof();
    let closed = tokio::spawn(async move {
        states.wait_for(|state| *state == SessionState::Closed(Some(Exit::Status(2)))).await.expect("told");
    });
    Said::of(&mut session).await;
    closed.await.expect("closed");
    session.connection().disconnect().await;
    assert_eq!(session.connection().disconnected(), Some(irosh::client::Disconnected::ByUs));
    let again = session.connection().open_session().await;
    assert_eq!(again.err(), Some(irosh::client::OpenError::Disconnected(irosh::client::Disconnected::ByUs)));
}

async fn what_is_not_there_is_refused(server: Server) {
    let session = server.connect().await;
    assert_eq!(session.subsystem("nonsense").await, Err(SessionError::Refused("subsystem")));
    let output = session.capture_exec("true", 10).await;
    assert!(output.expect("the connection lives on").success());
}

async fn commands_are_bytes(server: Server) {
    let session = server.connect().await;
    let output = session.capture_exec(b"printf '\xff\xfe'".as_slice(), 10).await.expect("run");
    assert_eq!(output.stdout, b"\xff\xfe");
}

async fn what_nobody_reads_is_not_waited_for(server: Server) {
    let session = server.connect().await;
    session
        .exec("head -c 20000000 /dev/zero; cat > /dev/null; echo done > \"$HOME/done\"")
        .await
        .expect("started");
    let watch = session.connection().open_session().await.expect("opened");
    let (sender, events) = session.split();
    drop(events);
    sender.send("x").await.expect("sent");
    sender.eof();
    let output = watch.capture_exec("while ! test -e ~/done; do sleep 0.05; done; echo seen", 100).await;
    assert_eq!(output.expect("run").stdout, b"seen\n");
}

async fn the_rest_is_known_of_the_server(server: Server) {
    let session = server.connect().await;
    let known = session.connection().remote_metadata();
    // The stream is the program's own: of a host nothing is known.
    assert_eq!(known.host, None);
    assert!(known.identification.starts_with("SSH-2.0-OpenSSH"), "{known:?}");
    assert_eq!(known.login, crate::servers::login());
    assert_eq!(known.host_key.as_ref().map(|key| key.key_data()), Some(server.host_key.key_data()));
    assert_eq!(known.algorithms.host_key, "ssh-ed25519");
    assert!(!known.algorithms.kex.is_empty() && known.algorithms.cipher.contains("aes"), "{known:?}");
}
