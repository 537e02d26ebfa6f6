//! OpenSSH's extensions: its PROTOCOL file, section 4.

use std::os::unix::ffi::OsStrExt;

use nix::sys::statvfs::{FsFlags, Statvfs, fstatvfs, statvfs};

use super::{
    fatal::Fatal,
    limits::{MAX_DATA, MAX_PACKET},
    server::Server,
    status::{Status, Stop},
    wire::{Reader, Reply, Writer, kind},
};
use crate::server::log_level::LogLevel;

/// Name, version, and whether it changes something, in the order in which OpenSSH announces them.
const EXTENSIONS: [(&str, &str, bool); 11] = [
    ("posix-rename@openssh.com", "1", true),
    ("statvfs@openssh.com", "2", false),
    ("fstatvfs@openssh.com", "2", false),
    ("hardlink@openssh.com", "1", true),
    ("fsync@openssh.com", "1", true),
    ("lsetstat@openssh.com", "1", true),
    ("limits@openssh.com", "1", false),
    ("expand-path@openssh.com", "1", false),
    ("copy-data", "1", true),
    ("home-directory", "1", false),
    ("users-groups-by-id@openssh.com", "1", false),
];

impl Server {
    /// The extensions to announce, with their versions.
    pub(super) fn extensions(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let offered = EXTENSIONS.iter().filter(|(name, _, changes)| self.permits(short(name), *changes));
        offered.map(|(name, version, _)| (*name, *version))
    }

    pub(super) fn extended(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let asked = body.text()?;
        let known = EXTENSIONS.iter().find(|(name, _, _)| name.as_bytes() == asked);
        let (name, _, changes) = known.ok_or(Status::Unsupported)?;
        self.check(short(name), *changes)?;
        match *name {
            "posix-rename@openssh.com" => self.posix_rename(body),
            "statvfs@openssh.com" => self.statvfs(body, reply),
            "fstatvfs@openssh.com" => self.fstatvfs(body, reply),
            "hardlink@openssh.com" => self.hardlink(body),
            "fsync@openssh.com" => self.fsync(body),
            "lsetstat@openssh.com" => self.lsetstat(body),
            "limits@openssh.com" => self.limits(reply),
            "expand-path@openssh.com" => self.expand_path(body, reply),
            "copy-data" => self.copy_data(body),
            "home-directory" => self.home_directory(body, reply),
            "users-groups-by-id@openssh.com" => self.users_groups_by_id(body, reply),
            _ => Err(Status::Unsupported.into()),
        }
    }

    fn statvfs(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let path = self.at(body.path()?);
        self.log(LogLevel::Info, format_args!("statvfs {path:?}"));
        reply.file_system(&statvfs(path.as_ref())?);
        Ok(())
    }

    fn fstatvfs(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let opened = self.handles.file(body.string()?).ok_or(Status::Failure)?;
        reply.file_system(&fstatvfs(&opened.file)?);
        Ok(())
    }

    /// Bytes of a packet, of a read and of a write, and the number of open handles.
    fn limits(&mut self, reply: &mut Reply<'_>) -> Result<(), Stop> {
        reply.begin(kind::EXTENDED_REPLY);
        reply.uint64(MAX_PACKET as u64).uint64(MAX_DATA as u64).uint64(MAX_DATA as u64);
        reply.uint64(self.handles.limit()).end();
        Ok(())
    }

    /// A name each for numbers of users and groups; an empty one where there is none.
    fn users_groups_by_id(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let (users, groups) = (numbers(body.string()?)?, numbers(body.string()?)?);
        let mut names = Vec::new();
        for id in users {
            put(&mut names, self.names.user(id))?;
        }
        reply.begin(kind::EXTENDED_REPLY).string(&names);
        names.clear();
        for id in groups {
            put(&mut names, self.names.group(id))?;
        }
        if reply.string(&names).length() > MAX_PACKET {
            return Err(Status::Failure.into());
        }
        reply.end();
        Ok(())
    }
}

/// The names by which extensions are allowed or denied.
pub(super) fn short_names() -> impl Iterator<Item = &'static str> {
    EXTENSIONS.iter().map(|(name, _, _)| short(name))
}

/// The name by which a request is allowed or denied.
fn short(name: &'static str) -> &'static str {
    name.split('@').next().unwrap_or(name)
}

/// A string of 32 bit numbers.
fn numbers(bytes: &[u8]) -> Result<impl Iterator<Item = u32>, Fatal> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(Fatal::Truncated);
    }
    Ok(numbers.iter().map(|number| u32::from_be_bytes(*number)))
}

/// Appends a name, unless there would be more than a packet holds.
fn put(names: &mut Vec<u8>, name: Option<&str>) -> Result<(), Stop> {
    let name = std::ffi::OsStr::new(name.unwrap_or_default()).as_bytes();
    if names.len() + name.len() > MAX_PACKET {
        return Err(Status::Failure.into());
    }
    names.string(name);
    Ok(())
}

impl Reply<'_> {
    /// What is known of a file system: OpenSSH's PROTOCOL section 4.2.
    fn file_system(&mut self, about: &Statvfs) {
        let read_only = u64::from(about.flags().contains(FsFlags::ST_RDONLY));
        let no_setuid = u64::from(about.flags().contains(FsFlags::ST_NOSUID)) << 1;
        self.begin(kind::EXTENDED_REPLY)
            .uint64(about.block_size())
            .uint64(about.fragment_size())
            .uint64(about.blocks())
            .uint64(about.blocks_free())
            .uint64(about.blocks_available())
            .uint64(about.files())
            .uint64(about.files_free())
            .uint64(about.files_available())
            .uint64(about.filesystem_id())
            .uint64(read_only | no_setuid)
            .uint64(about.name_max())
            .end();
    }
}
