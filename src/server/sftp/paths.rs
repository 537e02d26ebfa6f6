//! Requests on paths.

use std::{borrow::Cow, ffi::OsStr, fs, io, os::unix::ffi::OsStrExt, path::Path};

use nix::errno::Errno;

use super::{
    attributes::Attributes,
    expand::resolve,
    server::Server,
    status::Stop,
    wire::{Reader, Reply},
};
use crate::server::log_level::LogLevel;

impl Server {
    pub(super) fn stat(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        reply.attributes(&fs::metadata(self.at(body.path()?))?);
        Ok(())
    }

    pub(super) fn lstat(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        reply.attributes(&fs::symlink_metadata(self.at(body.path()?))?);
        Ok(())
    }

    pub(super) fn setstat(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let path = self.at(body.path()?);
        let attributes = Attributes::asked(body)?;
        attributes.log(self, &path);
        attributes.apply_to_path(&path)
    }

    /// `lsetstat@openssh.com`.
    pub(super) fn lsetstat(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let path = self.at(body.path()?);
        let attributes = Attributes::asked(body)?;
        attributes.log(self, &path);
        attributes.apply_to_link(&path)
    }

    pub(super) fn remove(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let path = self.at(body.path()?);
        self.log(LogLevel::Info, format_args!("remove name {path:?}"));
        Ok(fs::remove_file(path)?)
    }

    pub(super) fn mkdir(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let path = self.at(body.path()?);
        let mode = Attributes::asked(body)?.mode_or(0o777);
        self.log(LogLevel::Info, format_args!("mkdir name {path:?} mode 0{mode:o}"));
        Ok(self.make_directory(&path, mode)?)
    }

    pub(super) fn rmdir(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let path = self.at(body.path()?);
        self.log(LogLevel::Info, format_args!("rmdir name {path:?}"));
        Ok(fs::remove_dir(path)?)
    }

    /// The absolute path of a path whose last part need not exist. An empty one is the start.
    pub(super) fn realpath(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let path = body.text()?;
        let path = if path.is_empty() { b"." } else { path };
        self.log(LogLevel::Verbose, format_args!("realpath {:?}", OsStr::from_bytes(path)));
        reply.name(&resolve(&self.start, path)?);
        Ok(())
    }

    /// Renames, but not over what exists: draft-ietf-secsh-filexfer-02 section 6.5.
    pub(super) fn rename(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let (old, new) = self.pair(body, "rename")?;
        if !fs::symlink_metadata(&old)?.is_file() {
            return Ok(rename_unless_taken(&old, &new)?);
        }
        // A link fails when the new name is taken, without a moment between the look and the deed.
        match fs::hard_link(&old, &new) {
            Ok(()) => fs::remove_file(&old).map_err(|error| {
                // The new name is taken back, so that nothing has happened.
                let _ = fs::remove_file(&new);
                error.into()
            }),
            Err(error) if has_no_links(&error) => Ok(rename_unless_taken(&old, &new)?),
            Err(error) => Err(error.into()),
        }
    }

    /// `posix-rename@openssh.com`.
    pub(super) fn posix_rename(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let (old, new) = self.pair(body, "posix-rename")?;
        Ok(fs::rename(old, new)?)
    }

    /// `hardlink@openssh.com`.
    pub(super) fn hardlink(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let (old, new) = self.pair(body, "hardlink")?;
        Ok(fs::hard_link(old, new)?)
    }

    /// An old path and a new one, which are logged.
    fn pair<'a>(&self, body: &mut Reader<'a>, what: &str) -> Result<(Cow<'a, Path>, Cow<'a, Path>), Stop> {
        let (old, new) = (self.at(body.path()?), self.at(body.path()?));
        self.log(LogLevel::Info, format_args!("{what} old {old:?} new {new:?}"));
        Ok((old, new))
    }

    pub(super) fn readlink(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let path = self.at(body.path()?);
        self.log(LogLevel::Verbose, format_args!("readlink {path:?}"));
        let target = fs::read_link(path)?;
        reply.name(target.as_os_str().as_bytes());
        Ok(())
    }

    /// Makes a link. The target comes first, as OpenSSH has it and clients expect it; the draft has the
    /// link first.
    pub(super) fn symlink(&mut self, body: &mut Reader<'_>) -> Result<(), Stop> {
        let (target, link) = (body.path()?, self.at(body.path()?));
        self.log(LogLevel::Info, format_args!("symlink old {target:?} new {link:?}"));
        Ok(std::os::unix::fs::symlink(target, link)?)
    }
}

/// A rename in one step, where the kernel and the file system have one that replaces nothing.
fn rename_unless_taken(old: &Path, new: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::{
            fs::{CWD, RenameFlags, renameat_with},
            io::Errno,
        };
        match renameat_with(CWD, old, CWD, new, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            other => return Ok(other?),
        }
    }
    look_and_rename(old, new)
}

/// A look at the new name, then a rename: somebody may take the name in between.
fn look_and_rename(old: &Path, new: &Path) -> io::Result<()> {
    if fs::symlink_metadata(new).is_ok() {
        return Err(Errno::EEXIST.into());
    }
    fs::rename(old, new)
}

/// Whether a link failed because the file system has none, or not between these two places.
fn has_no_links(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EXDEV | Errno::EPERM))
}
