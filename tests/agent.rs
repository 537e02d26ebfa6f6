//! The agent: one connection for many sessions, and what becomes of them when it, or who called it, is no more.

mod harness;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use harness::{
    DEADLINE, IROSH_PROXY, Line, Master, Mode, Random, Route, Running, Said, descendants, feed, number,
    on_a_terminal_for, poll, run, skip, subfolder, succeed,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const BOTH: [Mode; 2] = [Mode::Agent, Mode::Fdpass];

/// A line whose client has an agent.
fn with_agent(mode: Mode) -> Line {
    let mut line = Line::new(Route::Tcp);
    line.client.use_mode(mode);
    line
}

fn pid(line: &Line) -> Pid {
    let agent = line.client.agent().expect("an agent runs");
    Pid::from_raw(agent["pid"].as_i64().expect("a process id").try_into().expect("a process id"))
}

fn says_hello(line: &Line) {
    let output = line.client.exec("echo hello");
    assert_eq!(output.stdout.said(), "hello\n", "{}", output.stderr.said());
}

/// Where the agent is called.
fn socket(line: &Line) -> PathBuf {
    let folder = line.client.home().join("run");
    folder.join(format!("agent-{}-1.sock", env!("CARGO_PKG_VERSION")))
}

/// An ssh that says `ready`, then waits for input.
fn waiting(line: &Line) -> Running {
    Running::waiting(&mut line.client.ssh())
}

/// How often the agent has dialled `box`.
fn connections(line: &Line) -> usize {
    let log = fs::read_to_string(line.client.home().join("agent.log")).expect("a log");
    log.matches("box: connected").count()
}

#[test]
fn the_second_session_is_on_the_connection_of_the_first() {
    for mode in BOTH {
        let line = with_agent(mode);
        says_hello(&line);
        let agent = pid(&line);
        says_hello(&line);
        assert_eq!(pid(&line), agent);
        line.host().wait_ended(2);
        assert_eq!(connections(&line), 1, "{mode:?}");
        let status = line.client.agent().expect("an agent");
        assert_eq!(status["hosts"][0]["name"], "box");
        assert_eq!(status["hosts"][0]["warm"], true);
    }
}

#[test]
fn fifty_at_once_start_one_agent_which_dials_once() {
    for mode in BOTH {
        let line = with_agent(mode);
        thread::scope(|scope| {
            for _ in 0..50 {
                let mut ssh = line.client.ssh();
                scope.spawn(move || assert_eq!(succeed(ssh.args(["box", "echo hello"])), "hello\n"));
            }
        });
        line.host().wait_ended(50);
        assert_eq!(connections(&line), 1, "{mode:?}");
    }
}

#[test]
fn more_sessions_than_a_host_allows_on_a_connection_are_on_another() {
    let mut line = Line::with_settings(Route::Tcp, "[limits]\nmax-sessions = 4\n");
    line.client.use_mode(Mode::Agent);
    let waiting: Vec<_> = (0..10).map(|_| waiting(&line)).collect();
    assert_eq!(connections(&line), 3);
    for mut ssh in waiting {
        drop(ssh.stdin());
        assert!(ssh.wait(DEADLINE).success());
    }
}

#[test]
fn who_asks_for_host_keys_takes_no_place_of_a_session() {
    let mut line = Line::with_settings(Route::Tcp, "[limits]\nmax-sessions = 1\n");
    line.client.use_mode(Mode::Agent);
    // ssh asks for them while its session is open.
    says_hello(&line);
    assert_eq!(connections(&line), 1);
}

#[test]
fn bytes_arrive_both_ways_as_they_were_sent() {
    for mode in BOTH {
        let line = with_agent(mode);
        let bytes = Random::bytes(1, 5_000_000);
        let output = feed(line.client.ssh().args(["box", "cat"]), bytes.clone());
        assert!(output.status.success(), "{}", output.stderr.said());
        assert!(output.stdout == bytes, "{mode:?}");
    }
}

#[test]
fn sessions_of_an_agent_that_is_killed_end_and_the_next_ssh_starts_another() {
    for mode in BOTH {
        let line = with_agent(mode);
        let mut ssh = waiting(&line);
        let agent = pid(&line);
        kill(agent, Signal::SIGKILL).expect("an agent");
        assert!(!ssh.wait(DEADLINE).success());
        let mut said = String::new();
        ssh.stderr().read_to_string(&mut said).expect("read");
        if mode == Mode::Agent {
            assert!(said.contains("irosh-proxy: the agent has died, and the session with it"), "{said}");
            assert!(said.contains("irosh-proxy: run ssh again"), "{said}");
        }
        // What it has open is closed one by one.
        poll("an agent that hears no more", DEADLINE, || line.client.agent().is_none().then_some(()));
        says_hello(&line);
        assert_ne!(pid(&line), agent);
        // The next agent tells the host which one is gone.
        line.host().wait_ended(2);
    }
}

#[test]
fn a_session_ends_with_the_process_that_ssh_has_run_and_the_others_go_on() {
    let line = with_agent(Mode::Agent);
    let (mut one, mut other) = (waiting(&line), waiting(&line));
    let mut proxies = descendants(one.pid());
    // It may be that proxy's child.
    let agent = pid(&line);
    proxies.retain(|pid| *pid != agent);
    assert_eq!(proxies.len(), 1, "{proxies:?}");
    kill(proxies[0], Signal::SIGKILL).expect("a proxy");
    assert!(!one.wait(DEADLINE).success());
    line.host().wait_ended(1);
    drop(other.stdin());
    assert!(other.wait(DEADLINE).success());
}

#[test]
fn an_ssh_that_is_killed_leaves_nothing_at_the_host() {
    for mode in BOTH {
        let line = with_agent(mode);
        let ssh = waiting(&line);
        ssh.signal(Signal::SIGKILL);
        line.host().wait_ended(1);
        let idle = || line.client.agent()?["hosts"][0]["sessions"].as_array()?.is_empty().then_some(());
        poll("the agent has no session", DEADLINE, idle);
    }
}

#[test]
fn who_cannot_have_an_agent_does_without() {
    for mode in BOTH {
        let line = with_agent(mode);
        let run_folder = line.client.home().join("run");
        // Neither a folder nor one that is somebody's own.
        fs::remove_dir_all(&run_folder).ok();
        fs::write(&run_folder, "").expect("a file");
        says_hello(&line);
        fs::remove_file(&run_folder).expect("removed");
        fs::create_dir(&run_folder).expect("a folder");
        fs::set_permissions(&run_folder, fs::Permissions::from_mode(0o777)).expect("a mode");
        says_hello(&line);
        assert!(!socket(&line).exists(), "{mode:?}: in a folder where others can exchange it");
    }
}

#[test]
fn a_socket_that_nobody_listens_at_is_replaced() {
    let line = with_agent(Mode::Agent);
    says_hello(&line);
    let agent = pid(&line);
    kill(agent, Signal::SIGKILL).expect("an agent");
    poll("its end", DEADLINE, || line.client.agent().is_none().then_some(()));
    assert!(socket(&line).exists());
    says_hello(&line);
    assert_ne!(pid(&line), agent);
}

#[test]
fn an_agent_that_does_not_understand_or_says_nothing_is_done_without() {
    let line = with_agent(Mode::Agent);
    subfolder(line.client.home(), "run");
    let answers: [&'static [u8]; 4] = [b"\"declined\"\n", b"{\"of-the-future\":1}\n", b"garbage", b""];
    for answer in answers {
        fs::remove_file(socket(&line)).ok();
        let listener = UnixListener::bind(socket(&line)).expect("a socket");
        let agent = thread::spawn(move || {
            // Both of the programs that ssh runs.
            for _ in 0..2 {
                let (mut caller, _) = listener.accept().expect("a caller");
                let mut said = [0; 1000];
                let _ = caller.read(&mut said);
                let _ = caller.write_all(answer);
            }
        });
        says_hello(&line);
        agent.join().expect("no panic");
    }
}

/// Listens at a path as somebody else, and says what was heard.
const SOMEBODY_ELSE: &str = "
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.setuid(65534)
listener.listen()
print('listens', flush=True)
while True:
    print(listener.accept()[0].recv(100), flush=True)
";

#[test]
fn an_agent_of_somebody_else_is_told_nothing() {
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can become somebody else");
    }
    let line = with_agent(Mode::Agent);
    subfolder(line.client.home(), "run");
    let mut python = line.client.command("python3");
    python.args(["-c", SOMEBODY_ELSE]).arg(socket(&line)).stdout(Stdio::piped());
    let mut python = Running::start(&mut python);
    let mut heard = BufReader::new(python.stdout()).lines().map(|line| line.expect("a line"));
    assert_eq!(heard.next().as_deref(), Some("listens"));
    says_hello(&line);
    assert_eq!(heard.next().as_deref(), Some("b''"), "who connects to it leaves without a word");
}

#[test]
fn an_agent_that_stands_still_is_done_without() {
    for mode in BOTH {
        let line = with_agent(mode);
        says_hello(&line);
        let agent = pid(&line);
        kill(agent, Signal::SIGSTOP).expect("an agent");
        let begun = Instant::now();
        says_hello(&line);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        kill(agent, Signal::SIGCONT).expect("an agent");
        // What it was asked for meanwhile, it does not do any more.
        says_hello(&line);
        assert_eq!(pid(&line), agent);
        line.host().wait_ended(3);
        assert_eq!(line.host().count("session_started"), 3);
    }
}

#[test]
fn callers_who_say_nothing_or_garbage_by_the_hundred_are_no_harm() {
    let line = with_agent(Mode::Agent);
    says_hello(&line);
    let agent = pid(&line);
    let call = |words: &[u8]| {
        let mut caller = UnixStream::connect(socket(&line)).expect("connected");
        let _ = caller.write_all(words);
        caller
    };
    let silent: Vec<_> = (0..300).map(|_| call(b"")).collect();
    for words in [
        &b"garbage\n"[..],
        b"{}\n",
        b"{\"network\":{},\"what\":{\"session\":{\"target\":\"box\"}}}\n",
        &[b'x'; 70_000],
    ] {
        for _ in 0..100 {
            drop(call(words));
        }
    }
    says_hello(&line);
    drop(silent);
    says_hello(&line);
    assert_eq!(pid(&line), agent);
}

#[test]
fn what_goes_wrong_is_said_by_ssh_and_by_the_agent_afterwards() {
    let line = with_agent(Mode::Agent);
    let mut ssh = line.client.ssh();
    line.client.add_host("gone", "endpointabq5ktzlqpqzsvxzpz6z4jsgdrqsqhr6zr7jmqjcqvbmubhv4ft2eaa");
    let output = run(ssh.args(["gone", "true"]));
    assert!(!output.status.success());
    let said = output.stderr.said();
    assert!(said.contains("irosh-proxy: "), "{said}");
    let status = line.client.agent().expect("an agent");
    let failure = status["hosts"][0]["last_failure"]["message"].as_str().expect("a failure").to_owned();
    assert!(said.contains(failure.lines().next().expect("a line")), "{said}\n{failure}");
    let log = fs::read_to_string(line.client.home().join("agent.log")).expect("a log");
    assert!(log.contains(failure.lines().next().expect("a line")), "{log}");
}

#[test]
fn an_agent_that_is_stopped_says_so_to_its_sessions() {
    let line = with_agent(Mode::Agent);
    let mut ssh = waiting(&line);
    succeed(&mut line.client.irosh(&["agent", "stop"]));
    assert!(!ssh.wait(DEADLINE).success());
    let mut said = String::new();
    ssh.stderr().read_to_string(&mut said).expect("read");
    assert!(said.contains("irosh-proxy: the agent was stopped, and the session with it"), "{said}");
    line.host().wait_ended(1);
    assert!(line.client.agent().is_none());
    assert!(!socket(&line).exists());
}

#[test]
fn an_agent_leaves_when_it_is_of_no_use_any_more() {
    let line = with_agent(Mode::Agent);
    fs::write(line.client.home().join("config.toml"), "keep-warm = 1\n").expect("settings");
    says_hello(&line);
    let agent = pid(&line);
    poll("its end", DEADLINE, || kill(agent, None).is_err().then_some(()));
    assert!(!socket(&line).exists());
    says_hello(&line);
}

#[test]
fn a_host_that_starts_anew_is_reached_again_before_the_next_ssh() {
    let line = with_agent(Mode::Agent);
    says_hello(&line);
    assert_eq!(connections(&line), 1);
    kill(line.host().pid(), Signal::SIGUSR2).expect("a host");
    poll("the agent has reached it again", DEADLINE, || (connections(&line) == 2).then_some(()));
    says_hello(&line);
    assert_eq!(connections(&line), 2);
}

#[test]
fn an_agent_that_stands_still_keeps_no_process_of_an_ssh_that_has_ended() {
    let line = with_agent(Mode::Agent);
    let mut ssh = waiting(&line);
    let agent = pid(&line);
    let proxies: Vec<_> = descendants(ssh.pid()).into_iter().filter(|pid| *pid != agent).collect();
    kill(agent, Signal::SIGSTOP).expect("an agent");
    ssh.signal(Signal::SIGTERM);
    assert!(!ssh.wait(DEADLINE).success());
    let are_gone = || proxies.iter().all(|proxy| kill(*proxy, None).is_err()).then_some(());
    poll("irosh-proxy has ended", DEADLINE, are_gone);
    kill(agent, Signal::SIGCONT).expect("an agent");
    line.host().wait_ended(1);
}

#[test]
fn who_wants_no_agent_has_none() {
    let line = with_agent(Mode::Agent);
    fs::write(line.client.home().join("config.toml"), "agent = \"off\"\n").expect("settings");
    says_hello(&line);
    assert!(line.client.agent().is_none());
    fs::remove_file(line.client.home().join("config.toml")).expect("removed");
    let proxy = format!("ProxyCommand={IROSH_PROXY} --no-agent %h");
    succeed(line.client.ssh().args(["-o", &proxy, "box", "true"]));
    // KnownHostsCommand alone starts none.
    assert!(line.client.agent().is_none());
}

#[test]
fn native_commands_are_on_the_connection_of_ssh() {
    let line = with_agent(Mode::Agent);
    says_hello(&line);
    assert_eq!(succeed(line.client.native("exec").args(["box", "echo hello"])), "hello\n");
    let bytes = Random::bytes(2, 3_000_000);
    let output = feed(line.client.native("exec").args(["box", "cat"]), bytes.clone());
    assert!(output.status.success() && output.stdout == bytes, "{}", output.stderr.said());
    let (here, there) = (line.folder.path().join("here"), line.folder.path().join("there"));
    fs::write(&here, &bytes).expect("a file");
    succeed(line.client.native("put").arg("box").arg(&here).arg(&there));
    assert!(fs::read(&there).expect("copied") == bytes);
    line.host().wait_ended(4);
    assert_eq!(connections(&line), 1);
    let failed = run(line.client.native("exec").args(["box", "exit 7"]));
    assert_eq!(failed.status.code(), Some(7));
}

#[test]
fn native_commands_do_without_an_agent_that_does_not_hear() {
    let line = with_agent(Mode::Agent);
    fs::write(line.client.home().join("run"), "").expect("no folder for a socket");
    assert_eq!(succeed(line.client.native("exec").args(["box", "echo hello"])), "hello\n");
}

#[test]
fn a_native_command_says_why_the_agent_has_not_reached_the_host() {
    let line = with_agent(Mode::Agent);
    let away = line.host().ticket();
    let Line { host, .. } = &line;
    kill(host.as_ref().expect("a host").pid(), Signal::SIGKILL).expect("a host");
    line.client.add_host("away", &away);
    let failed = run(line.client.native("put").args(["away", "Cargo.toml", "x"]));
    assert_eq!(failed.status.code(), Some(3), "{}", failed.stderr.said());
    assert!(
        failed.stderr.said().starts_with("irosh: away did not answer within 15 s"),
        "{}",
        failed.stderr.said()
    );
    let failed = run(line.client.native("put").args(["nobody", "Cargo.toml", "x"]));
    assert!(
        failed.stderr.said().starts_with("irosh: no host is called `nobody`\nirosh: "),
        "{}",
        failed.stderr.said()
    );
}

/// In a shell on a terminal: an ssh that starts a master, stopped, gone on with, interrupted, and its terminal closed,
/// while two others use the master. `IROSH_TEST_STOPPED_SECONDS` is how long it stands still. It does not read the terminal, since the master would then, and wait for that.
const FIRST_TERMINAL: &str = r#"
import subprocess, time

def other(number):
    process = subprocess.Popen(SSH + ["box", "echo other; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"other\n"
    return process

def go_on(when):
    print(when, file=sys.stderr, flush=True)
    for process in others:
        process.stdin.write(when.encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == when.encode() + b"\n", when

send("PS1=prompt:; echo here\"we\"are\n")
wait("herewe")
send(" ".join(SSH + ["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-E", "/dev/null", "-n", "box", "'echo rea\"\"dy; sleep 300'"]) + "\n")
wait("ready")
others = [other(1), other(2)]
go_on("at first")
send("\x1a")
wait("topped")
go_on("stopped")
time.sleep(STOPPED)
go_on("stopped for long")
send("fg\n")
go_on("gone on")
send("\x03")
wait("prompt:")
go_on("interrupted")
os.close(terminal)
os.waitpid(pid, 0)
go_on("without its terminal")
for process in others:
    process.stdin.close()
    assert process.wait() == 0
subprocess.run(SSH + ["-O", "exit", "box"], check=True, stderr=subprocess.DEVNULL)
print("all went on")
"#;

#[test]
fn what_happens_in_the_first_terminal_of_a_master_ends_no_session_of_others() {
    for mode in [None, Some(Mode::Alone), Some(Mode::Agent), Some(Mode::Fdpass)] {
        let line = match mode {
            // Without us, as it is to be.
            None => Line::new(Route::Direct),
            Some(mode) => with_agent(mode),
        };
        let ssh = line.client.ssh();
        let words = [ssh.get_program()]
            .into_iter()
            .chain(ssh.get_args())
            .map(|word| word.to_string_lossy().into_owned());
        let words: Vec<_> =
            words.chain(["-S".to_owned(), Master::socket(&line).display().to_string()]).collect();
        let mut bash = line.client.command("bash");
        bash.args(["--norc", "-i"]);
        let stopped = number("IROSH_TEST_STOPPED_SECONDS", 0);
        let script = format!("STOPPED = {stopped}\nSSH = {words:?}\n{FIRST_TERMINAL}");
        let pause = Duration::from_secs(stopped as u64);
        let said = on_a_terminal_for(pause, &bash, &script);
        assert_eq!(said, "all went on\n", "{:?}", line.route);
    }
}
