//! Invites that are open: kept hashed, used up one by one, alive across a restart.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{peer_edits::EditError, peers::Identity, restrictions::Restrictions};
use crate::{
    files::{read_trusted_file, update_file},
    protocol::{Refusal, RefusalCode},
    transport::InviteSecret,
};

/// What an invite admits to, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// How long it may be used.
    pub ttl: Duration,
    /// How many identities it may admit.
    pub uses: u32,
    /// The login that those need no further proof for at the built-in server.
    pub login: Option<String>,
    /// What they may do there.
    pub restrictions: Restrictions,
}

impl Default for Terms {
    /// One use within 24 hours.
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(24 * 60 * 60),
            uses: 1,
            login: None,
            restrictions: Restrictions::default(),
        }
    }
}

/// An invite as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenInvite {
    /// SHA-256 of the secret in hex. The secret has 128 random bits, so no slow hash is needed.
    hash: String,
    /// When it ends.
    pub expires: Timestamp,
    /// How many identities it still admits.
    pub uses: u32,
    /// The login that comes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// What those may do at the built-in server whom it admits.
    #[serde(default, skip_serializing_if = "Restrictions::is_empty")]
    pub restrictions: Restrictions,
    /// Whether it was taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    revoked: bool,
    /// Fingerprints of the identities that have used it and may not be on the list yet: they may come back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    admitting: Vec<String>,
    /// Fingerprints of the identities that it has admitted: it admits nobody twice, so that who was
    /// revoked does not come in again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    admitted: Vec<String>,
}

impl OpenInvite {
    /// A short name for logs and comments: the id by which it is taken back.
    #[must_use]
    pub fn name(&self) -> &str {
        self.hash.get(..SHORT).unwrap_or_default()
    }

    /// The same, of the invite with this secret.
    #[must_use]
    pub fn name_of(secret: &InviteSecret) -> String {
        let mut name = hash(secret);
        name.truncate(SHORT);
        name
    }

    /// Whether somebody might still come in with it.
    fn is_open(&self, now: Timestamp) -> bool {
        !self.revoked && (self.uses > 0 || !self.admitting.is_empty()) && self.expires > now
    }

    fn brought(&self, fingerprint: &String) -> bool {
        self.admitted.contains(fingerprint) || self.admitting.contains(fingerprint)
    }

    /// Notes that these are on the list now.
    fn settle(&mut self, fingerprints: &[String]) {
        let (settled, left) =
            std::mem::take(&mut self.admitting).into_iter().partition(|one| fingerprints.contains(one));
        self.admitting = left;
        self.admitted.extend::<Vec<_>>(settled);
    }

    /// Why it does not admit an identity that has not used it before.
    fn refuses(&self, fingerprint: &String, now: Timestamp) -> Option<Refusal> {
        let known = self.admitted.contains(fingerprint);
        let (code, what) = if self.revoked && !known {
            (RefusalCode::InviteExpired, "this invite was taken back")
        } else if self.expires <= now {
            (RefusalCode::InviteExpired, "this invite has expired")
        } else if known {
            (
                RefusalCode::InviteUsed,
                "this invite has admitted you before, and your admission was taken back",
            )
        } else if self.uses == 0 {
            (RefusalCode::InviteUsed, "this invite has been used already")
        } else {
            return None;
        };
        Some(refusal(code, what))
    }
}

/// The length of a short name, in hex digits.
const SHORT: usize = 8;

/// All invites of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Invites {
    #[serde(default)]
    invite: Vec<OpenInvite>,
}

/// An expired or used-up invite is remembered so long, so that who shows it hears which it was.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Keeps a new invite.
///
/// # Errors
///
/// [`EditError`] when the file cannot be read or written.
pub fn issue(
    path: &Path,
    secret: &InviteSecret,
    terms: &Terms,
    now: Timestamp,
) -> Result<OpenInvite, EditError> {
    let expires = now.checked_add(terms.ttl).unwrap_or(Timestamp::MAX);
    let invite = OpenInvite {
        hash: hash(secret),
        expires,
        uses: terms.uses,
        login: terms.login.clone(),
        restrictions: terms.restrictions.clone(),
        revoked: false,
        admitting: Vec::new(),
        admitted: Vec::new(),
    };
    change(path, |invites| {
        invites.retain(|old| old.expires.checked_add(REMEMBERED).map_or(true, |end| end > now));
        invites.push(invite.clone());
        invite
    })
}

/// The invites that can still be used, as they were issued.
///
/// # Errors
///
/// What the system says, or that the file is damaged.
pub fn open_invites(path: &Path, now: Timestamp) -> std::io::Result<Vec<OpenInvite>> {
    let text = read_trusted_file(path)?.unwrap_or_default();
    Ok(parse(path, &text)?.invite.into_iter().filter(|invite| invite.is_open(now)).collect())
}

/// Takes back the open invites that are `meant`; returns them.
///
/// # Errors
///
/// [`EditError`] when the file cannot be read or written.
pub fn revoke_invites(
    path: &Path,
    now: Timestamp,
    meant: impl Fn(&OpenInvite) -> bool,
) -> Result<Vec<OpenInvite>, EditError> {
    change(path, |invites| {
        let open = invites.iter_mut().filter(|invite| invite.is_open(now) && meant(invite));
        open.map(|invite| {
            invite.revoked = true;
            invite.clone()
        })
        .collect()
    })
}

/// Ends what brought identities in that are revoked, by their fingerprints; returns the invites that others
/// could still have used.
///
/// # Errors
///
/// [`EditError`] when the file cannot be read or written.
pub fn end_invites_of(
    path: &Path,
    now: Timestamp,
    fingerprints: &[String],
) -> Result<Vec<OpenInvite>, EditError> {
    settle(path, fingerprints)?;
    revoke_invites(path, now, |invite| fingerprints.iter().any(|one| invite.brought(one)))
}

/// Uses an invite once for an identity that will then be put on the list, where `fits` has nothing against
/// it; the refusal says why it does not admit.
///
/// An identity for which it was used before and that may not be on the list yet, since something failed in
/// between, has it again.
///
/// # Errors
///
/// [`EditError`] when the file cannot be read or written; the invite is then not used.
pub(super) fn consume(
    path: &Path,
    secret: &InviteSecret,
    identity: &Identity,
    now: Timestamp,
    fits: impl FnOnce(&OpenInvite) -> Result<(), Refusal>,
) -> Result<Result<OpenInvite, Refusal>, EditError> {
    let hash = hash(secret);
    let fingerprint = identity.fingerprint();
    change(path, |invites| {
        let unknown = || refusal(RefusalCode::InviteUnknown, "the host does not know this invite");
        let invite = invites.iter_mut().find(|invite| invite.hash == hash).ok_or_else(unknown)?;
        if !invite.revoked && invite.admitting.contains(&fingerprint) {
            return Ok(invite.clone());
        }
        if let Some(refusal) = invite.refuses(&fingerprint, now) {
            return Err(refusal);
        }
        fits(invite)?;
        invite.uses -= 1;
        invite.admitting.push(fingerprint);
        Ok(invite.clone())
    })
}

/// Notes that identities are on the list, by their fingerprints: no invite that they have used admits them
/// again.
///
/// # Errors
///
/// [`EditError`] when the file cannot be read or written.
pub(super) fn settle(path: &Path, fingerprints: &[String]) -> Result<(), EditError> {
    change(path, |invites| invites.iter_mut().for_each(|invite| invite.settle(fingerprints)))
}

/// Changes the invites of a file, which is written if anything is different then.
fn change<T>(path: &Path, change: impl FnOnce(&mut Vec<OpenInvite>) -> T) -> Result<T, EditError> {
    update_file(path, 0o600, |text| {
        let before = parse(path, text)?;
        let mut after = before.clone();
        let result = change(&mut after.invite);
        let text = if after == before { None } else { Some(render(&after)?) };
        Ok((text, result))
    })
}

fn refusal(code: RefusalCode, what: &str) -> Refusal {
    Refusal::new(code, format!("{what}\nask its owner for a new one: irosh invite"))
}

fn hash(secret: &InviteSecret) -> String {
    hex::encode(Sha256::digest(secret.0))
}

fn parse(path: &Path, text: &str) -> std::io::Result<Invites> {
    toml::from_str(text).map_err(|error| {
        std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("{} is damaged: {error}", path.display()),
        )
    })
}

fn render(invites: &Invites) -> std::io::Result<String> {
    toml::to_string(invites).map_err(std::io::Error::other)
}

#[cfg(test)]
#[path = "invites_tests.rs"]
mod tests;
