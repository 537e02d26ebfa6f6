//! The data types of RFC 4251 section 5 that frames are made of.

use super::frame_error::FrameError;

/// Reads fields off the front of a frame's body.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(FrameError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, FrameError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn uint32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn uint64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_be_bytes)
    }

    /// Zero is false, and everything else true (RFC 4251 section 5).
    pub(super) fn boolean(&mut self) -> Result<bool, FrameError> {
        self.byte().map(|byte| byte != 0)
    }

    /// A `string` of at most `max` bytes.
    pub(super) fn string(&mut self, max: usize) -> Result<&'a [u8], FrameError> {
        let length = self.uint32()? as usize;
        if length > max {
            return Err(FrameError::FieldTooLong { length, max });
        }
        let (head, rest) = self.0.split_at_checked(length).ok_or(FrameError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    /// A `string` of UTF-8 that a person may read: one line, without control characters.
    pub(super) fn line(&mut self, max: usize) -> Result<String, FrameError> {
        self.text(max, |_| false)
    }

    /// The same of several lines.
    pub(super) fn lines(&mut self, max: usize) -> Result<String, FrameError> {
        self.text(max, |c| c == '\n')
    }

    fn text(&mut self, max: usize, also: impl Fn(char) -> bool) -> Result<String, FrameError> {
        let text = std::str::from_utf8(self.string(max)?).map_err(|_| FrameError::NotText)?;
        if text.chars().any(|c| c.is_control() && !also(c)) {
            return Err(FrameError::NotText);
        }
        Ok(text.to_owned())
    }

    /// Nothing may follow the last field.
    pub(super) fn end(self) -> Result<(), FrameError> {
        if self.0.is_empty() { Ok(()) } else { Err(FrameError::Trailing(self.0.len())) }
    }
}

/// Appends fields to a frame's body.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Starts a frame: room for its length, then its type.
    pub(super) fn frame(kind: u8) -> Self {
        Self(vec![0, 0, 0, 0, kind])
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn byte(self, byte: u8) -> Self {
        self.bytes(&[byte])
    }

    pub(super) fn uint32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn uint64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn boolean(self, value: bool) -> Self {
        self.byte(value.into())
    }

    pub(super) fn string(self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.uint32(length).bytes(bytes)
    }

    /// Ends what is no frame of its own.
    pub(super) fn body(self) -> Vec<u8> {
        self.0
    }

    /// Ends the frame by writing its length in front.
    pub(super) fn end(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }
}
