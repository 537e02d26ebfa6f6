//! `irosh-proxy` on every kind of stdin and stdout, against a host that sends back what it gets.

mod harness;

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use harness::{
    DEADLINE, HostSetup, IROSH_PROXY, Line, Random, Route, Running, Said, feed, have, run, small_pipe,
};

/// A line whose host sends back what it gets, as `echo`.
fn echo() -> (Line, harness::Host) {
    let line = Line::new(Route::Exec);
    let host = HostSetup::new(&line.folder.path().join("echo"), "exec:cat").start();
    host.allow(&line.client.identity);
    line.client.add_host("echo", &host.ticket());
    (line, host)
}

#[test]
fn pipes() {
    let (line, _host) = echo();
    let bytes = Random::bytes(1, 5_000_000);
    let output = feed(&mut line.client.proxy("echo"), bytes.clone());
    assert!(output.status.success() && output.stdout == bytes, "{}", output.stderr.said());
}

#[test]
fn files() {
    let (line, _host) = echo();
    let bytes = Random::bytes(2, 5_000_000);
    let (from, to) = (line.folder.path().join("from"), line.folder.path().join("to"));
    fs::write(&from, &bytes).expect("written");
    let mut proxy = line.client.proxy("echo");
    proxy.stdin(File::open(&from).expect("a file")).stdout(File::create(&to).expect("a file"));
    assert!(Running::start(&mut proxy).wait(DEADLINE).success());
    assert!(fs::read(&to).expect("read") == bytes);
}

#[test]
fn one_socket_for_both() {
    let (line, _host) = echo();
    let bytes = Random::bytes(3, 5_000_000);
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let mut proxy = line.client.proxy("echo");
    proxy.stdin(OwnedFd::from(theirs.try_clone().expect("a clone"))).stdout(OwnedFd::from(theirs));
    let mut running = Running::start(&mut proxy);
    // The command holds copies of the other end.
    drop(proxy);
    let (mut writer, sent) = (ours.try_clone().expect("a clone"), bytes.clone());
    let sending = thread::spawn(move || {
        writer.write_all(&sent).expect("sent");
        writer.shutdown(Shutdown::Write).expect("an end of file");
    });
    let mut back = Vec::new();
    (&ours).read_to_end(&mut back).expect("received");
    sending.join().expect("sent");
    assert!(back == bytes, "{} bytes", back.len());
    assert!(running.wait(DEADLINE).success());
}

#[test]
fn a_terminal() {
    if !have(&["python3"]) {
        return;
    }
    let (line, _host) = echo();
    let script = "import os,pty,sys,termios,tty\n\
        pid,t=pty.fork()\n\
        if pid==0:\n  tty.setraw(0); os.execv(sys.argv[1],sys.argv[1:])\n\
        got=b''\n\
        os.write(t,b'hello')\n\
        while got.count(b'hello')<1: got+=os.read(t,100)\n\
        os.kill(pid,15); os.waitpid(pid,0)\n";
    let output =
        run(line.client.command("timeout").args(["40", "python3", "-c", script, IROSH_PROXY, "echo"]));
    assert!(output.status.success(), "{}", output.stderr.said());
}

#[test]
fn an_end_of_file_at_once() {
    let (line, _host) = echo();
    let mut proxy = line.client.proxy("echo");
    let output = run(proxy.stdin(Stdio::null()));
    assert!(output.status.success() && output.stdout.is_empty(), "{}", output.stderr.said());
}

#[test]
fn closed_descriptors_end_it_without_a_panic() {
    let (line, _host) = echo();
    for closed in ["<&-", ">&-", "<&- >&-", "<&- >&- 2>&-"] {
        let mut shell = line.client.command("sh");
        shell.args(["-c", &format!("exec \"$0\" \"$@\" {closed}"), IROSH_PROXY, "echo"]);
        let output = feed(&mut shell, b"something".to_vec());
        let said = output.stderr.said();
        assert!(!said.contains("panicked") && output.status.code().is_some(), "{closed}: {said}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let (line, _host) = echo();
    let mut proxy = line.client.proxy("echo");
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    proxy.stdin(Stdio::piped()).stdout(full).stderr(Stdio::piped());
    let mut daemonless = Running::start(&mut proxy);
    let mut stdin = daemonless.stdin();
    stdin.write_all(&[0; 100_000]).expect("sent");
    drop(stdin);
    assert_eq!(daemonless.wait(Duration::from_secs(20)).code(), Some(1));
}

#[test]
fn a_log_that_nobody_reads_stops_no_session() {
    let (line, _host) = echo();
    let bytes = Random::bytes(4, 1_000_000);
    let (_reader, stderr) = small_pipe();
    let mut proxy = line.client.proxy("echo");
    proxy.env("IROSH_LOG", "trace").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
    let mut running = Running::start(&mut proxy);
    let (mut stdin, sent) = (running.stdin(), bytes.clone());
    let sending = thread::spawn(move || stdin.write_all(&sent).expect("sent"));
    let mut back = Vec::new();
    running.stdout().read_to_end(&mut back).expect("received");
    sending.join().expect("sent");
    assert!(back == bytes, "{} bytes", back.len());
    assert!(running.wait(DEADLINE).success());
}

#[test]
fn a_reader_that_leaves_ends_it() {
    let (line, host) = echo();
    let mut proxy = line.client.proxy("echo");
    proxy.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running::start(&mut proxy);
    let mut stdin = running.stdin();
    stdin.write_all(b"x").expect("sent");
    let mut stdout = running.stdout();
    stdout.read_exact(&mut [0]).expect("echoed");
    drop(stdout);
    // Nothing is sent any more, and stdin stays open, as with an ssh that was killed elsewhere.
    running.wait(Duration::from_secs(10));
    host.wait_ended(1);
}

#[test]
fn a_hang_up_ends_it() {
    let (line, host) = echo();
    for signal in [nix::sys::signal::Signal::SIGHUP, nix::sys::signal::Signal::SIGTERM] {
        let mut proxy = line.client.proxy("echo");
        proxy.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut running = Running::start(&mut proxy);
        let mut stdin = running.stdin();
        stdin.write_all(b"x").expect("sent");
        running.stdout().read_exact(&mut [0]).expect("echoed");
        running.signal(signal);
        running.wait(Duration::from_secs(5));
    }
    host.wait_ended(2);
}

#[test]
fn stdout_is_the_wire_and_help_is_not_an_error() {
    let help = run(Command::new(IROSH_PROXY).arg("--help"));
    assert!(help.status.success() && help.stdout.said().contains("ProxyCommand"));
    let wrong = run(Command::new(IROSH_PROXY).arg("--nonsense"));
    assert!(!wrong.status.success() && wrong.stdout.is_empty());
}
