//! Asking for passwords and passphrases, on the terminal and nowhere else.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
};

use irosh::client::auth::{BoxFuture, Prompt, Question, Secret, Topic};

use crate::terminal::Terminal;

/// Asks on `/dev/tty`, as ssh does. Without a terminal nobody is asked.
#[derive(Debug)]
pub(super) struct Ask;

impl Prompt for Ask {
    fn ask<'a>(&'a mut self, question: Question<'a>) -> BoxFuture<'a, Option<Secret>> {
        let mut text = String::new();
        if let Topic::KeyboardInteractive { name, instructions } = question.topic {
            for part in [name, instructions].into_iter().filter(|part| !part.is_empty()) {
                text += &(printable(part) + "\r\n");
            }
        }
        text += &printable(question.text);
        let echo = question.echo;
        Box::pin(async move { tokio::task::spawn_blocking(move || ask(&text, echo)).await.ok().flatten() })
    }
}

/// The question may be the server's.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(1000).collect()
}

fn ask(text: &str, echo: bool) -> Option<Secret> {
    let mut tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    let raw = Terminal::of(&tty).ok()??.raw().ok()?;
    write!(tty, "{text}").ok()?;
    let answer = read_line(&mut tty, echo);
    let _ = write!(tty, "\r\n");
    drop(raw);
    answer
}

/// A line of a raw terminal; `None` when it was given up.
fn read_line(tty: &mut File, echo: bool) -> Option<Secret> {
    let mut line = Secret::new(String::new());
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        let mut byte = [0];
        if tty.read(&mut byte).ok()? == 0 {
            return None;
        }
        match byte[0] {
            b'\r' | b'\n' => {
                *line = String::from_utf8(std::mem::take(&mut bytes)).ok()?;
                return Some(line);
            }
            // Ctrl-C, Ctrl-\, and Ctrl-D on an empty line.
            3 | 28 => return None,
            4 if bytes.is_empty() => return None,
            // Ctrl-U.
            21 => bytes.clear(),
            8 | 127 => while bytes.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            other => {
                bytes.push(other);
                if echo {
                    tty.write_all(&byte).ok()?;
                }
            }
        }
    }
}
