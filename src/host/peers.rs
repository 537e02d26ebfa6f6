//! `authorized_peers`: who may come in, in the grammar of sshd's `authorized_keys`.
//!
//! A line is `[options] ssh-ed25519 AAAA... comment` (sshd(8), AUTHORIZED_KEYS FILE FORMAT). A line
//! that is not understood, or that has an option that is not, is refused alone; the rest stays in
//! force. With the option `revoked`, a line keeps its peer out; such a line may have a fingerprint in
//! place of the key. With `cert-authority`, it is an [`Authority`]'s.

use std::{fmt, path::Path};

use jiff::{Timestamp, tz::TimeZone};
use russh::keys::ssh_key::Fingerprint;
use serde::{Deserialize, Serialize};

use super::{
    authorities::Authority,
    restrictions::{Restrictions, quoted},
};
pub use crate::transport::Identity;
use crate::{
    files::read_trusted_file,
    log::printable,
    server::option_list::{options, parse_time, split_options_of_text},
    transport::KEY_TYPES,
};

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
    /// It is never let in.
    pub revoked: bool,
    /// Its FIDO key need not have been touched.
    pub no_touch_required: bool,
    /// Its FIDO key must have checked a PIN or a finger.
    pub verify_required: bool,
    /// What it may do at the built-in server, whatever it logs in by.
    pub restrictions: Restrictions,
}

/// A line that keeps somebody out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The fingerprint of the identity.
    pub fingerprint: String,
    /// What the line calls them; may be empty.
    pub name: String,
}

/// A line that is not in force, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
    /// Whose line it is, as far as that can be seen.
    pub identity: Option<Identity>,
}

/// The content of an `authorized_peers` file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorizedPeers {
    /// The lines that admit, in order.
    pub peers: Vec<Peer>,
    /// The lines that admit whoever has a certificate, in order.
    pub authorities: Vec<Authority>,
    /// The lines that keep out.
    pub revoked: Vec<Revoked>,
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
            match Line::parse(line, time_zone) {
                Ok(Line::Peer(peer)) if peer.options.revoked => read.revoked.push(peer.into()),
                Ok(Line::Peer(peer)) => read.peers.push(peer),
                Ok(Line::Revoked(revoked)) => read.revoked.push(revoked),
                Ok(Line::Authority(authority)) => read.authorities.push(authority),
                Err(reason) => {
                    let bad =
                        BadLine { line: index + 1, reason: printable(&reason), identity: identity_in(line) };
                    read.refused.push(bad);
                }
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

    /// The line that admits an identity; the first one counts, as in sshd, and none where there is one that
    /// keeps it out.
    #[must_use]
    pub fn find(&self, identity: &Identity) -> Option<&Peer> {
        let admits = self.peers.iter().find(|peer| peer.identity == *identity);
        admits.filter(|_| !self.keeps_out(identity))
    }

    /// Whether a line keeps an identity out.
    #[must_use]
    pub fn keeps_out(&self, identity: &Identity) -> bool {
        let fingerprint = identity.fingerprint();
        self.revoked.iter().any(|revoked| revoked.fingerprint == fingerprint)
    }
}

impl From<Peer> for Revoked {
    fn from(peer: Peer) -> Self {
        Self { fingerprint: peer.identity.fingerprint(), name: peer.name }
    }
}

impl Revoked {
    /// A line of the file that says so.
    #[must_use]
    pub fn line(&self) -> String {
        format!("revoked {} {}", self.fingerprint, without_controls(&self.name)).trim_end().to_owned()
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
        let name = without_controls(&self.name);
        let options = self.options.to_string();
        let space = if options.is_empty() { "" } else { " " };
        format!("{options}{space}{} {name}", self.identity.openssh()).trim_end().to_owned()
    }

    /// Reads a line of the file that has a key.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(line: &str, time_zone: &TimeZone) -> Result<Self, String> {
        match Line::parse(line.trim(), time_zone)? {
            Line::Peer(peer) => Ok(peer),
            Line::Revoked(_) => Err(NO_KEY.to_owned()),
            Line::Authority(_) => Err("it is an authority's".to_owned()),
        }
    }

    /// Its name, for a terminal or a log.
    #[must_use]
    pub fn shown_name(&self) -> String {
        printable(&self.name)
    }
}

pub(super) fn without_controls(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).collect()
}

impl PeerOptions {
    /// These options where `newer` ones change them: what `newer` does not speak of stays, but for an
    /// admission that has ended by `now` or was taken back, since this gives it anew.
    #[must_use]
    pub(super) fn changed_by(&self, newer: &Self, now: Timestamp) -> Self {
        let still = self.expiry_time.filter(|expiry| *expiry > now);
        Self {
            expiry_time: newer.expiry_time.or(still),
            backend: newer.backend.as_ref().or(self.backend.as_ref()).cloned(),
            login: newer.login.as_ref().or(self.login.as_ref()).cloned(),
            no_resume: newer.no_resume || self.no_resume,
            revoked: newer.revoked,
            no_touch_required: newer.no_touch_required || self.no_touch_required,
            verify_required: newer.verify_required || self.verify_required,
            restrictions: self.restrictions.changed_by(&newer.restrictions),
        }
    }

    /// Whether sessions that began under these are what `other` would make them: all but the times match.
    #[must_use]
    pub(super) fn permit_the_same(&self, other: &Self) -> bool {
        Self { expiry_time: other.expiry_time, ..self.clone() } == *other
    }
}

impl fmt::Display for PeerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expiry = |time: &Timestamp| time.strftime("\"%Y%m%d%H%M%SZ\"").to_string();
        let options = [
            self.revoked.then(|| "revoked".to_owned()),
            self.expiry_time.as_ref().map(|time| format!("expiry-time={}", expiry(time))),
            self.backend.as_ref().map(|backend| format!("backend={}", quoted(backend))),
            self.login.as_ref().map(|login| format!("login={}", quoted(login))),
            self.no_resume.then(|| "no-resume".to_owned()),
            self.no_touch_required.then(|| "no-touch-required".to_owned()),
            self.verify_required.then(|| "verify-required".to_owned()),
            Some(self.restrictions.to_string()).filter(|text| !text.is_empty()),
        ];
        f.write_str(&options.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}

/// What stands there when there is no key.
const NO_KEY: &str = "no ssh-ed25519 key found";

/// A line that is understood.
pub(super) enum Line {
    /// With a key.
    Peer(Peer),
    /// With the key of an authority.
    Authority(Authority),
    /// With a fingerprint, which can only keep somebody out.
    Revoked(Revoked),
}

impl Line {
    /// Reads a line that is neither empty nor a comment.
    pub(super) fn parse(line: &str, time_zone: &TimeZone) -> Result<Self, String> {
        let first = |text: &str| text.split_ascii_whitespace().next().unwrap_or_default().to_owned();
        let has_no_options = KEY_TYPES.contains(&first(line).as_str()) || is_fingerprint(&first(line));
        let (options, key) = if has_no_options {
            ("", line)
        } else {
            split_options_of_text(line).map_err(|e| e.to_string())?
        };
        if is_fingerprint(&first(key)) {
            return Self::of_fingerprint(&LineOptions::parse(options, time_zone)?.of_peer()?, key);
        }
        let mut words = key.splitn(3, [' ', '\t']);
        let is_key = |kind: &&str| ["ssh-", "ecdsa-", "sk-"].iter().any(|of_keys| kind.starts_with(of_keys));
        let kind = words.next().filter(is_key).ok_or(NO_KEY)?;
        let key = format!("{kind} {}", words.next().unwrap_or_default());
        let name = words.next().unwrap_or_default().trim().to_owned();
        let options = LineOptions::parse(options, time_zone)?;
        if options.authority {
            return Authority::new(&key, name, options).map(Self::Authority);
        }
        if !KEY_TYPES.contains(&kind) {
            let [plain, security_key] = KEY_TYPES;
            return Err(format!("a key of type {kind}: an identity is an {plain} or {security_key} key"));
        }
        let identity = Identity::from_openssh(&key).ok_or("the key is damaged")?;
        Ok(Self::Peer(Peer { identity, name, options: options.of_peer()? }))
    }

    fn of_fingerprint(options: &PeerOptions, rest: &str) -> Result<Self, String> {
        if *options != (PeerOptions { revoked: true, ..PeerOptions::default() }) {
            return Err("a fingerprint admits nobody: give the key, or the option revoked alone".to_owned());
        }
        let (fingerprint, name) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        Ok(Self::Revoked(Revoked { fingerprint: fingerprint.to_owned(), name: name.trim().to_owned() }))
    }

    /// Whether it speaks of this identity.
    pub(super) fn is_of(&self, identity: &Identity) -> bool {
        match self {
            Self::Peer(peer) => peer.identity == *identity,
            Self::Revoked(revoked) => revoked.fingerprint == identity.fingerprint(),
            Self::Authority(_) => false,
        }
    }
}

/// Whether a word is a fingerprint as `ssh-keygen -l` prints it: `SHA256:` and 43 characters of base64.
pub(super) fn is_fingerprint(word: &str) -> bool {
    word.parse::<Fingerprint>().is_ok_and(|read| read.is_sha256())
}

/// The key in a line that is not understood.
fn identity_in(line: &str) -> Option<Identity> {
    let mut words = line.split_ascii_whitespace();
    let kind = words.find(|word| KEY_TYPES.contains(word))?;
    Identity::from_openssh(&format!("{kind} {}", words.next()?))
}

/// The options of a line, whoever's it is.
#[derive(Default)]
pub(super) struct LineOptions {
    pub(super) of_all: PeerOptions,
    pub(super) authority: bool,
    pub(super) principals: Option<Vec<String>>,
    /// `login` without a value.
    pub(super) principals_log_in: bool,
}

impl LineOptions {
    fn parse(text: &str, time_zone: &TimeZone) -> Result<Self, String> {
        let mut read = Self::default();
        let of_all = &mut read.of_all;
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
                    of_all.expiry_time = Some(of_all.expiry_time.map_or(time, |old| old.min(time)));
                }
                "backend" => of_all.backend = Some(needed()?),
                "login" if value.is_none() => read.principals_log_in = true,
                "login" => of_all.login = Some(needed()?),
                "principals" => {
                    let listed = needed()?;
                    let listed = listed.split(',').filter(|one| !one.is_empty()).map(ToOwned::to_owned);
                    if read.principals.replace(listed.collect()).is_some() {
                        return Err("more than one option principals".to_owned());
                    }
                }
                "no-resume" if value.is_none() => of_all.no_resume = true,
                "revoked" if value.is_none() => of_all.revoked = true,
                "cert-authority" if value.is_none() => read.authority = true,
                "no-touch-required" if value.is_none() => of_all.no_touch_required = true,
                "touch-required" if value.is_none() => of_all.no_touch_required = false,
                "verify-required" if value.is_none() => of_all.verify_required = true,
                "no-verify-required" if value.is_none() => of_all.verify_required = false,
                _ => of_all.restrictions.push(name, value),
            }
        }
        of_all.restrictions.check().map(|()| read)
    }

    /// Those of a line that is no authority's.
    fn of_peer(self) -> Result<PeerOptions, String> {
        match self {
            Self { principals_log_in: true, .. } => Err("option login needs a value".to_owned()),
            Self { principals: Some(_), .. } => {
                Err("option principals is for lines with cert-authority".to_owned())
            }
            Self { authority: true, .. } => Err("option cert-authority is for lines with a key".to_owned()),
            Self { of_all, .. } => Ok(of_all),
        }
    }
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;
