//! The size of a window, as it changes.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use super::{
    raw::{Modes, RawMode},
    tty::Terminal,
};
use crate::client::pty::PtySize;

/// Follows the size of a terminal's window, by SIGWINCH; see [`Terminal::sizes`].
#[derive(Debug)]
pub struct Sizes {
    terminal: Terminal,
    modes: Option<Modes>,
    resized: Stream,
    continued: Stream,
}

impl Terminal {
    /// Follows the size of its window. With `raw`, the terminal is made raw again where the process goes on after it was
    /// stopped.
    ///
    /// # Errors
    ///
    /// What the system says: signals cannot be heard.
    pub fn sizes(&self, raw: Option<&RawMode>) -> io::Result<Sizes> {
        let resized = signal(SignalKind::window_change())?;
        let continued = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
        Ok(Sizes { terminal: self.try_clone()?, modes: raw.map(RawMode::modes), resized, continued })
    }
}

impl Sizes {
    /// Waits until the window has another size, or the process goes on after it was stopped. Cancel safe.
    pub async fn next(&mut self) -> PtySize {
        tokio::select! {
            _ = self.continued.recv() => {
                if let Some(Err(error)) = self.modes.as_ref().map(Modes::set) {
                    tracing::debug!(%error, "the terminal could not be made raw again");
                }
            }
            _ = self.resized.recv() => {}
        }
        self.terminal.size()
    }
}
