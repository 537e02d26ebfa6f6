//! Lines with `cert-authority`: whoever has a user certificate of this key comes in (sshd(8), AUTHORIZED_KEYS FILE
//! FORMAT).
//!
//! As in `authorized_keys`, `principals="a,b"` wants the certificate to name one of these; without it, any certificate
//! of the authority will do. That lets its holder reach SSH, as any other line does, and SSH then asks who they are. A
//! login at the built-in server with no further proof is given where the line says so, and not before: `login="bob"`
//! gives that one to whoever comes in by the line, and `login` alone gives each of them the logins that their own
//! certificate names, as far as `principals=` names them as well, if it is there. sshd has the same of
//! `TrustedUserCAKeys`.

use jiff::Timestamp;
use russh::keys::ssh_key::{HashAlg, PublicKey};

use super::{
    peer::{PeerOptions, without_controls},
    restrictions::quoted,
};

/// A line that admits whoever has a user certificate of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The key that signs certificates.
    pub key: PublicKey,
    /// What the line calls it; may be empty.
    pub name: String,
    /// A certificate must name one of these, where there are any.
    pub principals: Option<Vec<String>>,
    /// Whether a certificate's principals are logins that need no further proof at the built-in server.
    pub principals_log_in: bool,
    /// What those may do who come in by it.
    pub options: PeerOptions,
}

impl Authority {
    /// The fingerprint that `ssh-keygen -l` prints: `SHA256:...`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The authority as a line of the file.
    #[must_use]
    pub fn line(&self) -> String {
        let key = self.key.to_openssh().unwrap_or_default();
        format!("{} {key} {}", self.all_options(), without_controls(&self.name)).trim_end().to_owned()
    }

    /// What stands before the key.
    #[must_use]
    pub fn all_options(&self) -> String {
        let principals = self.principals.as_ref();
        let options = [
            Some("cert-authority".to_owned()),
            principals.map(|names| format!("principals={}", quoted(&names.join(",")))),
            self.principals_log_in.then(|| "login".to_owned()),
            Some(self.options.to_string()).filter(|text| !text.is_empty()),
        ];
        options.into_iter().flatten().collect::<Vec<_>>().join(",")
    }

    /// This line where a newer one changes it: what that does not speak of stays.
    pub(super) fn changed_by(&self, newer: &Self, now: Timestamp) -> Self {
        let name = if newer.name.is_empty() { &self.name } else { &newer.name };
        Self {
            key: newer.key.clone(),
            name: name.clone(),
            principals: newer.principals.clone(),
            principals_log_in: newer.principals_log_in || self.principals_log_in,
            options: self.options.changed_by(&newer.options, now),
        }
    }

    /// Whether somebody needs no further proof at the built-in server who comes in by it.
    #[must_use]
    pub fn vouches(&self) -> bool {
        self.principals_log_in || self.options.login.is_some()
    }

    /// Whether a certificate that names these comes in by it.
    pub(super) fn takes(&self, named: &[String]) -> bool {
        self.principals.as_ref().is_none_or(|wanted| named.iter().any(|name| wanted.contains(name)))
    }

    /// The logins that it gives to a certificate that names these.
    pub(super) fn logins(&self, named: &[String]) -> Vec<String> {
        let is_given = |name: &&String| {
            // None is a login of anybody's that could not be one word of a command line.
            let is_one = !name.is_empty() && !name.chars().any(char::is_control);
            is_one && self.principals.as_ref().is_none_or(|wanted| wanted.contains(name))
        };
        let of_certificate = named.iter().filter(|_| self.principals_log_in).filter(is_given);
        let mut logins: Vec<String> = self.options.login.iter().chain(of_certificate).cloned().collect();
        logins.sort_unstable();
        logins.dedup();
        logins
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::host::AuthorizedPeers;

    /// Keys of ssh-keygen's, of four kinds; they open nothing.
    const KEYS: [&str; 4] = [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILRfdkc+F3JLBTgkxtSssv5LYgyiQQlfZLDtJQJicvST",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFHDG5/vewUbC7hZj3NTJupBGP/dcWNfCCJC+w9495XVx4o5AlOdpCam6yxlGeK8A5Pp4ZJviCgioUCdApWPOB4=",
        "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIFn+sJz3cMzIQYyqZdwgXRFq6QkmMV9glyQFLEHcqBnRAAAABHNzaDo=",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDSpo8BRiEaSZ/fZcIovtKbK1nqMWXdt2UTr1xzz+J14GKSqIzKSK/87cJvFGkKcRMCyMSHDyWKKhHGYpSJ/2IzlbVKtgI3dbdrvhkDh3BQ4ZuVPsJZuy4S6nVyoJTFWx1HdHB2SfMgZuaMPSSNT9AN1h/zNVP/EzwX/izTeDlqdQ==",
    ];

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn parse(line: &str) -> Authority {
        Authority::parse(line, &TimeZone::UTC).unwrap_or_else(|| panic!("no authority: {line}"))
    }

    #[test]
    fn lines_of_authorities_have_keys_of_any_kind_and_read_as_they_were_written() {
        for key in KEYS {
            let line = format!(
                r#"cert-authority,principals="ops,dev",login,expiry-time="20400101000000Z",no-pty {key} the team"#
            );
            assert_eq!(parse(&line).line(), line);
            let line = format!("Cert-Authority,login=bob {key}");
            assert_eq!(parse(&line).all_options(), r#"cert-authority,login="bob""#);
        }
    }

    #[test]
    fn what_goes_with_an_authority_alone_is_refused_elsewhere() {
        let key = KEYS[0];
        for (line, reason) in [
            (format!("login {key}"), "option login needs a value"),
            (format!("principals=\"a\" {key}"), "principals is for lines with cert-authority"),
            (format!("cert-authority,revoked {key}"), "take the line out"),
            (format!("cert-authority,principals=\"a\",principals=\"b\" {key}"), "more than one option"),
            (
                format!("cert-authority {}", "SHA256:oZXTVnmcr7z1JBAlQ4PyKNEqKvlXsYdTqkkTEmDP5Oo"),
                "for lines with a key",
            ),
            ("cert-authority ssh-ed25519 AAAA".to_owned(), "the key is damaged"),
        ] {
            let read = AuthorizedPeers::parse(&line, &TimeZone::UTC);
            assert!(read.peers.is_empty() && read.authorities.is_empty(), "{line}");
            assert!(read.refused[0].reason.contains(reason), "{line}: {}", read.refused[0]);
        }
    }

    #[test]
    fn a_certificate_gives_the_logins_that_the_line_says() {
        for (options, named, taken, logins) in [
            // Reaching SSH is all that it gives.
            ("", &["alice", "ops"][..], true, &[][..]),
            ("", &[], true, &[]),
            (",principals=\"ops\"", &["alice", "ops"], true, &[]),
            (",principals=\"ops\"", &["alice"], false, &[]),
            (",principals=\"ops\"", &[], false, &[]),
            (",login", &["alice", "ops"], true, &["alice", "ops"]),
            (",login", &[], true, &[]),
            (",login,principals=\"alice,root\"", &["alice", "ops"], true, &["alice"]),
            (",login=\"bob\"", &["alice"], true, &["bob"]),
            (",login=\"bob\",login", &["alice", "bob"], true, &["alice", "bob"]),
            (",login", &["al\nice", ""], true, &[]),
        ] {
            let authority = parse(&format!("cert-authority{options} {}", KEYS[0]));
            let named = names(named);
            assert_eq!(authority.takes(&named), taken, "{options} {named:?}");
            if taken {
                assert_eq!(authority.logins(&named), names(logins), "{options} {named:?}");
            }
        }
    }
}
