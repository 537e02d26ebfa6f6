//! Two machines that have proved to each other that they know the words of one code, and what they then say of
//! themselves: the client first.

use std::{fmt, time::Duration};

use iroh::{Endpoint, PublicKey, SecretKey, Signature};
use tokio::time::timeout;

use super::{PairingError, agreement::Keys, line::Line, verifier::Verifier};
use crate::{
    protocol::{
        CloseCode, EXPORTER_LENGTH, Extensions,
        pairing::{self, Frame, IDENTITY_EXPORTER_LABEL, MAX_FRAME, Reason, Role, proof_message},
    },
    session::Lost,
    transport::{Target, close_quickly},
};

/// How long the other side may take where its person compares first.
const COMPARING: Duration = Duration::from_secs(180);

/// How long it may take to see to its files.
const FILES: Duration = Duration::from_secs(20);

/// How long the client may take to hang up once it has all.
const GOODBYE: Duration = Duration::from_secs(2);

/// A pairing that is agreed on.
pub(super) struct Met {
    pub(super) endpoint: Endpoint,
    pub(super) line: Line,
    pub(super) keys: Keys,
    /// Whether a person is to compare the verifiers, here and there.
    pub(super) compare: bool,
}

impl Met {
    fn verifier(&self) -> Verifier {
        self.keys.verifier()
    }

    /// How long the other side may take for what it does once its person has compared.
    fn patience(&self) -> Duration {
        if self.compare { COMPARING } else { FILES }
    }

    async fn deny(mut self, reason: Reason, sentence: &str) {
        self.line.refuse(reason, sentence).await;
        close_quickly(&self.endpoint).await;
    }

    /// Hears what the other side says of itself.
    async fn hear(&mut self, role: Role) -> Result<Vec<u8>, PairingError> {
        let patience = self.patience();
        let (frame, _) = self.line.hear(MAX_FRAME, patience).await?;
        let ((Role::Client, Frame::Client(sealed)) | (Role::Host, Frame::Host(sealed))) = (role, &frame)
        else {
            return Err(frame.unexpected().into());
        };
        let body = self.keys.open(role, sealed).map(<[u8]>::to_vec);
        body.ok_or_else(|| PairingError::Protocol("a MAC does not hold".to_owned()))
    }

    /// Keying material for the proof of an identity.
    fn exported(&self, identity: &[u8; 32]) -> Result<[u8; EXPORTER_LENGTH], PairingError> {
        let mut exported = [0; EXPORTER_LENGTH];
        let export =
            self.line.connection.export_keying_material(&mut exported, IDENTITY_EXPORTER_LABEL, identity);
        export.map_err(|_| PairingError::Protocol("the connection gives no keying material".to_owned()))?;
        Ok(exported)
    }
}

/// What a host has met: a client whose person knows the words of the code.
///
/// Nothing of the host has been told, and nothing is before [`Self::admit`]. Dropping it ends the pairing.
pub struct MetClient(pub(super) Met);

/// Who is to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutClient {
    /// Its identity, which it has proved to hold.
    pub identity: PublicKey,
    /// What it calls itself, such as `alice@laptop`: one line, and otherwise whatever it likes.
    pub name: String,
}

/// What a client is told of its host.
#[derive(Debug, Clone)]
pub struct AboutHost {
    /// Who and where it is.
    pub target: Target,
    /// What it calls itself: one line, and otherwise whatever it likes.
    pub name: String,
    /// Whom to log in as there, for all it knows.
    pub login: Option<String>,
    /// Whether that needs no further proof, at the built-in server.
    pub vouched: bool,
    /// Whether it runs.
    pub running: bool,
    /// SSH public keys of the server behind it, each a key blob (RFC 4253 section 6.6).
    pub host_keys: Vec<Vec<u8>>,
}

impl MetClient {
    /// What the other machine shows as well.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        self.0.verifier()
    }

    /// Whether a person is to compare the verifiers before it goes on: it was asked for here, or there.
    #[must_use]
    pub fn is_to_be_compared(&self) -> bool {
        self.0.compare
    }

    /// Hears who the client is, once its person has compared. Not cancel safe.
    ///
    /// # Errors
    ///
    /// [`PairingError`]; nothing was told then.
    pub async fn introduction(&mut self) -> Result<AboutClient, PairingError> {
        let body = self.0.hear(Role::Client).await?;
        let said = pairing::AboutClient::decode(&body)?;
        let message = proof_message(&self.0.exported(&said.identity)?);
        let identity = PublicKey::from_bytes(&said.identity).ok();
        let proved = identity.filter(|key| key.verify(&message, &Signature::from_bytes(&said.proof)).is_ok());
        match proved {
            Some(identity) => Ok(AboutClient { identity, name: said.name }),
            None => {
                self.0.line.refuse(Reason::BadProof, "").await;
                Err(PairingError::BadProof)
            }
        }
    }

    /// Tells the client, who may come in by now, of the host, and ends the pairing.
    ///
    /// # Errors
    ///
    /// [`PairingError`] where the client has not heard all of it.
    pub async fn admit(self, about: &AboutHost) -> Result<(), PairingError> {
        let Met { endpoint, mut line, keys, .. } = self.0;
        let said = keys.seal(Role::Host, said_of(about).encode());
        let said = line.say(&Frame::Host(said).encode()).await;
        // The client hangs up when it has all of it.
        let ended = timeout(GOODBYE, line.connection.closed()).await;
        close_quickly(&endpoint).await;
        said?;
        match ended.map(Lost::from) {
            Ok(Lost::Closed(CloseCode::Done)) => Ok(()),
            Ok(other) => Err(other.into()),
            Err(_) => Err(PairingError::Deadline),
        }
    }

    /// Does not let the client in, and says why in a sentence for its person.
    pub async fn refuse(self, sentence: &str) {
        self.0.deny(Reason::NotAdmitted, sentence).await;
    }

    /// A person has seen that the two machines do not show the same.
    pub async fn differs(self) {
        self.0.deny(Reason::Differs, "").await;
    }

    /// Ends the pairing, since a person has given it up.
    pub async fn give_up(self) {
        self.0.deny(Reason::GivenUp, "").await;
    }
}

fn said_of(about: &AboutHost) -> pairing::AboutHost {
    let AboutHost { target, name, login, vouched, running, host_keys } = about;
    let ticket = iroh_tickets::endpoint::EndpointTicket::new(target.addr().clone());
    pairing::AboutHost {
        ticket: ticket.to_string(),
        name: name.clone(),
        login: login.clone().unwrap_or_default(),
        vouched: *vouched,
        running: *running,
        host_keys: host_keys.clone(),
        extensions: Extensions::default(),
    }
}

/// What a client has met: a host that knows the words of the code. Dropping it ends the pairing.
pub struct MetHost(pub(super) Met);

impl MetHost {
    /// What the other machine shows as well.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        self.0.verifier()
    }

    /// Whether a person is to compare the verifiers before it goes on: it was asked for here, or there.
    #[must_use]
    pub fn is_to_be_compared(&self) -> bool {
        self.0.compare
    }

    /// Says who this client is, proves it, and hears of the host, by which it is let in.
    ///
    /// # Errors
    ///
    /// [`PairingError`]; where the connection is lost at the end, the host may have let it in all the same.
    pub async fn introduce(self, identity: &SecretKey, name: &str) -> Result<AboutHost, PairingError> {
        let Self(mut met) = self;
        let told = met.introduce(identity, name).await;
        match &told {
            Ok(_) => met.line.hang_up(CloseCode::Done),
            Err(_) => met.line.hang_up(CloseCode::Protocol),
        }
        close_quickly(&met.endpoint).await;
        told
    }

    /// A person has seen that the two machines do not show the same.
    pub async fn differs(self) {
        self.0.deny(Reason::Differs, "").await;
    }

    /// Ends the pairing, since a person has given it up.
    pub async fn give_up(self) {
        self.0.deny(Reason::GivenUp, "").await;
    }
}

impl Met {
    async fn introduce(&mut self, identity: &SecretKey, name: &str) -> Result<AboutHost, PairingError> {
        let public = *identity.public().as_bytes();
        let proof = identity.sign(&proof_message(&self.exported(&public)?)).to_bytes();
        let (name, extensions) = (name.to_owned(), Extensions::default());
        let about = pairing::AboutClient { identity: public, proof, name, extensions };
        let sealed = self.keys.seal(Role::Client, about.encode());
        self.line.say(&Frame::Client(sealed).encode()).await?;
        let said = pairing::AboutHost::decode(&self.hear(Role::Host).await?)?;
        let target: Option<Target> = said.ticket.parse().ok();
        let target = target.filter(|target| target.secret().is_none());
        let no_ticket = || PairingError::Protocol("what should be the host's ticket is none".to_owned());
        let target = target.ok_or_else(no_ticket)?;
        Ok(AboutHost {
            target,
            name: said.name,
            login: Some(said.login).filter(|login| !login.is_empty()),
            vouched: said.vouched,
            running: said.running,
            host_keys: said.host_keys,
        })
    }
}

impl fmt::Debug for MetClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetClient").field("compare", &self.0.compare).finish_non_exhaustive()
    }
}

impl fmt::Debug for MetHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetHost").field("compare", &self.0.compare).finish_non_exhaustive()
    }
}
