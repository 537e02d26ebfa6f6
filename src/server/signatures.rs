//! Which keys and signatures are taken.

use russh::keys::ssh_key::{Certificate, public::KeyData};

use super::{
    algorithms,
    config::{Config, SshdConfig},
};

/// Whether an authority may sign a certificate in the way it did, where nothing is configured (CASignatureAlgorithms,
/// RequiredRSASize): not with SHA-1, and with no RSA key that is short.
pub(crate) fn may_sign(certificate: &Certificate) -> bool {
    signature_accepted(&SshdConfig::default().server(), certificate)
}

/// Whether the authority may sign in the way it did.
pub(super) fn signature_accepted(config: &Config, signed: &Certificate) -> bool {
    let name = signed.signature().algorithm().to_string();
    let accepted = algorithms::of_authorities(&config.ca_signature_algorithms).contains(&name);
    if !accepted {
        // It is a part of what is logged of a login.
        tracing::info!(
            target: "irosh::server::auth",
            "certificate {}: signed with {name}, which is not accepted",
            signed.key_id(),
        );
    }
    accepted && is_long_enough(signed.signature_key(), config.required_rsa_size)
}

/// Whether a key is long enough: RSA alone comes in lengths, and below 1024 bits OpenSSH verifies nothing.
pub(super) fn is_long_enough(key: &KeyData, required_rsa_size: u32) -> bool {
    let KeyData::Rsa(rsa) = key else { return true };
    let modulus = rsa.n().as_positive_bytes().unwrap_or_default();
    let zeros = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = (modulus.len() as u64 * 8).saturating_sub(zeros.into());
    bits >= u64::from(required_rsa_size.max(1024))
}
