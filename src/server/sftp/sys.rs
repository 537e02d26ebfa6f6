//! The call that no safe wrapper offers.
#![allow(unsafe_code, reason = "no crate has a pread into so much of the spare capacity")]

use std::{fs::File, io, os::fd::AsRawFd};

/// Reads at an offset to the end of a buffer, and returns how many bytes came; 0 is end of file.
///
/// Bytes go straight to the spare room: to zero it first would cost a tenth of a read.
pub(super) fn read_onto(file: &File, offset: u64, length: usize, out: &mut Vec<u8>) -> io::Result<usize> {
    out.reserve(length);
    let room = &mut out.spare_capacity_mut()[..length];
    let count = loop {
        // SAFETY: `room` is `length` bytes that may be written, and `file` is open for the whole call.
        let count = unsafe {
            libc::pread(
                file.as_raw_fd(),
                room.as_mut_ptr().cast(),
                room.len(),
                offset.cast_signed() as libc::off_t,
            )
        };
        match usize::try_from(count) {
            Ok(count) => break count,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    };
    let filled = out.len() + count.min(length);
    // SAFETY: the kernel has written `count` bytes, of `length` that are within the capacity.
    unsafe { out.set_len(filled) };
    Ok(count)
}
