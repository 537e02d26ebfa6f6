//! Which keys and certificates admit whom (OpenSSH's auth2-pubkey.c).

use jiff::{Timestamp, tz::TimeZone};
use russh::keys::{
    HashAlg,
    ssh_key::{Algorithm, Certificate, PublicKey, public::KeyData},
};

use super::{certificate, command, files};
use crate::server::{
    account::Account,
    authorized_keys::AuthorizedKeys,
    config::{Config, tokens::Tokens},
    key_options::{KeyOptions, Whence},
    revoked::RevokedKeys,
};

/// Whether a key is long enough: RSA alone comes in lengths, and below 1024 bits OpenSSH verifies nothing.
pub(in crate::server) fn is_long_enough(key: &KeyData, required_rsa_size: u32) -> bool {
    let KeyData::Rsa(rsa) = key else { return true };
    let modulus = rsa.n().as_positive_bytes().unwrap_or_default();
    let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = (modulus.len() as u64 * 8).saturating_sub(zeros.into());
    bits >= u64::from(required_rsa_size.max(1024))
}

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
            Some(certificate) => certificate::fingerprint(certificate),
            None => self.key.fingerprint(HashAlg::Sha256).to_string(),
        };
        tokens(account).with_key(kind, &fingerprint, base64)
    }
}

pub(super) fn tokens(account: &Account) -> Tokens {
    Tokens::of_user(&account.name, &account.home.to_string_lossy(), account.uid.as_raw())
}

/// What may be done with what is offered; `None` where it admits nobody to this account.
pub(super) async fn authorize(
    account: &Account,
    config: &Config,
    offer: &Offer<'_>,
    whence: Whence<'_>,
) -> Option<KeyOptions> {
    if let Some(signed) = offer.certificate {
        if !certificate::signature_accepted(config, signed) {
            return None;
        }
        let trusted = certificate::by_trusted_authority(account, config, (offer, signed), whence).await;
        if trusted.is_some() {
            return trusted;
        }
    }
    if let Some(options) = by_command(account, config, offer, whence).await {
        return Some(options);
    }
    config.authorized_keys_file.iter().find_map(|pattern| {
        let path = tokens(account).expand_path(pattern).ok()?;
        let content = files::read_of_user(account, &path, config.strict_modes)?;
        in_file(&content, &path, account, offer, whence)
    })
}

/// Whether RevokedKeys has it. A file that cannot be read revokes everything, as in sshd.
pub(super) fn is_revoked(config: &Config, offer: &Offer<'_>) -> bool {
    let Some(path) = config.revoked_keys.as_ref().filter(|path| *path != "none") else { return false };
    let unusable = |error: String| {
        tracing::error!("{path}: {error}: no key is accepted");
        true
    };
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(error) => return unusable(error.to_string()),
    };
    match RevokedKeys::parse(&content) {
        Ok(revoked) => match offer.certificate {
            Some(signed) => revoked.revokes_certificate(signed),
            None => revoked.revokes(offer.key.key_data()),
        },
        Err(error) => unusable(error.to_string()),
    }
}

/// The first line of a file that admits what is offered.
fn in_file(
    content: &[u8],
    name: &str,
    account: &Account,
    offer: &Offer<'_>,
    whence: Whence<'_>,
) -> Option<KeyOptions> {
    let zone = TimeZone::system();
    let wanted = match offer.certificate {
        Some(signed) => PublicKey::from(signed.signature_key().clone()),
        None => offer.key.clone(),
    };
    for found in AuthorizedKeys::find(content, &wanted, offer.certificate.is_some(), &zone) {
        let entry = match found {
            Ok(entry) => entry,
            Err(bad) => {
                tracing::warn!("{name}: {bad}");
                continue;
            }
        };
        if let Err(refusal) = entry.options.check(Timestamp::now(), whence, offer.certificate.is_some()) {
            tracing::info!("{name}:{}: {refusal}", entry.line);
            continue;
        }
        let Some(signed) = offer.certificate else { return Some(entry.options) };
        match certificate::by_line(account, &entry.options, signed, whence) {
            Ok(options) => return Some(options),
            Err(reason) => tracing::info!("{name}:{}: {reason}", entry.line),
        }
    }
    None
}

async fn by_command(
    account: &Account,
    config: &Config,
    offer: &Offer<'_>,
    whence: Whence<'_>,
) -> Option<KeyOptions> {
    let line = config.authorized_keys_command.as_ref()?;
    let user = config.authorized_keys_command_user.as_ref()?;
    let printed = command::output(line, user, account, &offer.tokens(account)).await?;
    in_file(&printed, "AuthorizedKeysCommand", account, offer, whence)
}
