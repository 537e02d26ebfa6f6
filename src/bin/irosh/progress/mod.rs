//! How far a transfer is, on one line, as scp shows it.

mod amount;
mod line;
mod name;
mod rate;
mod snapshot;

use std::{
    io::Write,
    time::{Duration, Instant},
};

pub(crate) use amount::bytes;
pub(crate) use line::render;
use rate::Rate;
pub(crate) use snapshot::Snapshot;

use crate::terminal::Terminal;

/// Draws the line of a transfer on a terminal, at most ten times a second, and not while the program
/// is in the background.
#[derive(Debug)]
pub(crate) struct Progress<W: Write> {
    /// `None` for no drawing at all.
    screen: Option<Screen<W>>,
    now: Snapshot,
    started: Instant,
    moved: Instant,
    rate: Rate,
}

#[derive(Debug)]
struct Screen<W> {
    terminal: Terminal,
    out: W,
    /// When it was drawn last.
    drawn: Option<Instant>,
    /// Whether there is a line that has not ended.
    open: bool,
}

impl<W: Write> Progress<W> {
    /// Of a transfer that starts now, drawn to `out`, which is `terminal`. Without a terminal, or with `--quiet`,
    /// give `None`: then nothing is written.
    pub(crate) fn new(screen: Option<(Terminal, W)>, now: Instant) -> Self {
        let screen = screen.map(|(terminal, out)| Screen { terminal, out, drawn: None, open: false });
        Self { screen, now: Snapshot::default(), started: now, moved: now, rate: Rate::new(now) }
    }

    /// This is so now, and drawn if it is time to. Call it also where nothing has changed, or a line stands still where
    /// the transfer does.
    pub(crate) fn show(&mut self, snapshot: Snapshot, now: Instant) {
        if snapshot.done != self.now.done {
            self.moved = now;
        }
        self.now = snapshot;
        let drawn = self.screen.as_ref().and_then(|screen| screen.drawn);
        if drawn.is_none_or(|drawn| now.saturating_duration_since(drawn) >= INTERVAL) {
            self.draw(now);
        }
    }

    /// The transfer is over, complete or not: its line is drawn a last time and ended.
    pub(crate) fn end(&mut self, now: Instant) {
        self.now.ended = true;
        self.draw(now);
    }

    /// Takes the line away, so that a message may be printed; the next draw brings it back.
    pub(crate) fn clear(&mut self) {
        if let Some(screen) = &mut self.screen
            && screen.open
        {
            screen.write("\r\x1b[K");
            screen.open = false;
            screen.drawn = None;
        }
    }

    fn draw(&mut self, now: Instant) {
        self.now.rate = self.rate.at(self.now.sent, now);
        self.now.elapsed = now.saturating_duration_since(self.started);
        self.now.idle = now.saturating_duration_since(self.moved);
        let Some(screen) = &mut self.screen else { return };
        screen.drawn = Some(now);
        // As scp: what is drawn from the background would go over what the person does there.
        if !screen.terminal.is_foreground() {
            return;
        }
        // Asked for each time, so that a change of the window needs no signal.
        let width = match screen.terminal.size().columns {
            0 => 80,
            columns => columns as usize,
        };
        let line = render(&self.now, width);
        // The rest of the line is cleared for a window that was wider. No key is pressed at its end.
        screen.write(&format!("\r{line}\x1b[K{}", if self.now.ended { "\r\n" } else { "" }));
        screen.open = !self.now.ended;
    }
}

impl<W: Write> Drop for Progress<W> {
    /// A line that has not ended is ended, as it was drawn last.
    fn drop(&mut self) {
        if let Some(screen) = &mut self.screen
            && screen.open
        {
            screen.write("\r\n");
        }
    }
}

impl<W: Write> Screen<W> {
    fn write(&mut self, text: &str) {
        // A terminal that is gone ends the program by SIGHUP, not here.
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// Between two draws.
const INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
