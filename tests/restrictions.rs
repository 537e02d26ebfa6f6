//! Options of `authorized_keys` in `authorized_peers`: what a peer may do at the built-in server.

mod harness;

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output, Stdio},
    thread,
};

use harness::{
    Client, Host, HostSetup, Line, Route, Running, Said, Server, descendants, folder, is_refused, login, run,
    ssh_to, stranger,
};

/// A host with the built-in server, and a client with one line in its list.
struct Phone {
    host: Host,
    client: Client,
    server: Server,
    _folder: tempfile::TempDir,
}

impl Phone {
    /// A client that the host does not know.
    fn unknown(settings: &str) -> Self {
        let folder = folder();
        let server = Server::new(folder.path());
        let setup = HostSetup::new(&folder.path().join("host"), "builtin");
        let keys = server.authorized_keys();
        let sshd =
            format!("[sshd]\nAuthorizedKeysFile = '{}'\nStrictModes = false\n{settings}", keys.display());
        let host = setup.settings(&sshd).start();
        let client = Client::new(folder.path(), "phone", &server);
        client.add_host("box", &host.ticket());
        client.add_proxied("invite*");
        Self { host, client, server, _folder: folder }
    }

    /// One that may log in, with these options.
    fn new(options: &str) -> Self {
        Self::configured("", options)
    }

    fn configured(settings: &str, options: &str) -> Self {
        let phone = Self::unknown(settings);
        // The key that ssh has would do as well.
        fs::remove_file(phone.server.authorized_keys()).expect("no keys");
        phone.allow(&format!("login=\"{}\",{options}", login()));
        phone
    }

    fn allow(&self, options: &str) {
        self.host.allow(&format!("{options} {}", self.client.identity));
    }

    fn ssh(&self, words: &[&str]) -> Output {
        run(self.client.ssh().args(words))
    }
}

#[test]
fn a_peer_with_a_forced_command_runs_nothing_else() {
    let phone = Phone::new(r#"command="echo backup, not \"$SSH_ORIGINAL_COMMAND\"""#);
    assert_eq!(phone.client.exec("echo in").stdout.said(), "backup, not echo in\n");
    // Nor as a subsystem.
    let sftp = run(phone.client.sftp().args(["-b", "/dev/null", "box"]));
    assert!(!sftp.status.success(), "sftp works");
}

#[test]
fn a_forced_command_is_in_no_argument_list_before_it_runs() {
    let phone = Phone::new(r#"command="read line; echo 5ecret""#);
    let mut ssh = phone.client.ssh();
    ssh.arg("box").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running::start(&mut ssh);
    phone.host.wait_event(|event| event["event"] == "session_started");
    let arguments = |pid: &nix::unistd::Pid| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let servers: Vec<_> = descendants(phone.host.pid())
        .iter()
        .map(|pid| String::from_utf8_lossy(&arguments(pid)).replace('\0', " "))
        .filter(|words| words.contains("--login="))
        .collect();
    assert_eq!(servers.len(), 1, "{servers:?}");
    assert!(!servers[0].contains("5ecret"), "{servers:?}");
    writeln!(running.stdin()).expect("sent");
    let mut said = String::new();
    running.stdout().read_to_string(&mut said).expect("read");
    assert_eq!(said, "5ecret\n");
}

#[track_caller]
fn gets_no_terminal(phone: &Phone) {
    let output = phone.ssh(&["-tt", "box", "tty"]);
    assert!(output.stderr.said().contains("PTY allocation request failed"), "{}", output.stderr.said());
    assert!(!output.stdout.said().contains("/dev/"), "{}", output.stdout.said());
}

#[test]
fn a_peer_that_may_have_no_terminal_gets_none() {
    gets_no_terminal(&Phone::new("no-pty"));
    assert!(Phone::new("pty").ssh(&["-tt", "box", "tty"]).stdout.said().contains("/dev/"));
}

/// Says hello to everybody; returns its port.
fn greeter() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || listener.incoming().flatten().for_each(|mut to| drop(to.write_all(b"hello"))));
    port
}

#[test]
fn a_peer_reaches_the_ports_that_it_is_permitted_alone() {
    let (permitted, other) = (greeter(), greeter());
    let phone = Phone::new(&format!("permitopen=\"127.0.0.1:{permitted}\""));
    let reach = |port: u16| {
        let place = format!("127.0.0.1:{port}");
        run(phone.client.ssh().args(["-W", &place, "box"]).stdin(Stdio::null()))
    };
    assert_eq!(reach(permitted).stdout.said(), "hello");
    let refused = reach(other);
    assert_eq!(refused.stdout.said(), "");
    assert!(refused.stderr.said().contains("administratively prohibited"), "{}", refused.stderr.said());
}

#[test]
fn a_restricted_peer_may_run_commands_and_nothing_else() {
    let phone = Phone::new("restrict");
    assert_eq!(phone.client.exec("echo in").stdout.said(), "in\n");
    gets_no_terminal(&phone);
    let place = format!("127.0.0.1:{}", greeter());
    assert_eq!(phone.ssh(&["-W", &place, "box"]).stdout.said(), "");
    let listen = format!("0:{place}");
    let output = phone.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", &listen, "box", "echo in"]);
    assert_eq!((output.status.code(), output.stdout.said().as_str()), (Some(255), ""));
}

#[test]
fn a_peers_environment_is_its_own_where_that_is_permitted() {
    let options = "environment=\"PHONE=mine\"";
    let say = |phone: &Phone| phone.client.exec("echo $PHONE").stdout.said();
    assert_eq!(say(&Phone::configured("PermitUserEnvironment = true\n", options)), "mine\n");
    assert_eq!(say(&Phone::new(options)), "\n");
}

#[test]
fn a_peer_that_is_not_where_it_has_to_be_does_not_log_in() {
    let output = Phone::new("from=\"10.0.0.1\"").client.exec("echo in");
    assert!(output.stderr.said().contains("Permission denied"), "{}", output.stderr.said());
    assert_eq!(Phone::new("from=\"*\"").client.exec("echo in").stdout.said(), "in\n");
}

#[test]
fn what_restricts_a_peer_holds_whatever_it_logs_in_by() {
    let phone = Phone::unknown("");
    phone.allow("command=\"echo only this\"");
    // There is a key that would let it do everything.
    assert_eq!(phone.client.exec("echo in").stdout.said(), "only this\n");
}

#[test]
fn an_invite_restricts_whom_it_admits() {
    let phone = Phone::unknown("");
    let user = login();
    let invite =
        phone.host.invite(&["--login", &user, "--option", "command=\"echo a, b\"", "--option", "no-pty"]);
    assert_eq!(ssh_to(&phone.client, &invite).stdout.said(), "a, b\n");
    assert_eq!(phone.client.exec("echo in").stdout.said(), "a, b\n");
    let listed = phone.host.irosh(&["peers", "list", "--json"]).stdout.said();
    let peer: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(peer["login"], user.as_str());
    assert_eq!(peer["options"], format!("login=\"{user}\",command=\"echo a, b\",no-pty"));
}

#[test]
fn an_invite_with_an_option_that_is_not_known_is_not_made() {
    let phone = Phone::unknown("");
    let output = phone.host.irosh(&["invite", "--option", "frobnicate"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stderr.said(), "irosh: unknown option `frobnicate`\n");
}

#[test]
fn a_restricted_peer_is_not_handed_to_a_server_that_would_not_know() {
    let line = Line::new(Route::Exec);
    let phone = stranger(&line, "phone");
    line.host().allow(&format!("restrict {}", phone.identity));
    is_refused(&ssh_to(&phone, "box"), "restricts you by options that its ssh server does not know");
    line.host().daemon.stderr.wait_for("the built-in server alone");
}

#[test]
fn a_user_who_is_not_root_vouches_for_no_other_login() {
    let folder = folder();
    // What belongs to another user is that user's host, where root asks.
    let user = if nix::unistd::geteuid().is_root() {
        harness::succeed(Command::new("chown").arg("nobody").arg(folder.path()));
        "nobody".to_owned()
    } else {
        login()
    };
    let irosh = |words: &[&str]| run(harness::program(harness::IROSH, folder.path()).args(words));
    let key = harness::new_key(&folder.path().join("key"));
    let allow = format!("login=\"root\" {key}");
    for words in
        [&["invite", "--login", "root"][..], &["pair", "--login", "root"], &["peers", "allow", &allow]]
    {
        let output = irosh(words);
        let said = output.stderr.said();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("who runs the host, {user}, and not root\n")), "{said}");
    }
    assert!(irosh(&["invite", "--login", &user]).status.success());
}
