//! Asking for a code at the terminal, where Tab completes its words.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use irosh::{log::printable, pairing::Code, stdio::Input};

use crate::terminal::{Events, Terminal, TerminalEvent};

/// How much of a line is read that no person types: more than any invite has.
const LONGEST: u64 = 8 << 10;

/// How many words are shown of those that may be meant.
const SHOWN: usize = 12;

/// A line of stdin, without blanks around it.
pub(super) fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    io::stdin().lock().take(LONGEST).read_line(&mut line)?;
    anyhow::ensure!(!line.trim().is_empty(), "nothing is on stdin\ngive a code or an invite, in a line");
    Ok(line.trim().to_owned())
}

/// What is typed at the terminal that `accept` makes something of, again and again until it does; a line of stdin, where
/// that is none. Nothing where the person gives up.
pub(super) async fn ask<T>(
    prompt: &str,
    accept: impl Fn(&str) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    if !io::stdin().is_terminal() {
        return accept(&read_line()?).map(Some);
    }
    irosh::log::flush();
    let mut line = Line::default();
    loop {
        let Some(typed) = typed(prompt, &mut line).await? else { return Ok(None) };
        match accept(&typed) {
            Ok(accepted) => return Ok(Some(accepted)),
            Err(error) => {
                irosh::log::complain("irosh", &error);
                irosh::log::flush();
            }
        }
    }
}

/// Reads a line in raw mode. Nothing where the person gives up.
async fn typed(prompt: &str, line: &mut Line) -> anyhow::Result<Option<String>> {
    let Some(terminal) = Terminal::of(io::stdin())? else { return Ok(None) };
    let raw = terminal.raw()?;
    let mut events = Events::new(Some(&terminal), Some(&raw), Input::stdin()?)?;
    show(&line.drawn(prompt))?;
    loop {
        match events.next().await {
            TerminalEvent::Typed(bytes) => {
                for byte in bytes {
                    match line.press(byte) {
                        Pressed::Changed => show(&line.drawn(prompt))?,
                        Pressed::Choices(words) => show(&format!("\r\n{words}\r\n{}", line.drawn(prompt)))?,
                        Pressed::Nothing => {}
                        Pressed::Done => {
                            show("\r\n")?;
                            return Ok(Some(line.text.trim().to_owned()));
                        }
                        Pressed::GivenUp => {
                            show("\r\n")?;
                            return Ok(None);
                        }
                    }
                }
            }
            TerminalEvent::Resized(_) => show(&line.drawn(prompt))?,
            TerminalEvent::Eof | TerminalEvent::Killed(_) => return Ok(None),
        }
    }
}

fn show(text: &str) -> io::Result<()> {
    irosh::stdio::write_all(io::stderr(), text.as_bytes())
}

/// A line that is being typed.
#[derive(Debug, Default)]
struct Line {
    text: String,
    /// Within what a key sends that is no character, such as an arrow.
    escaped: bool,
}

/// What has come of a key.
#[derive(Debug, PartialEq, Eq)]
enum Pressed {
    Nothing,
    /// The line is to be drawn anew.
    Changed,
    /// The words that may be meant.
    Choices(String),
    Done,
    GivenUp,
}

impl Line {
    /// The line from the left edge on.
    fn drawn(&self, prompt: &str) -> String {
        format!("\r\x1b[K{prompt}{}", printable(&self.text))
    }

    fn press(&mut self, byte: u8) -> Pressed {
        if self.escaped {
            // `ESC [` or `ESC O`, parameters, and a letter or `~` at the end (ECMA-48 section 5.4).
            self.escaped = matches!(byte, b'[' | b'O' | 0x20..=0x3f);
            return Pressed::Nothing;
        }
        match byte {
            b'\r' | b'\n' => return Pressed::Done,
            // Ctrl-C, and Ctrl-D on an empty line.
            0x03 => return Pressed::GivenUp,
            0x04 if self.text.is_empty() => return Pressed::GivenUp,
            b'\t' => return self.complete(),
            0x1b => self.escaped = true,
            0x08 | 0x7f => _ = self.text.pop(),
            // Ctrl-U, Ctrl-W.
            0x15 => self.text.clear(),
            0x17 => {
                let kept = self.text.trim_end_matches('-').rfind('-').map_or(0, |at| at + 1);
                self.text.truncate(kept);
            }
            0x20..=0x7e if (self.text.len() as u64) < LONGEST => self.text.push(byte.into()),
            _ => return Pressed::Nothing,
        }
        Pressed::Changed
    }

    /// Goes on as far as there is no choice.
    fn complete(&mut self) -> Pressed {
        let found = Code::completions(&self.text);
        let Some(first) = found.first() else { return Pressed::Nothing };
        let common = found.iter().fold(first.as_str(), |common, other| {
            let same = common.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
            &common[..same]
        });
        if common.len() > self.text.len() || found.len() == 1 {
            self.text = common.to_owned();
            return Pressed::Changed;
        }
        let word =
            |text: &String| text.trim_end_matches('-').rsplit('-').next().unwrap_or_default().to_owned();
        let mut words: Vec<_> = found.iter().take(SHOWN).map(word).collect();
        if found.len() > SHOWN {
            words.push("...".to_owned());
        }
        Pressed::Choices(words.join("  "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(keys: &str) -> (String, Pressed) {
        let mut line = Line::default();
        let last = keys.bytes().map(|byte| line.press(byte)).last().unwrap_or(Pressed::Nothing);
        (line.text, last)
    }

    #[test]
    fn tab_goes_on_with_a_word_as_far_as_there_is_no_choice() {
        assert_eq!(pressed("7-velv\tot\t"), ("7-velvet-otter".to_owned(), Pressed::Changed));
        // velvet, verdant
        assert_eq!(pressed("7-ve\t"), ("7-ve".to_owned(), Pressed::Choices("velvet  verdant".to_owned())));
        assert_eq!(pressed("7-\t"), ("7-".to_owned(), Pressed::Nothing));
        assert_eq!(pressed("box\t"), ("box".to_owned(), Pressed::Nothing));
        assert_eq!(pressed("7 VELV\t").0, "7 velvet-");
    }

    #[test]
    fn keys_edit_the_line() {
        assert_eq!(pressed("7-velvte\x7f\x7fet").0, "7-velvet");
        assert_eq!(pressed("7-velvet-\x17").0, "7-");
        assert_eq!(pressed("7-velvet\x15").0, "");
        // An arrow, and one of the keys with a number.
        assert_eq!(pressed("7-\x1b[Dvel\x1b[3~").0, "7-vel");
        assert_eq!(pressed("7-vel\r").1, Pressed::Done);
        assert_eq!((pressed("7\x03").1, pressed("\x04").1), (Pressed::GivenUp, Pressed::GivenUp));
        assert_eq!(pressed("7\x04").1, Pressed::Nothing);
    }

    #[test]
    fn a_line_is_drawn_without_what_could_steer_the_terminal() {
        let line = Line { text: "7-\u{9b}2J".to_owned(), escaped: false };
        assert_eq!(line.drawn("code: "), "\r\x1b[Kcode: 7-\\u{9b}2J");
    }
}
