//! File attributes: draft-ietf-secsh-filexfer-02 section 5.

use super::wire::{Reader, Request, Truncated};

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 1 << 31;

/// What is known of a file, or is to be set. Extended attributes are read and forgotten.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Bytes.
    pub size: Option<u64>,
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// Mode, with the file type in what a server says.
    pub permissions: Option<u32>,
    /// Last access and last change, in seconds since 1970.
    pub times: Option<(u32, u32)>,
}

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
        let flags = body.uint32()?;
        let mut attributes = Self::default();
        if flags & SIZE != 0 {
            attributes.size = Some(body.uint64()?);
        }
        if flags & OWNER != 0 {
            attributes.owner = Some((body.uint32()?, body.uint32()?));
        }
        if flags & PERMISSIONS != 0 {
            attributes.permissions = Some(body.uint32()?);
        }
        if flags & TIMES != 0 {
            attributes.times = Some((body.uint32()?, body.uint32()?));
        }
        if flags & EXTENDED != 0 {
            // Each takes bytes of the packet, so that a large number soon ends it.
            for _ in 0..body.uint32()? {
                body.string()?;
                body.string()?;
            }
        }
        Ok(attributes)
    }
}

impl Request {
    pub(super) fn attributes(mut self, attributes: &Attributes) -> Self {
        let Attributes { size, owner, permissions, times } = *attributes;
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        self = self.uint32(
            flag(size.is_some(), SIZE)
                | flag(owner.is_some(), OWNER)
                | flag(permissions.is_some(), PERMISSIONS)
                | flag(times.is_some(), TIMES),
        );
        if let Some(size) = size {
            self = self.uint64(size);
        }
        if let Some((user, group)) = owner {
            self = self.uint32(user).uint32(group);
        }
        if let Some(permissions) = permissions {
            self = self.uint32(permissions);
        }
        if let Some((accessed, changed)) = times {
            self = self.uint32(accessed).uint32(changed);
        }
        self
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
