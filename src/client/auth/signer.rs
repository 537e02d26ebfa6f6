//! Signing what the server wants signed.

use std::{fmt, sync::Arc};

use russh::{
    SendError, Signer,
    keys::{
        HashAlg, PrivateKey,
        agent::AgentIdentity,
        ssh_key::{Signature, encoding::Encode, private::KeypairData},
    },
};
use tokio::sync::watch;

use crate::{questions::BoxFuture, ssh_wire::Writer};

/// A key could not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SignError(pub String);

/// Signs with one key.
pub trait KeySigner: Send + Sync {
    /// A signature over `data` as SSH writes it: the algorithm's name and the signature, each a string
    /// (RFC 4253 section 6.6). `hash` is for RSA alone.
    fn sign<'a>(&'a self, data: &'a [u8], hash: Option<HashAlg>)
    -> BoxFuture<'a, Result<Vec<u8>, SignError>>;

    /// Whether nobody is asked for that, and nothing is touched or confirmed. The server is then not asked first whether
    /// it would take the key, which saves a round trip.
    fn signs_at_once(&self) -> bool {
        false
    }
}

/// A private key in memory.
pub struct LocalKey(pub Arc<PrivateKey>);

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalKey").field(&self.0.algorithm()).finish()
    }
}

impl LocalKey {
    pub(super) fn sign_now(
        key: &PrivateKey,
        data: &[u8],
        hash: Option<HashAlg>,
    ) -> Result<Vec<u8>, SignError> {
        use signature::Signer as _;
        let signature: Result<Signature, _> = match (key.key_data(), hash) {
            // Without a hash it would be SHA-1.
            (KeypairData::Rsa(pair), Some(hash)) => (pair, Some(hash)).try_sign(data),
            (KeypairData::Rsa(_), None) => return Err(SignError("no signature with SHA-1".to_owned())),
            _ => key.try_sign(data),
        };
        let failed = |error: &dyn fmt::Display| SignError(error.to_string());
        let signature = signature.map_err(|error| failed(&error))?;
        signature.encode_vec().map_err(|error| failed(&error))
    }
}

impl KeySigner for LocalKey {
    fn sign<'a>(
        &'a self,
        data: &'a [u8],
        hash: Option<HashAlg>,
    ) -> BoxFuture<'a, Result<Vec<u8>, SignError>> {
        Box::pin(async move { Self::sign_now(&self.0, data, hash) })
    }

    fn signs_at_once(&self) -> bool {
        true
    }
}

/// What russh asks to sign, and who does. Says while it takes its time.
pub(super) struct Adapter<'a> {
    pub(super) signer: &'a dyn KeySigner,
    pub(super) busy: &'a watch::Sender<bool>,
}

/// Why no signature was sent.
#[derive(Debug)]
pub(super) enum AdapterError {
    Sign(SignError),
    Gone,
}

impl From<SendError> for AdapterError {
    fn from(_: SendError) -> Self {
        Self::Gone
    }
}

impl Signer for Adapter<'_> {
    type Error = AdapterError;

    fn signs_at_once(&self) -> bool {
        self.signer.signs_at_once()
    }

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        self.busy.send_replace(true);
        let signature = self.signer.sign(&data, hash).await;
        self.busy.send_replace(false);
        let signature = signature.map_err(AdapterError::Sign)?;
        Ok(data.string(&signature))
    }
}
