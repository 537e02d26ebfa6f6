use std::{collections::BTreeMap, os::fd::OwnedFd};

use rustix::{
    fs::{Mode, OFlags},
    pty::OpenptFlags,
};

use super::{super::Terminal, *};

/// Both sides of a new terminal.
fn terminal() -> (OwnedFd, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).expect("a master");
    rustix::pty::unlockpt(&master).expect("unlocked");
    let name = rustix::pty::ptsname(&master, Vec::new()).expect("its name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name, flags, Mode::empty()).expect("a slave");
    (master, slave)
}

/// By their opcodes.
fn values(modes: Vec<(PtyMode, u32)>) -> BTreeMap<u8, u32> {
    let count = modes.len();
    let values: BTreeMap<_, _> = modes.into_iter().map(|(mode, value)| (mode as u8, value)).collect();
    assert_eq!(values.len(), count, "one is there twice");
    values
}

#[test]
fn a_new_terminal_has_the_modes_that_stty_sane_knows() {
    let (_master, slave) = terminal();
    let modes = values(Terminal::of(&slave).expect("asked").expect("a terminal").modes());
    // intr is ^C, eof is ^D, eol is off, icrnl, ixon, isig, icanon, echo, opost, cs8.
    for (opcode, value) in
        [(1, 3), (5, 4), (6, 255), (36, 1), (38, 1), (50, 1), (51, 1), (53, 1), (70, 1), (91, 1)]
    {
        assert_eq!(modes[&opcode], value, "opcode {opcode}");
    }
    // cs7, parenb, and both speeds.
    assert_eq!([modes[&90], modes[&92], modes[&128], modes[&129]], [0, 0, 38400, 38400]);
}

type Change = Box<dyn Fn(&mut Termios)>;

/// Each thing that a pty-req tells, with a change of it.
fn changes(code: u8) -> Vec<(PtyMode, Change)> {
    let mut changes: Vec<(PtyMode, Change)> = Vec::new();
    for &(mode, index) in KEYS {
        changes.push((mode, Box::new(move |termios| termios.special_codes[index] = code)));
    }
    for &(mode, flag) in INPUT {
        changes.push((mode, Box::new(move |termios| termios.input_modes.toggle(flag))));
    }
    for &(mode, flag) in LOCAL {
        changes.push((mode, Box::new(move |termios| termios.local_modes.toggle(flag))));
    }
    for &(mode, flag) in OUTPUT {
        changes.push((mode, Box::new(move |termios| termios.output_modes.toggle(flag))));
    }
    changes
}

#[test]
fn every_change_shows_in_its_opcode_alone() {
    let (_master, slave) = terminal();
    let before = rustix::termios::tcgetattr(&slave).expect("modes");
    // A code that no key has at first.
    for (mode, change) in changes(7) {
        let mut after = before.clone();
        change(&mut after);
        let (before, after) = (values(of(&before)), values(of(&after)));
        let changed: Vec<u8> = before.keys().copied().filter(|key| before[key] != after[key]).collect();
        assert_eq!(changed, [mode as u8]);
    }
}

#[test]
fn a_key_that_is_off_is_255() {
    let (_master, slave) = terminal();
    let mut termios = rustix::termios::tcgetattr(&slave).expect("modes");
    termios.special_codes[SpecialCodeIndex::VSUSP] = 0;
    assert_eq!(values(of(&termios))[&10], 255);
}
