//! `~^Z`: the session waits, and the person has the shell here.

use std::{io, time::Duration};

use irosh::client::terminal::RawMode;
use rustix::process::{Signal, kill_current_process_group, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::front::front;

/// How long a stop may take to take effect.
const NOT_STOPPED: Duration = Duration::from_millis(100);

/// Gives the terminal back and is stopped, as ssh is. Returns, raw again, when it is continued. [`super::Events`] reports the
/// window's size then.
///
/// Behind a front it is the front that is stopped: this process goes on.
///
/// Not cancel safe: dropped while it waits, the terminal is not raw.
///
/// # Errors
///
/// What the system says.
pub(crate) async fn suspend(raw: &RawMode) -> io::Result<()> {
    let mut continued = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    raw.pause();
    match front() {
        Some(front) => kill_process(front, Signal::TSTP)?,
        None => kill_current_process_group(Signal::TSTP)?,
    }
    // Another thread may be the one that the signal stops, and this one runs on for a moment: it
    // must not be raw when it stops. In a process group that nobody could continue, nothing
    // stops, and nobody else takes the terminal.
    loop {
        tokio::select! {
            _ = continued.recv() => break,
            () = tokio::time::sleep(NOT_STOPPED) => if raw.is_foreground() { break },
        }
    }
    raw.set()
}
