//! Lists of algorithms: `a,b`, `+a`, `-a*`, `^a` (sshd_config(5), Ciphers).

use crate::server::pattern::{Verdict, matches_list, matches_pattern};

/// What a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlgorithmKind {
    /// Ciphers.
    Cipher,
    /// MACs.
    Mac,
    /// KexAlgorithms.
    Kex,
    /// Signatures of keys and certificates: HostKeyAlgorithms and the like. The only kind with patterns.
    Signature,
}

/// A list of algorithms cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlgorithmError {
    /// Neither sshd nor this server has it.
    #[error("`{0}` is not an algorithm that is known here")]
    Unknown(String),
    /// A name is missing.
    #[error("`{0}` has an empty member")]
    Empty(String),
}

/// A list of algorithms as configured, to be applied to a default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AlgorithmList {
    /// The default.
    #[default]
    Default,
    /// These alone.
    Only(String),
    /// `+`: the default and then these.
    Append(String),
    /// `-`: the default without these.
    Remove(String),
    /// `^`: these and then the rest of the default.
    First(String),
}

impl AlgorithmList {
    /// Reads a list. Names that sshd knows and this server lacks are no error, but stand for nothing.
    ///
    /// # Errors
    ///
    /// [`AlgorithmError`]. What `-` takes away is not checked, as in sshd.
    pub fn parse(kind: AlgorithmKind, text: &str) -> Result<Self, AlgorithmError> {
        if let Some(names) = text.strip_prefix('-') {
            return Ok(Self::Remove(names.to_owned()));
        }
        let names = text.strip_prefix(['+', '^']).unwrap_or(text);
        for name in names.split(',') {
            if name.is_empty() {
                return Err(AlgorithmError::Empty(text.to_owned()));
            }
            if !kind.knows(name) {
                return Err(AlgorithmError::Unknown(name.to_owned()));
            }
        }
        let names = names.to_owned();
        Ok(match text.as_bytes().first() {
            Some(b'+') => Self::Append(names),
            Some(b'^') => Self::First(names),
            _ => Self::Only(names),
        })
    }

    /// The algorithms to use, in order, none twice: out of `default` and `besides`, which only a list
    /// that names them brings in. The result may be empty (OpenSSH's `kex_assemble_names`).
    #[must_use]
    pub fn apply(&self, default: &[&str], besides: &[&str]) -> Vec<String> {
        let named = |list: &str| -> Vec<&str> {
            list.split(',')
                .flat_map(|pattern| {
                    default.iter().chain(besides).copied().filter(move |name| matches_pattern(name, pattern))
                })
                .collect()
        };
        let default = default.iter().copied();
        let all: Vec<&str> = match self {
            Self::Default => default.collect(),
            Self::Only(list) => named(list),
            Self::Append(list) => default.chain(named(list)).collect(),
            Self::First(list) => named(list).into_iter().chain(default).collect(),
            Self::Remove(list) => default.filter(|name| matches_list(name, list) != Verdict::Yes).collect(),
        };
        let mut once: Vec<String> = Vec::with_capacity(all.len());
        for name in all {
            if !once.iter().any(|known| known == name) {
                once.push(name.to_owned());
            }
        }
        once
    }
}

impl AlgorithmKind {
    fn knows(self, name: &str) -> bool {
        let known = match self {
            Self::Cipher => CIPHERS,
            Self::Mac => MACS,
            Self::Kex => KEX,
            Self::Signature => {
                return SIGNATURES.iter().any(|known| {
                    let plain = known.strip_suffix("@openssh.com");
                    let certificate = match plain {
                        Some(plain) => format!("{plain}-cert-v01@openssh.com"),
                        None => format!("{known}-cert-v01@openssh.com"),
                    };
                    matches_pattern(known, name) || matches_pattern(&certificate, name)
                });
            }
        };
        known.contains(&name)
    }
}

/// `ssh -Q cipher` of OpenSSH 9.2.
const CIPHERS: &[&str] = &[
    "3des-cbc",
    "aes128-cbc",
    "aes192-cbc",
    "aes256-cbc",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
];

/// `ssh -Q mac`.
const MACS: &[&str] = &[
    "hmac-sha1",
    "hmac-sha1-96",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-md5",
    "hmac-md5-96",
    "umac-64@openssh.com",
    "umac-128@openssh.com",
    "hmac-sha1-etm@openssh.com",
    "hmac-sha1-96-etm@openssh.com",
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-md5-etm@openssh.com",
    "hmac-md5-96-etm@openssh.com",
    "umac-64-etm@openssh.com",
    "umac-128-etm@openssh.com",
];

/// `ssh -Q kex`, and what came with OpenSSH 9.9.
const KEX: &[&str] = &[
    "diffie-hellman-group1-sha1",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group-exchange-sha256",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
    "mlkem768x25519-sha256",
];

/// `ssh -Q sig`; each has a certificate form as well.
const SIGNATURES: &[&str] = &[
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-dss",
    "ssh-rsa",
    "rsa-sha2-256",
    "rsa-sha2-512",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFAULT: &[&str] = &["ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", "rsa-sha2-512"];
    const BESIDES: &[&str] = &["rsa-sha2-256", "ssh-rsa"];

    fn apply(list: &str) -> String {
        AlgorithmList::parse(AlgorithmKind::Signature, list).expect(list).apply(DEFAULT, BESIDES).join(" ")
    }

    #[test]
    fn prefixes_change_the_default() {
        for (list, expected) in [
            ("ssh-rsa,ssh-ed25519", "ssh-rsa ssh-ed25519"),
            ("rsa-*,rsa-sha2-256", "rsa-sha2-512 rsa-sha2-256"),
            ("*-cert-v01@openssh.com", "ssh-ed25519-cert-v01@openssh.com"),
            ("ssh-ed25519*,ssh-rsa*,ssh-ed25519*", "ssh-ed25519-cert-v01@openssh.com ssh-ed25519 ssh-rsa"),
            ("+ssh-rsa,ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com ssh-ed25519 rsa-sha2-512 ssh-rsa"),
            ("^rsa-*", "rsa-sha2-512 rsa-sha2-256 ssh-ed25519-cert-v01@openssh.com ssh-ed25519"),
            ("-*cert*,rsa-*", "ssh-ed25519"),
            ("-nothing", "ssh-ed25519-cert-v01@openssh.com ssh-ed25519 rsa-sha2-512"),
            ("ssh-dss", ""),
            ("*", "ssh-ed25519-cert-v01@openssh.com ssh-ed25519 rsa-sha2-512 rsa-sha2-256 ssh-rsa"),
        ] {
            assert_eq!(apply(list), expected, "{list}");
        }
        assert_eq!(AlgorithmList::Default.apply(DEFAULT, BESIDES), DEFAULT);
    }

    #[test]
    fn unknown_names_are_errors_and_patterns_are_for_signatures() {
        use AlgorithmKind::{Cipher, Kex, Mac, Signature};
        for (kind, list, good) in [
            (Cipher, "aes128-ctr", true),
            (Cipher, "aes128-*", false),
            (Cipher, "+aes128-gcm@openssh.com", true),
            (Cipher, "-anything*", true),
            (Mac, "hmac-sha2-256", true),
            (Mac, "hmac-sha2-257", false),
            (Kex, "curve25519-sha256,mlkem768x25519-sha256", true),
            (Kex, "", false),
            (Kex, "curve25519-sha256,", false),
            (Signature, "ssh-dss", true),
            (Signature, "sk-ssh-ed25519-cert-v01@openssh.com", true),
            (Signature, "ssh-ed25519**", true),
            (Signature, "foo*", false),
            (Signature, "!ssh-rsa", false),
            (Signature, "+", false),
        ] {
            assert_eq!(AlgorithmList::parse(kind, list).is_ok(), good, "{list}");
        }
    }

    proptest! {
        #[test]
        fn no_list_panics_or_repeats(list in "[+^-]?(ssh-rsa|\\*|rsa-sha2-*|,|x){0,6}") {
            if let Ok(list) = AlgorithmList::parse(AlgorithmKind::Signature, &list) {
                let mut names = list.apply(DEFAULT, BESIDES);
                let count = names.len();
                names.sort();
                names.dedup();
                prop_assert_eq!(names.len(), count);
            }
        }
    }
}
