//! File attributes, for the client.

use super::wire::{Reader, Request, Truncated};
use crate::sftp_packet::skip_extended;

pub use crate::sftp_packet::Attributes;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A FIFO, a socket or a device.
    Special,
    /// The server does not say.
    Unknown,
}

impl Attributes {
    /// Only permission bits, for what is created.
    #[must_use]
    pub fn mode(mode: u32) -> Self {
        Self { permissions: Some(mode), ..Self::default() }
    }

    /// What the file is, by the type in its mode.
    #[must_use]
    pub fn kind(&self) -> FileKind {
        match self.permissions.map(|mode| mode & 0o170_000) {
            Some(0o100_000) => FileKind::File,
            Some(0o040_000) => FileKind::Directory,
            Some(0o120_000) => FileKind::Link,
            Some(0) | None => FileKind::Unknown,
            Some(_) => FileKind::Special,
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind() == FileKind::Directory
    }

    pub(super) fn read(body: &mut Reader<'_>) -> Result<Self, Truncated> {
        let (attributes, extended) = Self::read_known(body)?;
        skip_extended(body, extended)?;
        Ok(attributes)
    }
}

impl Request {
    pub(super) fn attributes(self, attributes: &Attributes) -> Self {
        attributes.write(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn attributes_are_read_as_they_were_written(
            size in option::of(any::<u64>()),
            owner in option::of(any::<(u32, u32)>()),
            permissions in option::of(any::<u32>()),
            times in option::of(any::<(u32, u32)>()),
        ) {
            let attributes = Attributes { size, owner, permissions, times };
            let packet = Request::new(0).attributes(&attributes).finish(7, 0);
            let mut body = Reader(&packet[9..]);
            prop_assert_eq!(Attributes::read(&mut body), Ok(attributes));
            prop_assert!(body.0.is_empty());
            prop_assert_eq!(u32::from_be_bytes([packet[0], packet[1], packet[2], packet[3]]) as usize, packet.len() - 4);
        }

        #[test]
        fn attributes_of_any_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Attributes::read(&mut Reader(&bytes));
        }
    }
}
