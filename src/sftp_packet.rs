//! Packets of SFTP version 3, for the server and the client: their types, and the attributes of files in them.

use crate::ssh_wire::{Reader, Truncated, Writer};

/// Packet types of draft-ietf-secsh-filexfer-02 section 3.
pub(crate) mod kind {
    pub(crate) const INIT: u8 = 1;
    pub(crate) const VERSION: u8 = 2;
    pub(crate) const OPEN: u8 = 3;
    pub(crate) const CLOSE: u8 = 4;
    pub(crate) const READ: u8 = 5;
    pub(crate) const WRITE: u8 = 6;
    pub(crate) const LSTAT: u8 = 7;
    pub(crate) const FSTAT: u8 = 8;
    pub(crate) const SETSTAT: u8 = 9;
    pub(crate) const FSETSTAT: u8 = 10;
    pub(crate) const OPENDIR: u8 = 11;
    pub(crate) const READDIR: u8 = 12;
    pub(crate) const REMOVE: u8 = 13;
    pub(crate) const MKDIR: u8 = 14;
    pub(crate) const RMDIR: u8 = 15;
    pub(crate) const REALPATH: u8 = 16;
    pub(crate) const STAT: u8 = 17;
    pub(crate) const RENAME: u8 = 18;
    pub(crate) const READLINK: u8 = 19;
    pub(crate) const SYMLINK: u8 = 20;
    pub(crate) const STATUS: u8 = 101;
    pub(crate) const HANDLE: u8 = 102;
    pub(crate) const DATA: u8 = 103;
    pub(crate) const NAME: u8 = 104;
    pub(crate) const ATTRS: u8 = 105;
    pub(crate) const EXTENDED: u8 = 200;
    pub(crate) const EXTENDED_REPLY: u8 = 201;
}

const SIZE: u32 = 1;
const OWNER: u32 = 2;
const PERMISSIONS: u32 = 4;
const TIMES: u32 = 8;
const EXTENDED: u32 = 1 << 31;

/// What is known of a file, or is to be set (draft-ietf-secsh-filexfer-02 section 5). Extended attributes are read and
/// forgotten.
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

impl Attributes {
    /// Reads them, and how many extended ones follow, which are for [`skip_extended`].
    pub(crate) fn read_known(body: &mut Reader<'_>) -> Result<(Self, u32), Truncated> {
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
        Ok((attributes, if flags & EXTENDED != 0 { body.uint32()? } else { 0 }))
    }

    pub(crate) fn write<W: Writer>(&self, mut to: W) -> W {
        let Self { size, owner, permissions, times } = *self;
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        to = to.uint32(
            flag(size.is_some(), SIZE)
                | flag(owner.is_some(), OWNER)
                | flag(permissions.is_some(), PERMISSIONS)
                | flag(times.is_some(), TIMES),
        );
        if let Some(size) = size {
            to = to.uint64(size);
        }
        if let Some((user, group)) = owner {
            to = to.uint32(user).uint32(group);
        }
        if let Some(permissions) = permissions {
            to = to.uint32(permissions);
        }
        if let Some((accessed, changed)) = times {
            to = to.uint32(accessed).uint32(changed);
        }
        to
    }
}

/// Passes over extended attributes. Each takes bytes of the packet, so that a large number soon ends it.
pub(crate) fn skip_extended(body: &mut Reader<'_>, count: u32) -> Result<(), Truncated> {
    for _ in 0..count {
        body.string()?;
        body.string()?;
    }
    Ok(())
}
