//! How many files this process may have open, and those that it starts.

use std::{io, sync::OnceLock};

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
