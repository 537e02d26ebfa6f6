//! Keys of an SSH agent.

use std::{fmt, path::PathBuf, sync::Arc};

use russh::keys::{
    HashAlg, PublicKey,
    agent::{AgentIdentity, client::AgentClient},
};
use tokio::{net::UnixStream, sync::Mutex};

use super::{
    attempt::Key,
    signer::{KeySigner, SignError},
};
use crate::questions::BoxFuture;

/// Where the agent is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AgentSource {
    /// At `SSH_AUTH_SOCK`, if that is set.
    #[default]
    Environment,
    /// At this socket.
    Socket(PathBuf),
    /// No agent is used.
    None,
}

impl AgentSource {
    /// The socket.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        match self {
            Self::Environment => {
                std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from)
            }
            Self::Socket(path) => Some(path.clone()),
            Self::None => None,
        }
    }
}

type Client = Arc<Mutex<AgentClient<UnixStream>>>;

/// A key in the agent.
struct AgentKey {
    agent: Client,
    identity: AgentIdentity,
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AgentKey").field(&self.identity.public_key().algorithm()).finish()
    }
}

impl KeySigner for AgentKey {
    fn sign<'a>(
        &'a self,
        data: &'a [u8],
        hash: Option<HashAlg>,
    ) -> BoxFuture<'a, Result<Vec<u8>, SignError>> {
        Box::pin(async move {
            let mut agent = self.agent.lock().await;
            let signed = agent.sign_request(&self.identity, hash, data.to_vec()).await;
            let signed = signed.map_err(|error| SignError(format!("the agent does not sign: {error}")))?;
            // The agent's client returns the data with the signature after it, as a string.
            let signature = signed.get(data.len() + 4..);
            signature.map(<[u8]>::to_vec).ok_or_else(|| SignError("the agent sends no signature".to_owned()))
        })
    }
}

/// The keys and certificates that the agent has, in its order.
///
/// # Errors
///
/// A sentence.
pub(super) async fn keys(source: &AgentSource) -> Result<Vec<Key>, String> {
    let Some(socket) = source.socket() else { return Ok(Vec::new()) };
    let name = socket.display().to_string();
    let stream = match UnixStream::connect(&socket).await {
        Ok(stream) => stream,
        Err(error) => return Err(format!("no agent at {name}: {error}")),
    };
    let mut client = AgentClient::connect(stream);
    let identities = client.request_identities().await;
    let identities = identities.map_err(|error| format!("the agent at {name} shows no keys: {error}"))?;
    let agent = Arc::new(Mutex::new(client));
    let keys = identities.into_iter().map(|identity| {
        let certificate = match &identity {
            AgentIdentity::Certificate { certificate, .. } => Some(certificate.clone()),
            AgentIdentity::PublicKey { .. } => None,
        };
        let public: PublicKey = identity.public_key().into_owned();
        Key { public, certificate, signer: Arc::new(AgentKey { agent: Arc::clone(&agent), identity }) }
    });
    Ok(keys.collect())
}

#[cfg(test)]
mod tests {
    use russh::keys::{PrivateKey, ssh_key::private::Ed25519Keypair};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
    };

    use super::*;
    use crate::ssh_wire::Writer;

    #[tokio::test]
    async fn a_key_that_cannot_be_read_hides_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agent");
        let listener = UnixListener::bind(&path).expect("bound");
        let good = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32])).public_key().clone();
        let blob = good.to_bytes().expect("encoded");
        // SSH_AGENT_IDENTITIES_ANSWER
        let mut answer = vec![12, 0, 0, 0, 2];
        for blob in [&blob[..20], &blob[..]] {
            answer = answer.string(blob).string(b"caf\xe9");
        }
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            stream.write_all(&Vec::new().string(&answer)).await.expect("written");
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let keys = keys(&AgentSource::Socket(path)).await.expect("keys");
        let keys: Vec<_> = keys.iter().map(|key| key.public.key_data()).collect();
        assert_eq!(keys, [good.key_data()]);
    }
}
