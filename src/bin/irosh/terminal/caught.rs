//! Signals that are caught for a while, and do again afterwards what they did before.
//!
//! tokio's own streams of signals catch them for the rest of a process's life.
#![allow(unsafe_code, reason = "a handler that writes one byte to a socket that is never closed")]

use std::{
    io::{self, Read},
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    sync::OnceLock,
};

use nix::{
    errno::Errno,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction},
};
use tokio::{io::AsyncReadExt, net::UnixStream};

/// What ssh catches while it asks for a password.
const SIGNALS: [Signal; 5] =
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGTSTP];

/// The signals that end or stop a program, caught until this is dropped. There may be one of it.
#[derive(Debug)]
pub(crate) struct Caught {
    told: UnixStream,
    before: Vec<(Signal, SigAction)>,
}

/// Both ends of what the handler tells by.
static PIPE: OnceLock<(StdUnixStream, StdUnixStream)> = OnceLock::new();

impl Caught {
    /// Catches them. Those that are ignored stay so.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn begin() -> io::Result<Self> {
        let mut told = pipe()?.0.try_clone()?;
        // Of an earlier time.
        while let Ok(1..) = told.read(&mut [0; 16]) {}
        let told = UnixStream::from_std(told)?;
        let ignored = irosh::signals::ignored_signals();
        let mut caught = Self { told, before: Vec::new() };
        for signal in SIGNALS.into_iter().filter(|signal| ignored & (1 << (*signal as u64 - 1)) == 0) {
            let before = act(signal, &ours())?;
            caught.before.push((signal, before));
        }
        Ok(caught)
    }

    /// The next one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Signal {
        let mut number = [0];
        loop {
            match self.told.read(&mut number).await {
                Ok(1..) => {}
                _ => std::future::pending().await,
            }
            if let Ok(signal) = Signal::try_from(i32::from(number[0])) {
                return signal;
            }
        }
    }

    /// Has a signal do what it did before, once: end this process or stop it. Returns where it does not,
    /// or when the process is continued.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn let_through(&self, signal: Signal) -> io::Result<()> {
        if let Some((_, before)) = self.before.iter().find(|(caught, _)| *caught == signal) {
            act(signal, before)?;
            // To this thread, so it has had its effect when this returns.
            raise(signal)?;
            act(signal, &ours())?;
        }
        Ok(())
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        for (signal, before) in &self.before {
            let _ = act(*signal, before);
        }
    }
}

fn pipe() -> io::Result<&'static (StdUnixStream, StdUnixStream)> {
    if let Some(pipe) = PIPE.get() {
        return Ok(pipe);
    }
    let (reader, writer) = StdUnixStream::pair()?;
    reader.set_nonblocking(true)?;
    writer.set_nonblocking(true)?;
    Ok(PIPE.get_or_init(|| (reader, writer)))
}

fn ours() -> SigAction {
    SigAction::new(SigHandler::Handler(tell), SaFlags::SA_RESTART, SigSet::empty())
}

/// What a signal did until now.
fn act(signal: Signal, action: &SigAction) -> nix::Result<SigAction> {
    // SAFETY: `tell` does only what signal-safety(7) allows, and other actions were there before.
    unsafe { sigaction(signal, action) }
}

extern "C" fn tell(number: i32) {
    if let (Some((_, writer)), Ok(number)) = (PIPE.get(), u8::try_from(number)) {
        let errno = Errno::last();
        // SAFETY: what is in `PIPE` is never closed.
        let writer = unsafe { BorrowedFd::borrow_raw(writer.as_raw_fd()) };
        let _ = nix::unistd::write(writer, &[number]);
        errno.set();
    }
}
