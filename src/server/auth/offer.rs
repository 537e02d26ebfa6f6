//! What a client shows: a key, or a certificate with its key.

use russh::keys::{
    HashAlg,
    ssh_key::{Algorithm, Certificate, PublicKey},
};

use crate::server::{account::Account, config::tokens::Tokens};

/// A key, or a certificate with its key.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct Offer<'a> {
    pub(in crate::server) key: &'a PublicKey,
    /// The signature algorithm.
    pub(in crate::server) algorithm: &'a Algorithm,
    pub(in crate::server) certificate: Option<&'a Certificate>,
}

impl Offer<'_> {
    /// The algorithm as the client names it: a certificate's ends in `-cert-v01@openssh.com`.
    pub(in crate::server) fn algorithm_name(&self) -> String {
        match self.certificate {
            Some(_) => self.algorithm.to_certificate_type(),
            None => self.algorithm.to_string(),
        }
    }

    /// Type and base64 of what is offered.
    pub(in crate::server) fn text(&self) -> String {
        let whole = match self.certificate {
            Some(certificate) => certificate.to_openssh().unwrap_or_default(),
            None => self.key.to_openssh().unwrap_or_default(),
        };
        whole.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// Tokens of AuthorizedKeysCommand.
    pub(super) fn tokens(&self, account: &Account) -> Tokens {
        let text = self.text();
        let (kind, base64) = text.split_once(' ').unwrap_or_default();
        let fingerprint = match self.certificate {
            Some(certificate) => fingerprint(certificate),
            None => self.key.fingerprint(HashAlg::Sha256).to_string(),
        };
        tokens(account).with_key(kind, &fingerprint, base64)
    }
}

pub(super) fn tokens(account: &Account) -> Tokens {
    Tokens::of_user(&account.name, &account.home.to_string_lossy(), account.uid.as_raw())
}

/// SHA-256 of the whole certificate, as `ssh-keygen -l` does not print it but sshd's %f does: of its key.
fn fingerprint(certificate: &Certificate) -> String {
    PublicKey::from(certificate.public_key().clone()).fingerprint(HashAlg::Sha256).to_string()
}
