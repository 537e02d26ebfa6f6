//! Directory entries as `ls -l` shows them: OpenSSH's `ls_file`.

use std::{
    collections::HashMap,
    fs::Metadata,
    io::Write,
    os::unix::fs::MetadataExt,
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use nix::unistd::{Gid, Group, Uid, User};

/// OpenSSH makes a line in a buffer of 1024 bytes and cuts what is longer.
const LONGEST: usize = 1023;

/// Names of users and groups, each looked up once a connection: a lookup may ask a server.
#[derive(Debug, Default)]
pub(super) struct Names {
    users: HashMap<u32, Option<String>>,
    groups: HashMap<u32, Option<String>>,
}

impl Names {
    /// The most names of a kind that are remembered, since clients choose the numbers.
    const MOST: usize = 4096;

    pub(super) fn user(&mut self, id: u32) -> Option<&str> {
        if self.users.len() >= Self::MOST {
            self.users.clear();
        }
        let look_up = || User::from_uid(Uid::from_raw(id)).ok().flatten().map(|user| user.name);
        self.users.entry(id).or_insert_with(look_up).as_deref()
    }

    pub(super) fn group(&mut self, id: u32) -> Option<&str> {
        if self.groups.len() >= Self::MOST {
            self.groups.clear();
        }
        let look_up = || Group::from_gid(Gid::from_raw(id)).ok().flatten().map(|group| group.name);
        self.groups.entry(id).or_insert_with(look_up).as_deref()
    }

    /// Writes the line of an entry over what is in `line`.
    pub(super) fn line(&mut self, name: &[u8], metadata: &Metadata, line: &mut Vec<u8>) {
        let (user, group) = (metadata.uid(), metadata.gid());
        let user = self.user(user).map_or_else(|| user.to_string(), str::to_owned);
        let group = self.group(group).map_or_else(|| group.to_string(), str::to_owned);
        let mode = mode_text(metadata.mode());
        let mut links = metadata.nlink().to_string();
        links.truncate(7);
        let time = time_text(metadata.mtime(), now(), local_time(metadata.mtime()));
        line.clear();
        // A Vec takes every write.
        let _ =
            write!(line, "{mode} {links:>3} {user:<8} {group:<8} {size:>8} {time} ", size = metadata.size());
        line.extend_from_slice(name);
        line.truncate(LONGEST);
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Seconds since 1970 in local time, unless the year has more than four digits.
pub(super) fn local_time(seconds: i64) -> Option<DateTime> {
    Some(TimeZone::system().to_datetime(Timestamp::from_second(seconds).ok()?))
}

/// The time of day within the last half year, else the year. Nothing when that does not fit into OpenSSH's buffer.
fn time_text(changed: i64, now: i64, local: Option<DateTime>) -> String {
    let Some(local) = local else { return String::new() };
    let day = local.strftime("%b %e");
    let half_a_year = 365 * 24 * 60 * 60 / 2;
    if now - half_a_year < changed && changed <= now {
        return format!("{day} {:02}:{:02}", local.hour(), local.minute());
    }
    let text = format!("{day}  {}", local.year());
    if text.len() > 12 { String::new() } else { text }
}

/// The C library's `strmode`, with its blank at the end.
fn mode_text(mode: u32) -> String {
    let kind = match mode & libc::S_IFMT {
        libc::S_IFREG => '-',
        libc::S_IFDIR => 'd',
        libc::S_IFLNK => 'l',
        libc::S_IFCHR => 'c',
        libc::S_IFBLK => 'b',
        libc::S_IFIFO => 'p',
        libc::S_IFSOCK => 's',
        _ => '?',
    };
    let mut text = String::from(kind);
    for (shift, special, set) in [(6, libc::S_ISUID, 's'), (3, libc::S_ISGID, 's'), (0, libc::S_ISVTX, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (false, false) => '-',
            (true, false) => 'x',
            (false, true) => set.to_ascii_uppercase(),
            (true, true) => set,
        });
    }
    text.push(' ');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_shown_as_ls_does() {
        let shown = [0o100_644, 0o040_755, 0o120_777, 0o104_755, 0o102_644, 0o041_777, 0o041_770, 0o010_600];
        let texts = [
            "-rw-r--r-- ",
            "drwxr-xr-x ",
            "lrwxrwxrwx ",
            "-rwsr-xr-x ",
            "-rw-r-Sr-- ",
            "drwxrwxrwt ",
            "drwxrwx--T ",
            "prw------- ",
        ];
        assert_eq!(shown.map(mode_text), texts);
    }

    #[test]
    fn old_and_future_times_show_the_year() {
        let local = Some(jiff::civil::date(2024, 3, 5).at(7, 3, 1, 0));
        let now = 1_700_000_000;
        assert_eq!(time_text(now, now, local), "Mar  5 07:03");
        assert_eq!(time_text(now - 15_767_999, now, local), "Mar  5 07:03");
        assert_eq!(time_text(now - 15_768_000, now, local), "Mar  5  2024");
        assert_eq!(time_text(now + 1, now, local), "Mar  5  2024");
        let ago = Some(jiff::civil::date(-2024, 3, 5).at(7, 3, 1, 0));
        assert_eq!(time_text(-126_000_000_000, now, ago), "");
        // The year 12345, and what has no year.
        for far in [327_400_000_000, i64::MAX, i64::MIN / 2] {
            assert_eq!(time_text(far, now, local_time(far)), "");
        }
    }
}
