//! `authorized_keys` and principals files: their lines, as sshd reads them (sshd(8), AUTHORIZED_KEYS FILE
//! FORMAT; sshd_config(5), AuthorizedPrincipalsFile; OpenSSH's auth2-pubkeyfile.c).
//!
//! A file is bytes. A line that is not understood is refused alone; the rest stays in force. Comments
//! may hold any bytes.

use jiff::tz::TimeZone;
use russh::keys::ssh_key::{Algorithm, PublicKey};

use super::{
    key_options::{KeyOptionError, KeyOptions},
    option_list::split_options,
};

/// A line in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 1.
    pub line: usize,
    /// The key, or the authority's key.
    pub key: PublicKey,
    /// What follows the key, as far as it is text.
    pub comment: String,
    /// What the key may do.
    pub options: KeyOptions,
}

/// A line that is not in force, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: LineError,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// Before the comment, there are bytes that are not text.
    #[error("it is not UTF-8")]
    NotText,
    /// Neither at its start nor behind options is there a key.
    #[error("no key found")]
    NoKey,
    /// The key's base64 is wrong, or is not a key of the type that stands before it.
    #[error("the {0} key is damaged")]
    Damaged(String),
    /// A certificate, which admits nobody here.
    #[error("a certificate is not a key: give its authority's key, with the option cert-authority")]
    Certificate,
    /// Its options.
    #[error(transparent)]
    Options(#[from] KeyOptionError),
}

/// The content of an `authorized_keys` file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorizedKeys {
    /// The lines in force, in order.
    pub entries: Vec<Entry>,
    /// The lines that are not.
    pub refused: Vec<BadLine>,
}

impl AuthorizedKeys {
    /// Reads all of a file; `time_zone` is that of times that do not name one.
    #[must_use]
    pub fn parse(file: &[u8], time_zone: &TimeZone) -> Self {
        let mut read = Self::default();
        for (line, text) in lines(file) {
            match parse_line(line, text, time_zone) {
                Ok(entry) => read.entries.push(entry),
                Err(reason) => read.refused.push(BadLine { line, reason }),
            }
        }
        read
    }

    /// The lines with one key, in order, of which the first that [`KeyOptions::check`] lets pass
    /// counts; no other line is decoded. `key` is the plain key that is offered, or the key that signed
    /// the certificate that is: then lines without `cert-authority` do not count, and otherwise those
    /// with it.
    ///
    /// A line that has the key and is refused is an error, for the log; the search goes on.
    pub fn find<'a>(
        file: &'a [u8],
        key: &PublicKey,
        signed_certificate: bool,
        time_zone: &'a TimeZone,
    ) -> impl Iterator<Item = Result<Entry, BadLine>> + 'a {
        let key = PublicKey::from(key.key_data().clone());
        // The whole line of the key without a comment: `type base64`.
        let wanted = key.to_openssh().unwrap_or_default();
        let blob = wanted.split(' ').nth(1).unwrap_or_default().as_bytes().to_vec();
        let with_key = lines(file).filter(move |(_, text)| !blob.is_empty() && contains(text, &blob));
        with_key.filter_map(move |(line, text)| match parse_line(line, text, time_zone) {
            Ok(entry) => (entry.key.key_data() == key.key_data()
                && entry.options.cert_authority == signed_certificate)
                .then_some(Ok(entry)),
            Err(reason) => Some(Err(BadLine { line, reason })),
        })
    }
}

/// A line of a principals file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Counted from 1.
    pub line: usize,
    /// Whom the certificate must name.
    pub name: String,
    /// What it may do then.
    pub options: KeyOptions,
}

impl Principal {
    /// The first line of a principals file that names one of a certificate's principals and whose
    /// options are understood, and the lines before it that name one and are not.
    #[must_use]
    pub fn find(
        file: &[u8],
        certificate_principals: &[String],
        time_zone: &TimeZone,
    ) -> (Option<Self>, Vec<BadLine>) {
        let mut refused = Vec::new();
        for (line, text) in lines(file) {
            let (list, name) = principal(text);
            if !certificate_principals.iter().any(|principal| principal.as_bytes() == name) {
                continue;
            }
            let options = std::str::from_utf8(list)
                .map_err(|_| LineError::NotText)
                .and_then(|list| Ok(KeyOptions::parse(list, time_zone)?));
            match options {
                Ok(options) => {
                    let name = String::from_utf8_lossy(name).into_owned();
                    return (Some(Self { line, name, options }), refused);
                }
                Err(reason) => refused.push(BadLine { line, reason }),
            }
        }
        (None, refused)
    }
}

/// Lines that say something, from their first byte that is not blank, with their numbers.
fn lines(file: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    file.split(|&byte| byte == b'\n').enumerate().filter_map(|(index, line)| {
        let line = trim_start(line.trim_ascii_end());
        (!line.is_empty() && line[0] != b'#').then_some((index + 1, line))
    })
}

fn parse_line(line: usize, text: &[u8], time_zone: &TimeZone) -> Result<Entry, LineError> {
    let starts_with_key = is_key_type(word(text).0);
    let (list, rest) =
        if starts_with_key { (&b""[..], text) } else { split_options(text).map_err(KeyOptionError::List)? };
    let list = std::str::from_utf8(list).map_err(|_| LineError::NotText)?;
    let (key_type, rest) = word(rest);
    let (blob, comment) = word(rest);
    if !is_key_type(key_type) {
        return Err(LineError::NoKey);
    }
    // Both are ASCII: the type by now, the base64 or it is damaged.
    let key_type = String::from_utf8_lossy(key_type);
    if key_type.contains("-cert-v01@") {
        return Err(LineError::Certificate);
    }
    let key = PublicKey::from_openssh(&format!("{key_type} {}", String::from_utf8_lossy(blob)))
        .map_err(|_| LineError::Damaged(key_type.into_owned()))?;
    let options = KeyOptions::parse(list, time_zone)?;
    let comment = String::from_utf8_lossy(comment).into_owned();
    Ok(Entry { line, key, comment, options })
}

/// The options of a principals line and its name: what follows the last space, or the last tab where
/// there is no space. A `#` ends the line wherever it stands, also in quotes.
fn principal(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|&byte| byte == b'#').unwrap_or(line.len());
    let line = line[..end].trim_ascii_end();
    let last = |blank| line.iter().rposition(|&byte| byte == blank);
    match last(b' ').or_else(|| last(b'\t')) {
        // sshd reads options up to a blank outside quotes, and does not look at what is behind it.
        Some(at) => (split_options(line).map_or(&line[..at], |(list, _)| list), trim_start(&line[at..])),
        None => (&[], line),
    }
}

/// Types of keys without an `@`, and any with one that looks like a type.
fn is_key_type(word: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-@._".contains(byte);
    word.iter().all(is_part) && std::str::from_utf8(word).is_ok_and(|word| Algorithm::new(word).is_ok())
}

fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| b" \t".contains(byte)).unwrap_or(text.len());
    (&text[..end], trim_start(&text[end..]))
}

fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !b" \t".contains(byte)).unwrap_or(text.len());
    &text[start..]
}

fn contains(line: &[u8], blob: &[u8]) -> bool {
    // Every key of a type begins alike; ends differ, so most lines are done with one comparison a word.
    line.split(|byte| b" \t".contains(byte)).any(|word| word == blob)
}

#[cfg(test)]
#[path = "authorized_keys_tests.rs"]
mod tests;
