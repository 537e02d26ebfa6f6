//! The algorithms of the server: what russh has, in OpenSSH's order, without what is broken.

use std::borrow::Cow;

use russh::{Preferred, cipher, compression, kex, keys::ssh_key::Algorithm, mac};

use super::config::{Config, Offer, Offers, algorithms::AlgorithmList};

/// What is used where nothing is configured, and what else there is: SHA-1 and the like only by configuration.
pub(super) const OFFERS: Offers = Offers {
    ciphers: Offer {
        default: &[
            "chacha20-poly1305@openssh.com",
            "aes128-gcm@openssh.com",
            "aes256-gcm@openssh.com",
            "aes128-ctr",
            "aes192-ctr",
            "aes256-ctr",
        ],
        besides: &["aes128-cbc", "aes192-cbc", "aes256-cbc"],
    },
    macs: Offer {
        default: &[
            "hmac-sha2-256-etm@openssh.com",
            "hmac-sha2-512-etm@openssh.com",
            "hmac-sha2-256",
            "hmac-sha2-512",
        ],
        besides: &["hmac-sha1-etm@openssh.com", "hmac-sha1"],
    },
    // Post-quantum first. The groups of group exchange are fixed in russh, which is not its point.
    kex: Offer {
        default: &[
            "mlkem768x25519-sha256",
            "curve25519-sha256",
            "curve25519-sha256@libssh.org",
            "ecdh-sha2-nistp256",
            "ecdh-sha2-nistp384",
            "ecdh-sha2-nistp521",
            "diffie-hellman-group16-sha512",
            "diffie-hellman-group18-sha512",
            "diffie-hellman-group14-sha256",
        ],
        besides: &["diffie-hellman-group-exchange-sha256", "diffie-hellman-group14-sha1"],
    },
    host_keys: Offer { default: PLAIN, besides: &["ssh-rsa"] },
    user_keys: Offer { default: USER_KEYS, besides: &["ssh-rsa-cert-v01@openssh.com", "ssh-rsa"] },
    ca_signatures: Offer { default: CA_SIGNATURES, besides: &[] },
};

const PLAIN: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

const CA_SIGNATURES: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

const USER_KEYS: &[&str] = &[
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// How users may sign.
pub(super) fn accepted(list: &AlgorithmList) -> Vec<String> {
    list.apply(OFFERS.user_keys.default, OFFERS.user_keys.besides)
}

/// What clients are told that they may sign with (RFC 8308 section 3.1): of a certificate, its key does. Who
/// they are is not known yet, and a Match block may take what this list does not: what is taken by default is
/// told in any case, as sshd does.
pub(super) fn signatures(list: &AlgorithmList) -> Vec<String> {
    let mut names = Vec::new();
    for name in OFFERS.user_keys.default.iter().map(|name| (*name).to_owned()).chain(accepted(list)) {
        let name = match name.strip_suffix("-cert-v01@openssh.com") {
            Some(key) if key.starts_with("sk-") => format!("{key}@openssh.com"),
            Some(key) => key.to_owned(),
            None => name,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// How authorities may have signed.
pub(super) fn of_authorities(list: &AlgorithmList) -> Vec<String> {
    list.apply(OFFERS.ca_signatures.default, OFFERS.ca_signatures.besides)
}

/// What is offered to a client.
pub(super) fn preferred(config: &Config) -> Preferred {
    let mut kexes: Vec<kex::Name> = names(&config.kex_algorithms, &OFFERS.kex);
    kexes.extend([kex::EXTENSION_SUPPORT_AS_SERVER, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER]);
    let offered = config.host_key_algorithms.apply(OFFERS.host_keys.default, OFFERS.host_keys.besides);
    let keys: Vec<Algorithm> = offered.iter().filter_map(|name| Algorithm::new(name).ok()).collect();
    Preferred {
        kex: kexes.into(),
        key: keys.into(),
        cipher: names::<cipher::Name>(&config.ciphers, &OFFERS.ciphers).into(),
        mac: names::<mac::Name>(&config.macs, &OFFERS.macs).into(),
        compression: Cow::Borrowed(&[compression::NONE]),
        ..Preferred::DEFAULT
    }
}

fn names<N: for<'a> TryFrom<&'a str>>(list: &AlgorithmList, offer: &Offer) -> Vec<N> {
    list.apply(offer.default, offer.besides)
        .iter()
        .filter_map(|name| N::try_from(name.as_str()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn russh_has_every_algorithm_that_is_offered() {
        fn missing(offer: Offer, known: fn(&str) -> bool) -> Vec<&'static str> {
            offer.default.iter().chain(offer.besides).copied().filter(|name| !known(name)).collect()
        }
        assert!(missing(OFFERS.ciphers, |name| cipher::Name::try_from(name).is_ok()).is_empty());
        assert!(missing(OFFERS.macs, |name| mac::Name::try_from(name).is_ok()).is_empty());
        assert!(missing(OFFERS.kex, |name| kex::Name::try_from(name).is_ok()).is_empty());
        assert!(missing(OFFERS.host_keys, |name| Algorithm::new(name).is_ok()).is_empty());
    }
}
