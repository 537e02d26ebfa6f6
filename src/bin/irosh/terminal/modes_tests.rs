use std::collections::BTreeMap;

use super::{super::pty::Pty, *};
use crate::terminal::Terminal;

/// The values by their opcodes, each of which is there once.
fn by_opcode(modes: Vec<(u8, u32)>) -> BTreeMap<u8, u32> {
    let count = modes.len();
    let modes: BTreeMap<_, _> = modes.into_iter().collect();
    assert_eq!(modes.len(), count);
    modes
}

#[test]
fn a_new_terminal_has_the_modes_that_stty_sane_knows() {
    let pty = Pty::open();
    let modes = by_opcode(Terminal::of(pty.slave()).expect("asked").expect("a terminal").modes());
    // intr is ^C, eof is ^D, eol is off, icrnl, ixon, isig, icanon, echo, opost, cs8.
    for (opcode, value) in
        [(1, 3), (5, 4), (6, 255), (36, 1), (38, 1), (50, 1), (51, 1), (53, 1), (70, 1), (91, 1)]
    {
        assert_eq!(modes[&opcode], value, "opcode {opcode}");
    }
    assert_eq!((modes[&CS7], modes[&PARENB]), (0, 0));
    assert_eq!((modes[&TTY_OP_ISPEED], modes[&TTY_OP_OSPEED]), (38400, 38400));
}

type Change = Box<dyn Fn(&mut Termios)>;

/// Each thing that a pty-req tells, with a change of it.
fn changes(code: u8) -> Vec<(u8, Change)> {
    let mut changes: Vec<(u8, Change)> = Vec::new();
    for &(opcode, index) in KEYS {
        changes.push((opcode, Box::new(move |termios| termios.special_codes[index] = code)));
    }
    for &(opcode, flag) in INPUT {
        changes.push((opcode, Box::new(move |termios| termios.input_modes.toggle(flag))));
    }
    for &(opcode, flag) in LOCAL {
        changes.push((opcode, Box::new(move |termios| termios.local_modes.toggle(flag))));
    }
    for &(opcode, flag) in OUTPUT {
        changes.push((opcode, Box::new(move |termios| termios.output_modes.toggle(flag))));
    }
    changes
}

#[test]
fn every_change_shows_in_its_opcode_alone() {
    let pty = Pty::open();
    let before = rustix::termios::tcgetattr(pty.slave()).expect("modes");
    // A code that no key has at first.
    for (opcode, change) in changes(7) {
        let mut after = before.clone();
        change(&mut after);
        let (before, after) = (by_opcode(of(&before)), by_opcode(of(&after)));
        let changed: Vec<u8> = before.keys().copied().filter(|key| before[key] != after[key]).collect();
        assert_eq!(changed, [opcode]);
    }
}

#[test]
fn a_key_that_is_off_is_255() {
    let pty = Pty::open();
    let mut termios = rustix::termios::tcgetattr(pty.slave()).expect("modes");
    termios.special_codes[SpecialCodeIndex::VSUSP] = 0;
    assert_eq!(by_opcode(of(&termios))[&10], 255);
}

/// What a real sshd makes of ssh's pty-req is what is read here.
#[test]
fn ssh_tells_the_same_modes() {
    let mut pty = Pty::open();
    let server = crate::ssh_server::SshServer::new();
    let mut termios = rustix::termios::tcgetattr(pty.slave()).expect("modes");
    termios.special_codes[SpecialCodeIndex::VINTR] = 7;
    termios.special_codes[SpecialCodeIndex::VSUSP] = 0;
    termios.input_modes.toggle(InputModes::IXANY | InputModes::IUTF8);
    termios.local_modes -= LocalModes::ECHOKE;
    termios.set_speed(9600).expect("a speed");
    rustix::termios::tcsetattr(pty.slave(), rustix::termios::OptionalActions::Now, &termios).expect("set");
    let ours = by_opcode(of(&termios));
    let mut ssh = server.ssh(&mut pty, &["-tt", "stty -a; echo end"]);
    let theirs = pty.wait_for("end");
    ssh.wait().expect("ended");
    for (mode, opcode) in
        [("ixany", 39), ("iutf8", 42), ("echoke", 61), ("echoctl", 60), ("icanon", 51), ("onlcr", 72)]
    {
        let off = theirs.contains(&format!(" -{mode}"));
        assert_ne!(off, ours[&opcode] == 1, "{mode}: {theirs}");
    }
    assert!(theirs.contains("speed 9600 baud") && ours[&TTY_OP_OSPEED] == 9600, "{theirs}");
    assert!(theirs.contains("intr = ^G") && ours[&1] == 7, "{theirs}");
    assert!(theirs.contains("susp = <undef>") && ours[&10] == 255, "{theirs}");
}
