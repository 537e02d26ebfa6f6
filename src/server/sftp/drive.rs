//! Drivers: what reads requests and writes replies.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{read, write},
};

use super::{fatal::Fatal, pump::Pump, server::Server};

/// Serves a client until its requests end and every reply has been written.
///
/// This is for streams that cannot be polled. Nothing is read while a reply is being written, so what
/// lies between must take up what a client sends before it reads: a pipe's 64 KiB are 2,000 reads, an
/// SSH channel's window 70,000. Where that may be too little, use [`serve_fds`] or drive a [`Pump`].
///
/// # Errors
/// An error of either stream; [`Fatal`] as [`ErrorKind::InvalidData`], once the replies before it have
/// been written. That nobody reads the replies any more is the client's way to leave, and no error.
pub fn serve(server: Server, mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    server.keep_memory_closed();
    let mut pump = Pump::new(server);
    let mut open = true;
    loop {
        let outcome = pump.work();
        while !pump.replies().is_empty() {
            match output.write_all(pump.replies()).and_then(|()| output.flush()) {
                Err(error) if is_gone(&error) => return Ok(()),
                other => other?,
            }
            pump.sent(pump.replies().len());
        }
        outcome.map_err(invalid)?;
        if pump.can_work() {
            continue;
        }
        if !open {
            return Ok(());
        }
        match input.read(pump.room()) {
            Ok(0) => open = false,
            Ok(count) => pump.filled(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_gone(&error) => open = false,
            Err(error) => return Err(error),
        }
    }
}

/// Serves a client on two descriptors, which may be one socket, until its requests end and every reply
/// has been written.
///
/// While a reply cannot be written, requests are read on and queued up to 4 MiB, so that a client that
/// asks for much before it reads anything is served. The output is non-blocking for as long as this
/// runs.
///
/// # Errors
/// As [`serve`].
pub fn serve_fds(server: Server, input: impl AsFd, output: impl AsFd) -> io::Result<()> {
    server.keep_memory_closed();
    drive(server, input.as_fd(), output.as_fd())
}

/// What [`serve_fds`] does, with the process's memory as it is.
pub(super) fn drive(server: Server, input: BorrowedFd<'_>, output: BorrowedFd<'_>) -> io::Result<()> {
    let _restore = NonBlocking::set(output)?;
    let mut pump = Pump::new(server);
    let mut open = true;
    loop {
        let outcome = pump.work();
        if !send(&mut pump, output)? {
            return Ok(());
        }
        if pump.can_work() {
            continue;
        }
        let blocked = !pump.replies().is_empty();
        if !blocked {
            outcome.map_err(invalid)?;
            if !open {
                return Ok(());
            }
        }
        if !open || pump.room().is_empty() {
            wait(None, Some(output))?;
        } else if !blocked || wait(Some(input), Some(output))? {
            open = receive(&mut pump, input)?;
        }
    }
}

impl Server {
    fn keep_memory_closed(&self) {
        if !self.options.leave_memory_open {
            crate::memory::keep_closed();
        }
    }
}

/// Writes what can be written now. False when nobody reads any more.
fn send(pump: &mut Pump, output: BorrowedFd<'_>) -> io::Result<bool> {
    while !pump.replies().is_empty() {
        match write(output, pump.replies()) {
            Ok(count) => pump.sent(count),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => break,
            Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(true)
}

/// Reads once, waiting if there is nothing yet. False at the end of the input.
fn receive(pump: &mut Pump, input: BorrowedFd<'_>) -> io::Result<bool> {
    loop {
        match read(input, pump.room()) {
            // A client that leaves with replies unread resets a socket.
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(false),
            Ok(count) => {
                pump.filled(count);
                return Ok(true);
            }
            Err(Errno::EINTR) => {}
            // Input and output may be one socket, and then both are non-blocking.
            Err(Errno::EAGAIN) => {
                wait(Some(input), None)?;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Waits until something can be read or written; true when it can be read.
fn wait(input: Option<BorrowedFd<'_>>, output: Option<BorrowedFd<'_>>) -> io::Result<bool> {
    let input = input.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let output = output.map(|fd| PollFd::new(fd, PollFlags::POLLOUT));
    let readable = input.is_some();
    let mut fds: Vec<_> = input.into_iter().chain(output).collect();
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) => Ok(readable && fds.first().and_then(PollFd::any).unwrap_or(false)),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the client has left, which is no error.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

fn invalid(fatal: Fatal) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, fatal)
}

/// Makes a descriptor non-blocking until dropped: it may be a terminal that a shell uses afterwards.
struct NonBlocking<'a> {
    fd: BorrowedFd<'a>,
    before: OFlag,
}

impl<'a> NonBlocking<'a> {
    fn set(fd: BorrowedFd<'a>) -> io::Result<Self> {
        let before = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
        fcntl(fd, FcntlArg::F_SETFL(before | OFlag::O_NONBLOCK))?;
        Ok(Self { fd, before })
    }
}

impl Drop for NonBlocking<'_> {
    fn drop(&mut self) {
        let _ = fcntl(self.fd, FcntlArg::F_SETFL(self.before));
    }
}
