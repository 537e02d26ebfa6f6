//! Signals that end a program.

use std::{future::Future, io, task::Poll};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// Resolves at SIGHUP, SIGTERM or SIGINT. See [`Interrupts`].
///
/// # Errors
///
/// What the system says.
pub fn interrupted() -> io::Result<impl Future<Output = Signal>> {
    let mut interrupts = Interrupts::listen()?;
    Ok(async move { interrupts.next().await })
}

/// The signals SIGHUP, SIGTERM and SIGINT, one after the other.
///
/// A signal that was ignored when the program started stays ignored, as for every program: sftp
/// runs ssh, and with it us, with SIGINT ignored, so that Ctrl-C ends a transfer and not the
/// connection; `nohup` does so with SIGHUP.
#[derive(Debug)]
pub struct Interrupts(Vec<(Signal, Stream)>);

impl Interrupts {
    /// Takes them over, for the rest of the process's life.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn listen() -> io::Result<Self> {
        Self::listen_to(&[Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT])
    }

    /// The same of these.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn listen_to(wanted: &[Signal]) -> io::Result<Self> {
        let ignored = ignored_signals();
        let heard = wanted.iter().filter(|wanted| ignored & (1 << (**wanted as u64 - 1)) == 0);
        let streams = heard.map(|heard| Ok((*heard, signal(SignalKind::from_raw(*heard as i32))?)));
        streams.collect::<io::Result<_>>().map(Self)
    }

    /// Waits for the next one. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        std::future::poll_fn(|cx| {
            let mut caught = self
                .0
                .iter_mut()
                .filter_map(|(signal, stream)| stream.poll_recv(cx).is_ready().then_some(*signal));
            caught.next().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Lets every signal do what it does by default: what is started by a program that was started with `nohup`, or
/// in the background of a script, would ignore the same ones. To be called between fork and exec: it allocates
/// nothing.
#[allow(unsafe_code, reason = "no handler is installed, only taken away")]
pub(crate) fn all_default() {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator() {
        // SAFETY: a default action runs no code of this process. SIGKILL and SIGSTOP are refused, and have it.
        let _ = unsafe { sigaction(signal, &default) };
    }
}

/// Ignores signals until the program that this process becomes takes them over: by default, they would end it.
#[allow(unsafe_code, reason = "no handler is installed, only taken away")]
pub fn ignore_until_started(signals: &[Signal]) {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in signals {
        // SAFETY: an ignored signal runs no code of this process.
        let _ = unsafe { sigaction(*signal, &ignore) };
    }
}

/// The signals that this process ignores, a bit each from SIGHUP's on.
#[must_use]
pub fn ignored_signals() -> u64 {
    // proc(5): `SigIgn` in hex. Where there is no such file, nothing counts as ignored.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
