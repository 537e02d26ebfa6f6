//! Asking for passwords and passphrases, on the terminal and nowhere else.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
};

use irosh::client::auth::{Answer, BoxFuture, Prompt, Question, Secret, Topic};
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::terminal::{Caught, RawMode, Terminal};

/// Asks on `/dev/tty`, as ssh does. Without a terminal nobody is asked.
#[derive(Debug)]
pub(super) struct Ask;

impl Prompt for Ask {
    fn ask<'a>(&'a mut self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        let mut text = String::new();
        if let Topic::KeyboardInteractive { name, instructions } = question.topic {
            for part in [name, instructions].into_iter().filter(|part| !part.is_empty()) {
                text += &(printable(part) + "\n");
            }
        }
        text += &printable(question.text);
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

/// The question may be the server's.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(1000).collect()
}

fn tty() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

/// Asks, with the terminal's own line editing. Ctrl-C cancels, and Ctrl-Z stops the program with the
/// terminal as it was. However this ends, also by being dropped, the terminal is as it was.
async fn ask(text: &str, echo: bool) -> io::Result<Answer> {
    let mut tty = tty()?;
    let mut signals = Caught::begin()?;
    let mut continued = signal(SignalKind::from_raw(Signal::SIGCONT as i32))?;
    let terminal = Terminal::of(&tty)?.ok_or(io::ErrorKind::NotFound)?;
    let hidden = if echo { None } else { Some(terminal.hidden()?) };
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
