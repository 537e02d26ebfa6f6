//! The commands that reach a host without ssh: `irosh shell`, `exec`, `put`, `get` and `forward`, against
//! OpenSSH's server behind a host and against the built-in one.

mod harness;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use harness::{
    DEADLINE, HostSetup, Line, Random, Route, Running, Said, feed, folder, free_port, give, have, new_key,
    odd_tree, on_a_terminal, over, poll, run, same_tree, subfolder,
};
use nix::sys::signal::Signal;

/// OpenSSH's server and ours.
const SERVERS: [Route; 2] = [Route::Tcp, Route::Builtin];

fn exec(line: &Line, words: &[&str]) -> Command {
    let mut exec = line.client.native("exec");
    exec.arg("box").args(words);
    exec
}

#[test]
fn exec_is_the_remote_command() {
    over(&SERVERS, |line| {
        let output = run(&mut exec(line, &["echo out; echo err >&2; exit 3"]));
        assert_eq!((output.status.code(), output.stdout.said().as_str()), (Some(3), "out\n"));
        assert_eq!(output.stderr.said(), "err\n");
        let bytes = Random::bytes(1, 3_000_000);
        let output = feed(&mut exec(line, &["cat"]), bytes.clone());
        assert!(output.stdout == bytes && output.status.success());
        let output = run(&mut exec(line, &["kill", "-TERM", "$$"]));
        assert_eq!(output.status.code(), Some(128 + Signal::SIGTERM as i32));
        assert!(output.stderr.said().contains("ended by signal TERM"));
        // Options behind the target are the command's.
        assert_eq!(run(&mut exec(line, &["printf", "%s", "-n"])).stdout.said(), "-n");
    });
}

#[test]
fn a_reader_that_leaves_ends_the_command() {
    over(&SERVERS, |line| {
        let mut yes = exec(line, &["yes"]);
        let mut running =
            Running::start(yes.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut stdout = running.stdout();
        stdout.read_exact(&mut [0; 4]).expect("some lines");
        drop(stdout);
        running.wait(DEADLINE);
        poll("the end of the command", DEADLINE, || line.server.processes().is_empty().then_some(()));
    });
}

#[test]
fn a_reader_of_stdout_that_leaves_takes_neither_stderr_nor_the_status_along() {
    over(&SERVERS, |line| {
        // It goes on once writing has failed. sshd forgets its stderr where stdin has ended, too.
        let script = "trap '' PIPE; while echo y 2>/dev/null; do :; done; echo last words >&2; exit 3";
        let mut running = Running::start(
            exec(line, &[script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()),
        );
        let mut stdout = running.stdout();
        stdout.read_exact(&mut [0; 4]).expect("some lines");
        drop(stdout);
        let mut said = String::new();
        running.stderr().read_to_string(&mut said).expect("the last words");
        assert_eq!((running.wait(DEADLINE).code(), said.as_str()), (Some(3), "last words\n"));
    });
}

#[test]
fn a_shell_on_a_terminal() {
    if !have(&["python3"]) {
        return;
    }
    over(&SERVERS, |line| {
        let mut shell = line.client.native("shell");
        shell.arg("box");
        let script = "send('echo a$((6*7))b\\n'); wait('a42b'); \
            send('stty size\\n'); wait('30 90'); size(41, 77); send('until stty size | grep 41.77; do :; done\\n'); wait('41 77'); \
            send('exit 3\\n'); end()";
        assert_eq!(on_a_terminal(&shell, script).trim(), "code 3");
        let script = "send('cat\\n'); send('x\\n'); wait('x'); send('~?'); wait('terminate connection'); \
            send('~.'); end()";
        assert_eq!(on_a_terminal(&shell, script).trim(), "code 255");
    });
}

#[test]
fn a_shell_forwards_and_lists_its_forwards() {
    if !have(&["python3"]) {
        return;
    }
    over(&SERVERS, |line| {
        let there = greeter();
        let here = free_port();
        let forward = format!("{here}:127.0.0.1:{there}");
        let mut shell = line.client.native("shell");
        shell.args(["-L", &forward, "box"]);
        let script = format!(
            "import socket\nsend('echo r$((1+1))\\n'); wait('r2')\n\
             print(socket.create_connection(('127.0.0.1', {here})).recv(5).decode())\n\
             send('~#'); wait('-L {forward}'); send('~B'); wait('~B'); send('exit\\n'); end()"
        );
        assert_eq!(on_a_terminal(&shell, &script).trim(), "hello\ncode 0");
    });
}

/// A port that says hello to each connection.
fn greeter() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"hello");
        }
    });
    port
}

/// What a port says first.
fn heard_at(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a forwarded port");
    stream.set_read_timeout(Some(DEADLINE)).expect("set");
    let mut said = [0; 5];
    stream.read_exact(&mut said).expect("received");
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn exec_forwards_for_as_long_as_its_command_runs() {
    over(&SERVERS, |line| {
        let (there, near, far, socks) = (greeter(), free_port(), free_port(), free_port());
        let mut exec = line.client.native("exec");
        exec.args(["-L", &format!("{near}:127.0.0.1:{there}"), "-R", &format!("{far}:127.0.0.1:{there}")]);
        exec.args(["-R", &format!("0:127.0.0.1:{there}"), "-D", &format!("127.0.0.1:{socks}")]);
        exec.args(["box", "echo ready; cat"]);
        let mut running =
            Running::start(exec.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        let stdin = running.stdin();
        running.stdout().read_exact(&mut [0; 6]).expect("a line");
        assert_eq!([near, far].map(heard_at), ["hello", "hello"]);
        let mut said = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(running.stderr()), &mut said)
            .expect("a line");
        let chosen = said.strip_prefix("irosh: allocated port ").and_then(|rest| rest.split_once(' '));
        let chosen = chosen.unwrap_or_else(|| panic!("{said}"));
        assert_eq!(chosen.1.trim(), format!("for -R 0:127.0.0.1:{there}"));
        assert_eq!(heard_at(chosen.0.parse().expect("a port")), "hello");
        // SOCKS 4: connect to 127.0.0.1, for nobody; granted.
        let mut stream = TcpStream::connect(("127.0.0.1", socks)).expect("a forwarded port");
        stream
            .write_all(&[&[4, 1], there.to_be_bytes().as_slice(), &[127, 0, 0, 1, 0]].concat())
            .expect("sent");
        let mut answer = [0; 8 + 5];
        stream.read_exact(&mut answer).expect("received");
        assert_eq!((answer[1], &answer[8..]), (90, b"hello".as_slice()));
        drop(stdin);
        assert!(running.wait(DEADLINE).success());
        assert!(TcpStream::connect(("127.0.0.1", near)).is_err());
    });
}

#[test]
fn a_forward_that_cannot_be_had_is_told_and_the_session_goes_on() {
    over(&SERVERS, |line| {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let forward = format!("{}:localhost:1", taken.local_addr().expect("an address").port());
        let mut exec = line.client.native("exec");
        let output = run(exec.args(["-L", &forward, "box", "echo out; exit 3"]));
        assert_eq!((output.status.code(), output.stdout.said().as_str()), (Some(3), "out\n"));
        assert!(
            output.stderr.said().starts_with(&format!("irosh: -L {forward}: ")),
            "{}",
            output.stderr.said()
        );
        let mut exec = line.client.native("exec");
        exec.args(["-o", "ExitOnForwardFailure=yes", "-L", &forward, "box", "echo out"]);
        let output = run(&mut exec);
        assert_eq!((output.status.code(), output.stdout.said().as_str()), (Some(255), ""));
        assert!(output.stderr.said().contains(&format!("-L {forward}")), "{}", output.stderr.said());
    });
}

#[test]
fn with_n_nothing_runs_and_forwards_last_until_it_is_interrupted() {
    over(&SERVERS, |line| {
        let there = greeter();
        let ran = line.folder.path().join("ran");
        for (command, words) in
            [("shell", vec![]), ("exec", vec![]), ("exec", vec![format!("touch {}", ran.display())])]
        {
            let near = free_port();
            let mut irosh = line.client.native(command);
            irosh.args(["-N", "-L", &format!("{near}:127.0.0.1:{there}"), "box"]).args(words);
            let mut running = Running::start(irosh.stdin(Stdio::null()).stdout(Stdio::null()));
            poll("a forwarded port", DEADLINE, || TcpStream::connect(("127.0.0.1", near)).ok());
            assert_eq!(heard_at(near), "hello");
            assert!(running.try_wait(Duration::ZERO).is_none(), "it has ended");
            running.signal(Signal::SIGTERM);
            assert_eq!(running.wait(DEADLINE).code(), Some(255));
        }
        assert!(!ran.exists());
    });
}

#[test]
fn trees_go_both_ways_with_every_name() {
    over(&SERVERS, |line| {
        let from = subfolder(line.folder.path(), "from");
        odd_tree(&from, 400);
        fs::write(from.join("large"), Random::bytes(7, 9_000_000)).expect("a file");
        let there = line.folder.path().join("there");
        let run_copy = |command: &str, first: &std::path::Path, second: &std::path::Path| {
            let mut copy = line.client.native(command);
            copy.args(["--preserve", "--links", "keep", "box"]).arg(first).arg(second);
            let output = run(&mut copy);
            assert!(output.status.success(), "{}", output.stderr.said());
        };
        run_copy("put", &from, &there);
        assert!(same_tree(&from, &there));
        let back = line.folder.path().join("back");
        run_copy("get", &there, &back);
        assert!(same_tree(&from, &back));
    });
}

#[test]
fn get_understands_patterns_and_put_fills_a_folder() {
    over(&SERVERS, |line| {
        let there = subfolder(line.folder.path(), "there");
        for name in ["a1", "a2", "b1"] {
            fs::write(there.join(name), name).expect("a file");
        }
        let here = subfolder(line.folder.path(), "here");
        let pattern = there.join("a*");
        let output = run(line.client.native("get").args(["--json", "box"]).arg(&pattern).arg(&here));
        assert!(output.status.success(), "{}", output.stderr.said());
        assert!(output.stdout.said().contains("\"files\":2"), "{}", output.stdout.said());
        let mut names: Vec<_> =
            fs::read_dir(&here).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        assert_eq!(names, ["a1", "a2"]);
        let more = subfolder(line.folder.path(), "more");
        run(line.client.native("put").arg("box").args([here.join("a1"), here.join("a2")]).arg(&more));
        assert_eq!(fs::read(more.join("a2")).expect("a file"), b"a2");
    });
}

#[test]
fn forwards_of_every_kind_until_interrupted() {
    over(&SERVERS, |line| {
        let folder = line.folder.path();
        let target = UnixListener::bind(folder.join("target")).expect("a socket");
        give(&folder.join("target"));
        thread::spawn(move || {
            for stream in target.incoming().flatten() {
                thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
        let (near, far) = (free_port(), free_port());
        let socket = folder.join("target").display().to_string();
        let mut forward = line.client.native("forward");
        forward.args(["-L", &format!("{near}:{socket}"), "-R", &format!("{far}:{socket}")]);
        forward.args(["-L", &format!("{}:{socket}", folder.join("near").display()), "box"]);
        let mut running = Running::start(forward.stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(running.stdout()));
        for _ in 0..3 {
            lines.next().expect("a line").expect("a line");
        }
        let echoed = |mut stream: Box<dyn ReadWrite>| {
            stream.write_all(b"ping").expect("sent");
            let mut got = [0; 4];
            stream.read_exact(&mut got).expect("received");
            assert_eq!(&got, b"ping");
        };
        for port in [near, far] {
            echoed(Box::new(TcpStream::connect(("127.0.0.1", port)).expect("a forwarded port")));
        }
        echoed(Box::new(UnixStream::connect(folder.join("near")).expect("a forwarded socket")));
        running.signal(Signal::SIGINT);
        assert_eq!(running.wait(DEADLINE).code(), Some(0));
        assert!(!folder.join("near").exists());
    });
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// The status and the message of a command that has to fail.
fn failure(command: &mut Command) -> (Option<i32>, String) {
    let output = run(command);
    (output.status.code(), output.stderr.said())
}

#[test]
fn every_bad_day_has_a_message_and_a_status() {
    over(&SERVERS, |line| {
        let folder = line.folder.path();
        let file = folder.join("file");
        fs::write(&file, "x").expect("a file");
        let put = |to: &std::path::Path| {
            let mut put = line.client.native("put");
            put.arg("box").arg(&file).arg(to);
            failure(&mut put)
        };
        let (code, said) = put(&folder.join("missing/name"));
        assert!(code == Some(8) && said.contains("remote folder does not exist"), "{code:?} {said}");
        fs::create_dir_all(folder.join("folder/file/in the way")).expect("a folder");
        let (code, said) = put(&folder.join("folder"));
        assert!(
            code == Some(10) && said.contains("there is a remote folder of that name"),
            "{code:?} {said}"
        );
        let mut get = line.client.native("get");
        let (code, said) = failure(get.arg("box").arg(folder.join("missing")).arg(folder));
        assert!(code == Some(8) && said.contains("no such remote file"), "{code:?} {said}");
        let (code, said) = failure(line.client.native("get").args(["bxo", "a", "b"]));
        assert!(code == Some(1) && said.contains("did you mean `box`?"), "{code:?} {said}");

        let stranger = folder.join("stranger");
        new_key(&stranger);
        let config = fs::read_to_string(line.client.config()).expect("ssh_config");
        let user_key = line.server.user_key().display().to_string();
        let other = folder.join("other_config");
        fs::write(&other, config.replace(&user_key, &stranger.display().to_string())).expect("written");
        let refused = |command: &str| {
            let mut command = line.client.irosh(&[command, "-F"]);
            command.arg(&other).arg("box");
            command
        };
        let (code, said) = failure(refused("get").args(["a", "b"]));
        assert!(code == Some(5) && said.contains("publickey"), "{code:?} {said}");
        let (code, _) = failure(refused("exec").arg("true"));
        assert_eq!(code, Some(255));
    });
}

#[test]
fn another_host_key_is_an_error_and_never_a_question() {
    let mut line = Line::new(Route::Builtin);
    assert!(run(&mut exec(&line, &["true"])).status.success());
    // The host has announced the old one.
    line.server.change_host_key();
    let (code, said) = failure(line.client.native("get").args(["box", "a", "b"]));
    assert!(code == Some(4) && said.contains("was announced"), "{code:?} {said}");
}

#[test]
fn a_server_that_sends_nonsense_is_told_as_one() {
    let folder = folder();
    let server = harness::Server::new(folder.path());
    let client = harness::Client::new(folder.path(), "client", &server);
    for (name, backend) in
        [("noise", "exec:cat /dev/urandom"), ("nothing", "exec:true"), ("text", "exec:echo hello")]
    {
        let host = HostSetup::new(&folder.path().join(name), backend).start();
        host.allow(&client.identity);
        client.add_host("box", &host.ticket());
        let (code, said) = failure(client.native("exec").args(["box", "true"]));
        assert!(code == Some(255) && said.starts_with("irosh: "), "{backend}: {code:?} {said}");
        let (code, said) = failure(client.native("get").args(["box", "a", "b"]));
        assert!(matches!(code, Some(3 | 4 | 6 | 7)), "{backend}: {code:?} {said}");
    }
}

#[test]
fn a_host_that_was_killed_in_the_middle_ends_the_command_when_it_is_back() {
    let mut line = Line::new(Route::Builtin);
    let mut cat = exec(&line, &["echo ready; cat"]);
    let mut running = Running::start(cat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()));
    let stdin = running.stdin();
    let mut first = [0; 6];
    running.stdout().read_exact(&mut first).expect("a line");
    line.host.as_mut().expect("a host").kill();
    let backend = format!("exec:{}", line.server.builtin_command());
    let _again = HostSetup::new(&line.folder.path().join("host"), &backend).start();
    assert_eq!(running.wait(DEADLINE).code(), Some(255));
    drop(stdin);
}

/// The servers whose configuration is read for each connection.
const CONFIGURED: [Route; 2] = [Route::Exec, Route::Builtin];

/// A command against a server that takes passwords, none of which is right, with these lines in both
/// configurations.
fn without_a_key(line: &Line, command: &str, server: &str, client: &str) -> Command {
    let old = fs::read_to_string(line.server.config()).expect("sshd_config");
    fs::write(line.server.config(), format!("{server}\nPasswordAuthentication yes\n{old}")).expect("written");
    let config = fs::read_to_string(line.client.config()).expect("ssh_config");
    let config = config.replace(&line.server.user_key().display().to_string(), "/does/not/exist");
    let path = line.client.home().join("without_a_key");
    fs::write(&path, format!("{client}\n{config}")).expect("written");
    let mut irosh = line.client.irosh(&[command, "-F"]);
    irosh.arg(path).arg("box");
    irosh
}

#[test]
fn a_server_that_hangs_up_at_a_question_gives_the_terminal_back() {
    if !have(&["python3"]) {
        return;
    }
    over(&CONFIGURED, |line| {
        // Typing takes longer than ConnectTimeout here, which does not count it.
        let client = "BatchMode no\nConnectTimeout 1";
        let mut exec = without_a_key(line, "exec", "LoginGraceTime 3", client);
        let script = "before = termios.tcgetattr(terminal); wait('password: ')\n\
             print(termios.tcgetattr(terminal)[3] & termios.ECHO); wait('irosh: '); wait('\\n')\n\
             print(before == termios.tcgetattr(terminal), b'did not answer' in seen); end()";
        assert_eq!(on_a_terminal(exec.arg("true"), script).trim(), "0\nTrue False\ncode 255");
    });
}

#[test]
fn what_was_typed_before_a_question_is_no_answer_to_it() {
    if !have(&["python3"]) {
        return;
    }
    over(&CONFIGURED, |line| {
        let mut exec = without_a_key(line, "exec", "", "BatchMode no\nNumberOfPasswordPrompts 1");
        let script = "send('too early\\n'); wait('password: '); send('\\x03')\n\
             wait('the login was cancelled'); end()";
        assert_eq!(on_a_terminal(exec.arg("true"), script).trim(), "code 255");
    });
}

#[test]
fn ctrl_c_at_a_question_cancels_and_gives_the_terminal_back() {
    if !have(&["python3"]) {
        return;
    }
    over(&CONFIGURED, |line| {
        let mut get = without_a_key(line, "get", "", "BatchMode no");
        let script = "before = termios.tcgetattr(terminal); wait('password: '); send('\\x03')\n\
             wait('the login was cancelled'); print(before == termios.tcgetattr(terminal)); end()";
        assert_eq!(on_a_terminal(get.args(["a", "b"]), script).trim(), "True\ncode 130");
    });
}

#[test]
fn ctrl_c_at_a_new_password_gives_the_terminal_back() {
    if !have(&["python3", "dash"]) {
        return;
    }
    let folder = folder();
    // dash, unlike bash, leaves a terminal's modes as a program left them.
    let mut dash = harness::program("dash", folder.path());
    dash.arg("-i");
    let typed = format!("{} passwd", harness::IROSH);
    let script = format!(
        "send('PS1=rea\"\"dy\\\\>\\n'); wait('ready>'); before = termios.tcgetattr(terminal); send('{typed}\\n')\n\
         wait('new password: '); send('one\\n'); wait('again: ')\n\
         print(termios.tcgetattr(terminal)[3] & termios.ECHO); send('\\x03'); wait('nothing was changed'); wait('ready>')\n\
         print(before == termios.tcgetattr(terminal)); send('{typed}\\n'); wait('new password: ')\n\
         send('long enough\\n'); wait('again: '); send('long enough\\n'); wait('ready>'); send('exit 3\\n'); end()"
    );
    assert_eq!(on_a_terminal(&dash, &script).trim(), "0\nTrue\ncode 3");
    assert!(folder.path().join("password").exists());
}

#[test]
fn ctrl_z_at_a_question_stops_with_the_terminal_as_it_was() {
    if !have(&["python3", "dash"]) {
        return;
    }
    let line = Line::new(Route::Builtin);
    let exec = without_a_key(&line, "exec", "", "BatchMode no");
    let words: Vec<_> = exec.get_args().map(|word| word.to_string_lossy()).collect();
    let typed = format!("{} {} true", harness::IROSH, words.join(" "));
    // dash, unlike bash, leaves a terminal's modes as a stopped program left them.
    let mut dash = line.client.command("dash");
    dash.arg("-i");
    let script = format!(
        "send('PS1=rea\"\"dy\\\\>\\n'); wait('ready>'); before = termios.tcgetattr(terminal); send('{typed}\\n')\n\
         wait('password: '); send('\\x1a'); wait('Stopped'); wait('ready>')\n\
         print(before == termios.tcgetattr(terminal)); send('fg\\n'); wait('password: ')\n\
         print(termios.tcgetattr(terminal)[3] & termios.ECHO); send('\\x03'); wait('ready>')\n\
         print(before == termios.tcgetattr(terminal)); send('exit 3\\n'); end()"
    );
    assert_eq!(on_a_terminal(&dash, &script).trim(), "True\n0\nTrue\ncode 3");
}

#[test]
fn in_batch_mode_nobody_is_asked_and_no_password_is_blamed() {
    over(&CONFIGURED, |line| {
        let mut get = without_a_key(line, "get", "", "");
        let (code, said) = failure(get.args(["a", "b"]));
        assert!(code == Some(5) && said.contains("nobody can be asked"), "{code:?} {said}");
        assert!(!said.contains("not accepted") && !said.contains("tried "), "{said}");
    });
}

#[test]
fn a_host_that_does_not_answer_in_time_is_unreachable_in_words() {
    let line = Line::new(Route::Builtin);
    let mut get = without_a_key(&line, "get", "", "ConnectTimeout 2");
    line.host().daemon.signal(Signal::SIGSTOP);
    let (code, said) = failure(get.args(["a", "b"]));
    line.host().daemon.signal(Signal::SIGCONT);
    assert!(code == Some(3) && said.contains("did not answer within 2 seconds"), "{code:?} {said}");
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    over(&SERVERS, |line| {
        for command in ["echo out; sleep 0.1; exit 0", "echo err >&2; exit 0"] {
            let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
            let mut exec = exec(line, &[command]);
            exec.stdin(Stdio::null()).stdout(full()).stderr(full());
            assert_eq!(Running::start(&mut exec).wait(DEADLINE).code(), Some(255), "{command}");
        }
        let mut exec = exec(line, &["echo out"]);
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let output = exec.stdin(Stdio::null()).stdout(full).output().expect("run");
        let said = output.stderr.said();
        assert!(output.status.code() == Some(255) && said.contains("No space left on device"), "{said}");
    });
}

#[test]
fn a_variable_that_is_no_text_is_sent_as_it_is() {
    let line = Line::new(Route::Tcp);
    let config = fs::read_to_string(line.client.config()).expect("ssh_config");
    fs::write(line.client.config(), format!("SendEnv LC_*\n{config}")).expect("written");
    let mut exec = exec(&line, &["printf %s \"$LC_ODD\""]);
    let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\xfe");
    exec.env("LC_ODD", odd).env("OTHER", odd);
    let output = run(&mut exec);
    assert_eq!(output.stdout, b"\xff\xfe", "{}", output.stderr.said());
}

#[test]
fn an_identity_that_is_not_there_is_told() {
    let line = Line::new(Route::Tcp);
    let mut exec = line.client.native("exec");
    let output = run(exec.args(["-i", "/does/not/exist", "box", "true"]));
    let said = output.stderr.said();
    assert_eq!(said, "irosh: no such identity: /does/not/exist: No such file or directory\n");
    assert!(output.status.success());
}

#[test]
fn a_second_signal_ends_a_transfer_at_once() {
    let line = Line::new(Route::Builtin);
    let from = line.folder.path().join("from");
    fs::write(&from, vec![1; 64 << 20]).expect("a file");
    let there = subfolder(line.folder.path(), "there");
    let arrived = || fs::read_dir(&there).expect("a folder").flatten().next().is_some();
    let mut put = line.client.native("put");
    put.args(["--quiet", "box"]).arg(&from).arg(&there);
    let mut running = Running::start(put.stdin(Stdio::null()));
    poll("some of it", DEADLINE, || arrived().then_some(()));
    line.host().daemon.signal(Signal::SIGSTOP);
    // Two that come at once may count as one. A transfer that is cancelled waits for its server for longer.
    let ended = poll("its end", Duration::from_secs(3), || {
        running.signal(Signal::SIGINT);
        running.try_wait(Duration::ZERO)
    });
    assert_eq!(ended.code(), Some(130));
}

/// Whether it has taken SIGINT over.
fn takes_signals(running: &Running) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap_or_default();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        u64::from_str_radix(line.trim(), 16).unwrap_or_default()
    };
    mask("SigCgt:") & 2 != 0
}

#[test]
fn a_command_that_waits_for_its_host_is_interrupted() {
    let line = Line::new(Route::Builtin);
    line.host().daemon.signal(Signal::SIGSTOP);
    let forward = format!("{}:localhost:1", free_port());
    let commands: [(&str, &[&str], i32); 4] = [
        ("forward", &["-L", &forward, "box"], 130),
        ("put", &["box", "/dev/null", "there"], 130),
        ("get", &["box", "there", "here"], 130),
        ("exec", &["box", "true"], 255),
    ];
    for (command, words, code) in commands {
        let mut irosh = line.client.native(command);
        irosh.args(words).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut running = Running::start(&mut irosh);
        poll("it takes signals", DEADLINE, || takes_signals(&running).then_some(()));
        running.signal(Signal::SIGINT);
        let mut said = String::new();
        running.stderr().read_to_string(&mut said).expect("read");
        let ended = running.wait(DEADLINE).code();
        assert_eq!((ended, said.as_str()), (Some(code), "irosh: interrupted\n"), "{command}");
    }
}

#[test]
fn a_stderr_that_nobody_reads_stops_no_forward() {
    let line = Line::new(Route::Builtin);
    let target = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let there = target.local_addr().expect("an address").port();
    let (good, refused) = (free_port(), free_port());
    let mut forward = line.client.native("forward");
    forward.args([
        "-L",
        &format!("{good}:127.0.0.1:{there}"),
        "-L",
        &format!("{refused}:127.0.0.1:1"),
        "box",
    ]);
    let mut running =
        Running::start(forward.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let unread = running.stderr();
    nix::fcntl::fcntl(&unread, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).expect("a small pipe");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(running.stdout()));
    for _ in 0..2 {
        lines.next().expect("a line").expect("a line");
    }
    for _ in 0..300 {
        let mut stream = TcpStream::connect(("127.0.0.1", refused)).expect("a forwarded port");
        assert!(!matches!(stream.read(&mut [0]), Ok(1..)), "nothing is there");
    }
    let mut near = TcpStream::connect(("127.0.0.1", good)).expect("a forwarded port");
    near.set_read_timeout(Some(DEADLINE)).expect("set");
    target.accept().expect("a connection").0.write_all(b"hello").expect("sent");
    near.read_exact(&mut [0; 5]).expect("the other one goes on");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait(DEADLINE).code(), Some(0));
}

#[test]
fn a_forward_that_loses_its_connection_exits_with_6() {
    let line = Line::new(Route::Builtin);
    let mut forward = line.client.native("forward");
    forward.args(["-L", &format!("{}:localhost:1", free_port()), "box"]);
    let mut running = Running::start(forward.stdin(Stdio::null()).stdout(Stdio::piped()));
    running.stdout().read_exact(&mut [0; 3]).expect("it listens");
    line.host().daemon.signal(Signal::SIGTERM);
    line.host().daemon.signal(Signal::SIGTERM);
    assert_eq!(running.wait(DEADLINE).code(), Some(6));
}

#[test]
fn a_shell_whose_server_is_silent_is_left_whatever_was_asked_of_it() {
    if !have(&["python3"]) {
        return;
    }
    let line = Line::new(Route::Builtin);
    let mut shell = line.client.native("shell");
    shell.arg("box");
    let script = format!(
        "import signal\nsend('echo r$((1+1))\\n'); wait('r2'); os.kill({}, signal.SIGSTOP)\n\
         send('\\r~B'); wait('~B')\n\
         size(41, 77); send('\\r~R'); send('\\r~#'); wait('connections are open'); send('\\r~.'); wait('Connection to box closed.'); end()",
        line.host().pid()
    );
    assert_eq!(on_a_terminal(&shell, &script).trim(), "code 255");
}

#[test]
fn a_terminal_that_the_server_refuses_leaves_this_one_as_it_is() {
    if !have(&["python3"]) {
        return;
    }
    over(&CONFIGURED, |line| {
        let old = fs::read_to_string(line.server.config()).expect("sshd_config");
        fs::write(line.server.config(), format!("PermitTTY no\n{old}")).expect("written");
        let mut shell = line.client.native("shell");
        shell.arg("box");
        let script = "before = termios.tcgetattr(terminal); wait('no terminal there')\n\
             send('echo a$((6*7))b\\n'); wait('a42b'); print(before == termios.tcgetattr(terminal)); send('exit 3\\n'); end()";
        assert_eq!(on_a_terminal(&shell, script).trim(), "True\ncode 3");
    });
}

#[test]
fn a_reader_of_stderr_that_leaves_keeps_nothing_from_stdout() {
    over(&SERVERS, |line| {
        let mut exec = exec(line, &["yes | head -c 1000000 >&2; read -r go; echo x >&2; echo out; exit 3"]);
        exec.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::start(&mut exec);
        drop(running.stderr());
        running.stdin().write_all(b"go\n").expect("typed");
        let mut out = String::new();
        running.stdout().read_to_string(&mut out).expect("read");
        assert_eq!((out.as_str(), running.wait(DEADLINE).code()), ("out\n", Some(3)));
    });
}

#[test]
fn copies_lend_no_agent() {
    over(&CONFIGURED, |line| {
        let agent = line.client.home().join("agent");
        let _agent = UnixListener::bind(&agent).expect("a socket");
        let said = line.server.home().join("lent");
        let old = fs::read_to_string(line.server.config()).expect("sshd_config");
        let old: Vec<_> = old.lines().filter(|line| !line.starts_with("Subsystem")).collect();
        let script = line.client.home().join("file-server");
        let text =
            format!("echo \"lent:$SSH_AUTH_SOCK\" >>{}\nexec /usr/lib/openssh/sftp-server\n", said.display());
        fs::write(&script, text).expect("written");
        let subsystem = format!("Subsystem sftp /bin/sh {}", script.display());
        fs::write(line.server.config(), format!("{subsystem}\n{}\n", old.join("\n"))).expect("written");
        let config = fs::read_to_string(line.client.config()).expect("ssh_config");
        let agent = format!("ForwardAgent {}\n{config}", agent.display());
        fs::write(line.client.config(), agent).expect("written");
        let file = line.client.home().join("file");
        fs::write(&file, "content").expect("written");
        let mut put = line.client.native("put");
        put.arg("box").arg(&file).arg(line.server.home().join("copy"));
        let output = run(&mut put);
        assert!(output.status.success(), "{}", output.stderr.said());
        assert_eq!(fs::read_to_string(&said).expect("the subsystem ran"), "lent:\n");
        assert!(run(&mut exec(line, &["echo $SSH_AUTH_SOCK"])).stdout.said().len() > 1, "exec does");
    });
}

#[test]
fn a_client_may_open_as_many_files_as_the_system_allows() {
    let line = Line::new(Route::Tcp);
    let mut shell = line.client.command("sh");
    let forward = line.client.native("forward");
    let words: Vec<_> = forward.get_args().map(|word| word.to_string_lossy()).collect();
    let words = format!("{} {} -L {}:localhost:1 box", harness::IROSH, words.join(" "), free_port());
    shell.args(["-c", &format!("ulimit -Sn 100; exec {words}")]);
    let mut running = Running::start(shell.stdin(Stdio::null()).stdout(Stdio::piped()));
    running.stdout().read_exact(&mut [0; 3]).expect("it listens");
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.pid())).expect("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let numbers: Vec<_> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
}

#[test]
fn forwards_of_ssh_config_are_set_up() {
    over(&SERVERS, |line| {
        let target = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let there = target.local_addr().expect("an address").port();
        thread::spawn(move || {
            for mut stream in target.incoming().flatten() {
                let _ = stream.write_all(b"hello");
            }
        });
        let (near, far, socket) = (free_port(), free_port(), line.folder.path().join("socket"));
        let config = fs::read_to_string(line.client.config()).expect("ssh_config");
        let with = |lines: &str| {
            fs::write(line.client.config(), format!("{lines}\n{config}")).expect("written");
        };
        let forwards = format!(
            "LocalForward {near} localhost:{there}\nRemoteForward localhost:{far} 127.0.0.1:{there}\n\
             LocalForward {} 127.0.0.1:{there}",
            socket.display()
        );
        with(&forwards);
        let mut exec = exec(line, &["echo ready; cat"]);
        let mut running = Running::start(exec.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let stdin = running.stdin();
        running.stdout().read_exact(&mut [0; 6]).expect("a line");
        let heard = |mut stream: Box<dyn ReadWrite>| {
            let mut said = [0; 5];
            stream.read_exact(&mut said).expect("received");
            assert_eq!(&said, b"hello");
        };
        for port in [near, far] {
            heard(Box::new(TcpStream::connect(("127.0.0.1", port)).expect("a forwarded port")));
        }
        heard(Box::new(UnixStream::connect(&socket).expect("a forwarded socket")));
        // What another one has is told, and an error only if that is wanted.
        let (code, said) = failure(self::exec(line, &["true"]).stdin(Stdio::null()));
        assert!(code == Some(0) && said.contains(&format!("-L {near}")), "{code:?} {said}");
        with(&format!("ExitOnForwardFailure yes\n{forwards}"));
        let (code, said) = failure(&mut self::exec(line, &["true"]));
        assert!(code == Some(255) && said.contains(&format!("-L {near}")), "{code:?} {said}");
        drop(stdin);
        assert!(running.wait(DEADLINE).success());
        with(&forwards);
        let mut forward = line.client.native("forward");
        let mut running = Running::start(forward.arg("box").stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(running.stdout()));
        for _ in 0..3 {
            lines.next().expect("a line").expect("a line");
        }
        heard(Box::new(TcpStream::connect(("127.0.0.1", near)).expect("a forwarded port")));
        with("");
        let (code, said) = failure(line.client.native("forward").arg("box"));
        assert!(code == Some(1) && said.contains("nothing to forward"), "{code:?} {said}");
    });
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    let line = Line::new(Route::Builtin);
    let from = subfolder(line.folder.path(), "from");
    std::os::unix::fs::symlink("nowhere", from.join("\x1b]0;odd\x07")).expect("a link");
    let mut get = line.client.native("get");
    let output = run(get.args(["--links", "skip", "box"]).arg(&from).arg(line.folder.path().join("here")));
    let said = output.stderr.said();
    assert!(said.contains("left out") && said.contains("odd") && !said.contains('\x1b'), "{said:?}");
    let (_, said) = failure(line.client.native("get").arg("box").args(["/no/such\x1b[2J", "here"]));
    assert!(said.contains("[2J") && !said.contains('\x1b'), "{said:?}");
}

#[test]
fn server_alive_interval_finds_a_silent_server() {
    let line = Line::new(Route::Tcp);
    let config = fs::read_to_string(line.client.config()).expect("ssh_config");
    let lines = "ServerAliveInterval 1\nServerAliveCountMax 1";
    fs::write(line.client.config(), format!("{lines}\n{config}")).expect("written");
    let mut exec = exec(&line, &["echo ready; cat"]);
    let mut running =
        Running::start(exec.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let stdin = running.stdin();
    running.stdout().read_exact(&mut [0; 6]).expect("a line");
    let sshd = line.sshd.as_ref().expect("sshd").daemon.pid();
    let all = harness::descendants(sshd);
    let signal = |signal| {
        for process in &all {
            let _ = nix::sys::signal::kill(*process, signal);
        }
    };
    signal(Signal::SIGSTOP);
    // Without it, the server has 45 seconds.
    let ended = running.try_wait(Duration::from_secs(30));
    signal(Signal::SIGCONT);
    assert_eq!(ended.and_then(|status| status.code()), Some(255));
    drop(stdin);
}

#[test]
fn a_shell_that_is_stopped_keeps_its_connection() {
    if !have(&["python3", "dash"]) {
        return;
    }
    over(&SERVERS, |line| {
        let mut shell = line.client.native("shell");
        shell.arg("box");
        let words: Vec<_> = [shell.get_program()].into_iter().chain(shell.get_args()).collect();
        let words: Vec<_> = words.iter().map(|word| format!("'{}'", word.display())).collect();
        let mut dash = Command::new("dash");
        dash.arg("-i");
        for (name, value) in shell.get_envs() {
            match value {
                Some(value) => dash.env(name, value),
                None => dash.env_remove(name),
            };
        }
        // While it is stopped, what answers the host is a process that is not.
        let script = format!(
            "send('PS1=loc\"\"al:\\n'); wait('local:'); send({:?}); send('echo a$((6*7))b\\n'); wait('a42b')\n\
             send('~\\x1a'); wait('Stopped'); wait('local:')\n\
             send('fg\\n'); send('echo b$((6*7))c\\n'); wait('b42c'); send('exit 3\\n')\n\
             wait('Connection to box closed.'); wait('local:'); send('echo status $?\\n'); wait('status 3')\n\
             send('exit\\n'); end()",
            words.join(" ") + "\n",
        );
        assert_eq!(on_a_terminal(&dash, &script).trim(), "code 0");
    });
}
