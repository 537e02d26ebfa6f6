//! The algorithms of the client: what russh has, in OpenSSH's order, without what is broken.

use std::borrow::Cow;

use russh::{
    Preferred, cipher, compression, kex, keys::EcdsaCurve, keys::HashAlg, keys::ssh_key::Algorithm, mac,
};

/// Fast where the machine has AES instructions, and russh's ChaCha20 where not.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_CTR,
    cipher::AES_192_CTR,
    cipher::AES_256_CTR,
];

const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];

/// Post-quantum first. Group exchange is left out, since russh's groups are fixed.
const KEXES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

/// The host key algorithms, best first.
pub(crate) fn host_keys() -> Vec<Algorithm> {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let rsa = |hash| Algorithm::Rsa { hash: Some(hash) };
    vec![
        Algorithm::Ed25519,
        ecdsa(EcdsaCurve::NistP256),
        ecdsa(EcdsaCurve::NistP384),
        ecdsa(EcdsaCurve::NistP521),
        rsa(HashAlg::Sha512),
        rsa(HashAlg::Sha256),
    ]
}

/// What is offered to a server whose key is of one of these types.
pub(crate) fn preferred(host_keys: Vec<Algorithm>) -> Preferred {
    Preferred {
        kex: KEXES.into(),
        key: host_keys.into(),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: CIPHERS.into(),
        mac: MACS.into(),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}
