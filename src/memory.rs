//! The memory of this process: what is not needed any more goes back to the system, and nobody else reads it.

use std::sync::atomic::{AtomicBool, Ordering};

/// Has the allocator give free pages back. glibc's keeps them otherwise, wherever a single small
/// thing above them is in use. Takes some milliseconds a gigabyte.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a call without pointers, which any thread may make (malloc_trim(3))")]
pub(crate) fn give_back() {
    // SAFETY: malloc_trim has no preconditions.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give it back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}

/// Whether [`keep_closed`] was called.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Shuts /proc/self/mem, through which a client that may open files could read the host key and change this
/// program, as OpenSSH's sftp-server does. What is executed from here is open again.
///
/// Only root can trace or debug the process from now on, look into its folder in /proc, or have its core.
pub(crate) fn keep_closed() {
    CLOSED.store(true, Ordering::Relaxed);
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        tracing::warn!("this process can be traced: {error}");
    }
}

/// Shuts it again if it was shut: becoming another user opens it where `fs.suid_dumpable` is 1.
pub(crate) fn keep_closed_still() {
    if CLOSED.load(Ordering::Relaxed) {
        keep_closed();
    }
}
