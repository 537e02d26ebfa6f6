//! Raw mode and hidden typing, and the way back from them however the program ends.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, Once, PoisonError, Weak},
};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// Modes of a terminal that were changed, as raw mode is; dropping it gives the terminal its own back.
///
/// So does a panic in any thread, before its message; where the program goes on after it, as after one
/// in a task, [`RawMode::set`] makes the terminal raw again. `std::process::exit` drops nothing: call [`restore`] before.
#[must_use = "it ends when it is dropped"]
#[derive(Debug)]
pub struct RawMode {
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
pub fn restore() {
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
    pub fn pause(&self) {
        self.saved.restore();
    }

    /// Sets raw mode once more, where another program may have changed it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set(&self) -> io::Result<()> {
        self.saved.set()
    }

    /// Whether this process's group is the one in the foreground, which alone may use the terminal.
    #[must_use]
    pub fn is_foreground(&self) -> bool {
        is_foreground(&self.saved.fd)
    }

    /// The modes, to be set once more for as long as this lives.
    pub(super) fn modes(&self) -> Modes {
        Modes(Arc::downgrade(&self.saved))
    }
}

/// The changed modes of a terminal.
#[derive(Debug)]
pub(super) struct Modes(Weak<Saved>);

impl Modes {
    /// Sets them once more, unless the terminal has its own back for good.
    pub(super) fn set(&self) -> io::Result<()> {
        self.0.upgrade().map_or(Ok(()), |saved| saved.set())
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        self.saved.restore();
        RAW.lock().unwrap_or_else(PoisonError::into_inner).retain(|saved| !Arc::ptr_eq(saved, &self.saved));
    }
}

impl Saved {
    fn set(&self) -> io::Result<()> {
        Ok(tcsetattr(&self.fd, OptionalActions::Drain, &self.changed)?)
    }

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

pub(super) fn is_foreground(fd: impl AsFd) -> bool {
    rustix::termios::tcgetpgrp(fd).is_ok_and(|group| group == rustix::process::getpgrp())
}
