//! Files and directories are made with a umask that may be this server's own.

use std::{
    fs::{DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::stat::Mode,
};

use super::server::Server;

impl Server {
    /// Has the kernel take the umask off what is made from now on. Nothing but this server may run in this
    /// thread afterwards.
    ///
    /// A thread shares its umask with the whole process unless it asks for one of its own, which Linux has
    /// and a sandbox may refuse. Then the server goes on doing it after the kernel's.
    #[cfg(target_os = "linux")]
    pub(super) fn take_thread(&mut self) {
        use nix::sched::{CloneFlags, unshare};
        let Some(mask) = self.options.umask else { return };
        match unshare(CloneFlags::CLONE_FS) {
            Ok(()) => {
                nix::sys::stat::umask(Mode::from_bits_truncate(mask as libc::mode_t));
                self.options.umask = None;
            }
            Err(error) => tracing::debug!("no umask for this thread alone: {error}"),
        }
    }

    /// Elsewhere, threads have no umask of their own.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn take_thread(&mut self) {}

    /// Opens a file, which may be new with these flags: then it has this mode less the umask.
    pub(super) fn open_file(&self, path: &Path, flags: OFlag, mode: u32) -> io::Result<File> {
        let Some(mask) = self.options.umask.filter(|_| flags.contains(OFlag::O_CREAT)) else {
            return Ok(open_with(path, flags, mode)?);
        };
        let mode = mode & !mask;
        match open_with(path, flags | OFlag::O_EXCL, mode) {
            Ok(file) => {
                // The process's umask has taken more off than is wanted.
                change_mode(&file, mode);
                Ok(file)
            }
            Err(Errno::EEXIST) if !flags.contains(OFlag::O_EXCL) => {
                match open_with(path, flags - OFlag::O_CREAT, mode) {
                    // A link that leads to a file that is not there makes that one, and only so.
                    Err(Errno::ENOENT) => Ok(open_with(path, flags, mode)?),
                    other => Ok(other?),
                }
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes a directory of this mode less the umask.
    pub(super) fn make_directory(&self, path: &Path, mode: u32) -> io::Result<()> {
        let mode = mode & !self.options.umask.unwrap_or(0);
        DirBuilder::new().mode(mode).create(path)?;
        if self.options.umask.is_some() {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            match open_with(path, flags, 0) {
                Ok(directory) => change_mode(&directory, mode),
                Err(errno) => tracing::debug!("the mode of a new directory: {errno}"),
            }
        }
        Ok(())
    }
}

fn open_with(path: &Path, flags: OFlag, mode: u32) -> Result<File, Errno> {
    let mode = Mode::from_bits_truncate(mode as libc::mode_t);
    loop {
        match open(path, flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY, mode) {
            Err(Errno::EINTR) => {}
            other => return other.map(File::from),
        }
    }
}

/// Gives what is new its permission bits. It keeps the group that it may have from its directory, and a file
/// system that has no modes is no reason to fail.
fn change_mode(new: &File, mode: u32) {
    let inherited = new.metadata().map_or(0, |metadata| metadata.permissions().mode() & libc::S_ISGID);
    if let Err(error) = new.set_permissions(Permissions::from_mode(mode & 0o7777 | inherited)) {
        tracing::debug!("the mode of what is new: {error}");
    }
}
