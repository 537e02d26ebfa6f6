//! The two calls that no safe wrapper offers.
#![allow(unsafe_code, reason = "nix has no pread into spare capacity and no localtime_r")]

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

/// A moment in local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Local {
    /// From 0.
    pub(super) month: usize,
    /// From 1.
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    /// 60 in a leap second.
    pub(super) second: u8,
    pub(super) year: i64,
}

/// Seconds since 1970 in local time, unless the year has no number.
pub(super) fn local_time(seconds: i64) -> Option<Local> {
    // SAFETY: `tm` is plain data, for which all zeros is a value.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    let seconds = seconds as _;
    // SAFETY: both point to live values that the call does not keep.
    if unsafe { libc::localtime_r(&raw const seconds, &raw mut tm) }.is_null() {
        return None;
    }
    Some(Local {
        month: usize::try_from(tm.tm_mon).ok()?,
        day: u8::try_from(tm.tm_mday).ok()?,
        hour: u8::try_from(tm.tm_hour).ok()?,
        minute: u8::try_from(tm.tm_min).ok()?,
        second: u8::try_from(tm.tm_sec).ok()?,
        year: i64::from(tm.tm_year) + 1900,
    })
}
