//! Integers and strings as SSH writes them (RFC 4251 section 5). SFTP and the frames of `irosh/1` are made of them too.

/// A field goes on after the bytes have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Truncated;

/// So many bytes follow the last field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailing(pub(crate) usize);

/// Reads fields off the front of what is left. Nothing is copied, and no length is believed that the bytes do not hold.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Truncated> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Truncated> {
        self.array().map(u8::from_be_bytes)
    }

    /// Zero is false, and everything else true.
    pub(crate) fn boolean(&mut self) -> Result<bool, Truncated> {
        self.byte().map(|byte| byte != 0)
    }

    pub(crate) fn uint32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn uint64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn string(&mut self) -> Result<&'a [u8], Truncated> {
        let length = self.uint32()?;
        self.take(usize::try_from(length).map_err(|_| Truncated)?)
    }

    /// Nothing may follow the last field.
    pub(crate) fn end(self) -> Result<(), Trailing> {
        if self.0.is_empty() { Ok(()) } else { Err(Trailing(self.0.len())) }
    }
}

/// Appends fields. Each call gives back what it was called on, for the next field.
pub(crate) trait Writer: Sized {
    /// Appends bytes as they are.
    fn bytes(self, bytes: &[u8]) -> Self;

    fn byte(self, byte: u8) -> Self {
        self.bytes(&[byte])
    }

    fn boolean(self, value: bool) -> Self {
        self.byte(value.into())
    }

    fn uint32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    fn uint64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    fn string(self, bytes: &[u8]) -> Self {
        self.uint32(saturated(bytes.len())).bytes(bytes)
    }
}

impl Writer for &mut Vec<u8> {
    fn bytes(self, bytes: &[u8]) -> Self {
        self.extend_from_slice(bytes);
        self
    }
}

impl Writer for Vec<u8> {
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.extend_from_slice(bytes);
        self
    }
}

/// A packet as SFTP and `irosh/1` frame it: room for its length, then its type.
pub(crate) fn packet(kind: u8) -> Vec<u8> {
    // Most need no more.
    Vec::with_capacity(96).uint32(0).byte(kind)
}

/// Ends a packet by writing its length in front, with that of what is sent behind it on its own.
pub(crate) fn set_length(packet: &mut [u8], behind: usize) {
    if let Some((length, rest)) = packet.split_first_chunk_mut() {
        *length = saturated(rest.len() + behind).to_be_bytes();
    }
}

/// A length as a number. Nothing is written here that is as long as 4 GiB.
fn saturated(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_written_as_the_rfc_has_them() {
        let written = Vec::new().byte(7).boolean(true).boolean(false).uint32(699_921_578);
        assert_eq!(written, [7, 1, 0, 0x29, 0xb7, 0xf4, 0xaa]);
        assert_eq!(Vec::new().uint64(0x0102_0304_0506_0708), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Vec::new().string(b"testing"), *b"\0\0\0\x07testing");
        assert_eq!(Vec::new().string(b"").bytes(b"x"), *b"\0\0\0\0x");
    }

    #[test]
    fn a_packet_has_its_length_in_front() {
        let mut sent = packet(9).uint32(1);
        set_length(&mut sent, 0);
        assert_eq!(sent, [0, 0, 0, 5, 9, 0, 0, 0, 1]);
        set_length(&mut sent, 256);
        assert_eq!(sent[..5], [0, 0, 1, 5, 9]);
    }

    #[test]
    fn anything_but_zero_is_true() {
        assert_eq!(Reader(&[0]).boolean(), Ok(false));
        assert_eq!(Reader(&[2]).boolean(), Ok(true));
    }

    #[test]
    fn a_field_that_is_cut_short_is_told() {
        assert_eq!(Reader(&[]).byte(), Err(Truncated));
        assert_eq!(Reader(&[0; 3]).uint32(), Err(Truncated));
        assert_eq!(Reader(&[0; 7]).uint64(), Err(Truncated));
        assert_eq!(Reader(&[0; 7]).array::<8>(), Err(Truncated));
        assert_eq!(Reader(b"\0\0\0\x03ab").string(), Err(Truncated));
        assert_eq!(Reader(b"\xff\xff\xff\xffab").string(), Err(Truncated));
    }

    #[test]
    fn what_follows_the_last_field_is_told() {
        let mut reader = Reader(b"\0\0\0\x01abc");
        assert_eq!(reader.string(), Ok(&b"a"[..]));
        assert_eq!(reader.0, b"bc");
        assert_eq!(reader.end(), Err(Trailing(2)));
        assert_eq!(Reader(b"").end(), Ok(()));
    }

    proptest! {
        #[test]
        fn fields_are_read_as_they_were_written(
            byte: u8, boolean: bool, small: u32, large: u64, strings: Vec<Vec<u8>>, array: [u8; 5],
        ) {
            let mut written = Vec::new().byte(byte).boolean(boolean).uint32(small).uint64(large).bytes(&array);
            for string in &strings {
                (&mut written).string(string);
            }
            let mut reader = Reader(&written);
            prop_assert_eq!(reader.byte(), Ok(byte));
            prop_assert_eq!(reader.boolean(), Ok(boolean));
            prop_assert_eq!(reader.uint32(), Ok(small));
            prop_assert_eq!(reader.uint64(), Ok(large));
            prop_assert_eq!(reader.array(), Ok(array));
            for string in &strings {
                prop_assert_eq!(reader.string(), Ok(&string[..]));
            }
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn no_bytes_panic_and_every_field_is_of_them(bytes: Vec<u8>, fields in prop::collection::vec(0u8..6, 0..20)) {
            let mut reader = Reader(&bytes);
            for field in fields {
                let left = reader.0.len();
                let read = match field {
                    0 => reader.byte().map(|_| 1),
                    1 => reader.boolean().map(|_| 1),
                    2 => reader.uint32().map(|_| 4),
                    3 => reader.uint64().map(|_| 8),
                    4 => reader.array::<3>().map(|_| 3),
                    _ => reader.string().map(|string| 4 + string.len()),
                };
                if let Ok(read) = read {
                    prop_assert_eq!(reader.0.len(), left - read);
                }
            }
        }
    }
}
