//! Raw mode and hidden typing, and the way back from them however the program ends.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, Once, PoisonError},
    time::Duration,
};

use rustix::{
    process::Signal,
    termios::{
        InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
    },
};
use tokio::signal::unix::{SignalKind, signal};

use super::front::{front, is_foreground};

/// Modes of a terminal that were changed, as raw mode is; dropping it gives the terminal its own back.
///
/// So does a panic in any thread, before its message; where the program goes on after it, as after one
/// in a task, [`RawMode::set`] makes the terminal raw again. `std::process::exit` drops nothing: call [`restore`] before.
#[derive(Debug)]
pub(crate) struct RawMode {
    saved: Arc<Saved>,
}

/// A terminal and the modes it had.
#[derive(Debug)]
struct Saved {
    fd: OwnedFd,
    before: Termios,
    changed: Termios,
}

/// The terminals that are raw. A panic and an exit find them here.
static RAW: Mutex<Vec<Arc<Saved>>> = Mutex::new(Vec::new());

/// Gives every raw terminal its modes back: before an exit that drops nothing.
pub(crate) fn restore() {
    for saved in RAW.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        saved.restore();
    }
}

impl RawMode {
    pub(super) fn enter(fd: OwnedFd) -> io::Result<Self> {
        Self::change(fd, raw)
    }

    /// A line at a time, and what is typed is not shown.
    pub(super) fn hide(fd: OwnedFd) -> io::Result<Self> {
        Self::change(fd, hidden)
    }

    fn change(fd: OwnedFd, change: fn(&Termios) -> Termios) -> io::Result<Self> {
        restore_on_panic();
        let before = tcgetattr(&fd)?;
        let changed = change(&before);
        let raw = Self { saved: Arc::new(Saved { fd, before, changed }) };
        RAW.lock().unwrap_or_else(PoisonError::into_inner).push(raw.saved.clone());
        raw.set()?;
        Ok(raw)
    }

    /// Gives the terminal its modes back until [`RawMode::set`].
    pub(crate) fn pause(&self) {
        self.saved.restore();
    }

    /// Sets raw mode once more, where another program may have changed it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn set(&self) -> io::Result<()> {
        Ok(tcsetattr(&self.saved.fd, OptionalActions::Drain, &self.saved.changed)?)
    }

    /// `~^Z`: gives the terminal back and is stopped, as ssh is. Returns, raw again, when it is continued.
    /// [`super::Events`] reports the window's size then.
    ///
    /// Behind a front it is the front that is stopped: this process goes on.
    ///
    /// Not cancel safe: dropped while it waits, the terminal is not raw.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) async fn suspend(&self) -> io::Result<()> {
        let mut continued = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
        self.saved.restore();
        match front() {
            Some(front) => rustix::process::kill_process(front, Signal::TSTP)?,
            None => rustix::process::kill_current_process_group(Signal::TSTP)?,
        }
        // Another thread may be the one that the signal stops, and this one runs on for a moment: it
        // must not be raw when it stops. In a process group that nobody could continue, nothing
        // stops, and nobody else takes the terminal.
        loop {
            tokio::select! {
                _ = continued.recv() => break,
                () = tokio::time::sleep(NOT_STOPPED) => if is_foreground(&self.saved.fd) { break },
            }
        }
        self.set()
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        self.saved.restore();
        RAW.lock().unwrap_or_else(PoisonError::into_inner).retain(|saved| !Arc::ptr_eq(saved, &self.saved));
    }
}

impl Saved {
    fn restore(&self) {
        // A terminal that is gone needs no modes.
        if let Err(error) = tcsetattr(&self.fd, OptionalActions::Drain, &self.before) {
            tracing::debug!(%error, "the terminal's modes were not restored");
        }
    }
}

/// What ssh makes of a terminal's modes.
fn raw(before: &Termios) -> Termios {
    let mut raw = before.clone();
    raw.input_modes |= InputModes::IGNPAR;
    raw.input_modes -= InputModes::ISTRIP
        | InputModes::INLCR
        | InputModes::IGNCR
        | InputModes::ICRNL
        | InputModes::IXON
        | InputModes::IXANY
        | InputModes::IXOFF;
    #[cfg(target_os = "linux")]
    {
        raw.input_modes -= InputModes::IUCLC;
    }
    raw.local_modes -= LocalModes::ISIG
        | LocalModes::ICANON
        | LocalModes::ECHO
        | LocalModes::ECHOE
        | LocalModes::ECHOK
        | LocalModes::ECHONL
        | LocalModes::IEXTEN;
    raw.output_modes -= OutputModes::OPOST;
    raw.special_codes[SpecialCodeIndex::VMIN] = 1;
    raw.special_codes[SpecialCodeIndex::VTIME] = 0;
    raw
}

/// What ssh makes of a terminal's modes while it asks for a password.
fn hidden(before: &Termios) -> Termios {
    let mut hidden = before.clone();
    hidden.local_modes -= LocalModes::ECHO | LocalModes::ECHONL;
    hidden
}

fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // Whoever holds the lock may be the one that panics.
            if let Ok(raw) = RAW.try_lock() {
                raw.iter().for_each(|saved| saved.restore());
            }
            report(info);
        }));
    });
}

/// How long a stop may take to take effect.
const NOT_STOPPED: Duration = Duration::from_millis(100);

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;
