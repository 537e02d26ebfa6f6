//! Frames and their fields: the types of RFC 4251 section 5, each with a bound on its length.

use zeroize::Zeroizing;

use super::wire::{LONGEST_FRAME, WireError};

/// How long the frame is whose first four bytes these are, without them.
///
/// # Errors
///
/// [`WireError::TooLong`]; [`WireError::Malformed`] where it is empty.
pub(super) fn frame_length(header: [u8; 4]) -> Result<usize, WireError> {
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if length == 0 {
        return Err(WireError::Malformed("frame"));
    }
    bounded("frame", length, LONGEST_FRAME)
}

/// A frame that is being written.
pub(super) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    /// A frame of this kind, with room for so many bytes of fields.
    pub(super) fn new(kind: u8, room: usize) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(4 + 1 + 4 + room));
        bytes.extend_from_slice(&[0; 4]);
        bytes.push(kind);
        Self(bytes)
    }

    pub(super) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.byte(value.into());
    }

    pub(super) fn number(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn long(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn count(&mut self, what: &'static str, count: usize, most: usize) -> Result<(), WireError> {
        let count = u32::try_from(bounded(what, count, most)?);
        self.number(count.map_err(|_| WireError::Malformed(what))?);
        Ok(())
    }

    pub(super) fn string(&mut self, what: &'static str, bytes: &[u8], most: usize) -> Result<(), WireError> {
        self.count(what, bytes.len(), most)?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// A flag, and the string if there is one.
    pub(super) fn optional(
        &mut self,
        what: &'static str,
        bytes: Option<&[u8]>,
        most: usize,
    ) -> Result<(), WireError> {
        self.flag(bytes.is_some());
        bytes.map_or(Ok(()), |bytes| self.string(what, bytes, most))
    }

    /// The whole frame.
    pub(super) fn finish(mut self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        let length = bounded("frame", self.0.len() - 4, LONGEST_FRAME)?;
        let length = u32::try_from(length).map_err(|_| WireError::Malformed("frame"))?;
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        Ok(self.0)
    }
}

/// The fields of a frame that are still to be read.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        let (first, rest) = self.0.split_first_chunk().ok_or(WireError::Malformed(what))?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, WireError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(super) fn flag(&mut self, what: &'static str) -> Result<bool, WireError> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Malformed(what)),
        }
    }

    pub(super) fn number(&mut self, what: &'static str) -> Result<u32, WireError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(super) fn long(&mut self, what: &'static str) -> Result<u64, WireError> {
        self.array(what).map(u64::from_be_bytes)
    }

    pub(super) fn count(&mut self, what: &'static str, most: usize) -> Result<usize, WireError> {
        let count = usize::try_from(self.number(what)?).unwrap_or(usize::MAX);
        bounded(what, count, most)
    }

    pub(super) fn string(&mut self, what: &'static str, most: usize) -> Result<&'a [u8], WireError> {
        let length = self.count(what, most)?;
        let (first, rest) = self.0.split_at_checked(length).ok_or(WireError::Malformed(what))?;
        self.0 = rest;
        Ok(first)
    }

    pub(super) fn text(&mut self, what: &'static str, most: usize) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.string(what, most)?).map_err(|_| WireError::Malformed(what))
    }

    pub(super) fn optional(
        &mut self,
        what: &'static str,
        most: usize,
    ) -> Result<Option<&'a [u8]>, WireError> {
        if self.flag(what)? { self.string(what, most).map(Some) } else { Ok(None) }
    }

    pub(super) fn optional_text(
        &mut self,
        what: &'static str,
        most: usize,
    ) -> Result<Option<&'a str>, WireError> {
        if self.flag(what)? { self.text(what, most).map(Some) } else { Ok(None) }
    }

    /// What was read, if it is all there is.
    pub(super) fn finish<T>(self, message: T) -> Result<T, WireError> {
        if self.0.is_empty() { Ok(message) } else { Err(WireError::Malformed("frame")) }
    }
}

fn bounded(what: &'static str, length: usize, bound: usize) -> Result<usize, WireError> {
    if length > bound { Err(WireError::TooLong { what, length, bound }) } else { Ok(length) }
}
