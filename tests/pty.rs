//! Interactive sessions on a terminal.

mod harness;

use std::process::Stdio;

use harness::{DEADLINE, Line, Route, Running, have, over};

/// Runs a script against an ssh on a terminal; returns what it printed.
fn on_a_terminal(line: &Line, command: &[&str], script: &str) -> String {
    harness::on_a_terminal(line.client.ssh().args(command), script)
}

#[test]
fn a_shell_ends_with_its_exit_code() {
    if !have(&["python3"]) {
        return;
    }
    over(&Route::ALL, |line| {
        let script = "send('echo a$((6*7))b\\n'); wait('a42b'); send('exit 3\\n'); end()";
        assert_eq!(on_a_terminal(line, &["-tt", "box"], script).trim(), "code 3");
    });
}

#[test]
fn the_window_is_resized() {
    if !have(&["python3"]) {
        return;
    }
    over(&Route::ALL, |line| {
        let script = "wait('30 90'); size(44, 133); wait('44 133'); send('\\n'); end()";
        let command = "trap 'stty size' WINCH; stty size; until read -t 0.2 line; do :; done";
        let bash = format!("exec bash -c {}", quoted(command));
        on_a_terminal(line, &["-tt", "box", &bash], script);
    });
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[test]
fn ctrl_c_reaches_the_command() {
    if !have(&["python3"]) {
        return;
    }
    over(&Route::FEW, |line| {
        let script = "wait('ready'); send('\\x03'); wait('caught'); end()";
        let command = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done";
        assert_eq!(on_a_terminal(line, &["-tt", "box", command], script).trim(), "code 9");
    });
}

#[test]
fn the_terminal_is_a_terminal_and_its_name_is_set() {
    if !have(&["python3"]) {
        return;
    }
    over(&Route::FEW, |line| {
        let script = "wait('tty:/dev/'); wait('term:xterm'); end()";
        let command = "echo tty:$(tty); echo term:$TERM; test \"$(tty)\" = \"$SSH_TTY\"";
        assert_eq!(on_a_terminal(line, &["-tt", "box", command], script).trim(), "code 0");
    });
}

#[test]
fn the_escape_character_closes_the_session() {
    if !have(&["python3"]) {
        return;
    }
    over(&Route::FEW, |line| {
        let script = "wait('ready'); send('\\r~.'); end()";
        let command = "echo ready; exec cat";
        assert_eq!(on_a_terminal(line, &["-tt", "box", command], script).trim(), "code 255");
        if let Some(host) = &line.host {
            host.wait_ended(1);
        }
    });
}

#[test]
fn a_flood_of_output_can_be_interrupted() {
    if !have(&["python3"]) {
        return;
    }
    over(&Route::ALL, |line| {
        let script = "wait('y\\r\\ny'); send('\\x03'); end()";
        let mut code = on_a_terminal(line, &["-tt", "box", "trap 'exit 5' INT; yes; exit 6"], script);
        code.truncate(code.trim_end().len());
        assert!(["code 5", "code 6"].contains(&code.as_str()), "{code}");
    });
}

#[test]
fn a_terminal_that_vanishes_ends_the_remote_shell() {
    over(&Route::FEW, |line| {
        let mark = line.folder.path().join("hung-up");
        let command =
            format!("trap 'touch {}; exit' HUP; echo ready; while :; do sleep 0.1; done", mark.display());
        let mut ssh = line.client.ssh();
        let mut running =
            Running::start(ssh.args(["-tt", "box", &command]).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let mut first = [0; 5];
        std::io::Read::read_exact(&mut running.stdout(), &mut first).expect("ready");
        running.signal(nix::sys::signal::Signal::SIGKILL);
        running.wait(DEADLINE);
        harness::poll("a hang-up", DEADLINE, || mark.exists().then_some(()));
    });
}
