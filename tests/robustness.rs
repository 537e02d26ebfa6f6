//! Many at once, and nothing left behind.

mod harness;

use std::{fs, process::Stdio, thread, time::Duration};

use harness::{DEADLINE, Line, Random, Route, Running, Said, descendants, feed, number, over, poll, run};
use nix::unistd::Pid;

#[test]
fn fifty_at_once_with_one_identity() {
    over(&[Route::Exec, Route::Relayed], |line| {
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
    over(&[Route::Exec, Route::Tcp, Route::Relayed], |line| {
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
    over(&[Route::Exec, Route::Relayed], |line| {
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
