//! The parts of a forward's text.

use std::path::{Path, PathBuf};

use super::{Bind, Wrong};

/// A part: its text, without brackets and backslashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    text: String,
    bracketed: bool,
}

/// Splits at colons. `[...]` is taken as it is, and `\` takes the next character as it is.
pub(super) fn split(text: &str) -> Result<Vec<Field>, Wrong> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = first(rest)?;
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

/// An address, in brackets where it has a colon.
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A path with what would end it behind backslashes.
pub(super) fn escaped(path: &Path) -> String {
    let escaped = path.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:");
    if escaped.starts_with('[') { format!("\\{escaped}") } else { escaped }
}

fn first(text: &str) -> Result<(Field, Option<&str>), Wrong> {
    if let Some(inner) = text.strip_prefix('[') {
        let (inside, after) = inner.split_once(']').ok_or(Wrong::Open)?;
        let field = Field { text: inside.to_owned(), bracketed: true };
        return match after.strip_prefix(':') {
            Some(rest) => Ok((field, Some(rest))),
            None if after.is_empty() => Ok((field, None)),
            None => Err(Wrong::Open),
        };
    }
    let mut field = Field { text: String::new(), bracketed: false };
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            ':' => return Ok((field, Some(&text[at + 1..]))),
            '\\' => field.text.push(characters.next().ok_or(Wrong::Open)?.1),
            _ => field.text.push(character),
        }
    }
    Ok((field, None))
}

impl Field {
    /// As in ssh, a slash anywhere makes it one.
    pub(super) fn is_path(&self) -> bool {
        !self.bracketed && self.text.contains('/')
    }

    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(&self.text)
    }

    pub(super) fn port(&self, least: u16) -> Result<u16, Wrong> {
        let digits = !self.bracketed && self.text.bytes().all(|byte| byte.is_ascii_digit());
        let port = if digits { self.text.parse().ok().filter(|&port| port >= least) } else { None };
        port.ok_or_else(|| Wrong::Port(self.text.clone()))
    }

    pub(super) fn host(&self) -> Result<String, Wrong> {
        // 1025 is NI_MAXHOST.
        let good = !self.text.is_empty()
            && self.text.len() < 1025
            && !self.text.contains(|c: char| c.is_whitespace() || c.is_control() || "/[]\\".contains(c));
        if good { Ok(self.text.clone()) } else { Err(Wrong::Host(self.text.clone())) }
    }

    pub(super) fn bind(&self) -> Result<Bind, Wrong> {
        Ok(match self.text.as_str() {
            "" | "*" => Bind::Any,
            "localhost" => Bind::Loopback,
            _ => Bind::Address(self.host()?),
        })
    }
}
