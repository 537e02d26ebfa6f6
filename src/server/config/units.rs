//! Times and sizes as sshd_config(5) writes them.

use std::time::Duration;

/// Reads a time: `90`, `1m30s`, `1w2d3h4m5s`, in any case; seconds without a unit (sshd_config(5), TIME
/// FORMATS; OpenSSH's `convtime`). `None` for anything else, and for more than 2^31 - 1 seconds.
#[must_use]
pub fn parse_time(text: &str) -> Option<Duration> {
    let mut total = 0_u32;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u32 = rest[..end].parse().ok()?;
        let mut units = rest[end..].chars();
        let seconds = match units.next().map(|unit| unit.to_ascii_lowercase()) {
            None | Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3_600,
            Some('d') => 86_400,
            Some('w') => 604_800,
            Some(_) => return None,
        };
        total = total.checked_add(number.checked_mul(seconds)?)?;
        rest = units.as_str();
    }
    (!text.is_empty() && i32::try_from(total).is_ok()).then(|| Duration::from_secs(total.into()))
}

/// Reads a size in bytes: `1500`, `1.5K`, `4G`, up to `E`, in any case, powers of 1024 (OpenSSH's
/// `scan_scaled`). `None` for anything else, and for more than 2^63 - 1.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, power) = match text.char_indices().last()? {
        (_, c) if c.is_ascii_digit() || c == '.' => (text, 0),
        (at, unit) => (&text[..at], "bkmgtpe".find(unit.to_ascii_lowercase())?),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || !(whole.bytes().chain(part.bytes())).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scale = 1_u128 << (10 * power);
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
    // More digits than these change nothing.
    let part = &part[..part.len().min(18)];
    let part =
        if part.is_empty() { 0 } else { part.parse::<u128>().ok()? * scale / 10_u128.pow(part.len() as u32) };
    let size = u64::try_from(whole.checked_mul(scale)?.checked_add(part)?).ok()?;
    i64::try_from(size).is_ok().then_some(size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("10", Some(10)),
            ("10s", Some(10)),
            ("1M", Some(60)),
            ("1h30m", Some(5_400)),
            ("1w1d1h1m1", Some(694_861)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", None),
            ("99999999999", None),
            ("9999999w", None),
            ("", None),
            ("m", None),
            ("-1", None),
            ("1x", None),
            ("1 m", None),
            ("1é", None),
        ] {
            assert_eq!(parse_time(text).map(|time| time.as_secs()), seconds, "{text}");
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, size) in [
            ("0", Some(0)),
            ("16", Some(16)),
            ("1k", Some(1_024)),
            ("1.5K", Some(1_536)),
            ("1m", Some(1 << 20)),
            ("8G", Some(8 << 30)),
            ("7b", Some(7)),
            ("7E", Some(7 << 60)),
            ("8E", None),
            ("", None),
            (".", Some(0)),
            ("k", None),
            ("1kk", None),
            ("1.2.3k", None),
            ("-1", None),
            ("1x", None),
        ] {
            assert_eq!(parse_size(text), size, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9.smhdwkKgEé -]{0,30}") {
            let _ = (parse_time(&text), parse_size(&text));
        }
    }
}
