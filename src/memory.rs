//! Memory that is not needed any more goes back to the system.

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
