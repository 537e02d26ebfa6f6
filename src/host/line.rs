//! One line of `authorized_peers`.

use jiff::tz::TimeZone;
use russh::keys::ssh_key::{Fingerprint, PublicKey};

use super::{
    authorities::Authority,
    peer::{Peer, PeerOptions, Revoked},
};
use crate::{
    server::option_list::{options, parse_time, split_options_of_text},
    transport::{Identity, KEY_TYPES},
};

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
pub(super) fn identity_in(line: &str) -> Option<Identity> {
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

impl Peer {
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
}

impl Authority {
    fn new(key: &str, name: String, options: LineOptions) -> Result<Self, String> {
        let LineOptions { of_all, principals, principals_log_in, .. } = options;
        if of_all.revoked {
            return Err("an authority is not revoked by its own line: take the line out".to_owned());
        }
        let key = PublicKey::from_openssh(key).map_err(|_| "the key is damaged")?;
        Ok(Self { key, name, principals, principals_log_in, options: of_all })
    }

    /// Reads a line of the file with `cert-authority`; `None` where it is none, or not understood.
    #[must_use]
    pub fn parse(line: &str, time_zone: &TimeZone) -> Option<Self> {
        match Line::parse(line.trim(), time_zone) {
            Ok(Line::Authority(authority)) => Some(authority),
            _ => None,
        }
    }
}
