//! File attributes, for the server.

use std::{
    fmt,
    fs::{File, Metadata, Permissions},
    io,
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, PermissionsExt, chown, fchown},
    },
    path::Path,
};

use nix::{
    fcntl::AT_FDCWD,
    sys::{
        stat::{FchmodatFlags, Mode, UtimensatFlags, fchmodat, futimens, utimensat},
        time::TimeSpec,
    },
    unistd::{ftruncate, truncate},
};

use super::{
    fatal::Fatal,
    longname::local_time,
    server::Server,
    status::{Status, Stop},
    wire::{Reader, Reply, kind},
};
use crate::{server::log_level::LogLevel, sftp_packet::skip_extended};

pub(super) use crate::sftp_packet::Attributes;

/// OpenSSH refuses more extended attributes than this.
const MAX_EXTENDED: u32 = 0x10_0000;

impl Attributes {
    /// What a client asks to have set.
    pub(super) fn asked(body: &mut Reader<'_>) -> Result<Self, Fatal> {
        let (attributes, extended) = Self::read_known(body)?;
        if extended > MAX_EXTENDED {
            return Err(Fatal::Attributes(extended));
        }
        skip_extended(body, extended)?;
        Ok(attributes)
    }

    /// The permission bits to create with.
    pub(super) fn mode_or(&self, default: u32) -> u32 {
        self.permissions.unwrap_or(default) & 0o7777
    }

    /// Logs what is to be set, a line each as OpenSSH does.
    pub(super) fn log(&self, server: &Server, path: &Path) {
        let log = |line: fmt::Arguments<'_>| server.log(LogLevel::Info, line);
        if let Some(size) = self.size {
            log(format_args!("set {path:?} size {size}"));
        }
        if let Some(permissions) = self.permissions {
            log(format_args!("set {path:?} mode {permissions:04o}"));
        }
        if let Some((_, changed)) = self.times
            && let Some(local) = local_time(changed.into())
        {
            log(format_args!("set {path:?} modtime {}", local.strftime("%Y%m%d-%H:%M:%S")));
        }
        if let Some((user, group)) = self.owner {
            log(format_args!("set {path:?} owner {user} group {group}"));
        }
    }

    /// Sets them on an open file.
    pub(super) fn apply_to_file(&self, file: &File) -> Result<(), Stop> {
        self.apply(
            |size| Ok(ftruncate(file, size)?),
            |mode| file.set_permissions(Permissions::from_mode(mode)),
            |accessed, changed| Ok(futimens(file, &accessed, &changed)?),
            |user, group| fchown(file.as_fd(), Some(user), Some(group)),
        )
    }

    /// Sets them on what a path leads to.
    pub(super) fn apply_to_path(&self, path: &Path) -> Result<(), Stop> {
        let follow = UtimensatFlags::FollowSymlink;
        self.apply(
            |size| Ok(truncate(path, size)?),
            |mode| std::fs::set_permissions(path, Permissions::from_mode(mode)),
            |accessed, changed| Ok(utimensat(AT_FDCWD, path, &accessed, &changed, follow)?),
            |user, group| chown(path, Some(user), Some(group)),
        )
    }

    /// Sets them on a path itself, also when it is a symbolic link (`lsetstat@openssh.com`).
    ///
    /// A link has no size to set, and on Linux no mode either.
    pub(super) fn apply_to_link(&self, path: &Path) -> Result<(), Stop> {
        if self.size.is_some() {
            return Err(Status::BadMessage.into());
        }
        let here = UtimensatFlags::NoFollowSymlink;
        let chmod = |mode| {
            let mode = Mode::from_bits_truncate(mode as libc::mode_t);
            Ok(fchmodat(AT_FDCWD, path, mode, FchmodatFlags::NoFollowSymlink)?)
        };
        self.apply(
            |_| Ok(()),
            chmod,
            |accessed, changed| Ok(utimensat(AT_FDCWD, path, &accessed, &changed, here)?),
            |user, group| std::os::unix::fs::lchown(path, Some(user), Some(group)),
        )
    }

    /// Sets what was asked for in OpenSSH's order. One that fails does not keep the others from being
    /// tried; the last failure is the answer.
    fn apply(
        &self,
        resize: impl FnOnce(libc::off_t) -> io::Result<()>,
        chmod: impl FnOnce(u32) -> io::Result<()>,
        touch: impl FnOnce(TimeSpec, TimeSpec) -> io::Result<()>,
        chown: impl FnOnce(u32, u32) -> io::Result<()>,
    ) -> Result<(), Stop> {
        let mut outcome = Ok(());
        let mut tried = |result: io::Result<()>| {
            if result.is_err() {
                outcome = result;
            }
        };
        if let Some(size) = self.size {
            // Past 2^63 it turns negative and the kernel says EINVAL.
            tried(resize(size.cast_signed()));
        }
        if let Some(permissions) = self.permissions {
            tried(chmod(permissions & 0o7777));
        }
        if let Some((accessed, changed)) = self.times {
            tried(touch(TimeSpec::new(accessed.into(), 0), TimeSpec::new(changed.into(), 0)));
        }
        if let Some((user, group)) = self.owner {
            tried(chown(user, group));
        }
        Ok(outcome?)
    }
}

impl Reply<'_> {
    /// The attributes of a file within a packet. Times are cut to 32 bits, as the protocol has them.
    pub(super) fn metadata(&mut self, metadata: &Metadata) -> &mut Self {
        let attributes = Attributes {
            size: Some(metadata.size()),
            owner: Some((metadata.uid(), metadata.gid())),
            permissions: Some(metadata.mode()),
            times: Some((metadata.atime() as u32, metadata.mtime() as u32)),
        };
        attributes.write(self)
    }

    /// An `ATTRS`.
    pub(super) fn attributes(&mut self, metadata: &Metadata) {
        self.begin(kind::ATTRS).metadata(metadata).end();
    }
}
