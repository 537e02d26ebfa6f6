//! Who the user is to hosts: the key, who signs with it, and the certificate.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use russh::keys::{Certificate, HashAlg, PublicKey};

use super::finding::Finding;
use crate::{
    files::Paths,
    proxy::Credentials,
    transport::{KeyError, KeyFile},
};

/// How long before its end a certificate is worth a word.
const SOON: SignedDuration = SignedDuration::from_mins(30);

/// The user's credentials; a key is made where there is none and it is needed.
pub(super) fn credentials(
    paths: &Paths,
    setting: Option<&Path>,
    needed: bool,
) -> Result<Option<Credentials>, KeyError> {
    if needed || setting.is_some() {
        return Credentials::load(paths, setting).map(Some);
    }
    let key = super::files::existing(KeyFile::load(&paths.identity()))?;
    Ok(key.as_ref().map(Credentials::from))
}

/// Of the key, and of the certificate where there is one.
pub(super) async fn look(credentials: Result<Option<Credentials>, KeyError>) -> Vec<Finding> {
    const CHECK: &str = "key";
    let credentials = match credentials {
        Ok(Some(credentials)) => credentials,
        Ok(None) => return vec![Finding::ok(CHECK, "none yet: it is made when a host is first reached")],
        Err(error) => return vec![Finding::failed(CHECK, &error)],
    };
    let key = match credentials.check().await {
        Ok(()) => Finding::ok(CHECK, credentials.source()),
        Err(error) => Finding::failed(CHECK, &error),
    };
    let certificate =
        credentials.certificate().map(|certificate| of_certificate(&certificate, Timestamp::now()));
    [Some(key), certificate].into_iter().flatten().collect()
}

fn of_certificate(certificate: &Certificate, now: Timestamp) -> Finding {
    const CHECK: &str = "certificate";
    let time = |seconds: u64| Timestamp::from_second(i64::try_from(seconds).ok()?).ok();
    let authority = PublicKey::from(certificate.signature_key().clone()).fingerprint(HashAlg::Sha256);
    let ends = time(certificate.valid_before());
    let until = ends.map_or_else(|| "for ever".to_owned(), |ends| format!("until {ends}"));
    let principals = match certificate.valid_principals() {
        [] => "everybody".to_owned(),
        names => names.join(", "),
    };
    let what = format!("`{}` for {principals}, {until}, of {authority}", certificate.key_id());
    let what = crate::log::one_line(&what);
    let begins = time(certificate.valid_after()).unwrap_or(Timestamp::MIN);
    if !certificate.cert_type().is_user() {
        return Finding::warning(
            CHECK,
            &format!("{what}: it is a host's\nget one for users: ssh-keygen -s, without -h"),
        );
    }
    if now < begins {
        return Finding::warning(
            CHECK,
            &format!("{what}: it is not valid before {begins}\nis this clock right?"),
        );
    }
    match ends.map(|ends| ends.duration_since(now)) {
        Some(left) if !left.is_positive() => {
            Finding::warning(CHECK, &format!("{what}: it has expired\nput a new one in its place"))
        }
        Some(left) if left < SOON => {
            Finding::warning(CHECK, &format!("{what}: sessions end then\nput a new one in its place"))
        }
        _ => Finding::ok(CHECK, what),
    }
}
