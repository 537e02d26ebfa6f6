//! A terminal's modes, as RFC 4254 section 8 numbers them.

use rustix::termios::{ControlModes, InputModes, LocalModes, OutputModes, SpecialCodeIndex, Termios};

/// Opcodes with their values, in ssh's order: speeds, keys, flags.
pub(super) fn of(termios: &Termios) -> Vec<(u8, u32)> {
    let Termios { input_modes, local_modes, output_modes, control_modes, special_codes, .. } = termios;
    let mut modes = vec![(TTY_OP_OSPEED, termios.output_speed()), (TTY_OP_ISPEED, termios.input_speed())];
    modes.extend(KEYS.iter().map(|&(opcode, index)| (opcode, key(special_codes[index]))));
    modes.extend(INPUT.iter().map(|&(opcode, flag)| (opcode, input_modes.contains(flag).into())));
    modes.extend(LOCAL.iter().map(|&(opcode, flag)| (opcode, local_modes.contains(flag).into())));
    modes.extend(OUTPUT.iter().map(|&(opcode, flag)| (opcode, output_modes.contains(flag).into())));
    let size = *control_modes & ControlModes::CSIZE;
    modes.push((CS7, (size == ControlModes::CS7).into()));
    modes.push((CS8, (size == ControlModes::CS8).into()));
    modes.push((PARENB, control_modes.contains(ControlModes::PARENB).into()));
    modes.push((PARODD, control_modes.contains(ControlModes::PARODD).into()));
    modes
}

/// A key, 255 if it is switched off.
fn key(code: u8) -> u32 {
    // What _POSIX_VDISABLE is.
    let disabled = if cfg!(target_os = "linux") { 0 } else { 0xff };
    if code == disabled { 255 } else { code.into() }
}

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
