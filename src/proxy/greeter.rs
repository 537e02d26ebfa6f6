//! Who we are to hosts.

use std::path::PathBuf;

use iroh::endpoint::Connection;
use tokio::{sync::OwnedMutexGuard, task::spawn_blocking};

use super::{
    credentials::{Credentials, Proof},
    instances::Living,
    session_error::SessionError,
};
use crate::{
    names::Aliases,
    protocol::{EXPORTER_LABEL, EXPORTER_LENGTH, Hello, Instance, MAX_CERTIFICATE},
    transport::{InviteSecret, Target},
};

/// Who greets a host.
#[derive(Debug, Clone)]
pub(super) struct Greeter {
    pub(super) credentials: Credentials,
    /// Which of the identity's processes.
    pub(super) instance: Instance,
    /// Where it is among those of its user.
    pub(super) living: Option<Living>,
    /// The user's names of hosts.
    pub(super) aliases: Option<PathBuf>,
}

impl Greeter {
    /// What it says on a connection. Others who would prove the same wait until the last one of it is dropped.
    pub(super) async fn hello(
        &self,
        connection: &Connection,
        target: &Target,
    ) -> Result<(Hello, Option<OwnedMutexGuard<()>>), SessionError> {
        let identity = self.credentials.identity();
        let mut exported = [0; EXPORTER_LENGTH];
        connection
            .export_keying_material(&mut exported, EXPORTER_LABEL, identity.key())
            .map_err(|_| SessionError::Protocol("the connection gives no keying material".to_owned()))?;
        let Proof { signature, manner, certificate, turn } = self.credentials.prove(&exported).await?;
        let hello = Hello::new(*identity.key(), signature, target.secret().cloned(), self.instance);
        let hello = hello.proved_by(&manner);
        let hello = match certificate {
            Some(certificate) if certificate.len() <= MAX_CERTIFICATE => hello.certified_by(certificate),
            Some(_) => {
                tracing::warn!("the certificate is not shown: it is longer than {MAX_CERTIFICATE} bytes");
                hello
            }
            None => hello,
        };
        Ok((hello, turn))
    }
}

/// An invite that is about to be used, and the names that may keep it.
pub(super) struct Used {
    aliases: PathBuf,
    secret: InviteSecret,
}

impl Used {
    pub(super) fn of(target: &Target, who: &Greeter) -> Option<Self> {
        Some(Self { aliases: who.aliases.clone()?, secret: target.secret()?.clone() })
    }

    /// It was used.
    pub(super) async fn forget(self) {
        let forgetting = spawn_blocking(move || Aliases::forget_secret(&self.aliases, &self.secret));
        if let Ok(Err(error)) = forgetting.await {
            tracing::warn!("the invite was used, and stays in the list of hosts: {error}");
        }
    }
}
