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
use snapshot::Snapshot;

use crate::terminal::Terminal;

/// Draws the line of a transfer on a terminal, at most ten times a second, and not while the program
/// is in the background.
#[derive(Debug)]
pub(crate) struct Progress<W: Write> {
    /// `None` for no drawing at all.
    screen: Option<Screen<W>>,
    file: Option<File>,
    number: u64,
    files: u64,
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

#[derive(Debug)]
struct File {
    name: String,
    total: Option<u64>,
    done: u64,
    sent: u64,
    started: Instant,
    moved: Instant,
    rate: Rate,
}

impl<W: Write> Progress<W> {
    /// Of so many files, drawn to `out`, which is `terminal`. Without a terminal, or with `--quiet`,
    /// give `None`: then nothing is written.
    pub(crate) fn new(screen: Option<(Terminal, W)>, files: u64) -> Self {
        let screen = screen.map(|(terminal, out)| Screen { terminal, out, drawn: None, open: false });
        Self { screen, file: None, number: 0, files }
    }

    /// A file starts; one that has not ended ends.
    pub(crate) fn start(&mut self, name: &str, total: Option<u64>, now: Instant) {
        self.end(now);
        self.number += 1;
        let rate = Rate::new(now);
        self.file =
            Some(File { name: name.to_owned(), total, done: 0, sent: 0, started: now, moved: now, rate });
        self.draw(now, false);
    }

    /// The transfer as a whole goes on with this file; so many are done of so many.
    pub(crate) fn describe(&mut self, name: &str, total: Option<u64>, (done, files): (u64, u64)) {
        (self.number, self.files) = ((done + 1).min(files.max(1)), files);
        if let Some(file) = &mut self.file {
            name.clone_into(&mut file.name);
            file.total = total;
        }
    }

    /// So many bytes of the file are there now, and so many of them were sent. Call [`Progress::tick`] too, or a line stands still
    /// where the transfer does.
    pub(crate) fn moved(&mut self, done: u64, sent: u64, now: Instant) {
        if let Some(file) = &mut self.file {
            if done != file.done {
                file.moved = now;
            }
            (file.done, file.sent) = (done, sent);
        }
        self.tick(now);
    }

    /// Draws, if it is time to.
    pub(crate) fn tick(&mut self, now: Instant) {
        let drawn = self.screen.as_ref().and_then(|screen| screen.drawn);
        if drawn.is_none_or(|drawn| now.saturating_duration_since(drawn) >= INTERVAL) {
            self.draw(now, false);
        }
    }

    /// The file is over, complete or not: its line is drawn a last time and ended.
    pub(crate) fn end(&mut self, now: Instant) {
        if self.file.is_some() {
            self.draw(now, true);
            self.file = None;
        }
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

    fn draw(&mut self, now: Instant, ended: bool) {
        let (Some(screen), Some(file)) = (&mut self.screen, &mut self.file) else { return };
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
        let line = render(&file.snapshot(now, ended, (self.number, self.files)), width);
        // The rest of the line is cleared for a window that was wider. No key is pressed at its end.
        screen.write(&format!("\r{line}\x1b[K{}", if ended { "\r\n" } else { "" }));
        screen.open = !ended;
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

impl File {
    fn snapshot(&mut self, now: Instant, ended: bool, file: (u64, u64)) -> Snapshot {
        Snapshot {
            name: self.name.clone(),
            done: self.done,
            sent: self.sent,
            total: self.total,
            rate: self.rate.at(self.sent, now),
            elapsed: now.saturating_duration_since(self.started),
            idle: now.saturating_duration_since(self.moved),
            file,
            ended,
        }
    }
}

/// Between two draws.
const INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
