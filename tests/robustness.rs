//! Many at once, and nothing left behind.

mod harness;

use std::{
    fs,
    io::{self, Write},
    net::{Shutdown, SocketAddr, TcpListener},
    process::Stdio,
    str::FromStr,
    thread,
    time::Duration,
};

use harness::{
    DEADLINE, HostSetup, Line, Random, Raw, Route, Running, Said, descendants, feed, folder, number, over,
    poll, run,
};
use irosh::{
    protocol::CloseCode,
    proxy::{Dialer, HostConnection, SessionStream},
    transport::{KeyFile, Target},
};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;

#[test]
fn fifty_at_once_with_one_identity() {
    over(&[Route::Exec, Route::Relayed, Route::Builtin], |line| {
        let crowd = number("IROSH_TEST_CROWD", 50);
        thread::scope(|scope| {
            let sessions: Vec<_> = (0..crowd)
                .map(|number| {
                    let mut ssh = line.client.ssh();
                    scope.spawn(move || feed(ssh.args(["box", "cat"]), number.to_string().into_bytes()))
                })
                .collect();
            for (number, session) in sessions.into_iter().enumerate() {
                let output = session.join().expect("no panic");
                assert_eq!(output.stdout.said(), number.to_string(), "{}", output.stderr.said());
            }
        });
        line.host().wait_ended(crowd);
    });
}

#[test]
fn descriptors_and_processes_are_given_back() {
    over(&[Route::Exec, Route::Tcp, Route::Relayed, Route::Builtin], |line| {
        let host = line.host();
        assert!(line.client.exec("true").status.success());
        host.wait_ended(1);
        poll("an idle host", DEADLINE, || descendants(host.pid()).is_empty().then_some(()));
        let before = host.descriptors();
        for _ in 0..3 {
            thread::scope(|scope| {
                for seed in 0..6 {
                    let mut ssh = line.client.ssh();
                    scope.spawn(move || {
                        let output = feed(ssh.args(["box", "wc -c"]), Random::bytes(seed, 100_000));
                        assert_eq!(output.stdout.said().trim(), "100000");
                    });
                }
            });
        }
        host.wait_ended(19);
        poll("no process left", DEADLINE, || descendants(host.pid()).is_empty().then_some(()));
        poll("as many descriptors as before", DEADLINE, || (host.descriptors() <= before).then_some(()));
    });
}

/// Processor time of a process so far, in hundredths of a second.
fn ticks(pid: Pid) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<_> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    fields[11..=12].iter().map(|field| field.parse::<u64>().expect("a number")).sum()
}

#[test]
fn an_idle_session_costs_next_to_nothing() {
    over(&[Route::Exec, Route::Relayed, Route::Builtin], |line| {
        let mut ssh = line.client.ssh();
        ssh.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut running = Running::start(&mut ssh);
        line.host().wait_event(|event| event["event"] == "session_started");
        // The handshakes are over some time after.
        assert!(running.try_wait(Duration::from_secs(2)).is_none());
        let proxies = descendants(running.pid());
        let spent = || ticks(line.host().pid()) + proxies.iter().map(|pid| ticks(*pid)).sum::<u64>();
        let before = spent();
        assert!(running.try_wait(Duration::from_secs(3)).is_none());
        let spent = spent() - before;
        assert!(spent < 30, "{spent} hundredths of a second in 3 s");
    });
}

/// Resident memory of a process, in KiB.
fn resident(pid: Pid) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
}

/// An SSH server that greets and then says nothing more.
fn mute_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.write_all(b"SSH-2.0-mute\r\n").expect("a greeting");
            held.push(stream.try_clone().expect("a descriptor"));
            thread::spawn(move || {
                io::copy(&mut stream, &mut io::sink()).map(|_| stream.shutdown(Shutdown::Both))
            });
        }
    });
    addr
}

/// Opens so many connections with a session each, and waits until each has its server's greeting.
async fn idle(dialer: &Dialer, target: &Target, count: usize) -> Vec<(HostConnection, SessionStream)> {
    let mut all = Vec::new();
    for _ in 0..count {
        let host = dialer.dial(target).await.expect("a connection");
        let (mut session, _) = SessionStream::open(dialer, target, host.clone()).await.expect("a session");
        let mut greeting = [0; 14];
        session.read_exact(&mut greeting).await.expect("a greeting");
        all.push((host, session));
    }
    all
}

#[test]
fn idle_sessions_cost_little_memory_and_give_it_back() {
    let count = number("IROSH_TEST_IDLE", 200);
    let folder = folder();
    let limits = format!("[limits]\nmax-connections = {0}\nmax-sessions-per-peer = {0}\n", count + 8);
    let backend = format!("tcp:{}", mute_server());
    let host = HostSetup::new(&folder.path().join("host"), &backend).settings(&limits).start();
    let identity = KeyFile::load_or_create(&folder.path().join("identity"), "test").expect("a key");
    host.allow(&identity.public().to_openssh().expect("a line"));
    let target = Target::from_str(&host.ticket()).expect("a target");
    // The connections live on while this thread waits for the host.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let dialer = runtime.block_on(Dialer::bind(Raw::network(), identity.secret().clone()));
    let dialer = dialer.expect("an endpoint");
    let _first = runtime.block_on(idle(&dialer, &target, 1));
    let (memory, descriptors) = (resident(host.pid()), host.descriptors());
    for round in 1..=3 {
        let crowd = runtime.block_on(idle(&dialer, &target, count));
        let each = (resident(host.pid()) - memory) / count;
        for (connection, ..) in &crowd {
            connection.close(CloseCode::Done);
        }
        drop(crowd);
        host.wait_ended(round * count);
        poll("as many descriptors as before", DEADLINE, || (host.descriptors() <= descriptors).then_some(()));
        let left = poll("memory that was given back", DEADLINE, || {
            let left = resident(host.pid()).saturating_sub(memory) / count;
            (left <= each / 3).then_some(left)
        });
        eprintln!("round {round}: {each} KiB each while {count} are idle, {left} KiB each afterwards");
        assert!(each <= 256, "{each} KiB a session");
    }
    runtime.block_on(dialer.close());
}

#[test]
fn a_session_by_a_relay_is_one() {
    let line = Line::new(Route::Relayed);
    assert!(line.client.exec("true").status.success());
    let event = line.host().wait_event(|event| event["event"] == "session_started");
    assert!(event["from"].as_str().expect("from").starts_with("relay http://127.0.0.1:"), "{event}");
}

#[test]
fn a_host_outlives_sessions_that_come_and_go() {
    let mut line = Line::new(Route::Exec);
    for _ in 0..10 {
        assert_eq!(run(line.client.ssh().args(["box", "exit 4"])).status.code(), Some(4));
    }
    assert!(line.host.as_mut().expect("a host").is_alive());
    assert!(!line.host().log().contains("panicked"));
}
