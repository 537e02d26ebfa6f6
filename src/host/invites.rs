//! Invites that are open: kept hashed, used up one by one, alive across a restart.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::peers::{EditError, Identity};
use crate::{
    files::update_file,
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
}

impl Default for Terms {
    /// One use within 24 hours.
    fn default() -> Self {
        Self { ttl: Duration::from_secs(24 * 60 * 60), uses: 1, login: None }
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
    /// Fingerprints of the identities that it has admitted: it admits nobody twice, so that who was
    /// revoked does not come in again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    admitted: Vec<String>,
}

impl OpenInvite {
    /// A short name for logs and comments.
    #[must_use]
    pub fn name(&self) -> &str {
        self.hash.get(..8).unwrap_or_default()
    }
}

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
        admitted: Vec::new(),
    };
    update_file::<_, EditError>(path, 0o600, |text| {
        let mut invites = parse(path, text)?;
        invites.invite.retain(|old| old.expires.checked_add(REMEMBERED).map_or(true, |end| end > now));
        invites.invite.push(invite.clone());
        Ok((Some(render(&invites)?), ()))
    })?;
    Ok(invite)
}

/// Uses an invite once, for an identity that `admit` puts on the list; the refusal says why it does
/// not admit.
///
/// # Errors
///
/// [`EditError`] when a file cannot be read or written, or `admit` fails; the invite is then not used.
pub(super) fn redeem<T>(
    path: &Path,
    secret: &InviteSecret,
    identity: &Identity,
    now: Timestamp,
    admit: impl FnOnce(&OpenInvite) -> Result<T, EditError>,
) -> Result<Result<T, Refusal>, EditError> {
    let hash = hash(secret);
    update_file(path, 0o600, |text| {
        let mut invites = parse(path, text)?;
        let Some(invite) = invites.invite.iter_mut().find(|invite| invite.hash == hash) else {
            return Ok((
                None,
                Err(refusal(RefusalCode::InviteUnknown, "the host does not know this invite")),
            ));
        };
        if invite.expires <= now {
            return Ok((None, Err(refusal(RefusalCode::InviteExpired, "this invite has expired"))));
        }
        if invite.admitted.contains(&identity.fingerprint()) {
            let sentence = "this invite has admitted you before, and your admission was taken back";
            return Ok((None, Err(refusal(RefusalCode::InviteUsed, sentence))));
        }
        if invite.uses == 0 {
            return Ok((None, Err(refusal(RefusalCode::InviteUsed, "this invite has been used already"))));
        }
        let admitted = admit(invite)?;
        invite.uses -= 1;
        invite.admitted.push(identity.fingerprint());
        Ok((Some(render(&invites)?), Ok(admitted)))
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
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("a time")
    }

    /// Shows an invite as the identity of this number; returns the uses that were left before.
    fn show(path: &Path, secret: &InviteSecret, number: u8, now: Timestamp) -> Result<u32, RefusalCode> {
        let identity = Identity([number; 32]);
        let admit = |invite: &OpenInvite| Ok(invite.uses);
        redeem(path, secret, &identity, now, admit).expect("io").map_err(|refusal| refusal.code)
    }

    #[test]
    fn an_invite_admits_as_often_as_it_says_and_no_longer_than_it_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("invites.toml");
        let secret = InviteSecret::generate();
        let terms = Terms { uses: 2, ..Terms::default() };
        issue(&path, &secret, &terms, now()).expect("issued");
        let later = now() + Duration::from_secs(60);
        assert_eq!(show(&path, &secret, 1, later), Ok(2));
        let tomorrow = now() + terms.ttl;
        assert_eq!(show(&path, &secret, 2, tomorrow), Err(RefusalCode::InviteExpired));
        assert_eq!(show(&path, &secret, 1, later), Err(RefusalCode::InviteUsed));
        assert_eq!(show(&path, &secret, 2, later), Ok(1));
        assert_eq!(show(&path, &secret, 3, later), Err(RefusalCode::InviteUsed));
        let wrong = InviteSecret::generate();
        assert_eq!(show(&path, &wrong, 3, later), Err(RefusalCode::InviteUnknown));
    }

    #[test]
    fn the_secret_is_not_in_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("invites.toml");
        let secret = InviteSecret::generate();
        issue(&path, &secret, &Terms::default(), now()).expect("issued");
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(!text.contains(&hex::encode(secret.0)));
    }

    #[test]
    fn of_many_who_show_one_invite_at_once_one_is_admitted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("invites.toml");
        let secret = InviteSecret::generate();
        issue(&path, &secret, &Terms::default(), now()).expect("issued");
        let (path, secret) = (&path, &secret);
        let admitted = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|number| scope.spawn(move || show(path, secret, number, now()).is_ok())).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .filter(|admitted| *admitted)
                .count()
        });
        assert_eq!(admitted, 1);
    }

    #[test]
    fn a_damaged_file_is_said_to_be_damaged_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("invites.toml");
        std::fs::write(&path, "garbage").expect("write");
        let error = redeem(&path, &InviteSecret::generate(), &Identity([1; 32]), now(), |_| Ok(()));
        let error = error.expect_err("refused").to_string();
        assert!(error.contains("is damaged"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "garbage");
    }
}
