//! What a process has before PAM's modules run in it: no files but its socket, no terminal, and signals as
//! they are by default.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, Ordering},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
};
use rustix::{
    fs::{Mode, OFlags},
    net::{SocketType, sockopt::socket_type},
};

/// Prepares this process, and takes the socket that is its stdin.
///
/// # Errors
///
/// Where stdin is not a socket, or the system refuses.
pub(super) fn prepare() -> io::Result<UnixStream> {
    let stdin = rustix::stdio::stdin();
    if socket_type(stdin).ok() != Some(SocketType::STREAM) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "stdin is not the server's socket\nthe SSH server starts this program by itself",
        ));
    }
    // What a module runs must not have the socket: it would stay open as long as that does.
    let socket = rustix::io::fcntl_dupfd_cloexec(stdin, 3)?;
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    drop(nothing);
    close_all_but(&socket)?;
    // No module is to ask on a terminal. It fails for who leads a session already.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/")?;
    default_signals()?;
    // A module's memory, and thus a password, is not to be dumped.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// From here on, signals that ask a process to end are only noted, for [`wait`]: an open session must
/// be closed.
///
/// # Errors
///
/// What the system says.
pub(super) fn outlive_signals() -> io::Result<()> {
    // A handler goes back to the default in what a module runs, which an ignored signal would not.
    let note = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
    for signal in ENDING {
        set_action(signal, &note)?;
    }
    Ok(())
}

/// Waits until there is something to be read. `false` where one of those signals came before or meanwhile.
///
/// # Errors
///
/// What the system says.
pub(super) fn wait(socket: &UnixStream) -> io::Result<bool> {
    // They come while ppoll waits and at no other time, so that none is overlooked.
    let ending: SigSet = ENDING.into_iter().collect();
    ending.thread_block()?;
    let waited = loop {
        if ASKED_TO_END.load(Ordering::Relaxed) {
            break Ok(false);
        }
        match ppoll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], None, Some(SigSet::empty())) {
            Ok(_) => break Ok(true),
            Err(Errno::EINTR) => {}
            Err(error) => break Err(error.into()),
        }
    };
    ending.thread_unblock()?;
    waited
}

/// The signals that ask a process to end.
const ENDING: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

static ASKED_TO_END: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: nix::libc::c_int) {
    ASKED_TO_END.store(true, Ordering::Relaxed);
}

fn default_signals() -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator().filter(|signal| ![Signal::SIGKILL, Signal::SIGSTOP].contains(signal)) {
        set_action(signal, &default)?;
    }
    Ok(SigSet::empty().thread_set_mask()?)
}

#[expect(unsafe_code, reason = "a handler could do what is not allowed in one")]
fn set_action(signal: Signal, action: &SigAction) -> io::Result<()> {
    // SAFETY: the handlers are the system's own and one that stores to an atomic.
    unsafe { sigaction(signal, action) }?;
    Ok(())
}

/// Closes what the server left open by mistake; all of its files should be closed on exec.
fn close_all_but(socket: &OwnedFd) -> io::Result<()> {
    let open: Vec<RawFd> = std::fs::read_dir("/dev/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2 && *fd != socket.as_raw_fd())
        .collect();
    for fd in open {
        close(fd);
    }
    Ok(())
}

#[expect(unsafe_code, reason = "the file may be somebody else's")]
fn close(fd: RawFd) {
    // SAFETY: the process has only begun, and none of its code holds a file but this module's. The number
    // may also be that of the folder which was read, which is closed by now.
    unsafe { libc::close(fd) };
}
