//! User certificates (OpenSSH's PROTOCOL.certkeys): whom an authority's signature admits.

use jiff::{Timestamp, tz::TimeZone};
use russh::keys::{
    HashAlg,
    ssh_key::{Certificate, PublicKey},
};

use super::{
    command, files,
    offer::{Offer, tokens},
};
use crate::server::{
    account::Account,
    authorized_keys::Principal,
    config::{
        Config,
        tokens::{CertificateTokens, Tokens},
    },
    key_options::{CertificateError, CommandsDiffer, KeyOptions, Refusal, Whence},
    revoked,
};

/// A certificate does not admit.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAdmitted {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Commands(#[from] CommandsDiffer),
    #[error("the certificate: {0}")]
    Refused(#[from] Refusal),
    #[error("the certificate is for none of the principals that may log in")]
    Principals,
}

/// By TrustedUserCAKeys, with the principals that are configured.
pub(super) async fn by_trusted_authority(
    account: &Account,
    config: &Config,
    (offer, signed): (&Offer<'_>, &Certificate),
    whence: Whence<'_>,
) -> Option<KeyOptions> {
    let path = config.trusted_user_ca_keys.as_ref()?;
    let trusted = std::fs::read(path).inspect_err(|error| tracing::warn!("{path}: {error}")).ok()?;
    if !revoked::lists(&trusted, signed.signature_key()) {
        return None;
    }
    let admitted = async {
        let own = KeyOptions::from_certificate(signed)?;
        own.check(Timestamp::now(), whence, false)?;
        let names = signed.valid_principals();
        if names.is_empty() {
            return Err(NotAdmitted::Principals);
        }
        match of_principals(account, config, offer, signed).await {
            Listed::Nothing if names.contains(&account.name) => Ok(own),
            Listed::By(options) => {
                options.check(Timestamp::now(), whence, false)?;
                Ok(options.merge(&own)?)
            }
            Listed::Nothing | Listed::Nobody => Err(NotAdmitted::Principals),
        }
    };
    admitted.await.inspect_err(|reason| tracing::info!("certificate {}: {reason}", signed.key_id())).ok()
}

/// By a line of authorized_keys with `cert-authority`.
pub(super) fn by_line(
    account: &Account,
    line: &KeyOptions,
    signed: &Certificate,
    whence: Whence<'_>,
) -> Result<KeyOptions, NotAdmitted> {
    let own = KeyOptions::from_certificate(signed)?;
    own.check(Timestamp::now(), whence, false)?;
    let names = signed.valid_principals();
    let named = match line.names_one_of(names) {
        Some(named) => named,
        // A certificate for nobody in particular is for everybody, but only by such a line.
        None => names.is_empty() || names.contains(&account.name),
    };
    if !named {
        return Err(NotAdmitted::Principals);
    }
    Ok(line.merge(&own)?)
}

/// What the configured lists of principals say.
enum Listed {
    /// There is no list.
    Nothing,
    /// One of the certificate's is on it.
    By(Box<KeyOptions>),
    /// None is.
    Nobody,
}

async fn of_principals(
    account: &Account,
    config: &Config,
    offer: &Offer<'_>,
    signed: &Certificate,
) -> Listed {
    let zone = TimeZone::system();
    let find = |content: &[u8], name: &str| {
        let (found, refused) = Principal::find(content, signed.valid_principals(), &zone);
        refused.iter().for_each(|bad| tracing::warn!("{name}: {bad}"));
        found.map(|found| found.options)
    };
    let mut listed = Listed::Nothing;
    if let Some(pattern) = &config.authorized_principals_file {
        listed = Listed::Nobody;
        if let Ok(path) = tokens(account).expand_path(pattern)
            && let Some(content) = files::read_of_user(account, &path, config.strict_modes)
            && let Some(options) = find(&content, &path)
        {
            return Listed::By(Box::new(options));
        }
    }
    if config.authorized_principals_command.is_some() {
        listed = Listed::Nobody;
    }
    if let (Some(line), Some(user)) =
        (&config.authorized_principals_command, &config.authorized_principals_command_user)
    {
        let tokens = command_tokens(account, offer, signed);
        if let Some(printed) = command::output(line, user, account, &tokens).await
            && let Some(options) = find(&printed, "AuthorizedPrincipalsCommand")
        {
            return Listed::By(Box::new(options));
        }
    }
    listed
}

fn command_tokens(account: &Account, offer: &Offer<'_>, signed: &Certificate) -> Tokens {
    let authority = PublicKey::from(signed.signature_key().clone());
    let text = authority.to_openssh().unwrap_or_default();
    let mut words = text.split(' ');
    offer.tokens(account).with_certificate(CertificateTokens {
        key_id: signed.key_id(),
        serial: signed.serial(),
        ca_type: words.next().unwrap_or_default(),
        ca_key: words.next().unwrap_or_default(),
        ca_fingerprint: &authority.fingerprint(HashAlg::Sha256).to_string(),
    })
}
