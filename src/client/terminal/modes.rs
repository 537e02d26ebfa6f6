//! A terminal's modes as RFC 4254 section 8 has them.

use rustix::termios::{ControlModes, InputModes, LocalModes, OutputModes, SpecialCodeIndex, Termios};

use crate::client::pty::PtyMode;

/// Modes with their values, in ssh's order: speeds, keys, flags.
pub(super) fn of(termios: &Termios) -> Vec<(PtyMode, u32)> {
    let speeds =
        [(PtyMode::TTY_OP_OSPEED, termios.output_speed()), (PtyMode::TTY_OP_ISPEED, termios.input_speed())];
    let keys = KEYS.iter().map(|&(mode, index)| (mode, key(termios.special_codes[index])));
    let input = INPUT.iter().map(|&(mode, flag)| (mode, termios.input_modes.contains(flag)));
    let local = LOCAL.iter().map(|&(mode, flag)| (mode, termios.local_modes.contains(flag)));
    let output = OUTPUT.iter().map(|&(mode, flag)| (mode, termios.output_modes.contains(flag)));
    let size = termios.control_modes & ControlModes::CSIZE;
    let control = [
        (PtyMode::CS7, size == ControlModes::CS7),
        (PtyMode::CS8, size == ControlModes::CS8),
        (PtyMode::PARENB, termios.control_modes.contains(ControlModes::PARENB)),
        (PtyMode::PARODD, termios.control_modes.contains(ControlModes::PARODD)),
    ];
    let flags = input.chain(local).chain(output).chain(control).map(|(mode, set)| (mode, set.into()));
    speeds.into_iter().chain(keys).chain(flags).collect()
}

/// A key, 255 if it is switched off.
fn key(code: u8) -> u32 {
    // What _POSIX_VDISABLE is.
    let disabled = if cfg!(target_os = "linux") { 0 } else { 0xff };
    if code == disabled { 255 } else { code.into() }
}

const KEYS: &[(PtyMode, SpecialCodeIndex)] = &[
    (PtyMode::VINTR, SpecialCodeIndex::VINTR),
    (PtyMode::VQUIT, SpecialCodeIndex::VQUIT),
    (PtyMode::VERASE, SpecialCodeIndex::VERASE),
    (PtyMode::VKILL, SpecialCodeIndex::VKILL),
    (PtyMode::VEOF, SpecialCodeIndex::VEOF),
    (PtyMode::VEOL, SpecialCodeIndex::VEOL),
    (PtyMode::VEOL2, SpecialCodeIndex::VEOL2),
    (PtyMode::VSTART, SpecialCodeIndex::VSTART),
    (PtyMode::VSTOP, SpecialCodeIndex::VSTOP),
    (PtyMode::VSUSP, SpecialCodeIndex::VSUSP),
    (PtyMode::VREPRINT, SpecialCodeIndex::VREPRINT),
    (PtyMode::VWERASE, SpecialCodeIndex::VWERASE),
    (PtyMode::VLNEXT, SpecialCodeIndex::VLNEXT),
    (PtyMode::VDISCARD, SpecialCodeIndex::VDISCARD),
];

const INPUT: &[(PtyMode, InputModes)] = &[
    (PtyMode::IGNPAR, InputModes::IGNPAR),
    (PtyMode::PARMRK, InputModes::PARMRK),
    (PtyMode::INPCK, InputModes::INPCK),
    (PtyMode::ISTRIP, InputModes::ISTRIP),
    (PtyMode::INLCR, InputModes::INLCR),
    (PtyMode::IGNCR, InputModes::IGNCR),
    (PtyMode::ICRNL, InputModes::ICRNL),
    #[cfg(target_os = "linux")]
    (PtyMode::IUCLC, InputModes::IUCLC),
    (PtyMode::IXON, InputModes::IXON),
    (PtyMode::IXANY, InputModes::IXANY),
    (PtyMode::IXOFF, InputModes::IXOFF),
    (PtyMode::IMAXBEL, InputModes::IMAXBEL),
    // RFC 8160.
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    (PtyMode::IUTF8, InputModes::IUTF8),
];

const LOCAL: &[(PtyMode, LocalModes)] = &[
    (PtyMode::ISIG, LocalModes::ISIG),
    (PtyMode::ICANON, LocalModes::ICANON),
    #[cfg(target_os = "linux")]
    (PtyMode::XCASE, LocalModes::XCASE),
    (PtyMode::ECHO, LocalModes::ECHO),
    (PtyMode::ECHOE, LocalModes::ECHOE),
    (PtyMode::ECHOK, LocalModes::ECHOK),
    (PtyMode::ECHONL, LocalModes::ECHONL),
    (PtyMode::NOFLSH, LocalModes::NOFLSH),
    (PtyMode::TOSTOP, LocalModes::TOSTOP),
    (PtyMode::IEXTEN, LocalModes::IEXTEN),
    (PtyMode::ECHOCTL, LocalModes::ECHOCTL),
    (PtyMode::ECHOKE, LocalModes::ECHOKE),
    (PtyMode::PENDIN, LocalModes::PENDIN),
];

const OUTPUT: &[(PtyMode, OutputModes)] = &[
    (PtyMode::OPOST, OutputModes::OPOST),
    #[cfg(target_os = "linux")]
    (PtyMode::OLCUC, OutputModes::OLCUC),
    (PtyMode::ONLCR, OutputModes::ONLCR),
    (PtyMode::OCRNL, OutputModes::OCRNL),
    (PtyMode::ONOCR, OutputModes::ONOCR),
    (PtyMode::ONLRET, OutputModes::ONLRET),
];

#[cfg(test)]
#[path = "modes_tests.rs"]
mod tests;
