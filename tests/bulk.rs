//! Every byte arrives: bulk each way and both ways, slow readers, and no session in another's way.
//!
//! `IROSH_TEST_BULK_MIB` and `IROSH_TEST_BULK_RUNS` make the bulk tests longer.

mod harness;

use std::{
    io::{self, Read},
    process::Stdio,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use harness::{
    DEADLINE, HostSetup, Line, Random, Raw, Route, Running, folder, hash_reader, number, over, raw_runtime,
};
use irosh::{
    proxy::{Dialer, HostConnection, SessionStream},
    transport::{KeyFile, Target},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MIB: usize = 1 << 20;

/// The deadline of a bulk run, which is about as fast as 4 MiB a second.
fn patience(bytes: usize) -> Duration {
    DEADLINE + Duration::from_secs((bytes / (4 * MIB)) as u64)
}

/// Runs a command with bytes on its stdin, ended at once by an end of file; returns how many came
/// back and their digest.
fn through(line: &Line, command: &str, seed: u64, sent: usize) -> (u64, String) {
    let mut ssh = line.client.ssh();
    ssh.args(["box", command]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running::start(&mut ssh);
    let mut stdin = running.stdin();
    let sending = thread::spawn(move || io::copy(&mut Random::new(seed, sent), &mut stdin));
    let back = hash_reader(running.stdout());
    sending.join().expect("no panic").expect("sent");
    assert!(running.wait(patience(sent)).success());
    back
}

fn bulk(scenario: impl Fn(&Line, u64, usize)) {
    let (mib, runs) = (number("IROSH_TEST_BULK_MIB", 64), number("IROSH_TEST_BULK_RUNS", 2));
    over(&[Route::Exec, Route::Tcp, Route::Builtin], |line| {
        for run in 0..runs {
            scenario(line, run as u64, mib * MIB);
        }
    });
    over(&[Route::Direct, Route::Relayed], |line| scenario(line, 99, mib * MIB / 4));
}

#[test]
fn bulk_up() {
    bulk(|line, seed, length| {
        let (_, expected) = hash_reader(Random::new(seed, length));
        let said = format!("{expected}  -\n");
        assert_eq!(through(line, "sha256sum", seed, length), hash_reader(said.as_bytes()));
    });
}

#[test]
fn bulk_down() {
    bulk(|line, seed, length| {
        let path = line.folder.path().join("bulk");
        let mut file = std::fs::File::create(&path).expect("a file");
        io::copy(&mut Random::new(seed, length), &mut file).expect("written");
        let expected = hash_reader(Random::new(seed, length));
        assert_eq!(through(line, &format!("cat {}", path.display()), 0, 0), expected);
    });
}

#[test]
fn bulk_both_ways_at_once() {
    bulk(|line, seed, length| {
        let expected = hash_reader(Random::new(seed, length));
        assert_eq!(through(line, "cat", seed, length), expected);
    });
}

#[test]
fn a_reader_that_stalls_gets_every_byte_afterwards() {
    over(&Route::FEW, |line| {
        let length = 24 * MIB;
        let mut ssh = line.client.ssh();
        ssh.args(["box", &format!("head -c {length} /dev/zero | tr '\\0' x")]);
        let mut running = Running::start(ssh.stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut stdout = running.stdout();
        let mut first = vec![0; MIB];
        stdout.read_exact(&mut first).expect("the first bytes");
        thread::sleep(Duration::from_secs(5));
        assert_eq!(hash_reader(stdout).0, (length - MIB) as u64);
        assert!(running.wait(DEADLINE).success());
    });
}

/// A host whose backend sends what it gets, with a connection to it.
struct Echo {
    host: harness::Host,
    connection: HostConnection,
    dialer: Dialer,
    target: Target,
    _folder: tempfile::TempDir,
}

impl Echo {
    async fn start(backend: &str) -> Self {
        let folder = folder();
        let host = HostSetup::new(&folder.path().join("host"), backend).start();
        let identity = KeyFile::load_or_create(&folder.path().join("identity"), "test").expect("a key");
        host.allow(&identity.public().to_openssh().expect("a line"));
        let dialer = Dialer::bind(Raw::network(), identity.secret().clone()).await.expect("an endpoint");
        let target = Target::from_str(&host.ticket()).expect("a target");
        let connection = dialer.dial(&target).await.expect("a connection");
        Self { host, connection, dialer, target, _folder: folder }
    }

    /// Another session on the connection.
    async fn session(&self) -> SessionStream {
        let opened = SessionStream::open(&self.dialer, &self.target, self.connection.clone());
        opened.await.expect("a session").0
    }
}

#[test]
fn a_session_whose_reader_stands_still_never_slows_another_on_the_same_connection() {
    raw_runtime().block_on(async {
        let echo = Echo::start("exec:cat").await;
        let mut stuck = Vec::new();
        for _ in 0..8 {
            let mut session = echo.session().await;
            // Until nothing more goes in: cat waits for us to read what it sends back.
            let chunk = vec![0; 64 << 10];
            let full = async { while session.write_all(&chunk).await.is_ok() {} };
            let _ = tokio::time::timeout(Duration::from_millis(1500), full).await;
            stuck.push(session);
        }
        let (mut source, mut sink) = tokio::io::split(echo.session().await);
        let started = Instant::now();
        let (chunk, mut back) = (vec![7; 64 << 10], vec![0; 64 << 10]);
        for _ in 0..256 {
            let (sent, got) = tokio::join!(sink.write_all(&chunk), source.read_exact(&mut back));
            sent.expect("sent");
            got.expect("got back");
        }
        assert!(started.elapsed() < Duration::from_secs(10), "16 MiB took {:?}", started.elapsed());
        drop(stuck);
        echo.dialer.close().await;
    });
}

#[test]
fn a_fast_transfer_to_a_slow_reader_never_kills_the_connection() {
    raw_runtime().block_on(async {
        let length = number("IROSH_TEST_SLOW_MIB", 256) * MIB;
        let echo = Echo::start(&format!("exec:head -c {length} /dev/zero")).await;
        let mut session = echo.session().await;
        let (mut got, mut pieces, mut piece) = (0, 0, vec![0; 64 << 10]);
        while got < length {
            got += session.read(&mut piece).await.expect("readable");
            pieces += 1;
            // Now and then long enough for everything on its way to pile up.
            if pieces % 40 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        assert_eq!(got, length);
        assert!(echo.connection.connection().close_reason().is_none());
        // The client has yet to say that it has it all.
        let host = echo.host;
        tokio::task::spawn_blocking(move || host.wait_ended(1)).await.expect("an end");
    });
}

#[test]
fn a_slow_reader_of_ssh_gets_every_byte() {
    over(&[Route::Exec, Route::Builtin], |line| {
        let length = 64 * MIB;
        let mut ssh = line.client.ssh();
        ssh.args(["box", &format!("head -c {length} /dev/zero")]);
        let mut running = Running::start(ssh.stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut stdout = running.stdout();
        let (mut got, mut piece) = (0, vec![0; 16 << 10]);
        loop {
            match stdout.read(&mut piece).expect("readable") {
                0 => break,
                count => got += count,
            }
            if got % 11 == 0 {
                thread::sleep(Duration::from_millis(3));
            }
        }
        assert_eq!(got, length);
        assert!(running.wait(DEADLINE).success());
    });
}
