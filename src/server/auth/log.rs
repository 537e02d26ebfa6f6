//! What the log says of logins: who came in and by what, and who did not, a line each.
//!
//! The programs log this by default (see [`crate::log`]).

use std::fmt::Display;

use russh::keys::{HashAlg, ssh_key::PublicKey};

use super::offer::Offer;
use crate::server::{
    config::value::Method,
    origin::{NOWHERE, Origin},
    shown::shown,
};

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
