//! The signals that a session on a terminal hears.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// Streams of signals.
#[derive(Debug)]
pub(super) struct Signals {
    resized: Stream,
    continued: Stream,
    fatal: Vec<(Signal, Stream)>,
}

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Resized,
    Continued,
    Fatal(Signal),
}

impl Signals {
    /// Listens. As in ssh, a fatal signal that was ignored when the program started stays so.
    pub(super) fn listen() -> io::Result<Self> {
        let ignored = irosh::signals::ignored_signals();
        let mut fatal = Vec::new();
        for wanted in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
            if ignored & (1 << (wanted.as_raw() - 1)) == 0 {
                fatal.push((wanted, signal(kind(wanted))?));
            }
        }
        Ok(Self { resized: signal(kind(Signal::WINCH))?, continued: signal(kind(Signal::CONT))?, fatal })
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Heard {
        std::future::poll_fn(|cx| {
            for (signal, stream) in &mut self.fatal {
                if stream.poll_recv(cx).is_ready() {
                    return Heard::Fatal(*signal).into();
                }
            }
            if self.continued.poll_recv(cx).is_ready() {
                return Heard::Continued.into();
            }
            self.resized.poll_recv(cx).map(|_| Heard::Resized)
        })
        .await
    }
}

fn kind(signal: Signal) -> SignalKind {
    SignalKind::from_raw(signal.as_raw())
}
