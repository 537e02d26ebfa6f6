//! A terminal, and what can be asked of it.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use super::{front::is_foreground, modes, raw::RawMode, size::WindowSize};

/// A terminal, through a descriptor of our own. Its flags are shared with other programs, so
/// `O_NONBLOCK` is never set on it.
#[derive(Debug)]
pub(crate) struct Terminal {
    fd: OwnedFd,
}

impl Terminal {
    /// The terminal that this descriptor is; `None` for a file, a pipe, `/dev/null`, or a descriptor
    /// that is closed.
    ///
    /// # Errors
    ///
    /// What the system says when no more descriptors are left.
    pub(crate) fn of(fd: impl AsFd) -> io::Result<Option<Self>> {
        if !rustix::termios::isatty(&fd) {
            return Ok(None);
        }
        Ok(Some(Self { fd: fd.as_fd().try_clone_to_owned()? }))
    }

    /// The size of its window; zeros, which mean that it is unknown, where the system does not say.
    #[must_use]
    pub(crate) fn size(&self) -> WindowSize {
        WindowSize::of(&self.fd)
    }

    /// Its modes as a pty-req has them (RFC 4254 section 8). Ask before [`Terminal::raw`].
    #[must_use]
    pub(crate) fn modes(&self) -> Vec<(u8, u32)> {
        // A terminal that has just been hung up has no modes to tell.
        rustix::termios::tcgetattr(&self.fd).map(|termios| modes::of(&termios)).unwrap_or_default()
    }

    /// Sets raw mode until the guard is dropped.
    ///
    /// # Errors
    ///
    /// What the system says, as of a terminal that is gone.
    pub(crate) fn raw(&self) -> io::Result<RawMode> {
        RawMode::enter(self.fd.try_clone()?)
    }

    /// Shows nothing of the lines that are typed until the guard is dropped.
    ///
    /// # Errors
    ///
    /// What the system says, as of a terminal that is gone.
    pub(crate) fn hidden(&self) -> io::Result<RawMode> {
        RawMode::hide(self.fd.try_clone()?)
    }

    /// Whether this process's group is the one in the foreground, whose output a person expects.
    #[must_use]
    pub(crate) fn is_foreground(&self) -> bool {
        is_foreground(&self.fd)
    }
}
