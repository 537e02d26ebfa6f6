//! `irosh status`: what is going on, on either side.

mod harness;

use std::{
    fs,
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, chown, lchown, symlink},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use harness::{
    DEADLINE, Host, HostSetup, IROSH, Line, Mode, Raw, Route, Running, Said, System, folder, is_refused,
    on_a_terminal, poll, program, run, skip, ssh_to, stranger, subfolder, succeed,
};
use irosh::{
    protocol::{CloseCode, Frame, LegHeader, MAX_LEG_FRAME, SessionId},
    session::read_frame,
    transport::KeyFile,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use serde_json::{Value, json};

/// A line whose client moves the bytes in this way.
fn line_in(mode: Mode, settings: &str) -> Line {
    let mut line = Line::with_settings(Route::Tcp, settings);
    line.client.use_mode(mode);
    line
}

/// An ssh that says `ready`, then waits for input.
fn waiting(line: &Line) -> Running {
    Running::waiting(&mut line.client.ssh())
}

fn ends_well(mut ssh: Running) {
    drop(ssh.stdin());
    assert!(ssh.wait(DEADLINE).success());
}

fn parsed(said: &str) -> Value {
    serde_json::from_str(said).expect("one JSON object")
}

/// What `irosh status` says at the client, for programs and for people.
fn at_client(line: &Line) -> (Value, String) {
    let said = |arguments: &[&str]| succeed(&mut line.client.irosh(arguments));
    (parsed(&said(&["status", "--json"])), said(&["status"]))
}

/// The same at the host.
fn at_host(host: &Host) -> (Value, String) {
    let said = |arguments: &[&str]| {
        let output = host.irosh(arguments);
        assert!(output.status.success(), "{}", output.stderr.said());
        output.stdout.said()
    };
    (parsed(&said(&["status", "--json"])), said(&["status"]))
}

fn control(host: &Host) -> PathBuf {
    host.home().join("run/control/host.sock")
}

#[track_caller]
fn has(text: &str, words: &str) {
    assert!(text.contains(words), "no `{words}` in:\n{text}");
}

#[test]
fn where_no_agent_runs_it_says_what_starts_one() {
    let line = line_in(Mode::Alone, "");
    let (status, text) = at_client(&line);
    assert_eq!(status, json!({ "agents": [], "hosts": [] }));
    assert_eq!(text, "no agent is running\nthe next ssh to one of our hosts starts it\n");
}

#[test]
fn a_client_is_told_of_its_hosts_the_way_there_and_its_sessions() {
    let line = line_in(Mode::Agent, "");
    let ssh = waiting(&line);
    let (status, text) = at_client(&line);
    let host = &status["agents"][0]["hosts"][0];
    assert_eq!((&host["name"], &host["warm"]), (&json!("box"), &json!(true)));
    assert_eq!(host["path"]["relayed"], false);
    assert!(host["path"]["rtt_ms"].as_f64().expect("a time") > 0.0, "{host}");
    let session = &host["sessions"][0];
    assert_eq!((&session["state"], &session["waits"]), (&json!("attached"), &Value::Null));
    assert!(session["sent"].as_u64() > Some(0) && session["received"].as_u64() > Some(0), "{session}");
    let address = host["path"]["address"].as_str().expect("an address");
    has(&text, &format!("\n  box  direct to {address}, "));
    has(&text, "\n    session for ");
    has(&text, ", attached, ");
    // The host is elsewhere.
    assert_eq!(status["hosts"], json!([]));
    assert_eq!(
        text,
        succeed(&mut line.client.irosh(&["agent", "status"])),
        "one text, wherever it is asked for"
    );
    ends_well(ssh);
}

#[test]
fn a_session_whose_host_is_away_is_told_to_wait_and_since_when() {
    let line = line_in(Mode::Agent, "");
    let ssh = waiting(&line);
    line.host().daemon.signal(Signal::SIGSTOP);
    let waits = || {
        let (status, text) = at_client(&line);
        let session = &status["agents"][0]["hosts"][0]["sessions"][0];
        (session["state"] == "detached" && session["waits"].is_u64()).then_some(text)
    };
    let text = poll("the session waits", DEADLINE, waits);
    has(&text, "\n  box  not connected\n    session for ");
    has(&text, ", waits for the network for ");
    line.host().daemon.signal(Signal::SIGCONT);
    ends_well(ssh);
}

#[test]
fn what_went_wrong_is_told_afterwards_though_all_has_gone_well_since() {
    let line = line_in(Mode::Agent, "");
    assert!(line.host().irosh(&["peers", "revoke", "test"]).status.success());
    let refused = line.client.exec("true").stderr.said();
    has(&refused, "irosh-proxy: ");
    line.host().allow(&line.client.identity);
    assert!(line.client.exec("true").status.success());
    let (status, text) = at_client(&line);
    let failure = &status["agents"][0]["hosts"][0]["last_failure"];
    let message = failure["message"].as_str().expect("a message").lines().next().expect("a line");
    assert!(failure["ago"].as_u64() < Some(60), "{failure}");
    has(&refused, message);
    has(&text, &format!(" s ago: {message}"));
}

#[test]
fn an_agent_that_does_not_answer_is_told_of_all_the_same() {
    let line = line_in(Mode::Agent, "");
    assert!(line.client.exec("true").status.success());
    let agent = line.client.agent().expect("an agent")["pid"].as_i64().expect("a process");
    let agent = Pid::from_raw(agent.try_into().expect("a process"));
    kill(agent, Signal::SIGSTOP).expect("an agent");
    let (status, text) = at_client(&line);
    kill(agent, Signal::SIGCONT).expect("an agent");
    assert_eq!(status["agents"], json!([null]));
    has(&text, "an agent is running that does not answer\n");
}

#[test]
fn a_host_tells_of_its_peers_their_connections_and_their_sessions() {
    let line = line_in(Mode::Alone, "");
    let ssh = waiting(&line);
    let (status, text) = at_host(line.host());
    assert_eq!(status["agents"], json!([]));
    let host = &status["hosts"][0];
    assert_eq!((&host["name"], &host["access"]), (&json!("testhost"), &json!("invited")));
    assert_eq!(host["pid"], line.host().pid().as_raw());
    assert_eq!(host["backend"], line.sshd.as_ref().expect("an sshd").backend());
    has(&text, "no agent is running\n");
    has(
        &text,
        &format!("\n\nhost testhost, version {}, pid {}, for ", env!("CARGO_PKG_VERSION"), line.host().pid()),
    );
    has(&text, &format!("\n  endpoint id {}\n", host["endpoint_id"].as_str().expect("an id")));
    let peer = &host["peers"][0];
    assert_eq!((&peer["name"], &peer["listed"]), (&json!("test"), &json!(true)));
    let connection = &peer["connections"][0];
    assert_eq!((&connection["sessions"], &connection["path"]["relayed"]), (&json!(1), &json!(false)));
    assert!(connection["path"]["rtt_ms"].as_f64().expect("a time") > 0.0, "{connection}");
    has(&text, &format!("direct to {}, ", connection["path"]["address"].as_str().expect("an address")));
    let session = &peer["sessions"][0];
    assert_eq!(session["detached"], Value::Null);
    assert!(session["sent"].as_u64() > Some(0) && session["received"].as_u64() > Some(0), "{session}");
    has(&text, &format!("\n    session {} for ", session["session"].as_str().expect("a name")));
    ends_well(ssh);
    line.host().wait_ended(1);
    let nobody = || (at_host(line.host()).0["hosts"][0]["peers"] == json!([])).then_some(());
    poll("nobody is here any more", DEADLINE, nobody);
    has(&at_host(line.host()).1, "\n  nobody is connected\n");
}

#[test]
fn a_host_tells_of_a_session_that_has_lost_its_client_and_since_when() {
    let line = line_in(Mode::Alone, "");
    let key = KeyFile::load_or_create(&line.client.home().join("identity"), "test").expect("a key");
    let (host, id) = (line.host(), SessionId::generate());
    // Its workers say what is to be said while the host is waited for.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let raw = runtime.block_on(async {
        let raw = Raw::connect(host).await;
        let (answer, _control, _said) = raw.greet(key.secret()).await;
        assert!(matches!(answer, Frame::Welcome(_)), "{answer:?}");
        let (_send, mut recv) = raw.say(&LegHeader::Open(id).encode()).await;
        read_frame(&mut recv, MAX_LEG_FRAME).await.expect("a reply");
        raw.connection.close(CloseCode::Detached.into(), b"");
        raw
    });
    host.wait_event(|event| event["event"] == "session_detached");
    let (status, text) = at_host(host);
    let peer = &status["hosts"][0]["peers"][0];
    let session = &peer["sessions"][0];
    assert_eq!((&session["session"], &peer["connections"]), (&json!(id.to_string()), &json!([])));
    assert!(session["detached"].is_u64(), "{status}");
    has(&text, ", detached for ");
    drop(raw);
}

#[test]
fn a_host_tells_whom_it_has_refused_and_why() {
    let line = line_in(Mode::Alone, "");
    let eve = stranger(&line, "eve");
    for _ in 0..2 {
        is_refused(&ssh_to(&eve, &line.host().ticket()), "");
    }
    let (status, text) = at_host(line.host());
    let refused = &status["hosts"][0]["refused"];
    assert_eq!((&refused["count"], &refused["unheard"]), (&json!(2), &json!(0)));
    let event = line.host().wait_event(|event| event["event"] == "refused");
    let last = &refused["last"][0];
    assert_eq!(refused["last"].as_array().map(Vec::len), Some(1), "who comes again is told once: {refused}");
    assert_eq!(
        (&last["peer"], &last["reason"], &last["times"]),
        (&event["peer"], &event["reason"], &json!(2))
    );
    has(&text, "\n  2 refused\n    ");
    has(&text, " s ago 2 times, SHA256:");
}

#[test]
fn a_host_that_waits_for_its_last_sessions_tells_for_how_long() {
    let line = line_in(Mode::Alone, "[limits]\ndrain-time = 600\n");
    let ssh = waiting(&line);
    line.host().daemon.signal(Signal::SIGTERM);
    line.host().wait_event(|event| event["event"] == "draining");
    let told = || {
        let (status, text) = at_host(line.host());
        let host = &status["hosts"][0];
        assert_eq!(host["peers"][0]["sessions"].as_array().map(Vec::len), Some(1));
        (host["draining"]["left"].as_u64() > Some(500)).then_some(text)
    };
    has(
        &poll("it is stopping", DEADLINE, told),
        ": takes no new sessions, and ends those that run in 9 min\n",
    );
    ends_well(ssh);
}

#[test]
fn the_program_that_follows_answers_in_place_of_the_one_before() {
    let line = line_in(Mode::Alone, "");
    let ssh = waiting(&line);
    let session = |status: &Value| status["hosts"][0]["peers"][0]["sessions"][0].clone();
    let before = session(&at_host(line.host()).0);
    line.host().daemon.signal(Signal::SIGUSR2);
    poll("it is ready again", DEADLINE, || (line.host().count("ready") == 2).then_some(()));
    let attached = || {
        let after = session(&at_host(line.host()).0);
        (after["session"] == before["session"] && after["detached"].is_null()).then_some(after)
    };
    let after = poll("the session has its client again", DEADLINE, attached);
    assert!(after["sent"].as_u64() >= before["sent"].as_u64(), "{before} {after}");
    assert!(after["age"].as_u64() >= before["age"].as_u64(), "{before} {after}");
    ends_well(ssh);
}

#[test]
fn callers_of_a_host_who_say_garbage_or_nothing_or_never_read_are_no_harm() {
    let line = line_in(Mode::Alone, "");
    let socket = control(line.host());
    let call = |words: &[u8]| {
        let mut caller = UnixStream::connect(&socket).expect("connected");
        let _ = caller.write_all(words);
        caller
    };
    let held: Vec<_> =
        (0..100).map(|number| call(if number % 2 == 0 { b"" } else { b"\"status\"\n" })).collect();
    for words in [&b"garbage\n"[..], b"{}\n", b"\"of-the-future\"\n", &[b'x'; 70_000]] {
        (0..20).for_each(|_| drop(call(words)));
    }
    let mut said = String::new();
    call(b"\"of-the-future\"\n").read_to_string(&mut said).expect("an answer");
    assert_eq!(parsed(&said), json!({ "unknown": { "version": env!("CARGO_PKG_VERSION") } }));
    assert_eq!(at_host(line.host()).0["hosts"][0]["name"], "testhost");
    assert!(line.client.exec("true").status.success());
    drop(held);
}

#[test]
fn a_host_that_was_killed_is_not_taken_for_one_that_runs_and_the_next_takes_its_place() {
    let mut line = line_in(Mode::Alone, "");
    let mut host = line.host.take().expect("a host");
    host.kill();
    assert!(control(&host).exists(), "nobody has removed it");
    assert_eq!(at_host(&host).0["hosts"], json!([]));
    let setup = HostSetup::new(host.home(), &line.sshd.as_ref().expect("an sshd").backend());
    let next = setup.start();
    assert_eq!(at_host(&next).0["hosts"][0]["pid"], next.pid().as_raw());
}

#[test]
fn a_host_that_does_not_answer_is_told_of_all_the_same() {
    let line = line_in(Mode::Alone, "");
    line.host().daemon.signal(Signal::SIGSTOP);
    let (status, text) = at_host(line.host());
    line.host().daemon.signal(Signal::SIGCONT);
    assert_eq!(status["hosts"], json!([null]));
    has(&text, "\n\na host is running that does not tell of itself\n");
}

#[test]
fn a_second_host_leaves_the_first_its_socket_and_goes_on_without() {
    let folder = folder();
    let runtime = subfolder(folder.path(), "runtime");
    let start = |name: &str| {
        let home = subfolder(folder.path(), name);
        let setup = HostSetup::new(&home, "tcp:127.0.0.1:1").variable("IROSH_HOME", "");
        setup
            .variable("XDG_CONFIG_HOME", &home.display().to_string())
            .variable("XDG_RUNTIME_DIR", &runtime.display().to_string())
            .start()
    };
    let (first, second) = (start("first"), start("second"));
    has(&second.log(), "`irosh status` learns nothing of this host: another one that runs has the socket ");
    let status = |host: &Host| {
        let mut irosh = program(IROSH, host.home());
        irosh.env("IROSH_HOME", "").env("XDG_CONFIG_HOME", host.home()).env("XDG_RUNTIME_DIR", &runtime);
        parsed(&succeed(irosh.args(["status", "--json"])))
    };
    let pid = first.pid().as_raw();
    assert_eq!(status(&first)["hosts"][0]["pid"], pid);
    drop(second);
    assert_eq!(status(&first)["hosts"][0]["pid"], pid);
}

/// Says what comes of asking at a socket.
const ASK: &str = "
import os, socket, sys
os.setuid(int(sys.argv[2]))
caller = socket.socket(socket.AF_UNIX)
caller.connect(sys.argv[1])
try:
    caller.sendall(b'\"status\"\\n')
    print(len(caller.recv(100)))
except (BrokenPipeError, ConnectionResetError):
    print(0)
";

#[test]
fn a_host_tells_nothing_to_somebody_else() {
    if !geteuid().is_root() {
        return skip("only root can become somebody else");
    }
    let line = line_in(Mode::Alone, "");
    let socket = control(line.host());
    let folder = socket.parent().expect("a folder");
    assert_eq!(fs::metadata(folder).expect("a folder").permissions().mode() & 0o777, 0o700);
    let ask = |uid: &str| run(Command::new("python3").args(["-c", ASK]).arg(&socket).arg(uid));
    has(&ask("65534").stderr.said(), "Permission denied");
    // Whoever comes that far all the same.
    for path in socket.ancestors().take_while(|path| *path != Path::new("/tmp")) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("a mode");
    }
    let (foreign, own) = (ask("65534"), ask("0"));
    assert_eq!(foreign.stdout.said(), "0\n", "{}", foreign.stderr.said());
    assert_eq!(own.stdout.said(), "100\n", "{}", own.stderr.said());
}

/// What root is told on a system.
fn on(system: &System, arguments: &[&str]) -> Value {
    parsed(&succeed(&mut system.irosh(arguments)))
}

#[test]
fn root_is_told_of_the_systems_host_which_is_another_users() {
    let Some(system) = System::new() else { return };
    let host = system.start();
    for arguments in [&["status", "--json"][..], &["--system", "status", "--json"]] {
        let status = on(&system, arguments);
        assert_eq!(status["hosts"][0]["pid"], host.pid().as_raw(), "{arguments:?}: {status}");
    }
}

#[test]
fn root_is_led_to_no_socket_of_its_own_by_whose_the_systems_host_is() {
    let Some(system) = System::new() else { return };
    let [.., (_, runtime)] = system.folders();
    let control = subfolder(&runtime, "control");
    chown(&control, Some(65534), Some(65534)).expect("given away");
    let roots = system.home().join("socket");
    let listener = UnixListener::bind(&roots).expect("a socket");
    listener.set_nonblocking(true).expect("no waiting");
    let socket = control.join("host.sock");
    let link = |to: &Path, at: &Path| {
        symlink(to, at).expect("a link");
        lchown(at, Some(65534), Some(65534)).expect("given away");
    };
    link(&roots, &socket);
    for led in ["by a link", "by another name of it", "by a folder's link"] {
        for arguments in [&["status", "--json"][..], &["--system", "status", "--json"]] {
            assert_eq!(on(&system, arguments)["hosts"], json!([]), "{led}");
        }
        // Nor does any other command get there.
        succeed(&mut system.irosh(&["--system", "peers", "list"]));
        let nobody = listener.accept().expect_err("nobody has come");
        assert_eq!(nobody.kind(), ErrorKind::WouldBlock, "{led}");
        match led {
            "by a link" => {
                fs::remove_file(&socket).expect("removed");
                fs::hard_link(&roots, &socket).expect("another name");
            }
            "by another name of it" => {
                fs::remove_dir_all(&control).expect("removed");
                fs::rename(&roots, system.home().join("host.sock")).expect("renamed");
                link(&system.home(), &control);
            }
            _ => {}
        }
    }
}

#[test]
fn watching_draws_anew_in_place_and_leaves_the_terminal_as_it_was() {
    let line = line_in(Mode::Alone, "");
    let mut irosh = program(IROSH, line.host().home());
    irosh.args(["status", "--watch"]);
    let script = r#"
before = termios.tcgetattr(terminal)
wait("\x1b[?1049h")
wait("\x1b[H")
wait("host testhost")
wait("\x1b[H")
wait("host testhost")
size(3, 90)
wait("lines more")
send("\x03")
wait("\x1b[?7h\x1b[?25h\x1b[?1049l")
print(before == termios.tcgetattr(terminal), b"\n" in seen)
end()
"#;
    assert_eq!(on_a_terminal(&irosh, script), "True False\ncode 0\n");
}

#[test]
fn watching_by_a_pipe_prints_anew_until_nobody_reads() {
    let line = line_in(Mode::Alone, "");
    for (arguments, starts) in
        [(&["status", "--watch", "--json"][..], "{"), (&["status", "-w"], "host testhost")]
    {
        let mut irosh = program(IROSH, line.host().home());
        let mut irosh = Running::start(irosh.args(arguments).stdout(Stdio::piped()));
        let lines = BufReader::new(irosh.stdout()).lines().map(|line| line.expect("a line"));
        let seen: Vec<_> = lines.filter(|line| line.starts_with(starts)).take(2).collect();
        assert_eq!(seen.len(), 2);
        if starts == "{" {
            seen.iter().for_each(|line| assert_eq!(parsed(line)["hosts"][0]["name"], "testhost"));
        }
        assert!(irosh.wait(DEADLINE).success());
    }
}

#[test]
fn a_host_that_is_asked_all_the_time_serves_as_before() {
    let line = line_in(Mode::Alone, "");
    let socket = control(line.host());
    thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let asking = scope.spawn(move || {
            let mut answers = 0;
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let mut caller = UnixStream::connect(&socket).expect("connected");
                caller.write_all(b"\"status\"\n").expect("asked");
                let mut said = String::new();
                caller.read_to_string(&mut said).expect("an answer");
                assert!(parsed(&said)["status"]["pid"].is_u64());
                answers += 1;
            }
            answers
        });
        for _ in 0..5 {
            assert!(line.client.exec("true").status.success());
        }
        stop.send(()).expect("it asks");
        assert!(asking.join().expect("no panic") > 5);
    });
}
