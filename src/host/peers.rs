//! `authorized_peers`: who may come in, in the grammar of sshd's `authorized_keys`.
//!
//! A line is `[options] ssh-ed25519 AAAA... comment` (sshd(8), AUTHORIZED_KEYS FILE FORMAT). A line
//! that is not understood, or that has an option that is not, is refused alone; the rest stays in
//! force.

use std::{fmt, path::Path};

use jiff::{Timestamp, tz::TimeZone};
use russh::keys::ssh_key::{HashAlg, PublicKey, public::KeyData};

use crate::{
    files::{LockError, read_trusted_file, update_file},
    server::option_list::{options, parse_time, split_options_of_text},
    transport::openssh_public,
};

/// A client's identity: an ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity(pub [u8; 32]);

impl Identity {
    /// The fingerprint that `ssh-keygen -l` prints: `SHA256:...`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        openssh_public(&self.0).fingerprint(HashAlg::Sha256).to_string()
    }

    /// The key as one line of a public key file, without a comment.
    #[must_use]
    pub fn openssh(&self) -> String {
        openssh_public(&self.0).to_openssh().unwrap_or_default()
    }

    /// Reads a public key line, or the fingerprint-free part of one.
    #[must_use]
    pub fn from_openssh(line: &str) -> Option<Self> {
        match PublicKey::from_openssh(line.trim()).ok()?.key_data() {
            KeyData::Ed25519(key) => Some(Self(key.0)),
            _ => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One line of `authorized_peers` that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who.
    pub identity: Identity,
    /// What the line calls them; may be empty.
    pub name: String,
    /// What they may do.
    pub options: PeerOptions,
}

/// What stands before a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerOptions {
    /// The admission ends at this time.
    pub expiry_time: Option<Timestamp>,
    /// The backend that takes this peer's sessions, in place of the host's.
    pub backend: Option<String>,
    /// The login that this peer needs no further proof for at the built-in server.
    pub login: Option<String>,
    /// Lost sessions are not kept.
    pub no_resume: bool,
}

/// A line that is not in force, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// The content of an `authorized_peers` file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorizedPeers {
    /// The lines in force, in order.
    pub peers: Vec<Peer>,
    /// The lines that are not.
    pub refused: Vec<BadLine>,
}

impl AuthorizedPeers {
    /// Reads the text of a file; `time_zone` is that of times without a `Z`.
    #[must_use]
    pub fn parse(text: &str, time_zone: &TimeZone) -> Self {
        let mut read = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match parse_line(line, time_zone) {
                Ok(peer) => read.peers.push(peer),
                Err(reason) => read.refused.push(BadLine { line: index + 1, reason }),
            }
        }
        read
    }

    /// Reads a file; one that is not there admits nobody.
    ///
    /// # Errors
    ///
    /// What the system says, with the file's name.
    pub fn load(path: &Path) -> std::io::Result<Self> {
        match read_trusted_file(path) {
            Ok(Some(text)) => Ok(Self::parse(&text, &TimeZone::system())),
            Ok(None) => Ok(Self::default()),
            Err(error) => Err(std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        }
    }

    /// The line for an identity; the first one counts, as in sshd.
    #[must_use]
    pub fn find(&self, identity: &Identity) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.identity == *identity)
    }
}

impl Peer {
    /// Whether the admission has ended by `now`.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.options.expiry_time.is_some_and(|expiry| expiry <= now)
    }

    /// The peer as a line of the file.
    #[must_use]
    pub fn line(&self) -> String {
        let name: String = self.name.chars().filter(|c| !c.is_control()).collect();
        let options = self.options.to_string();
        let space = if options.is_empty() { "" } else { " " };
        format!("{options}{space}{} {name}", self.identity.openssh()).trim_end().to_owned()
    }
}

impl fmt::Display for PeerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = |value: &str| format!("\"{}\"", value.replace('"', "\\\""));
        let expiry = |time: &Timestamp| time.strftime("\"%Y%m%d%H%M%SZ\"").to_string();
        let options = [
            self.expiry_time.as_ref().map(|time| format!("expiry-time={}", expiry(time))),
            self.backend.as_ref().map(|backend| format!("backend={}", quote(backend))),
            self.login.as_ref().map(|login| format!("login={}", quote(login))),
            self.no_resume.then(|| "no-resume".to_owned()),
        ];
        f.write_str(&options.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}

/// Adds a peer, or replaces its line.
///
/// # Errors
///
/// [`EditError`] when the file cannot be read or written.
pub fn allow(path: &Path, peer: &Peer) -> Result<(), EditError> {
    update_file(path, 0o600, |text| {
        let mut lines = without(text, |line| is_for(line, &peer.identity));
        lines.push(peer.line());
        Ok((Some(lines.join("\n") + "\n"), ()))
    })
}

/// Takes out every line of a peer, named by its fingerprint, its key or its comment; returns who
/// they were.
///
/// # Errors
///
/// [`EditError`] when the file cannot be read or written.
pub fn revoke(path: &Path, who: &str) -> Result<Vec<Peer>, EditError> {
    let by_key = Identity::from_openssh(who);
    let is_meant =
        |peer: &Peer| peer.name == who || peer.identity.fingerprint() == who || by_key == Some(peer.identity);
    update_file(path, 0o600, |text| {
        let gone: Vec<Peer> =
            AuthorizedPeers::parse(text, &TimeZone::system()).peers.into_iter().filter(is_meant).collect();
        if gone.is_empty() {
            return Ok((None, gone));
        }
        let lines = without(text, |line| gone.iter().any(|peer| is_for(line, &peer.identity)));
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        Ok((Some(text), gone))
    })
}

/// `authorized_peers` could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Another process holds the file.
    #[error(transparent)]
    Lock(#[from] LockError),
}

fn is_for(line: &str, identity: &Identity) -> bool {
    parse_line(line.trim(), &TimeZone::UTC).is_ok_and(|peer| peer.identity == *identity)
}

fn without(text: &str, unwanted: impl Fn(&str) -> bool) -> Vec<String> {
    text.lines().filter(|line| !unwanted(line)).map(str::to_owned).collect()
}

/// The name with which an OpenSSH public key of this kind begins.
const KEY_TYPE: &str = "ssh-ed25519";

fn parse_line(line: &str, time_zone: &TimeZone) -> Result<Peer, String> {
    let starts_with_key = line.split_ascii_whitespace().next() == Some(KEY_TYPE);
    let (options, key) =
        if starts_with_key { ("", line) } else { split_options_of_text(line).map_err(|e| e.to_string())? };
    let mut words = key.splitn(3, [' ', '\t']);
    match words.next() {
        Some(KEY_TYPE) => {}
        Some(other)
            if other.starts_with("ssh-") || other.starts_with("ecdsa-") || other.starts_with("sk-") =>
        {
            return Err(format!("a key of type {other}: an identity is an {KEY_TYPE} key"));
        }
        _ => return Err(format!("no {KEY_TYPE} key found")),
    }
    let blob = words.next().unwrap_or_default();
    let identity = Identity::from_openssh(&format!("{KEY_TYPE} {blob}"))
        .ok_or_else(|| "the key is damaged".to_owned())?;
    let name = words.next().unwrap_or_default().trim().to_owned();
    Ok(Peer { identity, name, options: parse_options(options, time_zone)? })
}

fn parse_options(text: &str, time_zone: &TimeZone) -> Result<PeerOptions, String> {
    let mut read = PeerOptions::default();
    for option in options(text) {
        let option = option.map_err(|error| error.to_string())?;
        let value = option.value.map(|value| value.text.into_owned());
        let name = option.name;
        // It could not be written in quotes: `\"` is the one escape there is.
        if value.as_ref().is_some_and(|value| value.ends_with('\\')) {
            return Err(format!("option {name} ends in a backslash"));
        }
        let needed = || value.clone().ok_or_else(|| format!("option {name} needs a value"));
        // Option names are matched in any case, as sshd does.
        match name.to_ascii_lowercase().as_str() {
            "expiry-time" => {
                // The earliest of several counts, as in sshd.
                let text = needed()?;
                let time = parse_time(&text, time_zone)
                    .ok_or_else(|| format!("`{text}` is not a time: use YYYYMMDD[HHMM[SS]][Z]"))?;
                read.expiry_time = Some(read.expiry_time.map_or(time, |old| old.min(time)));
            }
            "backend" => read.backend = Some(needed()?),
            "login" => read.login = Some(needed()?),
            "no-resume" if value.is_none() => read.no_resume = true,
            _ => return Err(format!("unknown option `{name}`")),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity(seed: u8) -> Identity {
        Identity(*iroh::SecretKey::from_bytes(&[seed; 32]).public().as_bytes())
    }

    fn parse(text: &str) -> AuthorizedPeers {
        AuthorizedPeers::parse(text, &TimeZone::UTC)
    }

    #[test]
    fn lines_are_read_as_sshd_reads_them() {
        let key = identity(1).openssh();
        let text = format!(
            "# a comment\n\n{key} one\n  \tno-resume,backend=\"exec:/bin/a, b\" {key}\tname with # in it\nLOGIN=\"a\\\"b\" {key}\n"
        );
        let read = parse(&text);
        assert_eq!(read.refused, []);
        let [one, two, three] = &read.peers[..] else { panic!("{read:?}") };
        assert_eq!((one.name.as_str(), &one.options), ("one", &PeerOptions::default()));
        assert_eq!(two.name, "name with # in it");
        assert_eq!(two.options.backend.as_deref(), Some("exec:/bin/a, b"));
        assert!(two.options.no_resume);
        assert_eq!(three.options.login.as_deref(), Some("a\"b"));
    }

    #[test]
    fn an_unknown_option_refuses_its_line_alone_and_is_named() {
        let text = format!(
            "{}\nfrobnicate {}\n{}\n",
            identity(1).openssh(),
            identity(2).openssh(),
            identity(3).openssh()
        );
        let read = parse(&text);
        assert!(read.find(&identity(1)).is_some() && read.find(&identity(3)).is_some());
        assert_eq!(read.find(&identity(2)), None);
        assert_eq!(read.refused[0].to_string(), "line 2: unknown option `frobnicate`");
    }

    #[test]
    fn bad_lines_say_why() {
        let key = identity(1).openssh();
        for (line, reason) in [
            ("ssh-ed25519 AAAA", "the key is damaged"),
            ("ssh-rsa AAAA x", "no ssh-ed25519 key found"),
            ("no-resume ssh-rsa AAAA x", "a key of type ssh-rsa"),
            ("hello world", "no ssh-ed25519 key found"),
            (&format!("login=\"x {key}"), "a quote is not closed"),
            (&format!("login {key}"), "option login needs a value"),
            (&format!("no-resume=yes {key}"), "unknown option `no-resume`"),
            (&format!("expiry-time=\"2026\" {key}"), "is not a time"),
            (&format!("expiry-time=\"20261341\" {key}"), "is not a time"),
        ] {
            let read = parse(line);
            assert!(read.peers.is_empty(), "{line}");
            assert!(read.refused[0].reason.contains(reason), "{line}: {}", read.refused[0]);
        }
    }

    #[test]
    fn expiry_time_is_local_unless_it_ends_in_z() {
        let key = identity(1).openssh();
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let time = |text: &str| {
            let read = AuthorizedPeers::parse(&format!("expiry-time=\"{text}\" {key}"), &zone);
            read.peers[0].options.expiry_time.expect("a time").to_string()
        };
        assert_eq!(time("20260102Z"), "2026-01-02T00:00:00Z");
        assert_eq!(time("20260102"), "2026-01-01T22:00:00Z");
        assert_eq!(time("202601021530"), "2026-01-02T13:30:00Z");
        assert_eq!(time("20260102153012Z"), "2026-01-02T15:30:12Z");
    }

    #[test]
    fn allowing_and_revoking_touch_no_other_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("authorized_peers");
        let kept = format!("# mine\nbad line\n{} other\n", identity(1).openssh());
        std::fs::write(&path, &kept).expect("write");
        let options = PeerOptions { no_resume: true, ..PeerOptions::default() };
        let peer = Peer { identity: identity(2), name: "new".to_owned(), options };
        allow(&path, &peer).expect("allowed");
        allow(&path, &peer).expect("allowed twice is allowed once");
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(text, format!("{kept}no-resume {} new\n", identity(2).openssh()));
        assert_eq!(revoke(&path, "nobody").expect("no change"), []);
        assert_eq!(revoke(&path, &identity(2).fingerprint()).expect("revoked"), [peer]);
        assert_eq!(std::fs::read_to_string(&path).expect("read"), kept);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_a_line_reads_as_it_was_written(text in ".{0,120}", seed: u8, name in "[a-z @]{0,10}", login in "[^\\\\\\p{Cc}]{1,20}") {
            let _ = parse(&text);
            let _ = parse(&format!("{text} {} {name}", identity(seed).openssh()));
            let options = PeerOptions { login: Some(login), ..PeerOptions::default() };
            let peer = Peer { identity: identity(seed), name: name.trim().to_owned(), options };
            let line = peer.line();
            prop_assert_eq!(parse(&line).peers, vec![peer]);
        }
    }
}
