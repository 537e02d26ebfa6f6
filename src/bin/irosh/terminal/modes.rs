//! A terminal's modes as RFC 4254 section 8 encodes them.

use rustix::termios::{ControlModes, InputModes, LocalModes, OutputModes, SpecialCodeIndex, Termios};

/// No modes at all.
pub(super) fn none() -> Vec<u8> {
    vec![TTY_OP_END]
}

/// Opcodes with their values, in ssh's order: speeds, keys, flags, the end.
pub(super) fn encode(termios: &Termios) -> Vec<u8> {
    let mut out = Encoded(Vec::new());
    out.mode(TTY_OP_OSPEED, termios.output_speed());
    out.mode(TTY_OP_ISPEED, termios.input_speed());
    for &(opcode, index) in KEYS {
        out.mode(opcode, key(termios.special_codes[index]));
    }
    for &(opcode, flag) in INPUT {
        out.flag(opcode, termios.input_modes.contains(flag));
    }
    for &(opcode, flag) in LOCAL {
        out.flag(opcode, termios.local_modes.contains(flag));
    }
    for &(opcode, flag) in OUTPUT {
        out.flag(opcode, termios.output_modes.contains(flag));
    }
    let size = termios.control_modes & ControlModes::CSIZE;
    out.flag(CS7, size == ControlModes::CS7);
    out.flag(CS8, size == ControlModes::CS8);
    out.flag(PARENB, termios.control_modes.contains(ControlModes::PARENB));
    out.flag(PARODD, termios.control_modes.contains(ControlModes::PARODD));
    out.0.push(TTY_OP_END);
    out.0
}

/// A key, 255 if it is switched off.
fn key(code: u8) -> u32 {
    // What _POSIX_VDISABLE is.
    let disabled = if cfg!(target_os = "linux") { 0 } else { 0xff };
    if code == disabled { 255 } else { code.into() }
}

struct Encoded(Vec<u8>);

impl Encoded {
    fn mode(&mut self, opcode: u8, value: u32) {
        self.0.push(opcode);
        self.0.extend(value.to_be_bytes());
    }

    fn flag(&mut self, opcode: u8, set: bool) {
        self.mode(opcode, set.into());
    }
}

const TTY_OP_END: u8 = 0;
const CS7: u8 = 90;
const CS8: u8 = 91;
const PARENB: u8 = 92;
const PARODD: u8 = 93;
const TTY_OP_ISPEED: u8 = 128;
const TTY_OP_OSPEED: u8 = 129;

const KEYS: &[(u8, SpecialCodeIndex)] = &[
    (1, SpecialCodeIndex::VINTR),
    (2, SpecialCodeIndex::VQUIT),
    (3, SpecialCodeIndex::VERASE),
    (4, SpecialCodeIndex::VKILL),
    (5, SpecialCodeIndex::VEOF),
    (6, SpecialCodeIndex::VEOL),
    (7, SpecialCodeIndex::VEOL2),
    (8, SpecialCodeIndex::VSTART),
    (9, SpecialCodeIndex::VSTOP),
    (10, SpecialCodeIndex::VSUSP),
    (12, SpecialCodeIndex::VREPRINT),
    (13, SpecialCodeIndex::VWERASE),
    (14, SpecialCodeIndex::VLNEXT),
    (18, SpecialCodeIndex::VDISCARD),
];

const INPUT: &[(u8, InputModes)] = &[
    (30, InputModes::IGNPAR),
    (31, InputModes::PARMRK),
    (32, InputModes::INPCK),
    (33, InputModes::ISTRIP),
    (34, InputModes::INLCR),
    (35, InputModes::IGNCR),
    (36, InputModes::ICRNL),
    #[cfg(target_os = "linux")]
    (37, InputModes::IUCLC),
    (38, InputModes::IXON),
    (39, InputModes::IXANY),
    (40, InputModes::IXOFF),
    (41, InputModes::IMAXBEL),
    // RFC 8160.
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    (42, InputModes::IUTF8),
];

const LOCAL: &[(u8, LocalModes)] = &[
    (50, LocalModes::ISIG),
    (51, LocalModes::ICANON),
    #[cfg(target_os = "linux")]
    (52, LocalModes::XCASE),
    (53, LocalModes::ECHO),
    (54, LocalModes::ECHOE),
    (55, LocalModes::ECHOK),
    (56, LocalModes::ECHONL),
    (57, LocalModes::NOFLSH),
    (58, LocalModes::TOSTOP),
    (59, LocalModes::IEXTEN),
    (60, LocalModes::ECHOCTL),
    (61, LocalModes::ECHOKE),
    (62, LocalModes::PENDIN),
];

const OUTPUT: &[(u8, OutputModes)] = &[
    (70, OutputModes::OPOST),
    #[cfg(target_os = "linux")]
    (71, OutputModes::OLCUC),
    (72, OutputModes::ONLCR),
    (73, OutputModes::OCRNL),
    (74, OutputModes::ONOCR),
    (75, OutputModes::ONLRET),
];

#[cfg(test)]
#[path = "modes_tests.rs"]
mod tests;
