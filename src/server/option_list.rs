//! The option list at the head of a line of `authorized_keys` and of files made like it: how it ends,
//! how it is split, and how values are quoted (sshd(8); OpenSSH's `sshkey_advance_past_options` and
//! `opt_dequote`).

use std::borrow::Cow;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// An option list cannot be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionListError {
    /// A quote is opened and not closed.
    #[error("a quote is not closed")]
    Unclosed,
    /// `name="value"more`.
    #[error("option `{0}` has something after its closing quote")]
    AfterQuote(String),
}

/// One option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedOption<'a> {
    /// As written: names are compared in any case.
    pub name: &'a str,
    /// What follows the first `=`.
    pub value: Option<OptionValue<'a>>,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OptionValue<'a> {
    /// Without the quotes.
    pub text: Cow<'a, str>,
    /// Whether it stood in quotes; sshd's own options must.
    pub quoted: bool,
}

impl ListedOption<'_> {
    /// Whether this is the option of that name, in any case.
    #[must_use]
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Splits a line at the first blank outside quotes: the options, and the rest without its leading
/// blanks. A line without such a blank is all options.
///
/// # Errors
///
/// [`OptionListError::Unclosed`].
pub(crate) fn split_options(line: &[u8]) -> Result<(&[u8], &[u8]), OptionListError> {
    let end = scan(line, |byte| byte == b' ' || byte == b'\t')?;
    Ok((&line[..end], line[end..].trim_ascii_start()))
}

/// [`split_options`] of a line that is known to be text.
///
/// # Errors
///
/// [`OptionListError::Unclosed`].
pub(crate) fn split_options_of_text(line: &str) -> Result<(&str, &str), OptionListError> {
    let (options, _) = split_options(line.as_bytes())?;
    // It ends at an ASCII byte, so on a boundary.
    let (options, rest) = line.split_at_checked(options.len()).unwrap_or((line, ""));
    Ok((options, rest.trim_ascii_start()))
}

/// The options of a list, in order. Empty ones, as in `a,,b`, are passed over, as in sshd.
pub(crate) fn options(list: &str) -> impl Iterator<Item = Result<ListedOption<'_>, OptionListError>> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        loop {
            let list = rest.take()?;
            let end = match scan(list.as_bytes(), |byte| byte == b',') {
                Ok(end) => end,
                Err(error) => return Some(Err(error)),
            };
            // Both ends are at an ASCII byte or at the end, so on a boundary.
            rest = list.get(end + 1..);
            match list.get(..end) {
                Some("") | None => {}
                Some(option) => return Some(read(option)),
            }
        }
    })
}

/// Reads `YYYYMMDD[HHMM[SS]]`, in that time zone unless `Z` or `UTC` follows (sshd(8), expiry-time;
/// OpenSSH's `parse_absolute_time`). 1970 and before are no times.
#[must_use]
pub(crate) fn parse_time(text: &str, time_zone: &TimeZone) -> Option<Timestamp> {
    let utc = ["z", "utc"].iter().find_map(|mark| {
        let at = text.len().checked_sub(mark.len())?;
        text.get(at..)?.eq_ignore_ascii_case(mark).then(|| &text[..at])
    });
    let zone = if utc.is_some() { TimeZone::UTC } else { time_zone.clone() };
    let digits = utc.unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 8 | 12 | 14) {
        return None;
    }
    let time = DateTime::strptime("%Y%m%d%H%M%S", format!("{digits:0<14}")).ok()?;
    let time = time.to_zoned(zone).ok()?.timestamp();
    (time > Timestamp::UNIX_EPOCH).then_some(time)
}

/// Where the first byte outside quotes is that `ends`, or the end.
fn scan(text: &[u8], ends: impl Fn(u8) -> bool) -> Result<usize, OptionListError> {
    let mut quoted = false;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            // `\"` is the only escape; a backslash before anything else is itself.
            b'\\' if text.get(at + 1) == Some(&b'"') => at += 1,
            b'"' => quoted = !quoted,
            _ if !quoted && ends(byte) => return Ok(at),
            _ => {}
        }
        at += 1;
    }
    if quoted { Err(OptionListError::Unclosed) } else { Ok(text.len()) }
}

fn read(option: &str) -> Result<ListedOption<'_>, OptionListError> {
    let Some((name, value)) = option.split_once('=') else {
        return Ok(ListedOption { name: option, value: None });
    };
    let Some(inner) = value.strip_prefix('"') else {
        return Ok(ListedOption { name, value: Some(OptionValue { text: value.into(), quoted: false }) });
    };
    let (text, after) = dequote(inner)?;
    if !after.is_empty() {
        return Err(OptionListError::AfterQuote(name.to_owned()));
    }
    Ok(ListedOption { name, value: Some(OptionValue { text, quoted: true }) })
}

/// Reads on from an opening quote; returns what follows the closing one, too.
fn dequote(inner: &str) -> Result<(Cow<'_, str>, &str), OptionListError> {
    let mut text = Cow::Borrowed("");
    let mut rest = inner;
    loop {
        let at = rest.find('"').ok_or(OptionListError::Unclosed)?;
        let (piece, after) = (&rest[..at], &rest[at + 1..]);
        let escaped = piece.strip_suffix('\\');
        text =
            if text.is_empty() && escaped.is_none() { piece.into() } else { text + escaped.unwrap_or(piece) };
        if escaped.is_none() {
            return Ok((text, after));
        }
        text += "\"";
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(list: &str) -> Vec<(&str, Option<String>)> {
        options(list)
            .map(|option| {
                option.map(|option| (option.name, option.value.map(|value| value.text.into_owned())))
            })
            .collect::<Result<_, _>>()
            .expect(list)
    }

    #[test]
    fn a_line_splits_at_the_first_blank_outside_quotes() {
        for (line, options, rest) in [
            ("pty ssh-rsa AAAA", "pty", "ssh-rsa AAAA"),
            ("command=\"a b\",pty \t ssh-rsa", "command=\"a b\",pty", "ssh-rsa"),
            (r#"command="a \" b" ssh-rsa"#, r#"command="a \" b""#, "ssh-rsa"),
            (r#"command="a \\" b" ssh-rsa"#, r#"command="a \\" b""#, "ssh-rsa"),
            ("alone", "alone", ""),
        ] {
            let split = split_options(line.as_bytes()).expect(line);
            assert_eq!(split, (options.as_bytes(), rest.as_bytes()));
            assert_eq!(split_options_of_text(line), Ok((options, rest)));
        }
        assert_eq!(split_options(b"command=\"a ssh-rsa"), Err(OptionListError::Unclosed));
    }

    #[test]
    fn a_list_splits_at_commas_outside_quotes() {
        let value = |text: &str| Some(text.to_owned());
        assert_eq!(all("pty,,no-pty"), [("pty", None), ("no-pty", None)]);
        assert_eq!(all(r#"a="x,y",b=z"#), [("a", value("x,y")), ("b", value("z"))]);
        assert_eq!(all(r#"a="x=\"y\"""#), [("a", value(r#"x="y""#))]);
        assert_eq!(all(""), []);
    }

    #[test]
    fn a_backslash_escapes_a_quote_and_nothing_else() {
        let text = |list: &str| all(list)[0].1.clone();
        assert_eq!(text(r#"a="\n\\x""#).as_deref(), Some(r"\n\\x"));
        assert_eq!(text(r#"a="x\\"y""#).as_deref(), Some(r#"x\"y"#));
        assert_eq!(text(r#"a="\"""#).as_deref(), Some("\""));
        assert_eq!(text(r#"a="""#).as_deref(), Some(""));
    }

    #[test]
    fn broken_quotes_are_errors() {
        let first = |list| options(list).next().expect("one").expect_err("an error");
        assert_eq!(first(r#"a="x"#), OptionListError::Unclosed);
        assert_eq!(first(r#"a="x\""#), OptionListError::Unclosed);
        assert_eq!(first(r#"a="x"y"#), OptionListError::AfterQuote("a".to_owned()));
    }

    #[test]
    fn names_are_compared_in_any_case() {
        let option = options("No-PTY").next().expect("one").expect("good");
        assert!(option.is("no-pty") && !option.is("pty"));
    }

    #[test]
    fn a_time_is_local_unless_it_says_otherwise() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        for (text, expected) in [
            ("20260102Z", Some("2026-01-02T00:00:00Z")),
            ("20260102utc", Some("2026-01-02T00:00:00Z")),
            ("20260102", Some("2026-01-01T22:00:00Z")),
            ("202601021530", Some("2026-01-02T13:30:00Z")),
            ("20260102153012Z", Some("2026-01-02T15:30:12Z")),
            ("2026", None),
            ("20261341", None),
            ("19691231", None),
            ("INVALID", None),
            ("é0260102", None),
            ("Z", None),
        ] {
            assert_eq!(parse_time(text, &zone).map(|time| time.to_string()).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics_and_every_value_reads_as_written(line in "[a\" \\\\,=é]{0,30}", value in ".{0,20}") {
            let _ = split_options(line.as_bytes());
            let _ = parse_time(&value, &TimeZone::UTC);
            options(&line).take(100).for_each(drop);
            prop_assume!(!value.contains('\\'));
            let list = format!("a=\"{}\",b", value.replace('"', "\\\""));
            prop_assert_eq!(all(&list), [("a", Some(value)), ("b", None)]);
        }
    }
}
