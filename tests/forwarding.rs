//! Forwarding: ports, sockets, agents, X11, and hosts behind hosts.

mod harness;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use harness::{
    DEADLINE, Daemon, HostSetup, IROSH_PROXY, Line, Random, Route, Running, Said, Server, feed, free_port,
    give, have, over, poll, run, subfolder, succeed,
};

/// Answers each connection with what it sends, to its end of file.
fn echo_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut reader = stream.try_clone().expect("a clone");
                let mut writer = &stream;
                let _ = std::io::copy(&mut reader, &mut writer);
                let _ = stream.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    port
}

/// Sends bytes both ways at once and ends with an end of file.
fn expect_echo(port: u16) {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a forwarded port");
    let bytes = Random::bytes(9, 2_000_000);
    let mut writer = stream.try_clone().expect("a clone");
    let sent = bytes.clone();
    let sending = thread::spawn(move || {
        writer.write_all(&sent).expect("sent");
        writer.shutdown(std::net::Shutdown::Write).expect("an end of file");
    });
    let mut back = Vec::new();
    (&stream).read_to_end(&mut back).expect("received");
    sending.join().expect("sent");
    assert!(back == bytes, "{} bytes came back", back.len());
}

/// An ssh that only forwards, once it listens at the port.
fn forwarding(line: &Line, options: &[&str], port: u16) -> Running {
    let mut ssh = line.client.ssh();
    ssh.args(["-N", "-o", "ExitOnForwardFailure=yes"]).args(options).arg("box").stdin(Stdio::null());
    let running = Running::start(&mut ssh);
    poll("a forwarded port", DEADLINE, || TcpStream::connect(("127.0.0.1", port)).ok());
    running
}

#[test]
fn a_local_port() {
    over(&Route::ALL, |line| {
        let (echo, port) = (echo_server(), free_port());
        let _ssh = forwarding(line, &["-L", &format!("127.0.0.1:{port}:127.0.0.1:{echo}")], port);
        expect_echo(port);
    });
}

#[test]
fn a_remote_port() {
    over(&Route::ALL, |line| {
        let (echo, port) = (echo_server(), free_port());
        let _ssh = forwarding(line, &["-R", &format!("127.0.0.1:{port}:127.0.0.1:{echo}")], port);
        expect_echo(port);
    });
}

#[test]
fn a_remote_port_that_the_server_chooses() {
    over(&Route::FEW, |line| {
        let mut ssh = line.client.ssh();
        ssh.args(["-N", "-R", &format!("127.0.0.1:0:127.0.0.1:{}", echo_server()), "box"]);
        let daemon = Daemon::start(ssh.stdin(Stdio::null()));
        let said = daemon.stderr.wait_for("Allocated port");
        let port = said.split_whitespace().nth(2).and_then(|port| port.parse().ok()).expect("a port");
        expect_echo(port);
    });
}

#[test]
fn a_socks_proxy() {
    if !have(&["curl"]) {
        return;
    }
    over(&Route::ALL, |line| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let web = listener.local_addr().expect("an address");
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            }
        });
        let port = free_port();
        let _ssh = forwarding(line, &["-D", &format!("127.0.0.1:{port}")], port);
        for scheme in ["socks5h", "socks4a"] {
            let proxy = format!("{scheme}://127.0.0.1:{port}");
            let mut curl = Command::new("curl");
            curl.args(["-sS", "--noproxy", "", "-x", &proxy, &format!("http://{web}/")]);
            assert_eq!(succeed(&mut curl), "hello");
        }
    });
}

#[test]
fn unix_sockets_both_ways() {
    over(&Route::FEW, |line| {
        for option in ["-L", "-R"] {
            let from = line.folder.path().join(format!("from{option}"));
            let to = line.folder.path().join(format!("to{option}"));
            let listener = UnixListener::bind(&to).expect("a socket");
            give(&to);
            let forward = format!("{}:{}", from.display(), to.display());
            let mut ssh = line.client.ssh();
            let _ssh = Running::start(ssh.args(["-N", option, &forward, "box"]).stdin(Stdio::null()));
            let mut ours = poll("a forwarded socket", DEADLINE, || UnixStream::connect(&from).ok());
            let (mut theirs, _) = listener.accept().expect("a connection");
            ours.write_all(b"through").expect("sent");
            ours.shutdown(std::net::Shutdown::Write).expect("an end of file");
            let mut got = String::new();
            theirs.read_to_string(&mut got).expect("received");
            assert_eq!(got, "through");
        }
    });
}

#[test]
fn a_forward_to_nowhere_does_not_end_the_session() {
    over(&Route::FEW, |line| {
        let (nowhere, port) = (free_port(), free_port());
        let mut ssh = line.client.ssh();
        ssh.args(["-L", &format!("127.0.0.1:{port}:127.0.0.1:{nowhere}"), "box", "cat"]);
        let mut running =
            Running::start(ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut stream = poll("a forwarded port", DEADLINE, || TcpStream::connect(("127.0.0.1", port)).ok());
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
        let mut stdin = running.stdin();
        stdin.write_all(b"alive").expect("sent");
        drop(stdin);
        let mut got = String::new();
        running.stdout().read_to_string(&mut got).expect("received");
        assert_eq!(got, "alive");
    });
}

#[test]
fn an_agent_is_forwarded() {
    if !have(&["ssh-agent", "ssh-add"]) {
        return;
    }
    over(&Route::ALL, |line| {
        let socket = line.folder.path().join("agent.sock");
        let _agent = agent(&socket, &line.server);
        let mut ssh = line.client.ssh();
        ssh.env("SSH_AUTH_SOCK", &socket).args([
            "-A",
            "-o",
            "IdentityAgent=SSH_AUTH_SOCK",
            "box",
            "ssh-add -l",
        ]);
        let output = run(&mut ssh);
        assert!(output.stdout.said().contains("(ED25519)"), "{}", output.stderr.said());
    });
}

/// An agent that holds the key that may log in.
fn agent(socket: &Path, server: &Server) -> Running {
    let mut command = Command::new("ssh-agent");
    let agent = Running::start(command.arg("-D").arg("-a").arg(socket).stdout(Stdio::null()));
    poll("an agent", DEADLINE, || UnixStream::connect(socket).ok());
    succeed(Command::new("ssh-add").arg("-q").arg(server.user_key()).env("SSH_AUTH_SOCK", socket));
    agent
}

#[test]
fn x11_forwarding_sets_a_display() {
    if !have(&["xauth"]) {
        return;
    }
    over(&Route::FEW, |line| {
        let mut ssh = line.client.ssh();
        // Nothing needs to answer at the display for ssh to ask for the forwarding.
        ssh.env("DISPLAY", "127.0.0.1:99").args(["-Y", "box", "echo \"$DISPLAY\"; xauth list | wc -l"]);
        let output = run(&mut ssh);
        let said = output.stdout.said();
        assert!(said.starts_with("localhost:") && said.ends_with("\n1\n"), "{said}{}", output.stderr.said());
    });
}

#[test]
fn a_display_that_others_may_use_has_the_name_of_the_machine() {
    if !have(&["xauth"]) {
        return;
    }
    let machine = nix::unistd::gethostname().expect("a name").into_string().expect("text");
    over(&[Route::Exec, Route::Builtin], |line| {
        let config = fs::read_to_string(line.server.config()).expect("sshd_config");
        fs::write(line.server.config(), format!("X11UseLocalhost no\n{config}")).expect("written");
        let mut ssh = line.client.ssh();
        ssh.env("DISPLAY", "127.0.0.1:99").args(["-Y", "box", "echo \"$DISPLAY\"; xauth list | grep -c ."]);
        let output = run(&mut ssh);
        let said = output.stdout.said();
        assert!(
            said.starts_with(&format!("{machine}:")) && !said.ends_with("\n0\n"),
            "{said}{}",
            output.stderr.said()
        );
    });
}

#[test]
fn stdio_is_forwarded_to_a_port() {
    over(&Route::ALL, |line| {
        let bytes = Random::bytes(11, 1_000_000);
        let target = format!("127.0.0.1:{}", echo_server());
        let output = feed(line.client.ssh().args(["-W", &target, "box"]), bytes.clone());
        assert!(output.stdout == bytes, "{} bytes: {}", output.stdout.len(), output.stderr.said());
    });
}

#[test]
fn one_server_through_another() {
    over(&Route::ALL, |line| {
        let far = Server::new(&subfolder(line.folder.path(), "far"));
        let sshd = far.listen();
        fs::copy(line.server.user_key().with_extension("pub"), far.authorized_keys()).expect("copied");
        line.client.add_direct("far", &far, &sshd);
        let output = run(line.client.ssh().args(["-J", "box", "far", "echo there"]));
        assert_eq!(output.stdout.said(), "there\n", "{}", output.stderr.said());
    });
}

#[test]
fn a_host_by_way_of_another_hosts_proxy() {
    let line = Line::new(Route::Exec);
    let far =
        HostSetup::new(&line.folder.path().join("far"), &format!("exec:{}", line.server.command())).start();
    // Who logs in may be somebody else, who makes an identity of their own.
    let home = subfolder(line.folder.path(), "proxy");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("a mode");
    give(&home);
    let proxy = line.client.config();
    let inner = format!(
        "ssh -F {} box env IROSH_AGENT=off IROSH_HOME={} IROSH_RELAY=none IROSH_DNS=none {IROSH_PROXY} {}",
        proxy.display(),
        home.display(),
        far.invite(&[])
    );
    let mut ssh = line.client.ssh();
    ssh.args(["-o", &format!("ProxyCommand={inner}"), "-o", "HostKeyAlias=box", "box", "echo there"]);
    assert_eq!(run(&mut ssh).stdout.said(), "there\n");
    far.wait_event(|event| event["event"] == "session_started");
}

#[test]
fn ssh_in_the_background_forwards_until_it_is_told_to_stop() {
    over(&Route::FEW, |line| {
        let (echo, port) = (echo_server(), free_port());
        let socket = line.folder.path().join("m");
        let mut ssh = line.client.ssh();
        ssh.args(["-f", "-N", "-M", "-S"]).arg(&socket).args(["-o", "ExitOnForwardFailure=yes", "-L"]);
        ssh.args([&format!("127.0.0.1:{port}:127.0.0.1:{echo}"), "box"]);
        let mut before = Running::start(ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        assert!(before.wait(DEADLINE).success());
        expect_echo(port);
        succeed(line.client.ssh().arg("-S").arg(&socket).args(["-O", "exit", "box"]));
        if let Some(host) = &line.host {
            host.wait_ended(1);
        }
    });
}

#[test]
fn a_server_that_speaks_first_is_heard() {
    over(&Route::FEW, |line| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let greeter = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(b"welcome\n");
            }
        });
        let port = free_port();
        let _ssh = forwarding(line, &["-L", &format!("127.0.0.1:{port}:127.0.0.1:{greeter}")], port);
        for _ in 0..20 {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
            let mut greeting = String::new();
            stream.read_to_string(&mut greeting).expect("a greeting");
            assert_eq!(greeting, "welcome\n");
        }
    });
}
