//! A terminal's modes beside those that ssh tells.

use std::collections::BTreeMap;

use rustix::termios::{InputModes, LocalModes, SpecialCodeIndex};

use super::{Terminal, pty::Pty};

/// What a real sshd makes of ssh's pty-req is what this one tells.
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
    let modes = Terminal::of(pty.slave()).expect("asked").expect("a terminal").modes();
    let ours: BTreeMap<_, _> = modes.into_iter().map(|(mode, value)| (mode as u8, value)).collect();
    let mut ssh = server.ssh(&mut pty, &["-tt", "stty -a; echo end"]);
    let theirs = pty.wait_for("end");
    ssh.wait().expect("ended");
    for (mode, opcode) in
        [("ixany", 39), ("iutf8", 42), ("echoke", 61), ("echoctl", 60), ("icanon", 51), ("onlcr", 72)]
    {
        let off = theirs.contains(&format!(" -{mode}"));
        assert_ne!(off, ours[&opcode] == 1, "{mode}: {theirs}");
    }
    assert!(theirs.contains("speed 9600 baud") && ours[&129] == 9600, "{theirs}");
    assert!(theirs.contains("intr = ^G") && ours[&1] == 7, "{theirs}");
    assert!(theirs.contains("susp = <undef>") && ours[&10] == 255, "{theirs}");
}
