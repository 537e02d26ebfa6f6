//! What happens on the side of the person: keys, sizes, signals.

use std::io;

use irosh::{
    client::{
        PtySize,
        terminal::{RawMode, Sizes, Terminal},
    },
    signals::Interrupts,
};
use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TerminalEvent {
    /// Bytes were typed, or came from what stdin is.
    Typed(Vec<u8>),
    /// The window has this size. Also when the process was continued after a stop.
    Resized(PtySize),
    /// Nothing more will be typed: the end of a file, or a terminal that is gone. Said once.
    Eof,
    /// The program shall end, by SIGHUP, SIGINT, SIGQUIT or SIGTERM. ssh says `Killed by signal 15.`
    /// and exits with 255.
    Killed(Signal),
}

/// A source of events.
#[derive(Debug)]
pub(crate) struct Events<R> {
    sizes: Option<Sizes>,
    fatal: Interrupts,
    /// `None` after its end.
    input: Option<R>,
    buffer: Box<[u8]>,
}

impl<R: AsyncRead + Unpin> Events<R> {
    /// Events of a terminal, if there is one, and of an input, such as `irosh::stdio::reader` makes of
    /// stdin. `raw` is set again when the process is continued.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn new(terminal: Option<&Terminal>, raw: Option<&RawMode>, input: R) -> io::Result<Self> {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        // As in ssh, one that was ignored when the program started stays so.
        let fatal =
            Interrupts::listen_to(&[Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM])?;
        let sizes = terminal.map(|terminal| terminal.sizes(raw)).transpose()?;
        Ok(Self { sizes, fatal, input: Some(input), buffer })
    }

    /// The next event. Cancel safe if reading the input is. It never ends: after
    /// [`TerminalEvent::Eof`] there are sizes and signals still.
    pub(crate) async fn next(&mut self) -> TerminalEvent {
        tokio::select! {
            biased;
            signal = self.fatal.next() => TerminalEvent::Killed(signal),
            size = next_size(&mut self.sizes) => TerminalEvent::Resized(size),
            read = read(&mut self.input, &mut self.buffer) => match read {
                Ok(count @ 1..) => TerminalEvent::Typed(self.buffer[..count].to_vec()),
                end => {
                    if let Err(error) = end {
                        tracing::debug!(%error, "stdin ended");
                    }
                    self.input = None;
                    TerminalEvent::Eof
                }
            },
        }
    }
}

async fn next_size(sizes: &mut Option<Sizes>) -> PtySize {
    match sizes {
        Some(sizes) => sizes.next().await,
        None => std::future::pending().await,
    }
}

async fn read(input: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> io::Result<usize> {
    match input {
        Some(input) => input.read(buffer).await,
        None => std::future::pending().await,
    }
}

/// How much is read at once, in bytes: a paste fits, and so does what comes from a pipe.
const BUFFER: usize = 16 << 10;

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
