//! Hosts that cannot be asked, or not as this program asks: of another version, that stand still, that die, and none.

mod harness;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use harness::{
    DEADLINE, Host, HostSetup, IROSH, Line, Route, Running, Said, fails, folder, json_lines, poll, program,
    run, subfolder, succeed,
};
use irosh::{
    files::Paths,
    host::{Admin, AdminError, ControlError, Edit, Peer, RunningHost},
};
use jiff::tz::TimeZone;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti x";

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn socket(home: &Path) -> PathBuf {
    home.join("run/control/host.sock")
}

#[test]
fn where_no_host_runs_the_files_are_worked_on_and_nothing_is_said_of_who_is_here() {
    let folder = folder();
    let home = folder.path().join("host");
    let host = HostSetup::new(&home, "tcp:127.0.0.1:1").start();
    host.allow(KEY);
    let mut host = host;
    host.kill();
    assert!(socket(&home).exists(), "nobody has removed it");
    let listed = host.json(&["peers", "list"]);
    assert_eq!(
        (&listed[0]["connections"], &listed[0]["sessions"]),
        (&Value::Null, &Value::Null),
        "{listed:?}"
    );
    host.invite(&[]);
    assert_eq!(host.json(&["invite", "list"]).len(), 1);
    let revoked = host.json(&["peers", "revoke", "x"]);
    assert_eq!(revoked[0]["ended"], Value::Null);
    assert_eq!(host.list(), "");
    fails(&host.irosh(&["reload"]), "no host is running that could be asked\nirosh: start it: irosh host");
}

#[test]
fn a_host_that_another_one_has_left_without_a_socket_keeps_its_own_lists() {
    let folder = folder();
    let runtime = subfolder(folder.path(), "runtime");
    let homes = ["first", "second"].map(|name| subfolder(folder.path(), name));
    let hosts = homes.each_ref().map(|home| {
        let setup = HostSetup::new(home, "tcp:127.0.0.1:1").variable("IROSH_HOME", "");
        let setup = setup.variable("XDG_CONFIG_HOME", &home.display().to_string());
        setup.variable("XDG_RUNTIME_DIR", &runtime.display().to_string()).start()
    });
    for home in &homes {
        let mut irosh = program(IROSH, home);
        irosh.env("IROSH_HOME", "").env("XDG_CONFIG_HOME", home).env("XDG_RUNTIME_DIR", &runtime);
        succeed(irosh.args(["peers", "allow", KEY]));
        assert_eq!(
            fs::read_to_string(home.join("irosh/authorized_peers")).expect("a list"),
            format!("{KEY}\n")
        );
        let lists = homes.iter().filter(|home| home.join("irosh/authorized_peers").exists()).count();
        assert_eq!(lists, 1 + usize::from(*home == homes[1]), "each has its own");
    }
    // The one at the socket was asked, the other one was not.
    hosts[0].daemon.stderr.wait_for("allowed");
    assert!(!hosts[1].log().contains("allowed"), "{}", hosts[1].log());
}

/// Answers in a host's place: each caller hears these lines, one for each of its own, and no more.
fn pose(home: &Path, answers: &'static [&'static str]) {
    let socket = socket(home);
    let folder = socket.parent().expect("a folder");
    fs::create_dir_all(folder).expect("a folder");
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("a mode");
    let listener = UnixListener::bind(&socket).expect("a socket");
    thread::spawn(move || {
        for caller in listener.incoming() {
            let caller = caller.expect("a caller");
            let mut heard = BufReader::new(&caller).lines();
            for answer in answers {
                if heard.next().is_none_or(|line| line.is_err()) {
                    break;
                }
                let _ = (&caller).write_all(format!("{answer}\n").as_bytes());
            }
            // Whatever it says besides, nobody answers.
            let _ = heard.next();
        }
    });
}

fn at(home: &Path, arguments: &[&str]) -> Output {
    run(program(IROSH, home).args(arguments))
}

#[test]
fn a_host_so_old_that_it_cannot_be_asked_finds_what_is_changed_in_its_files() {
    let folder = folder();
    pose(folder.path(), &["\"declined\""]);
    let allowed = at(folder.path(), &["peers", "allow", KEY]);
    assert!(allowed.status.success() && allowed.stderr.is_empty(), "{}", allowed.stderr.said());
    assert_eq!(
        fs::read_to_string(folder.path().join("authorized_peers")).expect("a list"),
        format!("{KEY}\n")
    );
    assert!(at(folder.path(), &["invite"]).status.success());
    fails(&at(folder.path(), &["reload"]), "is of an older version");
}

#[test]
fn a_host_of_a_later_version_is_not_meddled_with() {
    let greetings: [&[&str]; 4] = [
        &["{\"unknown\":{\"version\":\"9.9.9\"}}"],
        &["{\"hello\":{\"protocol\":2,\"version\":\"9.9.9\",\"pid\":1}}"],
        &[
            "{\"hello\":{\"protocol\":1,\"version\":\"9.9.9\",\"pid\":1}}",
            "{\"unknown\":{\"version\":\"9.9.9\"}}",
        ],
        &[
            "{\"hello\":{\"protocol\":1,\"version\":\"9.9.9\",\"pid\":1}}",
            "{\"done\":{\"in\":\"other words\"}}",
        ],
    ];
    for answers in greetings {
        let folder = folder();
        pose(folder.path(), answers);
        for arguments in [&["peers", "allow", KEY][..], &["peers", "revoke", "x"], &["invite"]] {
            let output = at(folder.path(), arguments);
            fails(
                &output,
                &format!(
                    "the host that runs is of version 9.9.9, and this program of {VERSION}\nirosh: use one"
                ),
            );
        }
        for file in ["authorized_peers", "invites.toml"] {
            assert!(!folder.path().join(file).exists(), "{answers:?}: {file}");
        }
    }
}

#[test]
fn what_a_later_host_says_besides_is_no_matter() {
    let folder = folder();
    pose(
        folder.path(),
        &[
            "{\"hello\":{\"protocol\":1,\"version\":\"9.9.9\",\"pid\":1,\"mood\":\"good\"}}",
            "{\"done\":{\"peers\":[],\"revoked\":[],\"refused\":[],\"here\":null,\"teams\":[1]}}",
        ],
    );
    let output = at(folder.path(), &["peers", "list"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", output.stderr.said());
}

#[test]
fn a_host_that_leaves_before_its_answer_is_told_of() {
    let folder = folder();
    pose(folder.path(), &["{\"hello\":{\"protocol\":1,\"version\":\"0.1.0\",\"pid\":1}}"]);
    fails(&at(folder.path(), &["invite"]), "the host has not said what came of it");
    assert!(!folder.path().join("invites.toml").exists());
}

#[test]
fn a_host_that_is_killed_while_it_is_asked_is_told_of() {
    let folder = folder();
    // An ssh server that says nothing is waited for.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let backend = format!("tcp:{}", silent.local_addr().expect("an address"));
    let mut host = HostSetup::new(&folder.path().join("host"), &backend).start();
    let _first = silent.accept().expect("a question");
    let mut asking = program(IROSH, host.home());
    asking.args(["host-keys", "list"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut asking = Running::start(&mut asking);
    let _second = silent.accept().expect("another question");
    host.kill();
    assert_eq!(asking.wait(DEADLINE).code(), Some(1));
    let mut said = String::new();
    asking.stderr().read_to_string(&mut said).expect("read");
    assert!(said.starts_with("irosh: the host has not said what came of it"), "{said}");
}

#[test]
fn a_host_that_stands_still_sees_what_was_changed_when_it_goes_on() {
    let line = Line::new(Route::Exec);
    let host = line.host();
    let mut ssh = Running::waiting(&mut line.client.ssh());
    host.daemon.signal(Signal::SIGSTOP);
    let begun = Instant::now();
    let revoked = host.irosh(&["peers", "revoke", "test", "--json"]);
    let said = revoked.stderr.said();
    assert!(revoked.status.success() && said.contains("the host that runs does not answer"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(json_lines(&revoked.stdout.said())[0]["ended"], Value::Null, "nobody knows");
    assert_eq!(host.list(), "");
    fails(&host.irosh(&["reload"]), "the host that runs does not answer");
    host.daemon.signal(Signal::SIGCONT);
    assert_eq!(ssh.wait(DEADLINE).code(), Some(255));
}

/// The line that greets the host of this folder.
fn greeting(home: &Path) -> String {
    json!({ "hello": { "protocol": 1, "config": home, "state": home } }).to_string() + "\n"
}

/// A caller that the host has greeted.
fn greeted(host: &Host) -> UnixStream {
    let mut caller = UnixStream::connect(socket(host.home())).expect("connected");
    caller.write_all(greeting(host.home()).as_bytes()).expect("said");
    let mut answer = String::new();
    BufReader::new(&caller).read_line(&mut answer).expect("an answer");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer, json!({ "hello": { "protocol": 1, "version": VERSION, "pid": host.pid().as_raw() } }));
    caller
}

const INVITE: &[u8] = b"{\"invite\":{\"ttl\":60,\"uses\":1,\"login\":null,\"options\":\"\"}}\n";

#[test]
fn what_was_asked_for_by_who_has_gone_since_is_not_done() {
    let folder = folder();
    let host = HostSetup::new(&folder.path().join("host"), "tcp:127.0.0.1:1").start();
    let mut gone = greeted(&host);
    host.daemon.signal(Signal::SIGSTOP);
    let stat = format!("/proc/{}/stat", host.pid());
    poll("it stands still", DEADLINE, || {
        let stat = fs::read_to_string(&stat).expect("a process");
        stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T')).then_some(())
    });
    gone.write_all(INVITE).expect("said");
    drop(gone);
    host.daemon.signal(Signal::SIGCONT);
    // Who stays is served, and comes after.
    let mut stays = greeted(&host);
    stays.write_all(INVITE).expect("said");
    let mut answer = String::new();
    stays.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("{\"done\":{") && answer.contains("\"invite\":\"invite"), "{answer}");
    assert_eq!(host.json(&["invite", "list"]).len(), 1);
}

#[test]
fn a_call_that_is_not_understood_in_all_its_parts_is_not_done() {
    let folder = folder();
    let host = HostSetup::new(&folder.path().join("host"), "tcp:127.0.0.1:1").start();
    let long = format!("{{\"revoke\":{{\"who\":\"{}\"}}}}\n", "x".repeat(70_000));
    for call in [
        "\"of-the-future\"\n",
        "{\"invite\":{\"ttl\":60,\"uses\":1,\"login\":null,\"options\":\"\",\"only-from\":\"10.0.0.1\"}}\n",
        "garbage\n",
        &long,
    ] {
        let mut caller = greeted(&host);
        let _ = caller.write_all(call.as_bytes());
        let mut answer = String::new();
        // What was not read of a line that is too long cuts the answer off.
        if caller.read_to_string(&mut answer).is_ok() {
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            assert_eq!(answer, json!({ "unknown": { "version": VERSION } }), "{call}");
        }
    }
    assert!(!host.home().join("invites.toml").exists());
    let too_long = host.irosh(&["peers", "revoke", &"x".repeat(70_000)]);
    fails(&too_long, "this is more than a host listens to, which is 64 KiB");
}

#[test]
fn a_program_works_on_the_files_where_no_host_runs() {
    let folder = folder();
    let paths = Paths::under(folder.path());
    assert!(matches!(RunningHost::find(&paths), Err(ControlError::NotRunning)));
    let admin = Admin::of(paths).expect("files");
    let peer = Peer::parse(KEY, &TimeZone::UTC).expect("a peer");
    assert!(admin.allow(&peer, Edit::Change).expect("allowed").ended.is_none());
    assert!(admin.peers().expect("peers").here.is_none());
    let refused = admin.reload();
    assert!(matches!(refused, Err(AdminError::Host(ControlError::NotRunning))), "{refused:?}");
}
