//! What a host says, where nobody reads it.

mod harness;

use std::{
    fs::File,
    process::Stdio,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use harness::{
    DEADLINE, HostSetup, IROSH, Line, Random, Raw, Route, Running, Said, hash_reader, number, poll, program,
    raw_runtime, run, small_pipe, succeed,
};
use iroh::SecretKey;
use irosh::{
    protocol::Frame,
    transport::{KeyFile, Target},
};
use nix::sys::signal::Signal;

/// A host beside the line's own, which says a lot to nobody.
struct Unheard {
    line: Line,
    running: Running,
    ticket: String,
}

impl Unheard {
    fn start(stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Self {
        let line = Line::new(Route::Exec);
        let home = line.folder.path().join("unheard");
        let setup = HostSetup::new(&home, &format!("exec:{}", line.server.command())).log("debug");
        let running = Running::start(setup.command().stdout(stdout).stderr(stderr));
        // It knows its address once it runs.
        let ticket = poll("a host", DEADLINE, || {
            let ticket = run(program(IROSH, &home).arg("ticket")).stdout.said().trim().to_owned();
            let target = Target::from_str(&ticket).ok()?;
            target.addr().ip_addrs().next().is_some().then_some(ticket)
        });
        succeed(program(IROSH, &home).args(["peers", "allow", &line.client.identity]));
        line.client.add_host("unheard", &ticket);
        Self { line, running, ticket }
    }

    /// A peer that nobody knows is refused.
    async fn refuse(&self) {
        let (answer, _send, _recv) = self.connect().await.greet(&SecretKey::generate()).await;
        assert!(matches!(answer, Frame::Refused(_)), "{answer:?}");
    }

    async fn connect(&self) -> Raw {
        Raw::connect_to(Target::from_str(&self.ticket).expect("a ticket").addr().clone()).await
    }

    /// How long the line's client takes to be welcomed.
    async fn dial(&self) -> Duration {
        let file = KeyFile::load(&self.line.client.home().join("identity")).expect("the client's key");
        let started = Instant::now();
        let (answer, _send, _recv) = self.connect().await.greet(file.secret()).await;
        assert!(matches!(answer, Frame::Welcome(_)), "{answer:?}");
        started.elapsed()
    }

    /// A crowd of strangers, in the middle of a transfer, and somebody who comes then.
    fn go_on(mut self) {
        let length = number("IROSH_TEST_MIB", 8) << 20;
        let mut ssh = self.line.client.ssh();
        ssh.args(["unheard", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ssh = Running::start(&mut ssh);
        let (mut stdin, stdout) = (ssh.stdin(), ssh.stdout());
        let back = thread::spawn(move || hash_reader(stdout));
        let mut sent = Random::new(7, length);
        std::io::copy(&mut std::io::Read::take(&mut sent, length as u64 / 2), &mut stdin)
            .expect("half of it");
        raw_runtime().block_on(async {
            for _ in 0..number("IROSH_TEST_STRANGERS", 60) {
                self.refuse().await;
            }
            // The machine has other things to do, too.
            let quickest = [self.dial().await, self.dial().await, self.dial().await].into_iter().min();
            assert!(quickest < Some(Duration::from_secs(1)), "{quickest:?}");
        });
        std::io::copy(&mut sent, &mut stdin).expect("the rest");
        drop(stdin);
        let (length_back, digest_back) = back.join().expect("received");
        assert_eq!((length_back, digest_back), hash_reader(Random::new(7, length)));
        assert!(ssh.wait(DEADLINE).success());
        self.running.signal(Signal::SIGTERM);
        assert!(self.running.wait(DEADLINE).success());
    }
}

#[test]
fn a_host_goes_on_while_its_reader_stands_still() {
    let ((_events, stdout), (_log, stderr)) = (small_pipe(), small_pipe());
    Unheard::start(stdout, stderr).go_on();
}

#[test]
fn a_host_goes_on_with_pipes_that_do_not_block() {
    let ((_events, stdout), (_log, stderr)) = (small_pipe(), small_pipe());
    for pipe in [&stdout, &stderr] {
        rustix::io::ioctl_fionbio(pipe, true).expect("non-blocking");
    }
    Unheard::start(stdout, stderr).go_on();
}

#[test]
fn a_host_goes_on_when_the_disk_is_full() {
    let full = || File::options().write(true).open("/dev/full").expect("/dev/full");
    Unheard::start(full(), full()).go_on();
}

#[test]
fn a_host_goes_on_when_its_reader_has_gone() {
    let ((_, stdout), (_, stderr)) = (small_pipe(), small_pipe());
    Unheard::start(stdout, stderr).go_on();
}
