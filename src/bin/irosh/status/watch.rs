//! A text that is printed anew each second: on a terminal, in place of the last one.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use irosh::client::PtySize;
use nix::sys::signal::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::terminal::{Caught, Terminal};

/// The pause between two looks.
const SECOND: Duration = Duration::from_secs(1);

/// The other screen of a terminal, where nothing scrolls; without a cursor, and long lines cut off.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";

/// The way back.
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Shows what `look` finds until it is interrupted, or nobody reads it any more.
pub(super) async fn run(
    look: impl Fn() -> String + Clone + Send + 'static,
    in_lines: bool,
) -> anyhow::Result<ExitCode> {
    match Terminal::of(io::stdout())?.filter(|_| !in_lines && can_redraw()) {
        Some(terminal) => redraw(&terminal, look).await?,
        None => print_anew(look, if in_lines { "" } else { "\n" }).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the terminal knows what others do.
fn can_redraw() -> bool {
    std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

async fn print_anew(look: impl Fn() -> String + Clone + Send + 'static, gap: &str) -> anyhow::Result<()> {
    let mut seconds = interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = "";
    loop {
        seconds.tick().await;
        let text = spawn_blocking(look.clone()).await?;
        let mut stdout = io::stdout();
        match writeln!(stdout, "{before}{text}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
        before = gap;
    }
}

async fn redraw(
    terminal: &Terminal,
    look: impl Fn() -> String + Clone + Send + 'static,
) -> anyhow::Result<()> {
    let mut seconds = interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut signals = Caught::begin()?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut screen = Screen::enter()?;
    let mut text = String::new();
    loop {
        let found = async {
            seconds.tick().await;
            spawn_blocking(look.clone()).await
        };
        tokio::select! {
            found = found => text = found?,
            _ = resized.recv() => {}
            caught = signals.next() => {
                drop(screen);
                if caught == Signal::SIGINT {
                    return Ok(());
                }
                signals.let_through(caught)?;
                screen = Screen::enter()?;
            }
        }
        screen.draw(&text, terminal.size())?;
    }
}

/// A terminal's other screen; dropped, the terminal is as it was.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        // However that goes, there is a way back.
        let screen = Self;
        put(ENTER)?;
        Ok(screen)
    }

    fn draw(&mut self, text: &str, size: PtySize) -> io::Result<()> {
        put(&drawn(text, size.rows as usize))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = put(LEAVE);
    }
}

/// What puts a text in place of what is on the screen, as far as there are rows for it; of an unknown number where there
/// are none.
fn drawn(text: &str, rows: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    let shown = if rows == 0 || lines.len() <= rows { lines.len() } else { rows - 1 };
    let mut drawn = "\x1b[H".to_owned();
    for (number, line) in lines[..shown].iter().enumerate() {
        drawn += &format!("{}{line}\x1b[K", if number == 0 { "" } else { "\r\n" });
    }
    if shown < lines.len() {
        let gap = if shown == 0 { "" } else { "\r\n" };
        drawn += &format!("{gap}and {} lines more\x1b[K", lines.len() - shown);
    }
    drawn + "\x1b[J"
}

fn put(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_drawn_over_the_last_one_and_scrolls_nothing() {
        assert_eq!(drawn("one\ntwo", 2), "\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[J");
        assert_eq!(drawn("one\ntwo\nthree", 2), "\x1b[Hone\x1b[K\r\nand 2 lines more\x1b[K\x1b[J");
        assert_eq!(drawn("one\ntwo", 1), "\x1b[Hand 2 lines more\x1b[K\x1b[J");
        assert_eq!(drawn("one\ntwo", 0), "\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[J");
    }
}
