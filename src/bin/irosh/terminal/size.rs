//! The size of a window.

use std::os::fd::AsFd;

/// The size of a window, in characters and in pixels; 0 where it is unknown (RFC 4254 section 6.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WindowSize {
    /// Characters in a row.
    pub(crate) columns: u32,
    /// Rows.
    pub(crate) rows: u32,
    /// Width in pixels.
    pub(crate) width: u32,
    /// Height in pixels.
    pub(crate) height: u32,
}

impl WindowSize {
    pub(super) fn of(fd: impl AsFd) -> Self {
        rustix::termios::tcgetwinsize(fd).map_or_else(
            |_| Self::default(),
            |size| Self {
                columns: size.ws_col.into(),
                rows: size.ws_row.into(),
                width: size.ws_xpixel.into(),
                height: size.ws_ypixel.into(),
            },
        )
    }
}
