//! Asking for passwords and passphrases, on the terminal and nowhere else.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
};

use irosh::client::auth::{Answer, BoxFuture, Prompt, Question, Secret};
use nix::sys::signal::Signal;
use rustix::termios::{QueueSelector, tcflush};
use tokio::signal::unix::{SignalKind, signal};

use crate::terminal::{Caught, RawMode, Terminal};

/// Asks on `/dev/tty`, as ssh does. Without a terminal nobody is asked.
#[derive(Debug)]
pub(crate) struct Ask;

impl Prompt for Ask {
    fn tell<'a>(&'a mut self, name: &'a str, instructions: &'a str) -> BoxFuture<'a, ()> {
        let text: String = [name, instructions].into_iter().filter_map(paragraph).collect();
        let shown = if text.is_empty() { Ok(()) } else { tty().and_then(|mut tty| write!(tty, "{text}")) };
        if let Err(error) = shown {
            tracing::debug!(%error, "nobody was told");
        }
        Box::pin(std::future::ready(()))
    }

    fn ask<'a>(&'a mut self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        let text = shown(question.text, 1000);
        let echo = question.echo;
        Box::pin(async move {
            ask(&text, echo).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "nobody was asked");
                Answer::None
            })
        })
    }

    fn can_answer(&self) -> bool {
        tty().is_ok()
    }
}

/// A text of the server's as lines of their own, unless it is empty.
fn paragraph(text: &str) -> Option<String> {
    let text = shown(text, 10_000);
    let text = text.trim_end();
    (!text.is_empty()).then(|| format!("{text}\n"))
}

/// So many characters of a text that may be the server's, of which only ends of lines do anything.
fn shown(text: &str, most: usize) -> String {
    let text: String = text.replace("\r\n", "\n").chars().take(most).collect();
    irosh::log::printable(&text)
}

fn tty() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

/// Asks, with the terminal's own line editing. Ctrl-C cancels, and Ctrl-Z stops the program with the
/// terminal as it was. However this ends, also by being dropped, the terminal is as it was.
pub(crate) async fn ask(text: &str, echo: bool) -> io::Result<Answer> {
    // What was said before, a banner, is read before the question.
    tokio::task::spawn_blocking(irosh::log::flush).await?;
    let mut tty = tty()?;
    let mut signals = Caught::begin()?;
    let mut continued = signal(SignalKind::from_raw(Signal::SIGCONT as i32))?;
    let terminal = Terminal::of(&tty)?.ok_or(io::ErrorKind::NotFound)?;
    let hidden = if echo { None } else { Some(terminal.hidden()?) };
    // What was typed before the question is no answer to it, as readpassphrase has it.
    tcflush(&tty, QueueSelector::IFlush)?;
    write!(tty, "{text}")?;
    let mut typed = tty.try_clone()?;
    // It may stay behind, in a read that nothing ends.
    let mut reading = tokio::task::spawn_blocking(move || read_line(&mut typed));
    loop {
        tokio::select! {
            line = &mut reading => {
                if !echo {
                    writeln!(tty)?;
                }
                return Ok(line.unwrap_or(Ok(None))?.into());
            }
            caught = signals.next() => {
                hidden.iter().for_each(RawMode::pause);
                if caught == Signal::SIGINT {
                    writeln!(tty)?;
                    return Ok(Answer::Cancelled);
                }
                signals.let_through(caught)?;
                if caught != Signal::SIGTSTP {
                    return Ok(Answer::Cancelled);
                }
                hidden.as_ref().map_or(Ok(()), RawMode::set)?;
                tcflush(&tty, QueueSelector::IFlush)?;
                write!(tty, "{text}")?;
            }
            // After a stop that could not be caught.
            _ = continued.recv() => hidden.as_ref().map_or(Ok(()), RawMode::set)?,
        }
    }
}

/// A line; `None` where the person gave it up with Ctrl-D.
fn read_line(tty: &mut File) -> io::Result<Option<Secret>> {
    // A line of a terminal has 4095 bytes at most, and more never come at once.
    let mut bytes = zeroize::Zeroizing::new([0; 4096]);
    let count = tty.read(&mut bytes[..])?;
    let Some(line) = bytes.get(..count).filter(|line| !line.is_empty()) else { return Ok(None) };
    let text = str::from_utf8(line).ok();
    Ok(text.map(|text| Secret::new(text.trim_end_matches(['\n', '\r']).to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_s_text_has_lines_and_cannot_steer_the_terminal() {
        let text = "Open https://example.com/\r\nand type\tABC\x1b[2J\n\n";
        assert_eq!(paragraph(text).as_deref(), Some("Open https://example.com/\nand type\tABC\\u{1b}[2J\n"));
        assert_eq!(paragraph(" \r\n"), None);
        assert_eq!(shown(&"?".repeat(2000), 1000).len(), 1000);
    }
}
