//! Amounts and times in few characters.

use std::time::Duration;

/// Bytes in at most six characters: `1023B`, `1.5MB`, scaled by 1024 as scp does.
pub(crate) fn bytes(bytes: u64) -> String {
    scaled(bytes, 10_000).map_or_else(|| format!("{bytes}B"), |(tenths, unit)| whole(tenths, unit))
}

/// Bytes a second in at most nine characters: `100.0MB/s`.
pub(super) fn rate(bytes: u64) -> String {
    let (tenths, unit) = scaled(bytes, 1000).unwrap_or_else(|| (bytes * 10, ""));
    format!("{}.{}{unit}B/s", tenths / 10, tenths % 10)
}

/// `MM:SS`, from an hour on `H:MM:SS`.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes:02}:{seconds:02}")
    }
}

fn whole(tenths: u64, unit: &str) -> String {
    // Up to 9.9, a decimal tells more than a unit.
    if tenths < 100 && !unit.is_empty() {
        format!("{}.{}{unit}B", tenths / 10, tenths % 10)
    } else {
        format!("{}{unit}B", (tenths + 5) / 10)
    }
}

/// Tenths of a unit in which it is less than `limit`; `None` for single bytes.
fn scaled(bytes: u64, limit: u64) -> Option<(u64, &'static str)> {
    if bytes < limit {
        return None;
    }
    let mut tenths = u128::from(bytes) * 10;
    let mut units = ["K", "M", "G", "T", "P", "E"].into_iter();
    loop {
        let unit = units.next()?;
        tenths = (tenths + 512) / 1024;
        if tenths < u128::from(limit) * 10 {
            return Some((tenths as u64, unit));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_have_units() {
        let text = [0, 9999, 10_000, 10 << 20, 1 << 40, u64::MAX].map(bytes);
        assert_eq!(text, ["0B", "9999B", "9.8KB", "10MB", "1024GB", "16EB"]);
        let text = [0, 999, 1000, 100 << 20, u64::MAX].map(rate);
        assert_eq!(text, ["0.0B/s", "999.0B/s", "1.0KB/s", "100.0MB/s", "16.0EB/s"]);
    }

    #[test]
    fn times_have_hours_where_there_are_any() {
        let text = [0, 59, 60, 3599, 3600, 360_000].map(|seconds| time(Duration::from_secs(seconds)));
        assert_eq!(text, ["00:00", "00:59", "01:00", "59:59", "1:00:00", "100:00:00"]);
    }

    proptest! {
        #[test]
        fn amounts_are_short(bits in 0..64_u32, noise: u64) {
            let amount = noise >> bits;
            prop_assert!(bytes(amount).len() <= 6, "{}", bytes(amount));
            prop_assert!(rate(amount).len() <= 9, "{}", rate(amount));
        }
    }
}
