//! The calls that have no safe form in `nix` or `std`: naming a TUN device, a thread's scheduling,
//! and preparing a child between fork and exec.
#![expect(unsafe_code, reason = "system calls that nix does not wrap, and a hook after fork")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};

/// Makes an open `/dev/net/tun` a device of layer 3 of this name, in the network namespace the file
/// was opened in. Each read then gives one IP packet and each write takes one. The device goes
/// when the file is closed.
///
/// Names longer than 15 bytes are cut.
///
/// # Errors
///
/// `EPERM` without `CAP_NET_ADMIN` in the namespace, `EBUSY` if there is such a device already.
pub(crate) fn name_tun(file: &File, name: &str) -> io::Result<()> {
    // SAFETY: `ifreq` is plain data, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(room)) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which outlives the call; the descriptor is
    // open.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets the calling thread run as soon as it has work, before all programs of ordinary priority.
///
/// # Errors
///
/// `EPERM` without `CAP_SYS_NICE`.
pub(crate) fn take_precedence() -> io::Result<()> {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the call reads one `sched_param`, which outlives it; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const lowest) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes the child start with no signal blocked, and be sent SIGTERM when the thread that spawns
/// it ends.
pub(crate) fn release_signals_and_die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; these are two system
    // calls, which allocate nothing.
    unsafe {
        command.pre_exec(|| {
            SigSet::empty().thread_set_mask()?;
            prctl::set_pdeathsig(Signal::SIGTERM)?;
            Ok(())
        });
    }
}
