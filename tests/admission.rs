//! Who may come in: strangers, invites, peers that are revoked, and settings that change.

mod harness;

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Output, Stdio},
    str::FromStr,
    time::Duration,
};

use harness::{
    DEADLINE, HostSetup, Line, Raw, Route, Running, Said, free_port, is_in, is_refused, poll, raw_runtime,
    run, ssh_to, stranger,
};
use irosh::{
    files::Lock,
    proxy::{Dialer, SessionStream},
    transport::{Invite, InviteSecret, KeyFile, Target},
};
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt;

#[test]
fn a_stranger_is_refused_and_told_what_would_help() {
    let line = Line::new(Route::Exec);
    let client = stranger(&line, "stranger");
    let output = ssh_to(&client, "box");
    is_refused(&output, "irosh-proxy: the host says: this host does not know you");
    line.host().wait_event(|event| event["event"] == "refused");
    // What the sentence says to run is the very line that admits them.
    let said = output.stderr.said();
    let key = said.split("irosh peers allow '").nth(1).and_then(|rest| rest.split('\'').next());
    line.host().allow(key.expect("a key in the sentence"));
    is_in(&ssh_to(&client, "box"));
}

#[test]
fn an_invite_admits_and_afterwards_the_ticket_does() {
    let line = Line::new(Route::Exec);
    let client = stranger(&line, "guest");
    is_in(&ssh_to(&client, &line.host().invite(&[])));
    is_in(&ssh_to(&client, "box"));
    is_in(&ssh_to(&client, &line.host().ticket()));
    line.host().wait_event(|event| event["event"] == "admitted");
}

#[test]
fn who_waits_for_the_decision_is_not_taken_for_silent() {
    let line = Line::with_settings(Route::Exec, "[limits]\nlogin-grace-time = 1\n");
    let invite = line.host().invite(&[]);
    let client = stranger(&line, "guest");
    let lock = Lock::wait(&line.host().home().join("invites.toml.lock"), Duration::ZERO).expect("the lock");
    std::thread::scope(|scope| {
        let ssh = scope.spawn(|| ssh_to(&client, &invite));
        // Longer than the grace time.
        std::thread::sleep(Duration::from_secs(2));
        drop(lock);
        is_in(&ssh.join().expect("no panic"));
    });
    line.host().wait_event(|event| event["event"] == "admitted");
}

#[test]
fn a_wrong_invite_is_refused() {
    let line = Line::new(Route::Exec);
    let addr = Target::from_str(&line.host().ticket()).expect("a ticket").addr().clone();
    let wrong = Invite { addr, secret: InviteSecret::generate() }.to_string();
    is_refused(&ssh_to(&stranger(&line, "guest"), &wrong), "the host does not know this invite");
    // Who is in already is let in whatever they show.
    line.client.add_proxied("invite*");
    is_in(&ssh_to(&line.client, &wrong));
}

#[test]
fn an_expired_invite_is_refused() {
    let line = Line::new(Route::Exec);
    let invite = line.host().invite(&["--ttl", "1s", "--uses", "100"]);
    let mut tries = 0;
    let output = poll("an expired invite", Duration::from_secs(20), || {
        tries += 1;
        // A new guest each time, since one that got in stays in.
        let output = ssh_to(&stranger(&line, &format!("guest{tries}")), &invite);
        (!output.status.success()).then_some(output)
    });
    is_refused(&output, "this invite has expired");
}

#[test]
fn an_invite_is_used_up() {
    let line = Line::new(Route::Exec);
    let invite = line.host().invite(&["--uses", "2"]);
    is_in(&ssh_to(&stranger(&line, "one"), &invite));
    is_in(&ssh_to(&stranger(&line, "two"), &invite));
    is_refused(&ssh_to(&stranger(&line, "three"), &invite), "this invite has been used already");
}

#[test]
fn invite_and_ticket_outlive_a_restart_of_the_host() {
    let mut line = Line::new(Route::Exec);
    let (invite, ticket) = (line.host().invite(&[]), line.host().ticket());
    let client = stranger(&line, "guest");
    line.host = line.host.take().map(harness::Host::restart);
    assert_eq!(line.host().ticket(), ticket);
    is_in(&ssh_to(&client, &invite));
    line.host = line.host.take().map(harness::Host::restart);
    is_in(&ssh_to(&client, &ticket));
}

#[test]
fn a_revoked_peer_is_refused_and_its_sessions_end() {
    let line = Line::new(Route::Exec);
    let mut ssh = line.client.ssh();
    ssh.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running::start(&mut ssh);
    let mut stdin = running.stdin();
    stdin.write_all(b"x").expect("sent");
    std::io::Read::read_exact(&mut running.stdout(), &mut [0]).expect("a session");
    assert!(line.host().irosh(&["peers", "revoke", "test"]).status.success());
    assert_eq!(running.wait(Duration::from_secs(15)).code(), Some(255));
    line.host().wait_ended(1);
    is_refused(&ssh_to(&line.client, "box"), "this host does not know you");
}

#[test]
fn a_peer_list_names_the_address_towards_sshd() {
    let line = Line::new(Route::Tcp);
    let output = line.host().irosh(&["peers", "list", "--json"]);
    let peer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let address = peer["address"].as_str().expect("an address");
    let said = line.client.exec("echo $SSH_CONNECTION").stdout.said();
    assert!(said.starts_with(&format!("{address} ")), "{address}: {said}");
}

#[test]
fn a_line_with_an_unknown_option_is_refused_and_named_and_the_rest_is_in_force() {
    let line = Line::new(Route::Exec);
    let odd = stranger(&line, "odd");
    let list = line.host().home().join("authorized_peers");
    let good = fs::read_to_string(&list).expect("the list");
    fs::write(&list, format!("frobnicate {}\n{good}", odd.identity)).expect("written");
    is_in(&ssh_to(&line.client, "box"));
    is_refused(&ssh_to(&odd, "box"), "this host does not know you");
    let said = line.host().daemon.stderr.wait_for("unknown option `frobnicate`");
    assert!(said.contains("line 1"), "{said}");
    let output = line.host().irosh(&["peers", "list"]);
    assert!(output.stderr.said().contains("unknown option `frobnicate`"), "{}", output.stderr.said());
}

#[test]
fn an_admission_that_has_expired_is_refused() {
    let line = Line::new(Route::Exec);
    let list = line.host().home().join("authorized_peers");
    fs::write(&list, format!("expiry-time=\"20200101\" {}\n", line.client.identity)).expect("written");
    is_refused(&ssh_to(&line.client, "box"), "your admission to this host has expired");
}

#[test]
fn a_peer_may_have_a_backend_of_its_own() {
    let line = Line::new(Route::Exec);
    let home = line.folder.path().join("other");
    let host = HostSetup::new(&home, &format!("tcp:127.0.0.1:{}", free_port())).start();
    let peers = format!("backend=\"exec:{}\" {}\n", line.server.command(), line.client.identity);
    fs::write(home.join("authorized_peers"), peers).expect("written");
    line.client.add_host("other", &host.ticket());
    // The keys that this host announces are those of its own backend, so there are none here.
    let output = run(line.client.ssh().args(["-o", "StrictHostKeyChecking=no", "other", "echo in"]));
    is_in(&output);
}

#[test]
fn settings_are_read_again_at_a_hang_up() {
    let line = Line::new(Route::Exec);
    let client = stranger(&line, "stranger");
    is_refused(&ssh_to(&client, "box"), "this host does not know you");
    let settings = line.host().home().join("host.toml");
    fs::write(&settings, "access = \"opne\"\n").expect("written");
    line.host().daemon.signal(Signal::SIGHUP);
    line.host().daemon.stderr.wait_for("the settings stay as they were");
    fs::write(&settings, "access = \"open\"\n").expect("written");
    line.host().daemon.signal(Signal::SIGHUP);
    line.host().daemon.stderr.wait_for("settings and lists read again");
    is_in(&ssh_to(&client, "box"));
}

#[test]
fn access_that_is_closed_again_ends_the_sessions_of_strangers() {
    let line = Line::with_settings(Route::Exec, "access = \"open\"\n");
    let client = stranger(&line, "stranger");
    let mut ssh = client.ssh();
    ssh.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running::start(&mut ssh);
    line.host().wait_event(|event| event["event"] == "session_started");
    fs::write(line.host().home().join("host.toml"), "access = \"invited\"\n").expect("written");
    line.host().daemon.signal(Signal::SIGHUP);
    assert_eq!(running.wait(Duration::from_secs(15)).code(), Some(255));
    is_in(&ssh_to(&line.client, "box"));
}

#[test]
fn who_is_refused_again_and_again_is_turned_away() {
    let line = Line::new(Route::Exec);
    let client = stranger(&line, "stranger");
    is_refused(&ssh_to(&client, "box"), "this host does not know you");
    // Three refusals in no time would do; each adds 5 s, and 15 s turn away.
    let often = (0..10).any(|_| ssh_to(&client, "box").stderr.said().contains("you were refused too often"));
    assert!(often, "never turned away");
    // Others from the same machine are not held responsible.
    is_in(&ssh_to(&line.client, "box"));
}

#[test]
fn a_revoked_peer_does_not_come_back_with_the_invite_that_brought_it() {
    let line = Line::new(Route::Exec);
    let invite = line.host().invite(&["--uses", "5"]);
    let guest = stranger(&line, "guest");
    guest.add_proxied("invite*");
    is_in(&ssh_to(&guest, &invite));
    let peers = line.host().irosh(&["peers", "list", "--json"]).stdout.said();
    let listed = peers.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let invited =
        |peer: &serde_json::Value| peer["name"].as_str().is_some_and(|name| name.starts_with("invited"));
    let fingerprint = listed.into_iter().find(invited).expect("the guest")["peer"]
        .as_str()
        .expect("a fingerprint")
        .to_owned();
    assert!(line.host().irosh(&["peers", "revoke", &fingerprint]).status.success());
    is_refused(&ssh_to(&guest, &invite), "your admission was taken back");
}

#[test]
fn where_everybody_may_come_in_strangers_have_a_number_of_places_in_all() {
    let line = Line::with_settings(Route::Exec, "access = \"open\"\n[limits]\nmax-strangers = 1\n");
    let (first, second) = (stranger(&line, "first"), stranger(&line, "second"));
    let mut ssh = first.ssh();
    ssh.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut running = Running::start(&mut ssh);
    line.host().wait_event(|event| event["event"] == "session_started");
    is_refused(&ssh_to(&second, "box"), "as many strangers are connected as this host allows");
    // Who is on the list has a place of its own.
    is_in(&ssh_to(&line.client, "box"));
    drop(running.stdin());
    running.wait(DEADLINE);
    // Its connection ends a moment after its session.
    poll("a place", DEADLINE, || ssh_to(&second, "box").status.success().then_some(()));
}

#[test]
fn lists_that_others_can_write_are_not_believed() {
    let line = Line::new(Route::Exec);
    let list = line.host().home().join("authorized_peers");
    fs::set_permissions(&list, fs::Permissions::from_mode(0o666)).expect("changed");
    is_refused(&ssh_to(&line.client, "box"), "the host cannot read its list of peers");
    assert!(line.host().log().contains("can be written by others"), "{}", line.host().log());
    fs::set_permissions(&list, fs::Permissions::from_mode(0o600)).expect("changed");
    is_in(&ssh_to(&line.client, "box"));
}

#[test]
fn no_secret_is_in_a_log_or_an_error() {
    let line = Line::new(Route::Exec);
    let home = line.folder.path().join("talkative");
    let host = HostSetup::new(&home, "exec:/bin/false").log("trace").start();
    let invite = host.invite(&[]);
    let secret = &invite["invite".len()..][..24];
    let client = stranger(&line, "guest");
    client.add_proxied("invite*");
    for _ in 0..2 {
        let output = run(client.proxy(&invite).env("IROSH_LOG", "trace"));
        assert!(!output.stderr.said().contains(secret), "the client says it");
    }
    let other = stranger(&line, "late");
    let said = run(&mut other.proxy(&invite)).stderr.said();
    assert!(said.contains("has been used already") && !said.contains(secret), "{said}");
    host.wait_event(|event| event["event"] == "refused");
    assert!(!host.log().contains(secret), "the host says it");
    let files = ["invites.toml", "authorized_peers"].map(|name| fs::read_to_string(home.join(name)));
    assert!(files.iter().all(|text| !text.as_ref().expect("a file").contains(secret)));
}

#[test]
fn sessions_beyond_the_limit_are_refused_until_one_ends() {
    let line = Line::with_settings(Route::Exec, "[limits]\nmax-sessions-per-peer = 1\n");
    let mut ssh = line.client.ssh();
    ssh.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut running = Running::start(&mut ssh);
    line.host().wait_event(|event| event["event"] == "session_started");
    is_refused(&ssh_to(&line.client, "box"), "which is as many as it allows");
    drop(running.stdin());
    running.wait(DEADLINE);
    line.host().wait_ended(1);
    is_in(&ssh_to(&line.client, "box"));
}

#[test]
fn a_session_counts_until_its_ssh_server_is_gone() {
    let line = Line::new(Route::Exec);
    let setup = HostSetup::new(&line.folder.path().join("slow"), "exec:sleep 3");
    let host = setup.settings("[limits]\nmax-sessions-per-peer = 1\n").start();
    host.allow(&line.client.identity);
    line.client.add_host("slow", &host.ticket());
    let mut proxy = line.client.proxy("slow");
    proxy.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut proxy = Running::start(&mut proxy);
    host.wait_event(|event| event["event"] == "session_started");
    proxy.signal(Signal::SIGTERM);
    proxy.wait(DEADLINE);
    host.wait_ended(1);
    let said = run(&mut line.client.proxy("slow")).stderr.said();
    assert!(said.contains("which is as many as it allows"), "{said}");
    poll("another session", DEADLINE, || run(&mut line.client.proxy("slow")).status.success().then_some(()));
}

#[test]
fn sessions_on_one_connection_have_a_limit_of_their_own() {
    let line = Line::with_settings(Route::Exec, "[limits]\nmax-sessions = 1\n");
    let key = KeyFile::load(&line.client.home().join("identity")).expect("the client's key");
    raw_runtime().block_on(async {
        let dialer = Dialer::bind(Raw::network(), key.secret().clone()).await.expect("an endpoint");
        let target = Target::from_str(&line.host().ticket()).expect("a target");
        let connection = dialer.dial(&target).await.expect("a connection");
        let open = || SessionStream::open(&dialer, &target, connection.clone());
        let (mut one, _) = open().await.expect("a session");
        one.read_u8().await.expect("a greeting");
        let (mut two, _) = open().await.expect("a stream");
        let error = two.read_u8().await.expect_err("refused").to_string();
        assert!(error.contains("1 sessions on one connection to this host"), "{error}");
    });
}

#[test]
fn an_invite_counts_where_everybody_may_come_in() {
    let line = Line::with_settings(Route::Exec, "access = \"open\"\n");
    let guest = stranger(&line, "guest");
    is_in(&ssh_to(&guest, &line.host().invite(&["--login", "root"])));
    line.host().wait_event(|event| event["event"] == "admitted");
    let listed = line.host().irosh(&["peers", "list"]).stdout.said();
    assert!(listed.contains("login=\"root\""), "{listed}");
}

#[test]
fn allowing_a_peer_again_keeps_what_restricts_it_and_says_what_changes() {
    let line = Line::new(Route::Exec);
    let list = line.host().home().join("authorized_peers");
    let key = &line.client.identity;
    let before = "expiry-time=\"20400101000000Z\",backend=\"exec:/bin/x\"";
    fs::write(&list, format!("{before} {key}\n")).expect("written");
    let allow = |words: &[&str]| line.host().irosh(&[&["peers", "allow"], words].concat());
    let same = allow(&[key]);
    assert!(same.status.success() && same.stderr.said().is_empty(), "{}", same.stderr.said());
    assert_eq!(fs::read_to_string(&list).expect("read"), format!("{before} {key}\n"));
    let changed = allow(&[&format!("no-resume {key}")]);
    assert_eq!(changed.stderr.said(), format!("irosh: it was: {before} test\n"));
    assert_eq!(fs::read_to_string(&list).expect("read"), format!("{before},no-resume {key}\n"));
    let replaced = allow(&["--replace", key]);
    assert!(replaced.stderr.said().contains("it was: "), "{}", replaced.stderr.said());
    assert_eq!(fs::read_to_string(&list).expect("read"), format!("{key}\n"));
}

/// Runs a host that cannot replace one of its files, as on a full disk, and a guest with an invite for one;
/// then the same host without that, where the guest and another come with the same invite.
fn with_a_file_that_cannot_be_written(name: &str, check: impl Fn(&Output, &Output, &Output)) {
    if !nix::unistd::geteuid().is_root() {
        return harness::skip("not root");
    }
    let line = Line::new(Route::Exec);
    let home = line.folder.path().join("full");
    let backend = format!("exec:{}", line.server.command());
    let setup = HostSetup::new(&home, &backend);
    let list = home.join("authorized_peers");
    fs::write(&list, "").expect("an empty list");
    fs::set_permissions(&list, fs::Permissions::from_mode(0o600)).expect("a mode");
    let (guest, other) = (stranger(&line, "guest"), stranger(&line, "other"));
    let mut host = setup.clone().start();
    let invite = host.invite(&[]);
    host.kill();
    drop(host);
    // What is mounted on is not replaced.
    let mount = "mount --bind \"$1\" \"$1\" && shift && exec \"$@\"";
    let file = home.join(name);
    let wrapper =
        ["unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh", &file.display().to_string()];
    let mut host = setup.clone().under(&wrapper).start();
    let first = ssh_to(&guest, &invite);
    host.kill();
    drop(host);
    let _host = setup.start();
    check(&first, &ssh_to(&other, &invite), &ssh_to(&guest, &invite));
}

#[test]
fn an_invite_for_one_stays_that_when_the_list_cannot_be_written() {
    with_a_file_that_cannot_be_written("authorized_peers", |first, other, again| {
        is_refused(first, "the host cannot write its list of peers or its invites");
        is_refused(other, "this invite has been used already");
        is_in(again);
    });
}

#[test]
fn nobody_comes_in_by_an_invite_whose_use_cannot_be_written() {
    with_a_file_that_cannot_be_written("invites.toml", |first, other, again| {
        is_refused(first, "the host cannot write its list of peers or its invites");
        is_in(other);
        is_refused(again, "this invite has been used already");
    });
}

#[test]
fn a_backend_is_told_who_comes_and_from_which_address() {
    let line = Line::new(Route::Exec);
    let home = line.folder.path().join("other");
    let host = HostSetup::new(&home, "exec:env").start();
    host.allow(&format!("{} of alice", line.client.identity));
    let listed = host.irosh(&["peers", "list", "--json"]).stdout.said();
    let peer: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let said = run(line.client.proxy(&host.ticket()).stdin(Stdio::null())).stdout.said();
    for (variable, field) in
        [("IROSH_PEER", "peer"), ("IROSH_PEER_ADDRESS", "address"), ("IROSH_PEER_NAME", "name")]
    {
        let value = peer[field].as_str().expect(field);
        assert!(said.lines().any(|line| line == format!("{variable}={value}")), "{variable}: {said}");
    }
    assert_eq!(peer["name"], "test of alice");
    // Another host has another address for the same peer.
    let listed = line.host().irosh(&["peers", "list", "--json"]).stdout.said();
    let elsewhere: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_ne!(elsewhere["address"], peer["address"]);
}

#[test]
fn a_peers_name_does_not_steer_the_terminal() {
    let line = Line::new(Route::Exec);
    let key = line.client.identity.clone();
    let list = line.host().home().join("authorized_peers");
    fs::write(&list, format!("{key}\u{1b}]0;owned\u{7}\u{202e}gpj.exe\n")).expect("written");
    for words in [&["peers", "list"][..], &["peers", "allow", &key], &["peers", "revoke", &key]] {
        let output = line.host().irosh(words);
        let said = format!("{}{}", output.stdout.said(), output.stderr.said());
        assert!(!said.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{words:?}: {said:?}");
        fs::write(&list, format!("{key}\u{1b}]0;owned\u{7}\u{202e}gpj.exe\n")).expect("written");
    }
    let said = line.host().irosh(&["peers", "list"]).stdout.said();
    assert!(said.contains("test\\u{1b}]0;owned\\u{7}\\u{202e}gpj.exe"), "{said}");
}
