//! The examples run, against a host that is called box.

mod harness;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{ChildStdout, Command, Stdio},
    thread,
};

use harness::{
    Line, Meeting, Route, Running, Said, example, feed, folder, login, new_key, odd_tree, on_a_terminal,
    over, program, run, same_tree, subfolder,
};

/// What a user's settings say where there is no network.
const SETTINGS: &str = "relay = \"none\"\ndns = \"none\"\nbind = \"127.0.0.1:0\"\nlan = false\n";

/// An example as the user would run it who has the client's key, names and settings.
fn by_user(line: &Line, name: &str) -> Command {
    let home = line.client.home();
    fs::write(home.join("config.toml"), SETTINGS).expect("config.toml");
    let key = subfolder(home, ".ssh").join("id_ed25519");
    fs::copy(line.server.user_key(), key).expect("a key");
    let mut command = line.client.command(example(name));
    command.env("HOME", home).env_remove("SSH_AUTH_SOCK");
    command
}

/// A process of which a line tells that it is ready; that line, and what comes after it.
fn ready(command: &mut Command) -> (Running, BufReader<ChildStdout>, String) {
    let mut running = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut lines = BufReader::new(running.stdout());
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    (running, lines, line)
}

#[test]
fn run_command() {
    over(&[Route::Tcp, Route::Builtin], |line| {
        let output = run(by_user(line, "run_command").args(["box", "printf '%s,'", "two words", "$HOME"]));
        assert_eq!(output.stdout.said(), "two words,$HOME,", "{}", output.stderr.said());
        let output = run(by_user(line, "run_command").args(["box", "echo trouble >&2; exit 3"]));
        assert_eq!((output.status.code(), output.stderr.said().as_str()), (Some(1), "trouble\n"));
        // What goes wrong is told in words, with what to do.
        let output = run(by_user(line, "run_command").args(["bxo", "true"]));
        assert!(output.stderr.said().contains("did you mean `box`?"), "{}", output.stderr.said());
    });
}

#[test]
fn copy() {
    over(&[Route::Tcp, Route::Builtin], |line| {
        let from = subfolder(line.folder.path(), "from");
        odd_tree(&from, 100);
        // Links are followed unless something else is said.
        fs::remove_file(from.join("a link")).expect("a link");
        let there = line.folder.path().join("there");
        let output = run(by_user(line, "copy").arg(&from).arg("box").arg(&there));
        assert!(output.status.success(), "{}", output.stderr.said());
        assert!(
            output.stdout.said().contains("\r[####################] 100 %, "),
            "{}",
            output.stdout.said()
        );
        assert!(same_tree(&from, &there));
    });
}

#[test]
fn interactive_shell() {
    const SCRIPT: &str = r#"
send("stty size; echo first $((6 * 7))\n")
wait("30 90")
wait("first 42")
size(50, 132)
send("until test \"$(stty size)\" = '50 132'; do sleep 0.1; done; echo grown $((6 * 7))\n")
wait("grown 42")
send("(trap 'echo caught $((6 * 7)); exit' INT; echo cat $((6 * 7)); cat)\n")
wait("cat 42")
send("to and fro\n")
wait("to and fro\r\nto and fro")
send("\x03")
wait("caught 42")
send("echo still $((6 * 7))\n")
wait("still 42")
send("exit 7\n")
end()
"#;
    over(&[Route::Tcp, Route::Builtin], |line| {
        let said = on_a_terminal(by_user(line, "interactive_shell").arg("box"), SCRIPT);
        assert!(said.contains("code 7"), "{said}");
    });
}

#[test]
fn pair() {
    let meeting = Meeting::with_backend(|_| "builtin".to_owned());
    let shown = meeting.pair(&["--login", &login()]);
    let home = meeting.client.home();
    let network = format!(
        "relay = \"{}\"\ndns = \"{}\"\nbind = \"127.0.0.1:0\"\nlan = false\n",
        meeting.relay.url(),
        meeting.names.setting()
    );
    fs::write(home.join("config.toml"), network).expect("config.toml");
    let pair = |command: &str| {
        let mut pair = meeting.client.command(example("pair"));
        run(pair.env("HOME", home).env_remove("SSH_AUTH_SOCK").args([&shown.code, command]))
    };
    let output = pair("echo paired");
    assert_eq!(output.stdout.said(), "paired\n", "{}", output.stderr.said());
    // The code was good for one.
    let output = pair("echo again");
    assert!(!output.status.success(), "{}", output.stdout.said());
}

#[test]
fn tunnel() {
    over(&[Route::Tcp, Route::Builtin], |line| {
        let greeter = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = greeter.local_addr().expect("an address").port();
        thread::spawn(move || greeter.incoming().flatten().for_each(|mut far| drop(far.write_all(b"hello"))));
        let (_tunnel, _lines, said) =
            ready(by_user(line, "tunnel").args(["box", "127.0.0.1", &port.to_string()]));
        let at: u16 = said.trim().rsplit(' ').next().and_then(|port| port.parse().ok()).expect("a port");
        let mut greeting = String::new();
        let mut near = TcpStream::connect(("127.0.0.1", at)).expect("connected");
        near.read_to_string(&mut greeting).expect("read");
        assert_eq!(greeting, "hello");
    });
}

#[test]
fn serve() {
    let home = folder();
    let (_server, _lines, said) = ready(Command::new(example("serve")).arg("0").current_dir(home.path()));
    let port = said.trim().rsplit(':').next().expect("a port").to_owned();
    let ask = |password: &str| {
        let script = home.path().join("askpass");
        fs::write(&script, format!("#!/bin/sh\necho {password}\n")).expect("a script");
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("a mode");
        let mut ssh = program("ssh", home.path());
        ssh.env("SSH_ASKPASS", script).env("SSH_ASKPASS_REQUIRE", "force");
        ssh.args(["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        ssh.args([
            "-o",
            "PubkeyAuthentication=no",
            "-o",
            "NumberOfPasswordPrompts=1",
            "-p",
            &port,
            "localhost",
        ]);
        feed(ssh.arg("echo served"), Vec::new())
    };
    let output = ask("sesame");
    assert_eq!(output.stdout.said(), "served\n", "{}", output.stderr.said());
    assert_eq!(ask("other").status.code(), Some(255));
}

#[test]
fn host() {
    let home = folder();
    let files = subfolder(home.path(), "host");
    fs::write(files.join("authorized_peers"), format!("{}\n", new_key(&home.path().join("peer"))))
        .expect("a list");
    let mut host = Command::new(example("host"));
    let (_running, _lines, said) = ready(host.arg(&files).env("HOME", home.path()));
    assert!(said.starts_with("reach it by endpoint"), "{said}");
}
