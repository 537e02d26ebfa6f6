//! From a target to a connection: dialling the host, and SSH over a session there.

use std::{
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use iroh::SecretKey;
use russh::keys::PublicKey;
use tokio::{sync::watch, time::timeout};

use crate::{
    client::{
        ClientOptions, ConnectError, Connection, ConnectionEvent, HostKeyPolicy, Phase, Session,
        connect::{connect_over, first_session, identification},
        connection::OpenError,
        event::EventSink,
        introduced::Introduced,
    },
    files::Paths,
    names::Aliases,
    proxy::{DialError, Dialer, SessionError, SessionStream, State},
    transport::{BindFailed, Network, Target, TargetError},
};

/// Dials hosts. Any number of connections can be made with one; they go on when it is dropped.
pub struct Client {
    dialer: Arc<Dialer>,
}

/// A host could not be reached, or no session was opened there.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The host was not reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The host said no, or nothing.
    #[error(transparent)]
    Host(#[from] Arc<SessionError>),
    /// It took longer than [`ClientOptions::connect_deadline`].
    #[error(
        "{name} did not answer within {} seconds\nis the host running there, and its ssh server with it?",
        .limit.as_secs_f32()
    )]
    Deadline {
        /// The host.
        name: String,
        /// The deadline.
        limit: Duration,
    },
    /// SSH, with the server behind the host.
    #[error(transparent)]
    Ssh(#[from] ConnectError),
}

impl From<OpenError> for ClientError {
    fn from(error: OpenError) -> Self {
        Self::Ssh(error.into())
    }
}

impl Client {
    /// Binds an endpoint that dials as this identity.
    ///
    /// # Errors
    ///
    /// [`BindFailed`] when no socket could be opened.
    pub async fn bind(network: Network, identity: SecretKey) -> Result<Self, BindFailed> {
        Ok(Self { dialer: Arc::new(Dialer::bind(network, identity).await?) })
    }

    /// Has hosts end what this process leaves behind if it dies without a word, once another one that notes itself
    /// among the same files reaches them. Without it, they wait for as long as they keep sessions.
    #[must_use]
    pub fn noted(self, paths: &Paths) -> Self {
        Self { dialer: Arc::new(self.dialer.as_ref().clone().noted(paths)) }
    }

    /// Connects to a host, logs in there and opens a session. Dropping the future ends the connection.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn connect(
        &self,
        target: &ResolvedTarget,
        options: ClientOptions,
    ) -> Result<Session, ClientError> {
        let limit = options.authentication_deadline;
        Ok(first_session(self.connect_without_session(target, options).await?, limit).await?)
    }

    /// Connects to a host and logs in there, for forwards and files alone (`ssh -N`).
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn connect_without_session(
        &self,
        target: &ResolvedTarget,
        mut options: ClientOptions,
    ) -> Result<Connection, ClientError> {
        let begun = Instant::now();
        let limit = options.connect_deadline;
        let too_slow = |limit| ClientError::Deadline { name: target.target.short_name(), limit };
        let reaching = self.reach(target, &mut options);
        let stream = match limit {
            Some(limit) => timeout(limit, reaching).await.map_err(|_| too_slow(limit))??,
            None => reaching.await?,
        };
        if let Some(limit) = limit {
            options.handshake_deadline = limit.saturating_sub(begun.elapsed());
        }
        let dialer = Some(Arc::clone(&self.dialer));
        let connected = connect_over(stream, options, dialer).await;
        connected.map_err(|error| match (error, limit) {
            (ConnectError::Deadline { phase: Phase::Handshake, .. }, Some(limit)) => too_slow(limit),
            (error, _) => error.into(),
        })
    }

    /// Opens a session at a host, which may say its server's keys. The server is greeted meanwhile.
    async fn reach(
        &self,
        target: &ResolvedTarget,
        options: &mut ClientOptions,
    ) -> Result<Introduced<SessionStream>, ClientError> {
        let host = self.dialer.dial(&target.target).await?;
        let (mut stream, status) = SessionStream::open(&self.dialer, &target.target, host).await?;
        tokio::spawn(tell_of_outages(status.state(), options.events.clone()));
        let said = Introduced::say(&mut stream, &identification()).await;
        stream.opened(&status).await?;
        // The host that has taken it: it may have started anew meanwhile.
        let welcome = status.host().welcome().await?;
        if matches!(&options.host_keys, HostKeyPolicy::Announced(keys) if keys.is_empty()) {
            let keys = welcome.host_keys.iter().filter_map(|key| PublicKey::from_bytes(key).ok());
            options.host_keys = HostKeyPolicy::Announced(keys.collect());
        }
        Ok(Introduced::said(stream, said))
    }

    /// Says goodbye to every host and cuts off the connections that are left: what they have not sent yet is
    /// lost. After [`Connection::disconnect`], all has arrived at the host.
    pub async fn close(&self) {
        self.dialer.close().await;
    }
}

/// Tells a program when its session waits for its host, and when it goes on, for as long as it lives.
async fn tell_of_outages(mut state: watch::Receiver<State>, events: EventSink) {
    let mut since = None;
    while state.changed().await.is_ok() {
        match &*state.borrow_and_update() {
            State::Detached { why, since: lost } if since.is_none() => {
                since = Some(*lost);
                events.tell(ConnectionEvent::Detached { reason: why.to_string() });
            }
            State::Attached => {
                if let Some(since) = since.take() {
                    events.tell(ConnectionEvent::Attached { after: since.elapsed() });
                }
            }
            State::Opening | State::Detached { .. } => {}
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// `[user@]TARGET`: an alias, an endpoint id, a ticket or an invite, and perhaps a login.
#[derive(Debug, Clone)]
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

    fn read(text: &[u8], resolve: impl Fn(&str) -> Result<Target, TargetError>) -> Result<Self, TargetError> {
        let (login, name) = match text.iter().rposition(|byte| *byte == b'@') {
            Some(at @ 1..) => (Some(text[..at].to_vec()), &text[at + 1..]),
            _ => (None, text),
        };
        // A login may be any bytes; what names a host is text.
        let name = String::from_utf8_lossy(name);
        Ok(Self { login, target: resolve(&name)?, name: name.into_owned() })
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

    /// The target itself.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }
}

impl From<Target> for ResolvedTarget {
    fn from(target: Target) -> Self {
        Self { login: None, name: target.short_name(), target }
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
    use super::*;

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
}
