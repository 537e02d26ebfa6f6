//! Proofs that an ssh-agent makes: of keys that it has been given, and of those on FIDO keys.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use russh::keys::{
    self, Algorithm, Certificate,
    agent::{AgentIdentity, client::AgentClient},
    ssh_key::Signature,
};
use tokio::{
    net::UnixStream,
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::timeout,
};

use crate::{
    protocol::{EXPORTER_LENGTH, Manner, Touch},
    transport::Identity,
};

/// The beginning of an application for which agents have FIDO keys sign all that is not of the web (ssh-agent.c's
/// `check_websafe_message_contents`).
const OF_SSH: &str = "ssh:";

/// How long an agent may take to say which keys it has, about which it asks nobody.
const PATIENCE: Duration = Duration::from_secs(10);

/// An ssh-agent that has a key.
#[derive(Debug, Clone)]
pub(super) struct SshAgent {
    /// What names the key.
    file: PathBuf,
    /// Where it is, as far as is known by now.
    socket: Arc<Mutex<Option<PathBuf>>>,
    /// Of those who want a proof at the same time, one asks: it may be all that they want.
    turn: Arc<AsyncMutex<()>>,
}

/// What it has signed.
pub(super) struct Signed {
    pub(super) signature: [u8; 64],
    pub(super) manner: Manner,
    /// Those that it has for the key.
    pub(super) certificates: Vec<Certificate>,
    pub(super) turn: OwnedMutexGuard<()>,
}

/// An identity could not be proved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotProve {
    /// No agent is known.
    #[error("the private half of {0} is to be in an ssh-agent, and SSH_AUTH_SOCK names none\nstart one, and there: ssh-add {add}", add = private(.0).display())]
    NoAgent(PathBuf),
    /// It is not there.
    #[error("the ssh-agent at {socket} does not answer: {reason}\nstart another one, and there: ssh-add {add}", add = private(.file).display(), socket = .socket.display())]
    Silent {
        /// Where it should be.
        socket: PathBuf,
        /// What the system says.
        reason: String,
        /// What names the key.
        file: PathBuf,
    },
    /// It does not have the key.
    #[error("the ssh-agent at {socket} does not have the key {fingerprint}\nrun: ssh-add {add}", add = private(.file).display(), socket = .socket.display())]
    NotHeld {
        /// Where it is.
        socket: PathBuf,
        /// The key.
        fingerprint: String,
        /// What names it.
        file: PathBuf,
    },
    /// It shows no key at all, as one that is locked does.
    #[error("the ssh-agent at {socket} shows no keys: it is locked, or has none\nrun: ssh-add -X if you have locked it, or else: ssh-add {add}", add = private(.file).display(), socket = .socket.display())]
    Empty {
        /// Where it is.
        socket: PathBuf,
        /// What names the key.
        file: PathBuf,
    },
    /// It has the key, and does not sign.
    #[error(
        "the ssh-agent does not sign with {0}\na key may have to be touched or confirmed, within the time that it gives; and none added with `ssh-add -h` will do"
    )]
    Declined(String),
    /// The host does not wait any longer.
    #[error(
        "your ssh-agent has not signed the proof of your identity in time\ntouch or confirm your key sooner, or have `login-grace-time` raised in the host's host.toml"
    )]
    TooLate,
}

/// The file to add to an agent, of one that names the key.
fn private(file: &Path) -> PathBuf {
    match file.extension() {
        Some(extension) if extension == "pub" => file.with_extension(""),
        _ => file.to_owned(),
    }
}

impl SshAgent {
    pub(super) fn new(file: &Path, socket: Option<PathBuf>) -> Self {
        Self { file: file.to_owned(), socket: Arc::new(Mutex::new(socket)), turn: Arc::default() }
    }

    /// Is from now on where `newer` is.
    pub(super) fn renew(&self, newer: &Self) {
        if let Some(socket) = newer.socket() {
            *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
        }
    }

    fn socket(&self) -> Option<PathBuf> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it has the key.
    pub(super) async fn check(&self, identity: &Identity) -> Result<(), CannotProve> {
        self.open(identity).await.map(drop)
    }

    /// Has the key sign, which somebody may have to confirm.
    pub(super) async fn sign(
        &self,
        identity: &Identity,
        exported: &[u8; EXPORTER_LENGTH],
    ) -> Result<Signed, CannotProve> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let (mut agent, certificates) = self.open(identity).await?;
        let key = AgentIdentity::PublicKey { key: identity.public_key(), comment: String::new() };
        for sshsig in ways(identity) {
            let message = Manner { sshsig: *sshsig, touch: None }.message(exported);
            let length = message.len();
            // It returns the message with the signature after it, as a string.
            match agent.sign_request(&key, None, message).await {
                Ok(signed) => {
                    let signature = signed.get(length + 4..).and_then(|blob| read(blob, identity, *sshsig));
                    let (signature, manner) = signature.ok_or_else(|| self.declined(identity))?;
                    return Ok(Signed { signature, manner, certificates, turn });
                }
                Err(keys::Error::AgentFailure) => {}
                Err(error) => return Err(self.silent(&error)),
            }
        }
        // It may have been locked meanwhile, or have lost the key.
        self.open(identity).await?;
        Err(self.declined(identity))
    }

    /// The agent, and the certificates that it has for a key, if it has that.
    async fn open(
        &self,
        identity: &Identity,
    ) -> Result<(AgentClient<UnixStream>, Vec<Certificate>), CannotProve> {
        let socket = self.socket().ok_or_else(|| CannotProve::NoAgent(self.file.clone()))?;
        let asked = timeout(PATIENCE, async {
            let mut agent = AgentClient::connect(UnixStream::connect(&socket).await?);
            let held = agent.request_identities().await?;
            Ok::<_, keys::Error>((agent, held))
        });
        let silence = format!("it has said nothing for {} s", PATIENCE.as_secs());
        let asked = asked.await.map_err(|_| self.silent(&silence))?;
        let (agent, held) = asked.map_err(|error| self.silent(&error))?;
        if held.is_empty() {
            return Err(CannotProve::Empty { socket, file: self.file.clone() });
        }
        let (mut is_held, mut certificates) = (false, Vec::new());
        for held in held {
            match held {
                AgentIdentity::PublicKey { key, .. } => {
                    is_held |= Identity::of_key(key.key_data()) == Some(*identity);
                }
                AgentIdentity::Certificate { certificate, .. } => {
                    if Identity::of_key(certificate.public_key()) == Some(*identity) {
                        certificates.push(certificate);
                    }
                }
            }
        }
        if is_held {
            return Ok((agent, certificates));
        }
        Err(CannotProve::NotHeld { socket, fingerprint: identity.fingerprint(), file: self.file.clone() })
    }

    fn silent(&self, error: &dyn fmt::Display) -> CannotProve {
        let socket = self.socket().unwrap_or_default();
        CannotProve::Silent { socket, reason: error.to_string(), file: self.file.clone() }
    }

    fn declined(&self, identity: &Identity) -> CannotProve {
        CannotProve::Declined(identity.fingerprint())
    }
}

impl fmt::Display for SshAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.socket() {
            Some(socket) => write!(f, "the ssh-agent at {}, as {file} says", socket.display()),
            None => write!(f, "no ssh-agent, as {file} says"),
        }
    }
}

/// Whether the message is signed as it is, or as an SSHSIG has it, in the order in which that is tried.
///
/// Some agents sign nothing that is not of SSH. A FIDO key is asked once: where it was not touched, the agent says no
/// more than where it does not like the message. OpenSSH's likes any for an application of SSH's, and an SSHSIG for all.
fn ways(identity: &Identity) -> &'static [bool] {
    match identity.application() {
        None => &[false, true],
        Some(application) if application.as_str().starts_with(OF_SSH) => &[false],
        Some(_) => &[true],
    }
}

/// A signature as SSH writes it (RFC 8709 section 6; OpenSSH's PROTOCOL.u2f).
fn read(blob: &[u8], identity: &Identity, sshsig: bool) -> Option<([u8; 64], Manner)> {
    let signature = Signature::try_from(blob).ok()?;
    let (bytes, rest) = signature.as_bytes().split_first_chunk()?;
    let touch = match (signature.algorithm(), identity.application()) {
        (Algorithm::Ed25519, None) if rest.is_empty() => None,
        (Algorithm::SkEd25519, Some(application)) => {
            let (flags, counter) = rest.split_first()?;
            let counter = u32::from_be_bytes(counter.try_into().ok()?);
            Some(Touch { application: *application, flags: *flags, counter })
        }
        _ => return None,
    };
    Some((*bytes, Manner { sshsig, touch }))
}
