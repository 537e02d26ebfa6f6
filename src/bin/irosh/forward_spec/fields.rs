//! The parts of a forward's text.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

use super::{bind::Bind, wrong::Wrong};

/// A part: its text, without brackets and backslashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    text: Vec<u8>,
    bracketed: bool,
}

/// Splits at colons. `[...]` is taken as it is, and `\` takes the next character as it is.
pub(super) fn split(text: &[u8]) -> Result<Vec<Field>, Wrong> {
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

fn first(text: &[u8]) -> Result<(Field, Option<&[u8]>), Wrong> {
    if let Some(inner) = text.strip_prefix(b"[") {
        let end = inner.iter().position(|byte| *byte == b']').ok_or(Wrong::Open)?;
        let field = Field { text: inner[..end].to_vec(), bracketed: true };
        return match &inner[end + 1..] {
            [b':', rest @ ..] => Ok((field, Some(rest))),
            [] => Ok((field, None)),
            _ => Err(Wrong::Open),
        };
    }
    let mut field = Field { text: Vec::new(), bracketed: false };
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b':' => return Ok((field, Some(rest))),
            b'\\' => {
                let (taken, after) = rest.split_first().ok_or(Wrong::Open)?;
                field.text.push(*taken);
                rest = after;
            }
            _ => field.text.push(*byte),
        }
    }
    Ok((field, None))
}

impl Field {
    /// As in ssh, a slash anywhere makes it one.
    pub(super) fn is_path(&self) -> bool {
        !self.bracketed && self.text.contains(&b'/')
    }

    pub(super) fn path(&self) -> PathBuf {
        OsStr::from_bytes(&self.text).into()
    }

    /// It as text, which all but paths is.
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    pub(super) fn port(&self, least: u16) -> Result<u16, Wrong> {
        let text = self.shown();
        let digits = !self.bracketed && text.bytes().all(|byte| byte.is_ascii_digit());
        let port = if digits { text.parse().ok().filter(|&port| port >= least) } else { None };
        port.ok_or(Wrong::Port(text))
    }

    pub(super) fn host(&self) -> Result<String, Wrong> {
        let text = self.shown();
        let is_odd = |c: char| {
            c.is_whitespace() || c.is_control() || c == char::REPLACEMENT_CHARACTER || "/[]\\".contains(c)
        };
        // 1025 is NI_MAXHOST.
        let good = !text.is_empty() && text.len() < 1025 && !text.contains(is_odd);
        if good { Ok(text) } else { Err(Wrong::Host(text)) }
    }

    pub(super) fn bind(&self) -> Result<Bind, Wrong> {
        Ok(match self.text.as_slice() {
            b"" | b"*" => Bind::Any,
            b"localhost" => Bind::Loopback,
            _ => Bind::Address(self.host()?),
        })
    }
}
