//! The terminal that a session is typed on: raw mode, size, modes, and what happens on it.

mod caught;
mod events;
mod front;
mod modes;
#[cfg(test)]
pub(crate) mod pty;
mod raw;
mod size;
mod tty;

use std::os::unix::ffi::OsStringExt;

pub(crate) use caught::Caught;
pub(crate) use events::{Events, TerminalEvent};
pub(crate) use front::stay_in_front;
pub(crate) use raw::{RawMode, restore};
pub(crate) use size::WindowSize;
pub(crate) use tty::Terminal;

/// `TERM`, as a pty-req has it: empty where it is not set.
#[must_use]
pub(crate) fn term() -> Vec<u8> {
    std::env::var_os("TERM").unwrap_or_default().into_vec()
}
