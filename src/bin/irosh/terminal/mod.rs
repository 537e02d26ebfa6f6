//! The terminal that a session is typed on: what happens on it, and how it is given back for a while.

mod caught;
mod events;
mod front;
#[cfg(test)]
mod modes_tests;
#[cfg(test)]
pub(crate) mod pty;
#[cfg(test)]
mod raw_tests;
mod suspend;

pub(crate) use caught::Caught;
pub(crate) use events::{Events, TerminalEvent};
pub(crate) use front::stay_in_front;
pub(crate) use irosh::client::terminal::{RawMode, Terminal, restore};
pub(crate) use suspend::suspend;
