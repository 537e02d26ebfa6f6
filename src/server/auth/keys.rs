//! Which keys and certificates admit whom (OpenSSH's auth2-pubkey.c).

use jiff::{Timestamp, tz::TimeZone};
use russh::keys::ssh_key::PublicKey;

use super::{
    certificate, command, files,
    offer::{Offer, tokens},
};
use crate::server::{
    account::Account,
    authorized_keys::AuthorizedKeys,
    config::Config,
    key_options::{KeyOptions, Whence},
    revoked::RevokedKeys,
    signatures::signature_accepted,
};

/// What may be done with what is offered; `None` where it admits nobody to this account.
pub(super) async fn authorize(
    account: &Account,
    config: &Config,
    offer: &Offer<'_>,
    whence: Whence<'_>,
) -> Option<KeyOptions> {
    if let Some(signed) = offer.certificate {
        if !signature_accepted(config, signed) {
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
