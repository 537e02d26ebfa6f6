//! One connection for many sessions of ssh, and many connections at once.

mod harness;

use std::{fs, process::Stdio};

use harness::{DEADLINE, Master, Random, Route, Running, Said, feed, give, over, poll, run, succeed};

#[test]
fn ten_channels_over_one_master() {
    over(&Route::ALL, |line| {
        let mut master = Master::start(line, &[]);
        std::thread::scope(|scope| {
            for number in 0..10 {
                let mut ssh = master.ssh();
                scope.spawn(move || {
                    let bytes = Random::bytes(number, 700_000);
                    let output = feed(ssh.args(["box", "cat"]), bytes.clone());
                    assert!(output.status.success(), "{}", output.stderr.said());
                    assert!(output.stdout == bytes, "channel {number}");
                });
            }
        });
        if let Some(host) = &line.host {
            assert_eq!(host.count("session_started"), 1);
        }
        succeed(master.ssh().args(["-O", "exit", "box"]));
        master.running().wait(DEADLINE);
    });
}

#[test]
fn a_forward_is_added_to_a_running_master() {
    over(&Route::FEW, |line| {
        let master = Master::start(line, &[]);
        let here = line.folder.path().join("here.sock");
        let there = line.folder.path().join("there.sock");
        let listener = std::os::unix::net::UnixListener::bind(&there).expect("a socket");
        give(&there);
        let forward = format!("{}:{}", here.display(), there.display());
        succeed(master.ssh().args(["-O", "forward", "-L", &forward, "box"]));
        let connection = std::os::unix::net::UnixStream::connect(&here).expect("connected");
        listener.accept().expect("forwarded");
        drop(connection);
    });
}

#[test]
fn a_master_that_persists_serves_the_next_command() {
    over(&Route::FEW, |line| {
        let log = line.folder.path().join("log");
        let mut ssh = line.client.ssh();
        ssh.args(["-o", "ControlMaster=auto", "-o", "ControlPersist=30", "-S"]).arg(Master::socket(line));
        ssh.args(["-E"]).arg(&log).args(["box", "echo one"]);
        // The master in the background keeps stderr, as it does with plain ssh.
        let mut first = Running::start(ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        assert!(first.wait(DEADLINE).success(), "{:?}", fs::read_to_string(&log));
        let mut second = line.client.ssh();
        second.arg("-S").arg(Master::socket(line)).args(["-o", "ProxyCommand=false", "box", "echo two"]);
        assert_eq!(run(&mut second).stdout.said(), "two\n");
        let mut exit = line.client.ssh();
        succeed(exit.arg("-S").arg(Master::socket(line)).args(["-O", "exit", "box"]));
        poll("the master's end", DEADLINE, || (!Master::socket(line).exists()).then_some(()));
        if let Some(host) = &line.host {
            host.wait_ended(1);
        }
    });
}
