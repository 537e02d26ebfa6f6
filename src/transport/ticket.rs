//! Invites: a ticket with a secret that admits a new identity.

use std::fmt;

use iroh::EndpointAddr;
use iroh_tickets::{ParseError, Ticket, endpoint::EndpointTicket};
use zeroize::{Zeroize, Zeroizing};

/// The bytes of an invite that only its holder knows; they are wiped from memory with their value.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteSecret(pub [u8; Self::LENGTH]);

impl InviteSecret {
    /// Bytes in a secret: as many as guessing needs to be hopeless.
    pub const LENGTH: usize = 16;

    /// A new secret.
    #[must_use]
    pub fn generate() -> Self {
        let random = Zeroizing::new(iroh::SecretKey::generate().to_bytes());
        let mut secret = Self([0; Self::LENGTH]);
        secret.0.copy_from_slice(&random[..Self::LENGTH]);
        secret
    }
}

impl Drop for InviteSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteSecret(..)")
    }
}

/// A ticket with a secret: `invite` and lower-case base32, so that it passes as a host name.
///
/// The bytes are the secret and then those of the ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Where the host is.
    pub addr: EndpointAddr,
    /// What admits the bearer.
    pub secret: InviteSecret,
}

impl Ticket for Invite {
    const KIND: &'static str = "invite";

    fn encode_bytes(&self) -> Vec<u8> {
        let ticket = EndpointTicket::new(self.addr.clone()).encode_bytes();
        [&self.secret.0[..], &ticket].concat()
    }

    fn decode_bytes(bytes: &[u8]) -> Result<Self, ParseError> {
        let (secret, ticket) = bytes
            .split_first_chunk()
            .ok_or_else(|| ParseError::verification_failed("an invite is cut off"))?;
        let addr = EndpointTicket::decode_bytes(ticket)?.into();
        Ok(Self { addr, secret: InviteSecret(*secret) })
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.encode_string())
    }
}
