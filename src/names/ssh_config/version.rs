//! What the ssh of this machine knows.

/// The version of an ssh. An older one refuses a configuration with a keyword that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SshVersion(Option<(u32, u32)>);

impl SshVersion {
    /// One that knows all there is.
    pub const NEWEST: Self = Self(None);

    /// Of what an ssh says of itself (`ssh -V`).
    #[must_use]
    pub fn read(said: &str) -> Self {
        let number = |text: &str| {
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            text[..end].parse().ok()
        };
        let version =
            said.split_once("OpenSSH_").map(|(_, version)| version.trim_start_matches("for_Windows_"));
        let numbers = version.and_then(|version| version.split_once('.'));
        match numbers.map(|(major, minor)| (number(major), number(minor))) {
            Some((Some(major), Some(minor))) => Self(Some((major, minor))),
            // A newer one, by another name.
            _ => Self::NEWEST,
        }
    }

    /// Whether it has KnownHostsCommand.
    pub(crate) fn has_known_hosts_command(self) -> bool {
        self.is_at_least(8, 5)
    }

    /// Whether a list of algorithms may go before those that it would use (`Ciphers ^...`).
    pub(super) fn puts_algorithms_first(self) -> bool {
        self.is_at_least(8, 1)
    }

    fn is_at_least(self, major: u32, minor: u32) -> bool {
        self.0.is_none_or(|version| version >= (major, minor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_ssh_knows_is_told_by_its_version() {
        let knows = |said| {
            let version = SshVersion::read(said);
            (version.has_known_hosts_command(), version.puts_algorithms_first())
        };
        assert_eq!(knows("OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.22"), (true, true));
        assert_eq!(knows("OpenSSH_8.5p1, LibreSSL 2.9.0"), (true, true));
        assert_eq!(knows("OpenSSH_10.0p2"), (true, true));
        assert_eq!(knows("Something new"), (true, true));
        assert_eq!(knows("OpenSSH_8.4p1 Debian-5, OpenSSL 1.1.1"), (false, true));
        assert_eq!(knows("OpenSSH_for_Windows_8.1p1, LibreSSL 3.0.2"), (false, true));
        assert_eq!(knows("OpenSSH_8.0p1, OpenSSL 1.1.1k"), (false, false));
        assert_eq!(knows("OpenSSH_7.4p1, OpenSSL 1.0.2k-fips"), (false, false));
    }
}
