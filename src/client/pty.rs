//! Terminals (RFC 4254 sections 6.2, 6.7 and 8).

use std::os::unix::ffi::OsStringExt;

use crate::ssh_wire::Writer;

pub use russh::Pty as PtyMode;

/// The size of a terminal. Zero is "not known".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PtySize {
    /// In characters.
    pub columns: u32,
    /// In characters.
    pub rows: u32,
    /// In pixels.
    pub width_px: u32,
    /// In pixels.
    pub height_px: u32,
}

impl PtySize {
    /// A size in characters.
    #[must_use]
    pub fn new(columns: u32, rows: u32) -> Self {
        Self { columns, rows, width_px: 0, height_px: 0 }
    }

    pub(crate) fn encode(self, payload: Vec<u8>) -> Vec<u8> {
        payload.uint32(self.columns).uint32(self.rows).uint32(self.width_px).uint32(self.height_px)
    }
}

/// What a terminal is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PtyOptions {
    /// The value of TERM.
    pub term: Vec<u8>,
    /// Its size.
    pub size: PtySize,
    /// Its modes, such as those of the terminal at this side; what is not listed is up to the server.
    pub modes: Vec<(PtyMode, u32)>,
}

impl PtyOptions {
    /// A terminal of this kind and size, with the server's modes.
    #[must_use]
    pub fn new(term: impl Into<Vec<u8>>, size: PtySize) -> Self {
        Self { term: term.into(), size, modes: Vec::new() }
    }

    /// A terminal of the kind that `TERM` names here, of unknown size, with the server's modes.
    #[must_use]
    pub fn of_environment() -> Self {
        Self::new(std::env::var_os("TERM").unwrap_or_default().into_vec(), PtySize::default())
    }

    /// The payload of `pty-req`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.size.encode(Vec::new().string(&self.term)).string(&encode_modes(&self.modes))
    }
}

/// Terminal modes as SSH writes them (RFC 4254 section 8).
fn encode_modes(modes: &[(PtyMode, u32)]) -> Vec<u8> {
    let modes = modes.iter().filter(|(mode, _)| *mode != PtyMode::TTY_OP_END);
    let encoded = modes.fold(Vec::new(), |encoded, (mode, value)| encoded.byte(*mode as u8).uint32(*value));
    encoded.byte(PtyMode::TTY_OP_END as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_end_with_the_end_and_only_there() {
        let modes = [(PtyMode::ECHO, 0), (PtyMode::TTY_OP_END, 7), (PtyMode::VINTR, 3)];
        assert_eq!(encode_modes(&modes), [53, 0, 0, 0, 0, 1, 0, 0, 0, 3, 0]);
        assert_eq!(encode_modes(&[]), [0]);
    }

    #[test]
    fn a_request_is_written_as_the_rfc_says() {
        let options =
            PtyOptions::new("xterm", PtySize { columns: 80, rows: 24, width_px: 640, height_px: 480 });
        let mut expected = vec![0, 0, 0, 5];
        expected.extend_from_slice(b"xterm");
        for number in [80_u32, 24, 640, 480, 1] {
            expected.extend_from_slice(&number.to_be_bytes());
        }
        expected.push(0);
        assert_eq!(options.encode(), expected);
    }
}
