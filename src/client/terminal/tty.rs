//! A terminal, and what can be asked of it.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use super::{
    modes,
    raw::{RawMode, is_foreground},
};
use crate::client::pty::{PtyMode, PtyOptions, PtySize};

/// A terminal, through a descriptor of its own. Its flags are shared with other programs, so
/// `O_NONBLOCK` is never set on it.
#[derive(Debug)]
pub struct Terminal {
    fd: OwnedFd,
}

impl Terminal {
    /// The terminal that this descriptor is, such as [`std::io::stdin`]; `None` for a file, a pipe, `/dev/null`, or a
    /// descriptor that is closed.
    ///
    /// # Errors
    ///
    /// What the system says when no more descriptors are left.
    pub fn of(fd: impl AsFd) -> io::Result<Option<Self>> {
        if !rustix::termios::isatty(&fd) {
            return Ok(None);
        }
        Ok(Some(Self { fd: fd.as_fd().try_clone_to_owned()? }))
    }

    /// The same terminal.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()? })
    }

    /// The size of its window; zeros, which mean that it is unknown, where the system does not say.
    #[must_use]
    pub fn size(&self) -> PtySize {
        rustix::termios::tcgetwinsize(&self.fd).map_or_else(
            |_| PtySize::default(),
            |size| PtySize {
                columns: size.ws_col.into(),
                rows: size.ws_row.into(),
                width_px: size.ws_xpixel.into(),
                height_px: size.ws_ypixel.into(),
            },
        )
    }

    /// Its modes as a pty-req has them (RFC 4254 section 8). Ask before [`Terminal::raw`].
    #[must_use]
    pub fn modes(&self) -> Vec<(PtyMode, u32)> {
        // A terminal that has just been hung up has no modes to tell.
        rustix::termios::tcgetattr(&self.fd).map_or_else(|_| Vec::new(), |termios| modes::of(&termios))
    }

    /// What a terminal at a host is to be like to be as this one: `TERM`, size and modes. Ask before [`Terminal::raw`].
    #[must_use]
    pub fn pty_options(&self) -> PtyOptions {
        PtyOptions { size: self.size(), modes: self.modes(), ..PtyOptions::of_environment() }
    }

    /// Sets raw mode until the guard is dropped.
    ///
    /// # Errors
    ///
    /// What the system says, as of a terminal that is gone.
    pub fn raw(&self) -> io::Result<RawMode> {
        RawMode::enter(self.fd.try_clone()?)
    }

    /// Shows nothing of the lines that are typed until the guard is dropped, as for a password.
    ///
    /// # Errors
    ///
    /// What the system says, as of a terminal that is gone.
    pub fn hidden(&self) -> io::Result<RawMode> {
        RawMode::hide(self.fd.try_clone()?)
    }

    /// Whether this process's group is the one in the foreground, whose output a person expects.
    #[must_use]
    pub fn is_foreground(&self) -> bool {
        is_foreground(&self.fd)
    }
}
