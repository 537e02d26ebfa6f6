//! What a program names a host by.

use std::{fmt, str::FromStr};

use iroh::{EndpointAddr, EndpointId};
use iroh_tickets::endpoint::EndpointTicket;

use crate::{
    names::Aliases,
    pairing::{AboutHost, Code, PairingError, join_host},
    proxy::Credentials,
    transport::{Invite, Network, Target, TargetError},
};

/// `[user@]TARGET`: an alias, an endpoint id, a ticket or an invite, and perhaps a login.
#[derive(Clone, PartialEq, Eq)]
pub struct ResolvedTarget {
    login: Option<Vec<u8>>,
    name: String,
    target: Target,
}

impl ResolvedTarget {
    /// Reads a target with these aliases.
    ///
    /// # Errors
    ///
    /// [`TargetError`] with the nearest alias, if one is near.
    pub fn resolve(text: impl AsRef<[u8]>, aliases: &Aliases) -> Result<Self, TargetError> {
        Self::read(text.as_ref(), |name| aliases.resolve(name))
    }

    /// Pairs with the host that shows a code: who has these credentials is let in there from then on, and `name` is what
    /// it is called. The login is the one for which the host vouches, if it does.
    ///
    /// What an [`AboutHost`] says beside that, such as the keys of its SSH server, is heard again with each connection.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use irosh::{
    ///     client::{Client, ClientOptions, ResolvedTarget},
    ///     proxy::Credentials,
    ///     transport::Network,
    /// };
    ///
    /// let credentials = Credentials::from(iroh::SecretKey::generate());
    /// let code = "7-velvet-otter".parse()?;
    /// let target = ResolvedTarget::by_code(&code, &Network::default(), &credentials, "alice@laptop").await?;
    /// let client = Client::bind(Network::default(), credentials).await?;
    /// let session = client.connect(&target, ClientOptions::default()).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PairingError`].
    pub async fn by_code(
        code: &Code,
        network: &Network,
        credentials: &Credentials,
        name: &str,
    ) -> Result<Self, PairingError> {
        let mut met = join_host(network, code, false).await?;
        if met.is_to_be_compared() {
            // There is nobody here to do so.
            met.give_up().await;
            return Err(PairingError::NobodyCompares);
        }
        Ok(met.introduce(credentials, name).await?.into())
    }

    fn read(text: &[u8], resolve: impl Fn(&str) -> Result<Target, TargetError>) -> Result<Self, TargetError> {
        let (login, name) = match text.iter().rposition(|byte| *byte == b'@') {
            Some(at @ 1..) => (Some(text[..at].to_vec()), &text[at + 1..]),
            _ => (None, text),
        };
        // A login may be any bytes; what names a host is text.
        let name = String::from_utf8_lossy(name);
        let target = resolve(&name).map_err(|error| match error {
            TargetError::Unknown { name, .. } if name.parse::<Code>().is_ok() => TargetError::Code,
            other => other,
        })?;
        Ok(Self { login, target, name: name.into_owned() })
    }

    /// The login before the `@`.
    #[must_use]
    pub fn login(&self) -> Option<&[u8]> {
        self.login.as_deref()
    }

    /// The target as it was written, without the login.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host in questions and messages: as it was named, but for tickets, which are long, and invites, which are secrets
    /// as well.
    #[must_use]
    pub fn shown_name(&self) -> String {
        if self.name.len() <= LONGEST_NAME { self.name.clone() } else { self.target.short_name() }
    }

    /// The target itself.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }
}

/// Bytes of an alias.
const LONGEST_NAME: usize = 40;

/// Without the name, which may be an invite.
impl fmt::Debug for ResolvedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedTarget")
            .field("login", &self.login.as_ref().map(|login| login.escape_ascii().to_string()))
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

macro_rules! from {
    ($($known:ty),* $(,)?) => {
        $(impl From<$known> for ResolvedTarget {
            fn from(known: $known) -> Self {
                let target = Target::from(known);
                Self { login: None, name: target.written(), target }
            }
        })*
    };
}

from!(Target, EndpointId, EndpointAddr, EndpointTicket, Invite);

/// The host of a pairing, with the login for which it vouches.
impl From<AboutHost> for ResolvedTarget {
    fn from(host: AboutHost) -> Self {
        let login = host.login.filter(|_| host.vouched).map(String::into_bytes);
        Self { login, ..host.target.into() }
    }
}

/// Without aliases: an endpoint id, a ticket or an invite.
impl FromStr for ResolvedTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        Self::read(text.as_bytes(), Target::from_str)
    }
}

#[cfg(test)]
mod tests {
    use iroh::SecretKey;

    use super::*;
    use crate::transport::InviteSecret;

    #[test]
    fn a_login_stands_before_the_last_at() {
        let id = SecretKey::from_bytes(&[1; 32]).public().to_string();
        for (text, login) in [
            (id.clone(), None),
            (format!("alice@{id}"), Some("alice")),
            (format!("alice@example.org@{id}"), Some("alice@example.org")),
        ] {
            let target: ResolvedTarget = text.parse().expect("a target");
            assert_eq!((target.login(), target.name()), (login.map(str::as_bytes), id.as_str()));
        }
        assert!("alice@".parse::<ResolvedTarget>().is_err());
    }

    #[test]
    fn a_target_is_made_of_whatever_is_known_of_a_host() {
        let addr = EndpointAddr::new(SecretKey::from_bytes(&[1; 32]).public())
            .with_ip_addr("192.0.2.1:4242".parse().expect("an address"));
        let invite = Invite { addr: addr.clone(), secret: InviteSecret([9; 16]) };
        let ticket = EndpointTicket::new(addr.clone());
        for (made, text) in [
            (ResolvedTarget::from(addr.id), addr.id.to_string()),
            (addr.clone().into(), ticket.to_string()),
            (ticket.clone().into(), ticket.to_string()),
            (invite.clone().into(), invite.to_string()),
        ] {
            // An agent gets it as text, and knows as much.
            assert_eq!(made.name(), text);
            let read: ResolvedTarget = text.parse().expect("a target");
            assert_eq!(
                (made.target().addr(), made.target().secret()),
                (read.target().addr(), read.target().secret())
            );
            assert_eq!(made, made.clone());
            assert!(made.shown_name().len() <= LONGEST_NAME, "{}", made.shown_name());
        }
    }

    #[test]
    fn a_code_is_no_target_and_is_not_repeated() {
        let error = "alice@7-velvet-otter".parse::<ResolvedTarget>().expect_err("no target");
        assert_eq!(error, TargetError::Code);
        assert!(!error.to_string().contains("otter"));
        assert!(matches!("3-tier-db".parse::<ResolvedTarget>(), Err(TargetError::Unknown { .. })));
    }
}
