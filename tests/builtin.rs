//! What the built-in server has to do as OpenSSH's does, beside the scenarios of every route.
//!
//! Most of these run over plain ssh to sshd as well: what it does is what is expected.

mod harness;

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{
        ffi::OsStrExt,
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::Instant,
};

use harness::{
    DEADLINE, Line, Master, Random, Route, Running, Said, feed, free_port, hash_reader, new_key, number,
    over, poll, run, succeed,
};
use rustix::net::{AddressFamily, SocketType, bind, connect, listen, socket};

/// sshd and the built-in server, each for a connection of its own.
const SERVERS: [Route; 2] = [Route::Exec, Route::Builtin];

/// Adds to the server's configuration, where it counts before all else.
fn configure(line: &Line, lines: &str) {
    let old = fs::read_to_string(line.server.config()).expect("sshd_config");
    fs::write(line.server.config(), format!("{lines}\n{old}")).expect("sshd_config");
}

/// Adds to the server's configuration, for whom these lines match: they end it.
fn configure_some(line: &Line, matched: &str, lines: &str) {
    let old = fs::read_to_string(line.server.config()).expect("sshd_config");
    fs::write(line.server.config(), format!("{old}\nMatch {matched}\n{lines}\n")).expect("sshd_config");
}

/// ssh with only these keys.
fn with_keys(line: &Line, keys: &[&Path]) -> Command {
    let mut ssh = line.client.ssh();
    // The keys of ssh_config come after those of the command line.
    let config = line.folder.path().join("keys_config");
    let text = fs::read_to_string(line.client.config()).expect("ssh_config");
    let text: Vec<_> = text.lines().filter(|line| !line.trim().starts_with("IdentityFile")).collect();
    fs::write(&config, text.join("\n")).expect("ssh_config");
    ssh.arg("-F").arg(config);
    for key in keys {
        ssh.arg("-i").arg(key);
    }
    ssh
}

/// A listener whose queue is full: who connects to it waits. The connections keep it full.
fn blackhole() -> (u16, Vec<std::os::fd::OwnedFd>) {
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&listener, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).expect("bound");
    listen(&listener, 0).expect("listening");
    let addr = rustix::net::getsockname(&listener).expect("an address");
    let port = std::net::SocketAddr::try_from(addr).expect("of IP").port();
    let mut held = vec![listener];
    for _ in 0..4 {
        let waiting = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        rustix::io::ioctl_fionbio(&waiting, true).expect("not blocking");
        let _ = connect(&waiting, &std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        held.push(waiting);
    }
    (port, held)
}

#[test]
fn a_shell_answers_beside_channels_that_stand_still() {
    over(&Route::FEW, |line| {
        let (dead, _queue) = blackhole();
        let deaf = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let (to_dead, to_deaf) = (free_port(), free_port());
        let target = |here: u16, there: u16| format!("127.0.0.1:{here}:127.0.0.1:{there}");
        let deaf_port = deaf.local_addr().expect("an address").port();
        let master = Master::start(line, &["-L", &target(to_dead, dead), "-L", &target(to_deaf, deaf_port)]);
        // A command that never reads, one whose output nobody reads, and forwards to a target that does
        // not answer and to one that does not read.
        let zero = || fs::File::open("/dev/zero").expect("zeros");
        let mut all = Vec::new();
        for (command, input) in [("sleep 1000", zero().into()), ("cat /dev/zero", Stdio::null())] {
            let mut ssh = master.ssh();
            all.push(Running::start(ssh.args(["box", command]).stdin(input).stdout(Stdio::piped())));
        }
        let _waiting = TcpStream::connect(("127.0.0.1", to_dead)).expect("a forwarded port");
        let flood = TcpStream::connect(("127.0.0.1", to_deaf)).expect("a forwarded port");
        let mut flooding = flood.try_clone().expect("a clone");
        thread::spawn(move || std::io::copy(&mut zero(), &mut flooding));
        let (_held, _) = deaf.accept().expect("forwarded");

        let mut ssh = master.ssh();
        ssh.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = Running::start(&mut ssh);
        let (mut stdin, mut stdout) = (shell.stdin(), BufReader::new(shell.stdout()));
        let mut slowest = std::time::Duration::ZERO;
        for round in 0..200 {
            let asked = Instant::now();
            writeln!(stdin, "{round}").expect("sent");
            let mut answer = String::new();
            stdout.read_line(&mut answer).expect("an answer");
            assert_eq!(answer, format!("{round}\n"));
            if round > 0 {
                slowest = slowest.max(asked.elapsed());
            }
        }
        eprintln!("the slowest of 199 answers took {slowest:?}");
        let _ = flood.shutdown(std::net::Shutdown::Both);
    });
}

#[test]
fn keys_change_in_the_middle_of_bulk_both_ways() {
    let mib = number("IROSH_TEST_REKEY_MIB", 48);
    let limit = number("IROSH_TEST_REKEY_LIMIT_MIB", 4);
    over(&[Route::Builtin], |line| {
        configure(line, &format!("RekeyLimit {limit}M"));
        let mut ssh = line.client.ssh();
        ssh.args(["-v", "-o", &format!("RekeyLimit={limit}M"), "box", "cat"]);
        let log = line.folder.path().join("log");
        ssh.stderr(fs::File::create(&log).expect("a log"));
        let mut running = Running::start(ssh.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let mut stdin = running.stdin();
        let length = mib << 20;
        let sending = thread::spawn(move || std::io::copy(&mut Random::new(4, length), &mut stdin));
        assert_eq!(hash_reader(running.stdout()), hash_reader(Random::new(4, length)));
        sending.join().expect("no panic").expect("sent");
        assert!(running.wait(DEADLINE).success());
        let log = fs::read_to_string(&log).expect("a log");
        let changes = log.matches("SSH2_MSG_NEWKEYS received").count();
        eprintln!("keys changed {} times", changes - 1);
        assert!(changes > mib / limit, "{changes}: {log}");
    });
}

#[test]
fn the_question_which_methods_there_are_is_no_failure() {
    over(&SERVERS, |line| {
        configure(line, "MaxAuthTries 1");
        let output = line.client.exec("echo in");
        assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
    });
}

#[test]
fn one_wrong_key_too_many_ends_the_connection() {
    over(&SERVERS, |line| {
        configure(line, "MaxAuthTries 2");
        let wrong: Vec<_> = ["a", "b"].map(|name| line.folder.path().join(name)).into();
        wrong.iter().for_each(|path| _ = new_key(path));
        let output = run(with_keys(line, &[&wrong[0], &line.server.user_key()]).args(["box", "echo in"]));
        assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
        let keys = [wrong[0].as_path(), &wrong[1], &line.server.user_key()];
        let output = run(with_keys(line, &keys).args(["box", "echo in"]));
        let said = output.stderr.said();
        assert!(output.stdout.is_empty() && said.contains("Too many authentication failures"), "{said}");
    });
}

#[test]
fn a_match_block_has_its_own_number_of_tries_and_its_own_banner() {
    over(&SERVERS, |line| {
        let banner = line.folder.path().join("banner");
        fs::write(&banner, "for some of you\n").expect("a banner");
        configure_some(line, "user *", &format!("MaxAuthTries 1\nBanner {}", banner.display()));
        let wrong = line.folder.path().join("wrong");
        new_key(&wrong);
        let output = run(with_keys(line, &[&line.server.user_key()]).args(["box", "echo in"]));
        assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
        assert!(output.stderr.said().contains("for some of you"), "{}", output.stderr.said());
        let output = run(with_keys(line, &[&wrong, &line.server.user_key()]).args(["box", "echo in"]));
        let said = output.stderr.said();
        assert!(output.stdout.is_empty() && said.contains("Too many authentication failures"), "{said}");
    });
}

#[test]
fn a_forward_that_was_cancelled_is_made_again_at_once() {
    over(&Route::FEW, |line| {
        let master = Master::start(line, &[]);
        let (port, socket) = (free_port(), line.folder.path().join("s"));
        let forwards = [format!("127.0.0.1:{port}:127.0.0.1:9"), format!("{}:127.0.0.1:9", socket.display())];
        for _ in 0..3 {
            for forward in &forwards {
                succeed(master.ssh().args(["-O", "forward", "-R", forward, "box"]));
                succeed(master.ssh().args(["-O", "cancel", "-R", forward, "box"]));
                // sshd leaves the socket where it was, and ssh does not wait for the answer.
                poll("a free port", DEADLINE, || TcpListener::bind(("127.0.0.1", port)).ok());
                let _ = fs::remove_file(&socket);
            }
        }
    });
}

#[test]
fn a_connection_outlives_the_forward_that_it_came_by() {
    over(&Route::FEW, |line| {
        let master = Master::start(line, &[]);
        let target = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = free_port();
        let forward = format!("127.0.0.1:{port}:{}", target.local_addr().expect("an address"));
        succeed(master.ssh().args(["-O", "forward", "-R", &forward, "box"]));
        let mut near = poll("a forwarded port", DEADLINE, || TcpStream::connect(("127.0.0.1", port)).ok());
        let (mut far, _) = target.accept().expect("forwarded");
        succeed(master.ssh().args(["-O", "cancel", "-R", &forward, "box"]));
        poll("a free port", DEADLINE, || TcpListener::bind(("127.0.0.1", port)).ok());
        near.write_all(b"still").expect("sent");
        let mut got = [0; 5];
        far.read_exact(&mut got).expect("received");
        assert_eq!(&got, b"still");
    });
}

#[test]
fn keys_that_force_different_commands_do_not_go_together() {
    over(&SERVERS, |line| {
        configure(line, "AuthenticationMethods publickey,publickey");
        let second = line.folder.path().join("second");
        let lines = [fs::read_to_string(line.server.authorized_keys()).expect("a key"), new_key(&second)];
        let output = |commands: [&str; 2]| -> Output {
            let text = format!("{}{}\n{}{}\n", commands[0], lines[0].trim(), commands[1], lines[1]);
            fs::write(line.server.authorized_keys(), text).expect("authorized_keys");
            run(with_keys(line, &[&line.server.user_key(), &second]).args(["box", "echo asked"]))
        };
        let same = "command=\"echo forced\" ";
        assert_eq!(output(["", ""]).stdout.said(), "asked\n");
        assert_eq!(output([same, ""]).stdout.said(), "forced\n");
        assert_eq!(output([same, same]).stdout.said(), "forced\n");
        let other = output([same, "command=\"echo other\" "]);
        assert_eq!((other.status.code(), other.stdout.said()), (Some(255), String::new()));
    });
}

/// Signs the user's key with an authority's; where the certificate is.
fn certify(line: &Line, authority: &Path, options: &[&str]) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.arg("-q").arg("-s").arg(authority).args(["-I", "id"]).args(options);
    succeed(keygen.arg(line.server.user_key().with_extension("pub")));
}

#[test]
fn a_certificate_is_worth_what_its_authority_and_options_say() {
    over(&SERVERS, |line| {
        let authority = line.folder.path().join("authority");
        let trusted = new_key(&authority);
        let stranger = line.folder.path().join("stranger");
        new_key(&stranger);
        let login = harness::login();
        let in_with = |lines: &str, options: &[&str], signer: &Path| {
            fs::write(line.server.authorized_keys(), lines).expect("authorized_keys");
            certify(line, signer, options);
            run(line.client.ssh().args(["box", "echo in"])).stdout.said() == "in\n"
        };
        let ca = format!("cert-authority {trusted}\n");
        let mine = ["-n", login.as_str()];
        assert!(in_with(&ca, &mine, &authority));
        assert!(!in_with(&ca, &mine, &stranger), "an authority that nobody trusts");
        assert!(!in_with(&ca, &["-n", "somebody"], &authority), "somebody else's principal");
        assert!(in_with(&ca, &[], &authority), "no principal, from an authority in a user's own list");
        assert!(!in_with(&ca, &["-h", mine[0], mine[1]], &authority), "a host's certificate");
        assert!(!in_with(&ca, &["-V", "-2d:-1d", mine[0], mine[1]], &authority), "one that has expired");
        assert!(!in_with(&trusted, &mine, &authority), "an authority that is listed as a key");
        let forced = ["-O", "force-command=echo forced", mine[0], mine[1]];
        certify(line, &authority, &forced);
        fs::write(line.server.authorized_keys(), &ca).expect("authorized_keys");
        assert_eq!(line.client.exec("echo in").stdout.said(), "forced\n");
        let named = format!("cert-authority,principals=\"somebody\" {trusted}\n");
        assert!(in_with(&named, &["-n", "somebody"], &authority));
        configure(line, "CASignatureAlgorithms ecdsa-sha2-nistp256");
        assert!(!in_with(&ca, &mine, &authority), "a signature that is not accepted");
    });
}

#[test]
fn a_terminal_whose_program_does_not_read_is_hung_up_on() {
    over(&Route::FEW, |line| {
        let mut ssh = line.client.ssh();
        ssh.args(["-tt", "box", "stty raw -echo; echo ready; exec sleep 1000"]);
        let zero = fs::File::open("/dev/zero").expect("zeros");
        let mut running = Running::start(ssh.stdin(zero).stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut stdout = BufReader::new(running.stdout());
        let mut first = String::new();
        stdout.read_line(&mut first).expect("a line");
        assert!(first.contains("ready"), "{first}");
        assert!(!line.server.processes().is_empty());
        running.signal(nix::sys::signal::Signal::SIGKILL);
        poll("the end of the command", DEADLINE, || line.server.processes().is_empty().then_some(()));
    });
}

#[test]
fn connections_that_never_log_in_leave_nothing_behind() {
    let crowd = number("IROSH_TEST_GARBAGE", 60);
    let line = Line::new(Route::Builtin);
    let host = line.host();
    assert!(line.client.exec("true").status.success());
    host.wait_ended(1);
    poll("an idle host", DEADLINE, || harness::descendants(host.pid()).is_empty().then_some(()));
    let before = host.descriptors();
    let greeting = b"SSH-2.0-half\r\n";
    for seed in 0..crowd {
        // Random bytes, a greeting and random bytes, a greeting and a length without an end, one that says
        // nothing, and one that leaves in the middle of a greeting.
        let sent = match seed % 5 {
            0 => Random::bytes(seed as u64, 5000),
            1 => [&greeting[..], &Random::bytes(seed as u64, 5000)].concat(),
            2 => [&greeting[..], &[0, 0, 4, 0, 9, 20]].concat(),
            3 => Vec::new(),
            _ => greeting[..7].to_vec(),
        };
        feed(&mut line.client.proxy("box"), sent);
    }
    host.wait_ended(crowd + 1);
    poll("no process left", DEADLINE, || harness::descendants(host.pid()).is_empty().then_some(()));
    poll("as many descriptors as before", DEADLINE, || (host.descriptors() <= before).then_some(()));
    assert!(line.client.exec("true").status.success());
}

#[test]
fn a_host_serves_with_the_small_program_of_its_version() {
    let folder = harness::folder();
    let server = harness::Server::new(folder.path());
    let host = harness::HostSetup::new(&folder.path().join("host"), "builtin").start();
    let client = harness::Client::new(folder.path(), "client", &server);
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).expect("users").expect("this one");
    let peer = format!("login=\"{}\" {}\n", user.name, client.identity);
    fs::write(host.home().join("authorized_peers"), peer).expect("authorized_peers");
    client.add_host("box", &host.ticket());
    let said = run(client.ssh().args(["-l", &user.name, "box", "cat /proc/$PPID/comm"]));
    assert_eq!(said.stdout.said().trim(), "irosh-sshd", "{said:?}");
}

#[test]
fn a_host_has_the_logins_at_its_own_server_in_its_log() {
    let folder = harness::folder();
    let server = harness::Server::new(folder.path());
    let host = harness::HostSetup::new(&folder.path().join("host"), "builtin").start();
    let client = harness::Client::new(folder.path(), "client", &server);
    let user =
        nix::unistd::User::from_uid(nix::unistd::Uid::effective()).expect("users").expect("this one").name;
    let peer = format!("login=\"{user}\" {}\n", client.identity);
    fs::write(host.home().join("authorized_peers"), peer).expect("authorized_peers");
    client.add_host("box", &host.ticket());
    let who = succeed(Command::new("ssh-keygen").arg("-lf").arg(client.home().join("identity.pub")));
    let who = who.split(' ').nth(1).expect("a fingerprint");
    for (login, event) in [(user.as_str(), "accepted none"), ("no-such-user", "refused login")] {
        run(client.ssh().args(["-l", login, "box", "true"]));
        let line = host.daemon.stderr.wait_for(&format!("{event} for {login} from "));
        assert!(line.contains(who), "{line}");
    }
}

#[test]
fn where_sftp_is_forced_commands_and_shells_are_told_so() {
    over(&SERVERS, |line| {
        configure(line, "ForceCommand internal-sftp");
        for arguments in [&["box", "true"][..], &["-tt", "box"], &["box"]] {
            let said = run(line.client.ssh().args(arguments));
            assert!(said.stdout.said().contains("This service allows sftp connections only."), "{said:?}");
            assert_eq!(said.status.code(), Some(1), "{arguments:?}");
        }
        let listed = feed(line.client.sftp().args(["-q", "-b", "-", "box"]), b"pwd\n".to_vec());
        assert!(listed.status.success(), "{listed:?}");
    });
}

/// Where the host runs the built-in server itself: it counts those who have not logged in yet.
#[test]
fn logins_under_way_are_no_more_than_max_startups() {
    let folder = harness::folder();
    let server = harness::Server::new(folder.path());
    let client = harness::Client::new(folder.path(), "client", &server);
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).expect("users").expect("this one");
    let settings = "[sshd]\nMaxStartups = \"2:100:2\"\n";
    let host = harness::HostSetup::new(&folder.path().join("host"), "builtin").settings(settings).start();
    let peer = format!("login=\"{}\" {}\n", user.name, client.identity);
    fs::write(host.home().join("authorized_peers"), peer).expect("authorized_peers");
    client.add_host("box", &host.ticket());
    let ssh = |command: &str| run(client.ssh().args(["-l", &user.name, "box", command]));
    // Those who are in do not count.
    let shells: Vec<_> = (0..2)
        .map(|_| {
            let mut cat = client.ssh();
            cat.args(["-l", &user.name, "box", "echo in; cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut cat = Running::start(&mut cat);
            assert_eq!(first_line(&mut cat), "in\n");
            cat
        })
        .collect();
    let mut waiting: Vec<_> = (0..2)
        .map(|_| {
            let mut proxy = client.proxy("box");
            let mut proxy = Running::start(proxy.stdin(Stdio::piped()).stdout(Stdio::piped()));
            assert!(first_line(&mut proxy).starts_with("SSH-2.0-"));
            proxy
        })
        .collect();
    let said = ssh("true");
    assert!(said.stderr.said().contains("MaxStartups"), "{said:?}");
    waiting.pop();
    poll("room for a login", DEADLINE, || ssh("true").status.success().then_some(()));
    drop(shells);
}

/// The first line that it says; what follows is not read, and so does not fail to be written.
fn first_line(running: &mut Running) -> String {
    let mut line = Vec::new();
    let mut stdout = running.stdout();
    let mut byte = [0];
    while !line.ends_with(b"\n") && stdout.read(&mut byte).expect("read") == 1 {
        line.extend(byte);
    }
    running.keep_stdout(stdout);
    line.said()
}

#[test]
fn a_host_serves_as_if_the_system_had_started_it() {
    let folder = harness::folder();
    let server = harness::Server::new(folder.path());
    let script = "trap '' HUP INT QUIT; ulimit -S -n 500; exec \"$@\"";
    let host = harness::HostSetup::new(&folder.path().join("host"), "builtin");
    let host = host.under(&["sh", "-c", script, "sh"]).start();
    let client = harness::Client::new(folder.path(), "client", &server);
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).expect("users").expect("this one");
    let peer = format!("login=\"{}\" {}\n", user.name, client.identity);
    fs::write(host.home().join("authorized_peers"), peer).expect("authorized_peers");
    client.add_host("box", &host.ticket());
    // The last digits: glibc ignores one of its own, SIGCANCEL, in what it starts.
    let state = "ulimit -S -n; grep SigIgn /proc/self/status | tail -c 8";
    let said = run(client.ssh().args(["-l", &user.name, "box", state])).stdout.said();
    assert_eq!(said, "500\n0000000\n");
}

#[test]
fn a_channel_that_nothing_goes_through_for_its_time_is_closed() {
    over(&SERVERS, |line| {
        configure(line, "ChannelTimeout session:command=2 direct-tcpip=2");
        let output = line.client.exec("exec sleep 100");
        assert_eq!((output.status.code(), output.stdout.said()), (Some(255), String::new()));
        let busy = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done; exit 7";
        assert_eq!(line.client.exec(busy).status.code(), Some(7));
        let silent = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let target = silent.local_addr().expect("an address").to_string();
        let mut ssh = line.client.ssh();
        ssh.args(["-W", &target, "box"]).stdin(Stdio::piped());
        let mut running = Running::start(&mut ssh);
        let _open = running.stdin();
        let (mut far, _) = silent.accept().expect("forwarded");
        assert_eq!(far.read(&mut [0]).expect("its end"), 0);
        running.wait(DEADLINE);
    });
}

#[test]
fn a_connection_that_nobody_uses_for_its_time_is_ended() {
    over(&SERVERS, |line| {
        configure(line, "UnusedConnectionTimeout 1");
        let mut master = Master::start(line, &[]);
        let used = master.ssh().args(["box", "sleep 2; echo done"]).output().expect("ssh");
        assert_eq!(used.stdout.said(), "done\n", "{}", used.stderr.said());
        assert_eq!(master.running().wait(DEADLINE).code(), Some(255));
    });
}

#[test]
fn each_of_many_commands_at_once_has_its_own_status() {
    over(&[Route::Builtin], |line| {
        let master = Master::start(line, &[]);
        let lanes = (0..8).map(|lane| {
            let commands = (lane * 20..lane * 20 + 20).map(|status| {
                let mut command = master.ssh();
                command.args(["box", &format!("echo; exit {status}")]);
                (status, command)
            });
            let mut commands: Vec<_> = commands.collect();
            thread::spawn(move || {
                for (status, command) in &mut commands {
                    let said = run(command);
                    assert_eq!(said.status.code(), Some(*status), "{}", said.stderr.said());
                }
            })
        });
        let lanes: Vec<_> = lanes.collect();
        lanes.into_iter().for_each(|lane| lane.join().expect("each its own"));
    });
}

/// A shell command that prints bytes as numbers.
const HEX: &str = "od -An -tx1 | tr -d ' \\n'";

#[test]
fn bytes_that_are_not_utf_8_arrive_as_they_are_and_end_nothing() {
    over(&SERVERS, |line| {
        configure(line, "AcceptEnv *");
        let odd = OsStr::from_bytes(b"caf\xe9");
        let master = Master::start(line, &["-o", "SendEnv=ODD"]);
        let mut cat = master.ssh();
        let mut cat = Running::start(cat.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let (mut stdin, mut stdout) = (cat.stdin(), BufReader::new(cat.stdout()));
        // A variable and its name, the terminal, and a subsystem.
        let mut ssh = master.ssh();
        ssh.env("ODD", odd).args(["-o", "SendEnv=ODD", "box", &format!("printf %s \"$ODD\" | {HEX}")]);
        assert_eq!(succeed(&mut ssh), "636166e9");
        let mut ssh = master.ssh();
        ssh.env("TERM", odd).args(["-tt", "box", &format!("printf %s \"$TERM\" | {HEX}")]);
        assert_eq!(succeed(&mut ssh), "636166e9");
        let subsystem = run(master.ssh().args(["-s", "box"]).arg(odd));
        assert!(!subsystem.status.success() && subsystem.stdout.is_empty(), "{subsystem:?}");
        // Sockets there, to and from.
        let path = line.folder.path().join(odd);
        let there = UnixListener::bind(&path).expect("a socket");
        let port = free_port();
        let to = [format!("127.0.0.1:{port}:").as_bytes(), path.as_os_str().as_bytes()].concat();
        succeed(master.ssh().args(["-O", "forward", "-L"]).arg(OsStr::from_bytes(&to)).arg("box"));
        let mut near = TcpStream::connect(("127.0.0.1", port)).expect("a forwarded port");
        near.write_all(b"x").expect("sent");
        let mut got = [0];
        there.accept().expect("forwarded").0.read_exact(&mut got).expect("received");
        let (path, here) = (line.folder.path().join(OsStr::from_bytes(b"\xff")), free_port());
        let target = TcpListener::bind(("127.0.0.1", here)).expect("a listener");
        let from = [path.as_os_str().as_bytes(), format!(":127.0.0.1:{here}").as_bytes()].concat();
        succeed(master.ssh().args(["-O", "forward", "-R"]).arg(OsStr::from_bytes(&from)).arg("box"));
        let mut far = UnixStream::connect(&path).expect("a forwarded socket");
        far.write_all(b"y").expect("sent");
        target.accept().expect("forwarded").0.read_exact(&mut got).expect("received");
        // All that was on the connection is still there.
        stdin.write_all(b"still\n").expect("sent");
        let mut answer = String::new();
        stdout.read_line(&mut answer).expect("an answer");
        assert_eq!(answer, "still\n");
    });
}

#[test]
fn logins_and_passwords_that_are_not_utf_8_are_wrong_and_no_more() {
    over(&SERVERS, |line| {
        configure(line, "PasswordAuthentication yes\nKbdInteractiveAuthentication yes");
        let odd = OsStr::from_bytes(b"caf\xe9");
        let unknown = run(line.client.ssh().arg("-l").arg(odd).args(["box", "true"]));
        assert!(unknown.stderr.said().contains("Permission denied"), "{}", unknown.stderr.said());
        let script = line.folder.path().join("askpass");
        fs::write(&script, b"#!/bin/sh\necho 'caf\xe9'\n").expect("a script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a mode");
        for method in ["password", "keyboard-interactive"] {
            let mut ssh = line.client.ssh();
            ssh.env("SSH_ASKPASS", &script).env("SSH_ASKPASS_REQUIRE", "force");
            ssh.args(["-o", "BatchMode=no", "-o", "NumberOfPasswordPrompts=1", "-o"]);
            ssh.args([&format!("PreferredAuthentications={method}"), "box", "true"]);
            let wrong = run(&mut ssh);
            assert!(wrong.stderr.said().contains("Permission denied"), "{method}: {}", wrong.stderr.said());
        }
    });
}

#[test]
fn a_terminal_without_a_name_has_none() {
    over(&SERVERS, |line| {
        let environment = "tr '\\0' '\\n' </proc/$$/environ | grep ^TERM=; echo end";
        let output = run(line.client.ssh().env("TERM", "").args(["-tt", "box", environment]));
        assert_eq!(output.stdout.said(), "end\r\n");
    });
}

#[test]
fn a_disconnect_ends_the_server_whatever_its_client_does() {
    let line = Line::new(Route::Builtin);
    let wrong = line.folder.path().join("wrong");
    new_key(&wrong);
    for (lines, key) in
        [("UnusedConnectionTimeout 1", line.server.user_key()), ("MaxAuthTries 1\nLoginGraceTime 0", wrong)]
    {
        configure(&line, lines);
        // What feeds the server never ends.
        let pid = line.folder.path().join("pid");
        let script = line.folder.path().join("proxy");
        let server = format!("echo $$ >{}; exec {}", pid.display(), line.server.builtin_command());
        fs::write(&script, format!("(cat; exec sleep 1000) | sh -c '{server}'\n")).expect("a script");
        let mut ssh = with_keys(&line, &[&key]);
        ssh.args(["-o", &format!("ProxyCommand=sh {}", script.display()), "-o", "KnownHostsCommand=none"]);
        ssh.args(["-o", "StrictHostKeyChecking=no", "-N", "box"]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut ssh = Running::start(&mut ssh);
        assert!(!ssh.wait(DEADLINE).success());
        let pid = fs::read_to_string(&pid).expect("a number");
        let server = Path::new("/proc").join(pid.trim());
        poll("the end of the server", DEADLINE, || (!server.join("exe").exists()).then_some(()));
    }
}

#[test]
fn a_match_block_has_its_own_questions_to_a_silent_client() {
    over(&SERVERS, |line| {
        configure_some(line, "user *", "ClientAliveInterval 1\nClientAliveCountMax 1");
        let mut ssh = line.client.ssh();
        ssh.args(["box", "echo in; exec cat"]);
        let mut running = Running::start(ssh.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let _open = running.stdin();
        assert_eq!(first_line(&mut running), "in\n");
        running.signal(nix::sys::signal::Signal::SIGSTOP);
        poll("the end of the command", DEADLINE, || line.server.processes().is_empty().then_some(()));
    });
}

#[test]
fn a_match_block_has_its_own_limit_to_a_key() {
    // sshd takes it there and does nothing with it.
    over(&[Route::Builtin], |line| {
        configure_some(line, "user *", "RekeyLimit 1M");
        let mut ssh = line.client.ssh();
        let output = run(ssh.args(["-v", "box", "head -c 8M /dev/zero"]));
        assert_eq!(output.stdout.len(), 8 << 20);
        let changes = output.stderr.said().matches("SSH2_MSG_NEWKEYS received").count();
        assert!(changes > 4, "{changes}");
    });
}

#[test]
fn a_host_that_is_process_1_waits_for_what_others_leave() {
    if !nix::unistd::geteuid().is_root() {
        return harness::skip("not root");
    }
    let folder = harness::folder();
    let server = harness::Server::new(folder.path());
    let client = harness::Client::new(folder.path(), "client", &server);
    let setup = harness::HostSetup::new(&folder.path().join("host"), "builtin");
    let mut host = setup.under(&["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]).start();
    let peer = format!("login=\"root\" {}\n", client.identity);
    fs::write(host.home().join("authorized_peers"), peer).expect("authorized_peers");
    client.add_host("box", &host.ticket());
    let ssh = |command: &str| run(client.ssh().args(["-l", "root", "box", command])).stdout.said();
    assert_eq!(ssh("head -1 /proc/1/comm"), "irosh\n");
    assert_eq!(ssh("setsid sh -c 'sleep 0.1 & echo $!' | tail -1 >/dev/null; echo left"), "left\n");
    let zombies = "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ' Z 1 '";
    poll("no zombie", DEADLINE, || (ssh(zombies) == "0\n").then_some(()));
    // A signal to it reaches the host, and its end is the host's.
    let first = host.daemon.pid();
    let child = harness::descendants(first)[0];
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGTERM).expect("process 1");
    assert!(host.daemon.wait(DEADLINE).success(), "{}", host.log());
}
