//! The files that this process has open, and how many it may, and those that it starts.

use std::{fs, io, os::fd::RawFd, sync::OnceLock};

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// The soft and the hard limit as they were before.
static BEFORE: OnceLock<(rlim_t, rlim_t)> = OnceLock::new();

/// Raises the limit as far as it goes. A session takes a descriptor or two, and so do a forwarded connection
/// and a file that is copied; the soft limit is made for programs that use select(2).
pub fn raise_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        BEFORE.get_or_init(|| (soft, hard));
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Closes what was inherited besides stdin, stdout and stderr: others may wait until nobody holds it any more, as who
/// has started this process does with the other end of its stdin. To be called before anything is opened.
///
/// # Errors
///
/// What the system says of the list of descriptors.
pub fn close_inherited() -> io::Result<()> {
    let open = fs::read_dir("/dev/fd")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    for fd in open.collect::<Vec<RawFd>>().into_iter().filter(|fd| *fd > 2) {
        // The one that has listed them is closed already.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

/// Sets the limit as it was before it was raised. To be called between fork and exec: it allocates nothing.
///
/// # Errors
///
/// What the system says.
pub(crate) fn restore_limit() -> io::Result<()> {
    match BEFORE.get() {
        Some((soft, hard)) => Ok(setrlimit(Resource::RLIMIT_NOFILE, *soft, *hard)?),
        None => Ok(()),
    }
}
