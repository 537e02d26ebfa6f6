//! Two machines that have proved to each other that they know the words of one code, and what they then say of
//! themselves: the client first.

use std::{fmt, time::Duration};

use iroh::Endpoint;
use tokio::time::timeout;

use super::{agreement::Keys, error::PairingError, line::Line, verifier::Verifier};
use crate::{
    protocol::{
        CloseCode, EXPORTER_LENGTH, Extensions, Touch,
        pairing::{self, Frame, IDENTITY_EXPORTER_LABEL, MAX_FRAME, Reason, Role},
    },
    proxy::Credentials,
    session::Lost,
    transport::{Identity, Target, close_quickly},
};

/// How long the other side may take where its person compares first.
const COMPARING: Duration = Duration::from_secs(180);

/// How long the client may take to prove who it is, which a person may have to confirm.
const PROVING: Duration = Duration::from_secs(60);

/// How long the host may take to see to its lists.
const LISTS: Duration = Duration::from_secs(45);

/// How long the client may take to hang up once it has all.
const GOODBYE: Duration = Duration::from_secs(2);

/// A pairing that is agreed on.
pub(super) struct Met {
    pub(super) endpoint: Endpoint,
    pub(super) line: Line,
    pub(super) keys: Keys,
    pub(super) verifier: Verifier,
    /// Whether a person is to compare the verifiers, here and there.
    pub(super) compare: bool,
}

impl Met {
    /// How long a side of this role may take to say who it is, once its person has compared.
    fn patience(&self, role: Role) -> Duration {
        let comparing = if self.compare { COMPARING } else { Duration::ZERO };
        comparing + if role == Role::Client { PROVING } else { LISTS }
    }

    async fn deny(mut self, reason: Reason, sentence: &str) {
        self.line.refuse(reason, sentence).await;
        close_quickly(&self.endpoint).await;
    }

    /// Hears what the other side says of itself.
    async fn hear(&mut self, role: Role) -> Result<Vec<u8>, PairingError> {
        let patience = self.patience(role);
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
    pub identity: Identity,
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
        self.0.verifier
    }

    /// Whether a person is to compare the verifiers before it goes on: it was asked for here, or there.
    #[must_use]
    pub fn is_to_be_compared(&self) -> bool {
        self.0.compare
    }

    /// Hears who the client is, once its person has compared. Where it is dropped before, the pairing can only be given up.
    ///
    /// # Errors
    ///
    /// [`PairingError`]; nothing was told then, and the pairing has ended.
    pub async fn introduction(&mut self) -> Result<AboutClient, PairingError> {
        let client = self.hear_of_client().await;
        if let Err(error) = &client {
            let code = match error {
                PairingError::Deadline => CloseCode::Deadline,
                _ => CloseCode::Protocol,
            };
            self.0.line.hang_up(code);
            close_quickly(&self.0.endpoint).await;
        }
        client
    }

    async fn hear_of_client(&mut self) -> Result<AboutClient, PairingError> {
        let body = self.0.hear(Role::Client).await?;
        let said = pairing::AboutClient::decode(&body)?;
        let (manner, exported) = (said.manner()?, self.0.exported(&said.identity)?);
        let Some(identity) = manner.prover(said.identity, &said.proof, &exported) else {
            self.0.line.refuse(Reason::BadProof, "").await;
            return Err(PairingError::BadProof);
        };
        // As the host wants it of all who come, unless their line says otherwise.
        if manner.touch.is_some_and(|touch| touch.flags & Touch::PRESENT == 0) {
            self.0.line.refuse(Reason::NotAdmitted, Touch::UNTOUCHED).await;
            return Err(PairingError::Untouched(identity));
        }
        Ok(AboutClient { identity, name: said.name })
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
        self.0.verifier
    }

    /// Whether a person is to compare the verifiers before it goes on: it was asked for here, or there.
    #[must_use]
    pub fn is_to_be_compared(&self) -> bool {
        self.0.compare
    }

    /// Says who this client is, proves it, which may take as long as somebody takes to confirm it, and hears of the host,
    /// by which it is let in. That ends the pairing. Where it is dropped before, it can be given up.
    ///
    /// # Errors
    ///
    /// [`PairingError`]; where the connection is lost at the end, the host may have let it in all the same.
    pub async fn introduce(
        &mut self,
        credentials: &Credentials,
        name: &str,
    ) -> Result<AboutHost, PairingError> {
        let Self(met) = self;
        let told = met.introduce(credentials, name).await;
        match &told {
            Ok(_) => met.line.hang_up(CloseCode::Done),
            Err(PairingError::CannotProve(_)) => met.line.refuse(Reason::GivenUp, "").await,
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
    async fn introduce(&mut self, credentials: &Credentials, name: &str) -> Result<AboutHost, PairingError> {
        let identity = *credentials.identity().key();
        let exported = self.exported(&identity)?;
        let proof = tokio::select! {
            proof = credentials.prove(&exported) => Some(proof?),
            _ = self.line.connection.closed() => None,
        };
        let Some(proof) = proof else {
            // Nobody waits for it any more: it may have been said why.
            return Err(match self.hear(Role::Host).await {
                Err(error) => error,
                Ok(_) => PairingError::GivenUp,
            });
        };
        let (name, extensions) = (name.to_owned(), Extensions::default());
        let about = pairing::AboutClient { identity, proof: proof.signature, name, extensions };
        let about = about.proved_by(&proof.manner);
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
