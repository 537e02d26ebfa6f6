//! Many channels, much data, and readers that stand still.

use crate::servers::{Random, Server, digest, wait_for};
use bytes::Bytes;
use irosh::client::{Session, SessionEvent, SessionSender};

on_every_server!(
    a_session_that_nobody_reads_holds_up_no_other,
    a_command_that_reads_nothing_holds_up_no_other,
    bulk_both_ways_at_once_with_new_keys_in_between,
    a_send_that_is_given_up_is_all_or_nothing,
    keys_are_changed_while_ten_sessions_send,
    what_a_process_reads_no_more_is_not_sent_for_ever,
);

/// Bytes each way in the bulk tests.
fn bulk() -> usize {
    std::env::var("SSHC_BULK_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(64_usize) << 20
}

async fn a_session_that_nobody_reads_holds_up_no_other(server: Server) {
    let session = server.connect().await;
    // Their output is never looked at.
    let mut stalled = Vec::new();
    for _ in 0..3 {
        let one = session.connection().open_session().await.expect("opened");
        one.exec("cat /dev/zero").await.expect("started");
        stalled.push(one);
    }
    let mut shell = session.connection().open_session().await.expect("opened");
    shell.start_shell().await.expect("started");
    let mut busy = Vec::new();
    for number in 0..6 {
        let one = session.connection().open_session().await.expect("opened");
        busy.push(tokio::spawn(async move {
            let output = one.capture_exec("head -c 8000000 /dev/zero", 10_000_000).await.expect("run");
            assert_eq!(output.stdout.len(), 8_000_000, "session {number}");
        }));
    }
    for number in 0..20 {
        shell.send(format!("echo line-{number}\n")).await.expect("sent");
        wait_for(&mut shell, &format!("line-{number}")).await;
    }
    for one in busy {
        one.await.expect("done");
    }
    // The first of them is not lost: what came is there, and more.
    let mut first = stalled.remove(0);
    let mut count = 0;
    while count < 20_000_000 {
        match crate::servers::next(&mut first).await {
            Some(SessionEvent::Stdout(data)) => count += data.len(),
            other => panic!("{other:?}"),
        }
    }
}

async fn a_command_that_reads_nothing_holds_up_no_other(server: Server) {
    let session = server.connect().await;
    session.exec("sleep 1000").await.expect("started");
    let (stuck, _events) = session.connection().open_session().await.map(Session::split).expect("opened");
    {
        let (sender, _) = (stuck.clone(), ());
        // More than any window: this never ends.
        let chunk = Bytes::from(vec![0; 1 << 20]);
        let session = session.connection().open_session().await.expect("opened");
        session.exec("sleep 1000").await.expect("started");
        let (other, _kept) = session.split();
        tokio::spawn(async move {
            let _kept = _kept;
            while other.send(chunk.clone()).await.is_ok() {}
        });
        drop(sender);
    }
    for number in 0..10 {
        let one = session.connection().open_session().await.expect("opened");
        let output = one.capture_exec(format!("echo {number}"), 100).await.expect("run");
        assert_eq!(output.stdout, format!("{number}\n").as_bytes());
    }
}

async fn feed(sender: SessionSender, total: usize) -> u64 {
    let mut random = Random::new(7);
    let (mut left, mut sum) = (total, 0);
    while left > 0 {
        let chunk = random.bytes(left.min(100_000));
        left -= chunk.len();
        sum = digest(sum, &chunk);
        sender.send(chunk).await.expect("sent");
    }
    sender.eof();
    sum
}

async fn bulk_both_ways_at_once_with_new_keys_in_between(server: Server) {
    let options = server.options().rekey_bytes(16 << 20);
    let session = irosh::client::connect(server.stream(), options).await.expect("connected");
    session.exec("cat").await.expect("started");
    let (sender, mut events) = session.split();
    let feeding = tokio::spawn(feed(sender, bulk()));
    let (mut count, mut sum, mut exit) = (0, 0, None);
    while let Some(event) = events.next().await.expect("connected") {
        match event {
            SessionEvent::Stdout(data) => {
                count += data.len();
                sum = digest(sum, &data);
            }
            SessionEvent::ExitStatus(status) => exit = Some(status),
            _ => {}
        }
    }
    assert_eq!((count, exit), (bulk(), Some(0)), "{:?}", events.disconnected());
    assert_eq!(sum, feeding.await.expect("fed"));
}

async fn a_send_that_is_given_up_is_all_or_nothing(server: Server) {
    let session = server.connect().await;
    // It does not read until it is told to.
    let go = server.path("go");
    let command = format!("while ! test -e {}; do sleep 0.02; done; wc -c", go.display());
    session.exec(command).await.expect("started");
    let chunk = Bytes::from(vec![b'x'; 300_000]);
    let mut sent = 0;
    loop {
        let sending = session.send(chunk.clone());
        match tokio::time::timeout(std::time::Duration::from_millis(500), sending).await {
            Ok(result) => {
                result.expect("sent");
                sent += chunk.len();
            }
            Err(_) => break,
        }
    }
    std::fs::write(go, "").expect("written");
    session.eof();
    let mut session = session;
    let said = crate::servers::Said::of(&mut session).await;
    assert_eq!(said.text().trim(), sent.to_string());
}

async fn keys_are_changed_while_ten_sessions_send(server: Server) {
    let session = server.connect().await;
    let connection = session.connection();
    let mut all = Vec::new();
    for _ in 0..10 {
        let one = connection.open_session().await.expect("opened");
        all.push(tokio::spawn(async move {
            let output = one.capture_exec("head -c 6000000 /dev/zero", 10_000_000).await.expect("run");
            assert_eq!(output.stdout.len(), 6_000_000);
        }));
    }
    for _ in 0..6 {
        connection.rekey().await;
        let one = connection.open_session().await.expect("opened");
        assert!(one.capture_exec("true", 0).await.expect("run").success());
    }
    for one in all {
        one.await.expect("done");
    }
}

async fn what_a_process_reads_no_more_is_not_sent_for_ever(server: Server) {
    let session = server.connect().await;
    let mut one = session.connection().open_session().await.expect("opened");
    one.exec("head -c 1 > /dev/null; exec 0<&-; echo closed; sleep 0.5; echo over").await.expect("started");
    let (sender, mut events) = one.split();
    let feeding = tokio::spawn(async move {
        let chunk = Bytes::from(vec![0; 1 << 16]);
        while sender.send(chunk.clone()).await.is_ok() {}
    });
    let mut text = Vec::new();
    while let Some(event) = events.next().await.expect("connected") {
        if let SessionEvent::Stdout(data) = event {
            text.extend_from_slice(&data);
        }
    }
    assert_eq!(text, b"closed\nover\n");
    feeding.await.expect("ended");
    one = session.connection().open_session().await.expect("the connection lives on");
    assert!(one.capture_exec("true", 0).await.expect("run").success());
}
