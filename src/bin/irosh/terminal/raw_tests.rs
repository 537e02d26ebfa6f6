//! Raw mode beside ssh's, and that a terminal gets its modes back.

use std::path::PathBuf;

use rustix::{
    process::{Pid, Signal},
    termios::{Termios, tcgetattr},
};

use super::{Terminal, pty::Pty};
use crate::ssh_server::SshServer;

/// Every mode, in words.
fn modes(pty: &Pty) -> String {
    described(&tcgetattr(pty.slave()).expect("modes"))
}

fn described(termios: &Termios) -> String {
    format!("{termios:?}")
}

/// The program `examples/raw_session.rs`, which `cargo test` builds.
fn program() -> String {
    let test = std::env::current_exe().expect("this program");
    let folder: PathBuf = test.ancestors().nth(2).expect("the target folder").join("examples");
    folder.join("raw_session").to_str().expect("UTF-8").to_owned()
}

#[test]
fn raw_mode_is_ssh_s_own() {
    let (ours, mut theirs) = (Pty::open(), Pty::open());
    assert_eq!(modes(&ours), modes(&theirs));
    let raw = Terminal::of(ours.slave()).expect("asked").expect("a terminal").raw().expect("raw");
    let server = SshServer::new();
    let mut ssh = server.ssh(&mut theirs, &["-tt", "echo here; cat"]);
    theirs.wait_for("here");
    assert_eq!(modes(&ours), modes(&theirs));
    drop(raw);
    theirs.type_in(b"\r~.");
    ssh.wait().expect("ended");
    assert_eq!(modes(&ours), modes(&theirs));
}

#[test]
fn leaving_and_panicking_restore_the_terminal() {
    for (key, shown) in [(b"q", None), (b"p", Some("asked for"))] {
        let mut pty = Pty::open();
        let before = modes(&pty);
        let mut program = pty.run(&program(), &[]);
        pty.wait_for("<ready>");
        assert_ne!(modes(&pty), before);
        pty.type_in(key);
        if let Some(text) = shown {
            // The message comes after the modes, so its lines stand below one another.
            let message = pty.wait_for(text);
            assert!(!message.replace("\r\n", "").contains('\n'), "{message:?}");
        }
        program.wait().expect("ended");
        assert_eq!(modes(&pty), before);
    }
}

#[test]
fn fatal_signals_restore_the_terminal() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let mut pty = Pty::open();
        let before = modes(&pty);
        let mut program = pty.run("sh", &["-c", &format!("echo pid $$ end; exec {}", program())]);
        pty.wait_for("pid ");
        let pid = pty.wait_for(" end").parse().expect("a number");
        pty.wait_for("<ready>");
        rustix::process::kill_process(Pid::from_raw(pid).expect("a process"), signal).expect("sent");
        pty.wait_for("<Killed(");
        assert_eq!(program.wait().expect("ended").code(), Some(255));
        assert_eq!(modes(&pty), before);
    }
}

#[test]
fn an_ignored_signal_stays_ignored() {
    let mut pty = Pty::open();
    let script = format!("trap '' HUP; echo pid $$ end; exec {}", program());
    let mut program = pty.run("sh", &["-c", &script]);
    pty.wait_for("pid ");
    let pid = pty.wait_for(" end").parse().expect("a number");
    pty.wait_for("<ready>");
    let pid = Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, Signal::HUP).expect("sent");
    pty.type_in(b"q");
    assert_eq!(pty.wait_for("<Typed("), "\r\n");
    assert_eq!(program.wait().expect("ended").code(), Some(0));
}

#[test]
fn sizes_are_told_as_they_change() {
    let mut pty = Pty::open();
    let mut program = pty.run(&program(), &[]);
    pty.wait_for("<ready>");
    pty.resize(100, 30);
    pty.wait_for("<Resized(PtySize { columns: 100, rows: 30, width_px: 640, height_px: 480 })>");
    pty.type_in(b"q");
    program.wait().expect("ended");
}

#[test]
fn a_suspended_program_gives_the_terminal_back_until_it_is_continued() {
    // dash, unlike bash, leaves a terminal's modes as a stopped program left them.
    let mut pty = Pty::open();
    let mut shell = pty.run("dash", &["-i"]);
    pty.wait_for("# ");
    let before = modes(&pty);
    pty.type_in(format!("{}\n", program()).as_bytes());
    pty.wait_for("<ready>");
    let raw = modes(&pty);
    pty.type_in(b"z");
    pty.wait_for("Stopped");
    pty.wait_for("# ");
    assert_eq!(modes(&pty), before);
    pty.resize(90, 20);
    pty.type_in(b"fg\n");
    pty.wait_for("<back>");
    pty.wait_for("columns: 90, rows: 20");
    assert_eq!(modes(&pty), raw);
    pty.type_in(b"q");
    pty.wait_for("# ");
    assert_eq!(modes(&pty), before);
    pty.type_in(b"exit\n");
    shell.wait().expect("ended");
}

#[test]
fn a_suspend_that_nothing_could_end_returns() {
    // The program leads its session, so its process group has no shell to continue it.
    let mut pty = Pty::open();
    let mut program = pty.run(&program(), &[]);
    pty.wait_for("<ready>");
    let raw = modes(&pty);
    pty.type_in(b"z");
    pty.wait_for("<back>");
    assert_eq!(modes(&pty), raw);
    pty.type_in(b"q");
    program.wait().expect("ended");
}

#[test]
fn other_users_of_the_terminal_find_it_blocking() {
    let mut pty = Pty::open();
    let mut program = pty.run(&program(), &[]);
    pty.wait_for("<ready>");
    let flags = rustix::fs::fcntl_getfl(pty.slave()).expect("flags");
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    pty.type_in(b"q");
    program.wait().expect("ended");
}
