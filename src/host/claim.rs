//! What a peer has proved and shown before it is decided whether it may come in.

use std::sync::Arc;

use super::{
    certificates::{Objection, UserCertificate},
    peer::PeerOptions,
    peers::Identity,
};
use crate::protocol::{EXPORTER_LENGTH, Hello, Refusal, RefusalCode, Touch};

/// Who a peer is, which is proved, and what else it shows.
#[derive(Debug, Clone)]
pub struct Claim {
    pub(super) identity: Identity,
    /// What its FIDO key says of who was there, if it has one.
    pub(super) flags: Option<u8>,
    pub(super) certificate: Option<Result<Arc<UserCertificate>, Objection>>,
}

impl Claim {
    /// Checks that who says `hello` holds its identity.
    ///
    /// # Errors
    ///
    /// [`RefusalCode::BadProof`] when the signature does not hold on this connection.
    pub(super) fn prove(hello: &Hello, exported: &[u8; EXPORTER_LENGTH]) -> Result<Self, Refusal> {
        let bad = || {
            let sentence = "the proof of your identity does not hold on this connection\ntry again; if it stays so, something between you and the host is in the way";
            Refusal::new(RefusalCode::BadProof, sentence)
        };
        let manner = hello.manner().map_err(|_| bad())?;
        let identity = manner.prover(hello.identity, &hello.proof, exported).ok_or_else(bad)?;
        let certificate = hello.certificate().map(|blob| UserCertificate::read(blob).map(Arc::new));
        let flags = manner.touch.map(|touch| touch.flags);
        Ok(Self { identity, flags, certificate })
    }

    /// Checks that somebody was at its FIDO key, if it has one, as these options want it: touched it, and with
    /// `verify-required` gave it a PIN or a finger.
    pub(super) fn is_present(&self, options: &PeerOptions) -> Result<(), Refusal> {
        let Some(flags) = self.flags else { return Ok(()) };
        let missing = if !options.no_touch_required && flags & Touch::PRESENT == 0 {
            Touch::UNTOUCHED
        } else if options.verify_required && flags & Touch::VERIFIED == 0 {
            "your security key has asked for no PIN or finger, which this host wants\nmake one with: ssh-keygen -t ed25519-sk -O verify-required"
        } else {
            return Ok(());
        };
        Err(Refusal::new(RefusalCode::BadProof, missing))
    }
}

impl From<Identity> for Claim {
    fn from(identity: Identity) -> Self {
        Self { identity, flags: None, certificate: None }
    }
}

#[cfg(test)]
impl Claim {
    /// Of an identity that shows these bytes.
    pub(super) fn showing(identity: Identity, certificate: &[u8]) -> Self {
        let certificate = Some(UserCertificate::read(certificate).map(Arc::new));
        Self { certificate, ..identity.into() }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::{
        protocol::{Instance, MAX_CERTIFICATE, Manner, proof_message},
        transport::Application,
    };

    const EXPORTED: [u8; EXPORTER_LENGTH] = [1; EXPORTER_LENGTH];

    fn key() -> iroh::SecretKey {
        iroh::SecretKey::from_bytes(&[5; 32])
    }

    fn hello(signed: &[u8], manner: &Manner) -> Hello {
        let proof = key().sign(signed).to_bytes();
        Hello::new(*key().public().as_bytes(), proof, None, Instance::generate()).proved_by(manner)
    }

    fn touch(flags: u8) -> Manner {
        let application = Application::new("ssh:").expect("an application");
        Manner { sshsig: false, touch: Some(Touch { application, flags, counter: 7 }) }
    }

    #[test]
    fn a_proof_holds_on_its_own_connection_only() {
        let hello = hello(&proof_message(&EXPORTED), &Manner::default());
        let claim = Claim::prove(&hello, &EXPORTED).expect("proved");
        assert_eq!(claim.identity, Identity::ed25519(*key().public().as_bytes()));
        let elsewhere = Claim::prove(&hello, &[2; EXPORTER_LENGTH]).expect_err("refused");
        assert_eq!(elsewhere.code, RefusalCode::BadProof);
    }

    #[test]
    fn a_proof_of_one_manner_is_none_of_another() {
        let manners = [Manner::default(), Manner { sshsig: true, touch: None }, touch(1), touch(5)];
        for made in &manners {
            for said in &manners {
                let proved = Claim::prove(&hello(&made.signed(&EXPORTED), said), &EXPORTED);
                assert_eq!(proved.is_ok(), made == said, "{made:?} {said:?}");
            }
        }
    }

    #[test]
    fn what_a_fido_key_has_signed_holds_as_it_was_signed_and_on_its_own_connection_only() {
        let signed = touch(1).signed(&EXPORTED);
        let is_proved = |exported: &[u8; EXPORTER_LENGTH], change: fn(&mut Touch)| {
            let mut manner = touch(1);
            manner.touch.iter_mut().for_each(change);
            Claim::prove(&hello(&signed, &manner), exported).is_ok()
        };
        assert!(is_proved(&EXPORTED, |_| ()));
        assert!(!is_proved(&[2; EXPORTER_LENGTH], |_| ()));
        let other = |touch: &mut Touch| touch.application = Application::new("ssh:other").expect("short");
        assert!(!is_proved(&EXPORTED, other));
        assert!(!is_proved(&EXPORTED, |touch| touch.flags = 5));
        assert!(!is_proved(&EXPORTED, |touch| touch.counter += 1));
    }

    #[test]
    fn a_certificate_that_is_too_long_is_none() {
        let shown = |length: usize| {
            let hello = hello(&proof_message(&EXPORTED), &Manner::default());
            Claim::prove(&hello.certified_by(vec![0; length]), &EXPORTED).expect("proved").certificate
        };
        assert_eq!(shown(MAX_CERTIFICATE), Some(Err(Objection::Unreadable)));
        assert_eq!(shown(MAX_CERTIFICATE + 1), None);
    }

    /// As a FIDO key does it: the application's hash, flags, a counter, and the hash of what is signed.
    #[test]
    fn a_fido_key_proves_another_identity_than_its_bytes_alone() {
        let message = Sha256::digest(proof_message(&EXPORTED));
        let signed = [&Sha256::digest("ssh:")[..], &[1, 0, 0, 0, 7], &message].concat();
        let claim = Claim::prove(&hello(&signed, &touch(1)), &EXPORTED).expect("proved");
        assert_eq!(claim.identity.application().map(Application::as_str), Some("ssh:"));
        // What an old host sees is a proof that does not hold.
        assert!(Claim::prove(&hello(&signed, &Manner::default()), &EXPORTED).is_err());
    }

    #[test]
    fn a_fido_key_has_to_be_touched_unless_the_line_says_otherwise() {
        let present = |flags, no_touch_required, verify_required| {
            let manner = touch(flags);
            let claim = Claim::prove(&hello(&manner.signed(&EXPORTED), &manner), &EXPORTED).expect("proved");
            let options = PeerOptions { no_touch_required, verify_required, ..PeerOptions::default() };
            claim.is_present(&options).is_ok()
        };
        assert_eq!(
            [present(1, false, false), present(0, false, false), present(0, true, false)],
            [true, false, true]
        );
        assert_eq!(
            [present(1, false, true), present(5, false, true), present(4, true, true)],
            [false, true, true]
        );
        // Other keys have nothing to be touched.
        let options = PeerOptions { verify_required: true, ..PeerOptions::default() };
        assert!(Claim::from(Identity::ed25519([1; 32])).is_present(&options).is_ok());
    }
}
