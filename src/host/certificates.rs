//! User certificates that peers show (OpenSSH's PROTOCOL.certkeys), and what they say.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use russh::keys::{Certificate, HashAlg, PublicKey, key::parse_public_key, ssh_key::public::KeyData};

use super::{
    authorities::Authority,
    peer::{Peer, PeerOptions},
    peers::Identity,
    restrictions::Restrictions,
};
use crate::server::{
    key_options::{CertificateError, KeyOptions},
    may_sign,
};

/// A certificate for users that is understood, for a key that can be an identity. It may still be anybody's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UserCertificate {
    certificate: Certificate,
    identity: Identity,
    /// What it demands and permits.
    options: KeyOptions,
    /// Whether its authority has signed it, once that was asked.
    signed: OnceLock<bool>,
}

/// What a certificate has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certified {
    pub(super) certificate: Arc<UserCertificate>,
    /// The logins at the built-in server for which it is proof enough.
    pub(super) logins: Vec<String>,
    /// What it does not permit there.
    pub(super) denied: Restrictions,
}

/// Why a certificate admits nobody. Its words are the peer's to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Objection {
    #[error("it cannot be read")]
    Unreadable,
    #[error("{0}")]
    Options(#[from] CertificateError),
    #[error("it is for another key")]
    OtherKey,
    #[error("this host does not know its authority, {0}")]
    Authority(String),
    #[error("the admission of its authority has expired")]
    AuthorityExpired,
    #[error("its authority has not signed it, or in a way that is not accepted")]
    Signature,
    #[error("it is not valid before {0}")]
    Early(Timestamp),
    #[error("it has expired at {0}")]
    Expired(Timestamp),
    #[error("it is revoked")]
    Revoked,
    #[error("this host has a line for you that it does not understand")]
    Misread,
    #[error("it names none of the principals that may come in")]
    Principals,
    #[error("its forced command is not that of this host's list")]
    Commands,
    #[error("it is for some source addresses alone, to which no host can hold who comes by irosh")]
    Source,
}

impl UserCertificate {
    /// Reads the bytes of a stranger.
    pub(super) fn read(blob: &[u8]) -> Result<Self, Objection> {
        // This one keeps certificates within certificates from using up the stack.
        let key = parse_public_key(blob).map_err(|_| Objection::Unreadable)?;
        let KeyData::Certificate(certificate) = key.key_data() else { return Err(Objection::Unreadable) };
        // Nothing may follow it.
        match certificate.to_bytes() {
            Ok(bytes) if bytes == blob => Self::new(Certificate::clone(certificate)),
            _ => Err(Objection::Unreadable),
        }
    }

    /// Reads what [`Self::openssh`] has written.
    pub(super) fn from_openssh(text: &str) -> Option<Self> {
        Self::new(Certificate::from_openssh(text).ok()?).ok()
    }

    fn new(certificate: Certificate) -> Result<Self, Objection> {
        let options = KeyOptions::from_certificate(&certificate)?;
        // By a relay nobody knows where a peer is, and one that was let in goes on from wherever it moves to.
        if options.source_address.is_some() {
            return Err(Objection::Source);
        }
        let identity = Identity::of_key(certificate.public_key()).ok_or(Objection::OtherKey)?;
        Ok(Self { certificate, identity, options, signed: OnceLock::new() })
    }

    /// The certificate as a line of a file.
    pub(super) fn openssh(&self) -> String {
        self.certificate.to_openssh().unwrap_or_default()
    }

    /// What OpenSSH's list of revoked keys is asked of.
    pub(super) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Whose signature it claims.
    pub(super) fn authority(&self) -> PublicKey {
        PublicKey::from(self.certificate.signature_key().clone())
    }

    /// When it ends; nothing where that is never, or in more years than there are.
    pub(super) fn ends(&self) -> Option<Timestamp> {
        time(self.certificate.valid_before())
    }

    /// As a log tells it, and as sshd's does.
    pub(super) fn shown(&self) -> String {
        let (id, serial) = (self.certificate.key_id(), self.certificate.serial());
        format!("{id} (serial {serial})")
    }

    /// What it gives this identity by the first of these lines that takes it, whatever may have revoked it.
    pub(super) fn admits<'a>(
        &self,
        identity: &Identity,
        lines: impl Iterator<Item = &'a Authority>,
        now: Timestamp,
    ) -> Result<(Peer, Vec<String>), Objection> {
        if self.identity != *identity {
            return Err(Objection::OtherKey);
        }
        let authority = self.authority();
        let mut lines = lines.filter(|line| line.key.key_data() == authority.key_data()).peekable();
        if lines.peek().is_none() {
            return Err(Objection::Authority(authority.fingerprint(HashAlg::Sha256).to_string()));
        }
        // Not before it is known whose it claims to be: nobody has a host verify what they like.
        if !self.is_signed() {
            return Err(Objection::Signature);
        }
        self.is_valid(now)?;
        let mut first = None;
        for line in lines {
            match self.admits_by(line, now) {
                Ok(peer) => return Ok((peer, line.logins(self.certificate.valid_principals()))),
                Err(objection) => first = first.or(Some(objection)),
            }
        }
        Err(first.unwrap_or(Objection::Principals))
    }

    fn is_signed(&self) -> bool {
        *self
            .signed
            .get_or_init(|| may_sign(&self.certificate) && self.certificate.verify_signature().is_ok())
    }

    fn is_valid(&self, now: Timestamp) -> Result<(), Objection> {
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        if seconds < self.certificate.valid_after() {
            return Err(Objection::Early(time(self.certificate.valid_after()).unwrap_or(Timestamp::MAX)));
        }
        if seconds >= self.certificate.valid_before() {
            return Err(Objection::Expired(self.ends().unwrap_or_default()));
        }
        Ok(())
    }

    /// Who comes in by this line of its authority.
    fn admits_by(&self, line: &Authority, now: Timestamp) -> Result<Peer, Objection> {
        if line.options.expiry_time.is_some_and(|expiry| expiry <= now) {
            return Err(Objection::AuthorityExpired);
        }
        if !line.takes(self.certificate.valid_principals()) {
            return Err(Objection::Principals);
        }
        let (options, own) = (&line.options, &self.options);
        let options = PeerOptions {
            expiry_time: options.expiry_time.into_iter().chain(self.ends()).min(),
            no_touch_required: options.no_touch_required && own.no_touch_required,
            verify_required: options.verify_required || own.verify_required,
            restrictions: self.restricted(&options.restrictions)?,
            ..options.clone()
        };
        let name = match self.certificate.key_id() {
            "" => line.name.clone(),
            id => id.to_owned(),
        };
        Ok(Peer { identity: self.identity, name, options })
    }

    /// What restricts the line, and the certificate's own command.
    fn restricted(&self, of_line: &Restrictions) -> Result<Restrictions, Objection> {
        let mut restrictions = of_line.clone();
        match (of_line.command(), &self.options.command) {
            (Some(one), Some(two)) if one != two => return Err(Objection::Commands),
            // It could not be written in quotes: `\"` is the one escape there is.
            (None, Some(command)) if command.ends_with('\\') => return Err(Objection::Commands),
            (None, Some(command)) => restrictions.push("command", Some(command.clone())),
            _ => {}
        }
        Ok(restrictions)
    }

    /// What it does not permit at a login by it.
    pub(super) fn denied(&self) -> Restrictions {
        let KeyOptions { port_forwarding, agent_forwarding, x11_forwarding, pty, user_rc, .. } =
            &self.options;
        let mut denied = Restrictions::default();
        for (permitted, opposite) in [
            (port_forwarding, "no-port-forwarding"),
            (agent_forwarding, "no-agent-forwarding"),
            (x11_forwarding, "no-X11-forwarding"),
            (pty, "no-pty"),
            (user_rc, "no-user-rc"),
        ] {
            if !permitted {
                denied.push(opposite, None);
            }
        }
        denied
    }
}

/// A time of a certificate's; `None` for ever, and for what is no time of a calendar.
fn time(seconds: u64) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
