//! How a client proves that it holds its identity.

use iroh::{PublicKey, Signature};
use russh::keys::{HashAlg, ssh_key::SshSig};
use sha2::{Digest, Sha256};

use super::{
    extensions::{Extensions, MANNER},
    frame_error::FrameError,
    wire::{Reader, Writer},
};
use crate::transport::{Application, Identity};

/// The label under which both sides export keying material of the TLS session (RFC 8446 section
/// 7.5). The context is the identity's public key.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-irosh/1 identity";

/// Bytes of keying material.
pub const EXPORTER_LENGTH: usize = 32;

/// What an SSHSIG of a proof says that it is for (OpenSSH's PROTOCOL.sshsig).
const NAMESPACE: &str = "irosh/1 identity proof";

/// What the identity signs: a line that no SSH signature begins with, then the keying material.
///
/// The material is unlike in each connection and known to its two ends alone, so a signature made
/// for one host proves nothing to another.
#[must_use]
pub fn proof_message(exported: &[u8; EXPORTER_LENGTH]) -> Vec<u8> {
    [b"irosh/1 identity proof\n", &exported[..]].concat()
}

/// How a proof was made, where an ordinary key has not signed the [`proof_message`] itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// The message was signed as `ssh-keygen -Y sign` does it: some agents sign nothing that is not of SSH.
    pub sshsig: bool,
    /// A FIDO key has signed.
    pub touch: Option<Touch>,
}

/// What a FIDO key says with its signature (OpenSSH's PROTOCOL.u2f).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// For what it has made the key.
    pub application: Application,
    /// Who was there.
    pub flags: u8,
    /// How often it has signed.
    pub counter: u32,
}

impl Touch {
    /// The flag that somebody has touched it.
    pub const PRESENT: u8 = 1;

    /// The flag that it knows who: by a PIN or a finger.
    pub const VERIFIED: u8 = 4;

    /// What a client is told whose key nobody has touched.
    pub(crate) const UNTOUCHED: &str = "your security key was not touched, which this host wants\nuse one that has to be touched, or ask its owner for no-touch-required";
}

impl Manner {
    /// What is to be signed, or handed to who signs: a FIDO key adds its own to it.
    #[must_use]
    pub fn message(&self, exported: &[u8; EXPORTER_LENGTH]) -> Vec<u8> {
        let message = proof_message(exported);
        match self.sshsig {
            // It fails where there is no namespace, and there is one.
            true => SshSig::signed_data(NAMESPACE, HashAlg::Sha512, &message).unwrap_or_default(),
            false => message,
        }
    }

    /// Over what the ed25519 signature is.
    #[must_use]
    pub fn signed(&self, exported: &[u8; EXPORTER_LENGTH]) -> Vec<u8> {
        let message = self.message(exported);
        let Some(Touch { application, flags, counter }) = &self.touch else { return message };
        let fields = Vec::new().bytes(&Sha256::digest(application.as_str())).byte(*flags);
        fields.uint32(*counter).bytes(&Sha256::digest(message))
    }

    /// Whose proof this is, where the key has signed it on the connection that has given this keying material.
    #[must_use]
    pub(crate) fn prover(
        &self,
        key: [u8; 32],
        proof: &[u8; 64],
        exported: &[u8; EXPORTER_LENGTH],
    ) -> Option<Identity> {
        let public = PublicKey::from_bytes(&key).ok()?;
        public.verify(&self.signed(exported), &Signature::from_bytes(proof)).ok()?;
        Some(self.identity(key))
    }

    /// Whose proof it is that this key has signed.
    #[must_use]
    pub fn identity(&self, key: [u8; 32]) -> Identity {
        match self.touch {
            Some(touch) => Identity::security_key(key, touch.application),
            None => Identity::ed25519(key),
        }
    }

    /// As an extension of `Hello`, and of what a client says of itself where it pairs: none where it is as usual.
    pub(super) fn add_to(&self, extensions: &mut Extensions) {
        if *self != Self::default() {
            extensions.0.push((MANNER, self.encode()));
        }
    }

    /// As these extensions say.
    pub(super) fn of(extensions: &Extensions) -> Result<Self, FrameError> {
        extensions.get(MANNER).map_or_else(|| Ok(Self::default()), Self::decode)
    }

    fn encode(&self) -> Vec<u8> {
        let fields = Vec::new().boolean(self.sshsig);
        match &self.touch {
            None => fields.string(b""),
            Some(Touch { application, flags, counter }) => {
                fields.string(application.as_str().as_bytes()).byte(*flags).uint32(*counter)
            }
        }
    }

    fn decode(extension: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(extension);
        let sshsig = reader.boolean()?;
        let touch = match reader.line(Application::LONGEST)? {
            none if none.is_empty() => None,
            text => {
                let application = Application::new(&text).ok_or(FrameError::NotText)?;
                Some(Touch { application, flags: reader.byte()?, counter: reader.uint32()? })
            }
        };
        reader.end()?;
        Ok(Self { sshsig, touch })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_manner_reads_as_it_was_written(sshsig: bool, application in "[a-z:]{0,64}", flags: u8, counter: u32) {
            let touch = Application::new(&application).map(|application| Touch { application, flags, counter });
            let manner = Manner { sshsig, touch };
            prop_assert_eq!(Manner::decode(&manner.encode()), Ok(manner));
        }

        #[test]
        fn what_is_no_manner_panics_nowhere(bytes: Vec<u8>) {
            let _ = Manner::decode(&bytes);
        }
    }

    #[test]
    fn an_application_that_is_too_long_is_refused() {
        let fields = Vec::new().boolean(false).string(&[b'x'; 65]).byte(1).uint32(1);
        assert_eq!(Manner::decode(&fields), Err(FrameError::FieldTooLong { length: 65, max: 64 }));
    }

    #[test]
    fn an_sshsig_is_what_ssh_keygen_signs() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let exported = [7; EXPORTER_LENGTH];
        std::fs::write(path("message"), proof_message(&exported)).expect("written");
        let keygen = |arguments: &[&str], file: &str| {
            let mut command = Command::new("ssh-keygen");
            let done = command.args(arguments).arg(path(file)).output().expect("ssh-keygen");
            assert!(done.status.success(), "{done:?}");
        };
        keygen(&["-q", "-t", "ed25519", "-N", "", "-f"], "key");
        let key = path("key");
        keygen(&["-Y", "sign", "-n", NAMESPACE, "-f", key.to_str().expect("UTF-8")], "message");
        let text = std::fs::read_to_string(path("message.sig")).expect("a signature");
        let signature = text.parse::<SshSig>().expect("an SSHSIG").signature().clone();
        let public = std::fs::read_to_string(path("key.pub")).expect("a key");
        let public = PublicKey::from_bytes(Identity::from_openssh(&public).expect("a key").key());
        let signature = Signature::from_bytes(signature.as_bytes().try_into().expect("64 bytes"));
        let manner = Manner { sshsig: true, touch: None };
        public.expect("a key").verify(&manner.signed(&exported), &signature).expect("it is the same");
    }
}
