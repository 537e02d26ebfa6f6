//! What the log says of logins: who came in and by what, and who did not, a line each.
//!
//! The programs log this by default (see [`crate::log`]).

use std::{borrow::Cow, fmt::Display};

use russh::keys::{HashAlg, ssh_key::PublicKey};

use super::keys::Offer;
use crate::server::{
    config::value::Method,
    origin::{NOWHERE, Origin},
};

/// The longest name that is logged, in characters.
const LONGEST_NAME: usize = 64;

/// Who is at the other end.
pub(super) struct Record {
    client: String,
}

impl Record {
    pub(super) fn new(origin: Option<&Origin>) -> Self {
        Self { client: origin.map_or_else(|| NOWHERE.to_owned(), ToString::to_string) }
    }

    /// Somebody is in.
    pub(super) fn accepted(&self, method: Method, user: &str, by: Option<&str>) {
        self.line(&format!("accepted {method}"), user, by);
    }

    /// A method has succeeded, and another one is wanted.
    pub(super) fn partial(&self, method: Method, user: &str, by: Option<&str>) {
        self.line(&format!("partial {method}"), user, by);
    }

    /// An attempt has failed. `known`: whether somebody of that name may log in at all.
    pub(super) fn failed(&self, method: Method, user: &str, known: bool, by: Option<&str>) {
        let what =
            if known { format!("failed {method}") } else { format!("failed {method} for invalid user") };
        self.line(&what, user, by);
    }

    /// A login is refused, whatever is shown for it.
    pub(super) fn refused(&self, user: &str, reason: &dyn Display) {
        self.line("refused login", user, Some(&reason.to_string()));
    }

    fn line(&self, what: &str, user: &str, detail: Option<&str>) {
        let joined = if what.ends_with("user") { "" } else { " for" };
        let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        tracing::info!("{what}{joined} {} from {}{detail}", shown(user), self.client);
    }
}

/// A stranger's word as it stands in the log: one that could be taken for several, or for something else, is
/// quoted.
pub(in crate::server) fn shown(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "-_.@+:/=$".contains(c);
    if !word.is_empty() && word.chars().all(plain) && word.chars().nth(LONGEST_NAME).is_none() {
        return word.into();
    }
    let short: String = word.chars().take(LONGEST_NAME).collect();
    format!("{short:?}").into()
}

/// A key as `ssh-keygen -l` would name it, or a certificate with its authority.
pub(super) fn of_offer(offer: &Offer<'_>) -> String {
    let name = |key: &PublicKey| {
        let algorithm = key.algorithm().to_string();
        format!("{algorithm} {}", key.fingerprint(HashAlg::Sha256))
    };
    match offer.certificate {
        None => name(offer.key),
        Some(signed) => {
            let authority = PublicKey::from(signed.signature_key().clone());
            let (id, serial) = (shown(signed.key_id()), signed.serial());
            format!("{} ID {id} serial {serial} CA {}", name(offer.key), name(&authority))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_read_as_more_are_quoted() {
        for (word, expected) in [
            ("alice", "alice"),
            ("DOMAIN\\alice", r#""DOMAIN\\alice""#),
            ("root from 10.0.0.1", r#""root from 10.0.0.1""#),
            ("a\nb", r#""a\nb""#),
            ("\u{202e}x", r#""\u{202e}x""#),
            ("", r#""""#),
        ] {
            assert_eq!(shown(word), expected);
        }
        assert_eq!(shown(&"x".repeat(1000)).len(), LONGEST_NAME + 2, "cut, and quoted to show it");
    }
}
