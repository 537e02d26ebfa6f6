//! Changes to `authorized_peers`: one identity's line, or one authority's, and no other.

use std::{collections::HashSet, path::Path};

use jiff::{Timestamp, tz::TimeZone};
use russh::keys::PublicKey;

use super::{
    authorities::Authority,
    line::{Line, is_fingerprint},
    peer::{Peer, PeerOptions, Revoked},
    peers::{AuthorizedPeers, Identity},
};
use crate::files::{LockError, update_file};

/// What becomes of the options that an identity has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Those stay that the new line does not speak of.
    Change,
    /// They go.
    Replace,
}

/// An identity's line as it is now, and as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// Now.
    pub peer: Peer,
    /// Before, if there was one.
    pub before: Option<Peer>,
}

/// What taking an admission back has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocation {
    /// Who may no longer come in.
    pub gone: Vec<Peer>,
    /// Whose certificates admit nobody any more.
    pub authorities: Vec<Authority>,
    /// Whom a line now keeps out, whatever the access; among them may be some who never were in.
    pub kept_out: Vec<Revoked>,
}

/// `authorized_peers` could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Another process holds the file.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// Adds a peer, or changes its line.
///
/// # Errors
///
/// [`EditError`] when the file cannot be read or written.
pub fn allow(path: &Path, peer: &Peer, edit: Edit) -> Result<Allowed, EditError> {
    let now = Timestamp::now();
    update(path, &peer.identity, |before| match before.filter(|_| edit == Edit::Change) {
        None => peer.clone(),
        Some(before) => {
            let name = if peer.name.is_empty() { &before.name } else { &peer.name };
            let options = before.options.changed_by(&peer.options, now);
            Peer { identity: peer.identity, name: name.clone(), options }
        }
    })
}

/// Adds an authority, or changes its line of the same principals; returns it as it is now, and as it was.
///
/// # Errors
///
/// [`EditError`] when the file cannot be read or written.
pub fn allow_authority(
    path: &Path,
    authority: &Authority,
    edit: Edit,
) -> Result<(Authority, Option<Authority>), EditError> {
    let now = Timestamp::now();
    let is_it = |old: &Authority| {
        old.key.key_data() == authority.key.key_data() && old.principals == authority.principals
    };
    update_file(path, 0o600, |text| {
        let before = text.lines().find_map(|line| match read(line)? {
            Line::Authority(old) if is_it(&old) => Some(old),
            _ => None,
        });
        let after = match before.as_ref().filter(|_| edit == Edit::Change) {
            Some(before) => before.changed_by(authority, now),
            None => authority.clone(),
        };
        let is_old = |line: &Line| matches!(line, Line::Authority(old) if is_it(old));
        let text = replaced(text, is_old, std::slice::from_ref(&after.line()));
        Ok((Some(text), (after, before)))
    })
}

/// Has an identity's line be what `change` makes of the one that counts now.
pub(super) fn update(
    path: &Path,
    identity: &Identity,
    change: impl FnOnce(Option<&Peer>) -> Peer,
) -> Result<Allowed, EditError> {
    update_file(path, 0o600, |text| {
        let before = text.lines().find_map(|line| match read(line)? {
            Line::Peer(peer) if peer.identity == *identity => Some(peer),
            _ => None,
        });
        let peer = change(before.as_ref());
        let is_old = |line: &Line| line.is_of(identity);
        let text = replaced(text, is_old, std::slice::from_ref(&peer.line()));
        Ok((Some(text), Allowed { peer, before }))
    })
}

/// Takes every line of a peer or an authority out, named by its fingerprint, its key or its comment; where `keep_out` says
/// so, a line stays that keeps it out, and always where somebody is not on the list who is named by
/// fingerprint or key.
///
/// # Errors
///
/// [`EditError`] when the file cannot be read or written.
pub fn revoke(path: &Path, who: &str, keep_out: bool) -> Result<Revocation, EditError> {
    let by_key = Identity::from_openssh(who);
    let is_meant =
        |peer: &Peer| peer.name == who || peer.identity.fingerprint() == who || by_key == Some(peer.identity);
    let key = PublicKey::from_openssh(who.trim()).ok();
    let is_meant_authority = |authority: &Authority| {
        let is_key = |key: &PublicKey| key.key_data() == authority.key.key_data();
        authority.name == who || authority.fingerprint() == who || key.as_ref().is_some_and(is_key)
    };
    update_file(path, 0o600, |text| {
        let list = AuthorizedPeers::parse(text, &TimeZone::system());
        let authorities: Vec<_> = list.authorities.into_iter().filter(is_meant_authority).collect();
        let mut gone: Vec<Peer> = list.peers.into_iter().filter(is_meant).collect();
        // Of several lines of one identity the first counts.
        let mut seen = HashSet::new();
        gone.retain(|peer| seen.insert(peer.identity));
        if gone.is_empty() && authorities.is_empty() {
            return Ok(shut_out(text, list.revoked, by_key, who));
        }
        let is_old = |line: &Line| matches!(line, Line::Authority(old) if is_meant_authority(old));
        let mut new = replaced(text, is_old, &[]);
        for peer in &gone {
            let mut line = Vec::new();
            if keep_out {
                let options = PeerOptions { revoked: true, ..peer.options.clone() };
                line.push(Peer { options, ..peer.clone() }.line());
            }
            new = replaced(&new, |line| line.is_of(&peer.identity), &line);
        }
        let kept_out = if keep_out { gone.iter().cloned().map(Revoked::from).collect() } else { Vec::new() };
        Ok((Some(new), Revocation { gone, authorities, kept_out }))
    })
}

/// Keeps somebody out who is not on the list, where `who` says precisely enough who that is.
fn shut_out(
    text: &str,
    revoked: Vec<Revoked>,
    by_key: Option<Identity>,
    who: &str,
) -> (Option<String>, Revocation) {
    let fingerprint = by_key.map_or_else(|| who.to_owned(), |identity| identity.fingerprint());
    let is_meant = |revoked: &Revoked| revoked.fingerprint == fingerprint || revoked.name == who;
    let already: Vec<Revoked> = revoked.into_iter().filter(is_meant).collect();
    if !already.is_empty() || !is_fingerprint(&fingerprint) {
        return (None, Revocation { kept_out: already, ..Revocation::default() });
    }
    let revoked = Revoked { fingerprint, name: String::new() };
    let text = replaced(text, |_| false, &[revoked.line()]);
    (Some(text), Revocation { kept_out: vec![revoked], ..Revocation::default() })
}

/// The text with `new` lines in place of the first one that is `unwanted`, or else at the end, and without
/// the others that are.
fn replaced(text: &str, unwanted: impl Fn(&Line) -> bool, new: &[String]) -> String {
    let mut new = new.iter();
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        if read(line).is_some_and(|read| unwanted(&read)) {
            lines.extend(new.by_ref().map(String::as_str));
        } else {
            lines.push(line);
        }
    }
    lines.extend(new.map(String::as_str));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A line that is in force.
fn read(line: &str) -> Option<Line> {
    Line::parse(line.trim(), &TimeZone::system()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::host::restrictions::Restrictions;

    struct List(tempfile::TempDir);

    impl List {
        fn with(text: &str) -> Self {
            let list = Self(tempfile::tempdir().expect("a folder"));
            std::fs::write(list.path(), text).expect("written");
            list
        }

        fn path(&self) -> std::path::PathBuf {
            self.0.path().join("authorized_peers")
        }

        fn text(&self) -> String {
            std::fs::read_to_string(self.path()).expect("read")
        }

        fn allow(&self, line: &str, edit: Edit) -> Allowed {
            let peer = Peer::parse(line, &TimeZone::UTC).expect(line);
            allow(&self.path(), &peer, edit).expect("allowed")
        }
    }

    fn identity(seed: u8) -> Identity {
        Identity::ed25519(*iroh::SecretKey::from_bytes(&[seed; 32]).public().as_bytes())
    }

    #[test]
    fn allowing_and_revoking_touch_no_other_line() {
        let kept = format!("# mine\nbad line\n{} other\n", identity(1).openssh());
        let list = List::with(&kept);
        let options = PeerOptions { no_resume: true, ..PeerOptions::default() };
        let peer = Peer { identity: identity(2), name: "new".to_owned(), options };
        allow(&list.path(), &peer, Edit::Change).expect("allowed");
        allow(&list.path(), &peer, Edit::Change).expect("allowed twice is allowed once");
        assert_eq!(list.text(), format!("{kept}no-resume {} new\n", identity(2).openssh()));
        assert_eq!(revoke(&list.path(), "nobody", true).expect("no change"), Revocation::default());
        let revoked = revoke(&list.path(), &identity(2).fingerprint(), false).expect("revoked");
        assert_eq!(revoked, Revocation { gone: vec![peer], ..Revocation::default() });
        assert_eq!(list.text(), kept);
    }

    #[test]
    fn allowing_again_keeps_the_options_that_it_does_not_speak_of() {
        let key = identity(1).openssh();
        let old = format!(
            "expiry-time=\"20400101Z\",backend=\"exec:/bin/x\",login=\"bob\",no-pty {key} contractor\n"
        );
        let list = List::with(&old);
        let allowed = list.allow(&key, Edit::Change);
        assert_eq!(allowed.peer, allowed.before.expect("a line"));
        let same = AuthorizedPeers::parse(&old, &TimeZone::UTC);
        assert_eq!(AuthorizedPeers::parse(&list.text(), &TimeZone::UTC), same);
        let changed = list.allow(&format!("login=\"eve\",command=\"x\" {key} her"), Edit::Change).peer;
        assert_eq!(changed.name, "her");
        let expected =
            "expiry-time=\"20400101000000Z\",backend=\"exec:/bin/x\",login=\"eve\",no-pty,command=\"x\"";
        assert_eq!(changed.options.to_string(), expected);
    }

    #[test]
    fn replacing_starts_anew() {
        let key = identity(1).openssh();
        let list = List::with(&format!("login=\"bob\",no-pty {key} bob\n"));
        list.allow(&format!("{key} new"), Edit::Replace);
        assert_eq!(list.text(), format!("{key} new\n"));
    }

    #[test]
    fn allowing_lifts_what_keeps_a_peer_out_and_nothing_else() {
        let key = identity(1).openssh();
        let list = List::with(&format!("revoked,expiry-time=\"20200101Z\",restrict {key} bob\n"));
        list.allow(&key, Edit::Change);
        assert_eq!(list.text(), format!("restrict {key} bob\n"));
        let list = List::with(&format!("revoked {} bob\n", identity(1).fingerprint()));
        list.allow(&key, Edit::Change);
        assert_eq!(list.text(), format!("{key}\n"));
    }

    #[test]
    fn revoking_may_leave_a_line_that_keeps_out() {
        let (key, fingerprint) = (identity(1).openssh(), identity(1).fingerprint());
        let list = List::with(&format!("restrict {key} bob\n# end\n{key} again\n"));
        let revoked = revoke(&list.path(), &fingerprint, true).expect("revoked");
        assert_eq!(revoked.gone.len(), 1);
        assert_eq!(list.text(), format!("revoked,restrict {key} bob\n# end\n"));
        // Once more changes nothing.
        let text = list.text();
        let again = revoke(&list.path(), "bob", true).expect("revoked");
        assert_eq!((again.gone.len(), again.kept_out.len()), (0, 1));
        assert_eq!(list.text(), text);
    }

    #[test]
    fn a_stranger_is_kept_out_by_key_or_fingerprint() {
        for who in [identity(1).openssh(), identity(1).fingerprint()] {
            let list = List::with("# mine\n");
            let revoked = revoke(&list.path(), &who, false).expect("revoked");
            assert_eq!(revoked.kept_out[0].fingerprint, identity(1).fingerprint());
            let text = list.text();
            assert_eq!(text, format!("# mine\nrevoked {}\n", identity(1).fingerprint()));
            assert!(AuthorizedPeers::parse(&text, &TimeZone::UTC).keeps_out(&identity(1)));
        }
    }

    #[test]
    fn authorities_are_allowed_and_revoked_by_key_and_principals() {
        let (key, other) = (identity(1).openssh(), identity(2).openssh());
        let kept = format!("# mine\n{other} peer\ncert-authority,principals=\"ops\",no-pty {key} team\n");
        let list = List::with(&kept);
        let allow = |line: &str, edit| {
            let authority = Authority::parse(line, &TimeZone::UTC).expect(line);
            allow_authority(&list.path(), &authority, edit).expect("allowed")
        };
        let (_, before) = allow(&format!("cert-authority {key} all"), Edit::Change);
        assert_eq!(before, None);
        assert_eq!(list.text(), format!("{kept}cert-authority {key} all\n"));
        let changed = |line: &str, edit| allow(line, edit).0.all_options();
        let line = format!("cert-authority,principals=\"ops\",login {key}");
        let both = "cert-authority,principals=\"ops\",login,no-pty";
        assert_eq!(changed(&line, Edit::Change), both);
        assert!(list.text().contains(&format!("{both} {key} team\n")), "{}", list.text());
        assert_eq!(changed(&line, Edit::Replace), "cert-authority,principals=\"ops\",login");
        let revoked = revoke(&list.path(), &identity(1).fingerprint(), true).expect("revoked");
        assert_eq!((revoked.authorities.len(), revoked.gone.len()), (2, 0));
        assert_eq!(list.text(), format!("# mine\n{other} peer\n"));
    }

    #[test]
    fn an_admission_is_given_anew_and_its_restrictions_stay() {
        let now = Timestamp::UNIX_EPOCH + Duration::from_secs(1000);
        let restrictions = Restrictions::parse("restrict").expect("options");
        let old =
            PeerOptions { expiry_time: Some(now), revoked: true, restrictions, ..PeerOptions::default() };
        let new = old.changed_by(&PeerOptions::default(), now);
        assert_eq!(new.to_string(), "restrict");
    }
}
