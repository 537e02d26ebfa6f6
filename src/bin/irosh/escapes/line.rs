//! The line that `~C` asks for, typed while the terminal is raw.

use unicode_width::UnicodeWidthStr;

/// What a key did to the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineEvent {
    /// Show these bytes, possibly none.
    Show(Vec<u8>),
    /// The line is this; empty if it was given up.
    Ended(String),
}

/// A line and where in a key's sequence the typing is.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// What was typed, possibly in the middle of a character of UTF-8.
    bytes: Vec<u8>,
    sequence: Sequence,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    #[default]
    None,
    /// Behind ESC.
    Escape,
    /// In the sequence of an arrow or function key, which means nothing here.
    Control,
}

impl Line {
    pub(super) fn typed(&mut self, byte: u8) -> LineEvent {
        match (self.sequence, byte) {
            (Sequence::Escape, b'[' | b'O') => self.sequence = Sequence::Control,
            (Sequence::Control, 0x40..=0x7e) | (Sequence::Escape, b' '..=0x7e) => {
                self.sequence = Sequence::None;
            }
            (Sequence::Control, b' '..=b'?') => {}
            _ => {
                self.sequence = Sequence::None;
                return self.key(byte);
            }
        }
        LineEvent::Show(Vec::new())
    }

    fn key(&mut self, byte: u8) -> LineEvent {
        LineEvent::Show(match byte {
            b'\r' | b'\n' => return LineEvent::Ended(self.text()),
            // Ctrl-C gives up, as does Ctrl-D where nothing was typed.
            0x03 => return LineEvent::Ended(String::new()),
            0x04 if self.bytes.is_empty() => return LineEvent::Ended(String::new()),
            0x1b => {
                self.sequence = Sequence::Escape;
                Vec::new()
            }
            0x08 | 0x7f => self.cut(|text| text.char_indices().next_back().map_or(0, |(at, _)| at)),
            // Ctrl-U and Ctrl-W.
            0x15 => self.cut(|_| 0),
            0x17 => self.cut(|text| text.trim_end().rfind(' ').map_or(0, |at| at + 1)),
            b' '.. if self.bytes.len() < LONGEST => {
                self.bytes.push(byte);
                vec![byte]
            }
            _ => Vec::new(),
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Keeps what is before the place that is found in the text, and shows the rest gone.
    fn cut(&mut self, place: impl FnOnce(&str) -> usize) -> Vec<u8> {
        let text = self.text();
        let (kept, gone) = text.split_at(place(&text));
        self.bytes = kept.as_bytes().to_vec();
        b"\x08 \x08".repeat(gone.width())
    }
}

/// In bytes.
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The line, and what was shown.
    fn type_in(keys: &str) -> (Option<String>, String) {
        let mut line = Line::default();
        let mut shown = Vec::new();
        for byte in keys.bytes() {
            match line.typed(byte) {
                LineEvent::Show(bytes) => shown.extend(bytes),
                LineEvent::Ended(text) => return (Some(text), String::from_utf8(shown).expect("UTF-8")),
            }
        }
        (None, String::from_utf8_lossy(&shown).into_owned())
    }

    #[test]
    fn a_line_ends_with_return() {
        assert_eq!(type_in("-L 1\r"), (Some("-L 1".into()), "-L 1".into()));
        assert_eq!(type_in("\n"), (Some(String::new()), String::new()));
        assert_eq!(type_in("abc").0, None);
    }

    #[test]
    fn erasing_takes_as_many_columns_as_were_shown() {
        assert_eq!(type_in("80\x7f1\r"), (Some("81".into()), "80\x08 \x081".into()));
        assert_eq!(type_in("日\x7f\r"), (Some(String::new()), "日\x08 \x08\x08 \x08".into()));
        assert_eq!(type_in("\x7fa\r"), (Some("a".into()), "a".into()));
        assert_eq!(type_in("-L ab\x17c\r").0.as_deref(), Some("-L c"));
        assert_eq!(type_in("abc\x15d\r").0.as_deref(), Some("d"));
    }

    #[test]
    fn keys_without_meaning_leave_no_trace() {
        assert_eq!(type_in("a\x1b[A\x1bOB\x1b[1;5C\x01\tb\r"), (Some("ab".into()), "ab".into()));
    }

    #[test]
    fn interrupting_gives_up() {
        assert_eq!(type_in("abc\x03").0.as_deref(), Some(""));
        assert_eq!(type_in("\x04").0.as_deref(), Some(""));
        assert_eq!(type_in("a\x04\r").0.as_deref(), Some("a"));
    }

    #[test]
    fn no_line_is_endless() {
        assert_eq!(type_in(&("a".repeat(5000) + "\r")).0.expect("ended").len(), LONGEST);
    }
}
