//! Authenticators that know one proof.

use std::{path::Path, sync::Arc};

use russh::keys::{Certificate, PrivateKey};

use super::{
    agent::AgentSource,
    attempt::{Attempt, Key, Method, ServerSays},
    authenticator::Authenticator,
    identity::{self, IdentityError},
    signer::LocalKey,
    standard::{Standard, StandardOptions},
};
use crate::questions::{BoxFuture, Questions, Secret};

/// Logs in with a password, by whichever of `password` and `keyboard-interactive` the server takes. It is tried once
/// in each login.
#[derive(Debug, Clone)]
pub struct Password {
    password: Secret,
    tried: Vec<Method>,
}

impl Password {
    /// Logs in with this one.
    #[must_use]
    pub fn new(password: impl Into<Secret>) -> Self {
        Self { password: password.into(), tried: Vec::new() }
    }
}

impl Authenticator for Password {
    fn next_attempt<'a>(&'a mut self, server: &'a ServerSays) -> BoxFuture<'a, Option<Attempt>> {
        Box::pin(async move {
            let ways = [Method::Password, Method::KeyboardInteractive];
            let way =
                ways.into_iter().find(|way| server.methods.contains(way) && !self.tried.contains(way))?;
            self.tried.push(way);
            Some(match way {
                Method::Password => Attempt::Password(self.password.clone()),
                _ => Attempt::KeyboardInteractive,
            })
        })
    }

    /// The password answers a single question that is not shown; what else is asked is not known.
    fn answer<'a>(&'a mut self, questions: &'a Questions) -> BoxFuture<'a, Option<Vec<Secret>>> {
        let answers = match &questions.questions[..] {
            [] => Some(Vec::new()),
            [(_, false)] => Some(vec![self.password.clone()]),
            _ => None,
        };
        Box::pin(async move { answers })
    }
}

/// Logs in with a private key that is in memory, and perhaps a certificate for it.
#[derive(Debug, Clone)]
pub struct KeyPair(Option<Key>);

impl KeyPair {
    /// Logs in with this key.
    #[must_use]
    pub fn new(key: PrivateKey) -> Self {
        Self(Some(Key::from(key)))
    }

    /// Logs in with the key in this file, which has no passphrase.
    ///
    /// # Errors
    ///
    /// [`IdentityError`].
    pub fn load(file: impl AsRef<Path>) -> Result<Self, IdentityError> {
        identity::private_key(file.as_ref(), None).map(Self::new)
    }

    /// Logs in with the key in this file, which has this passphrase.
    ///
    /// # Errors
    ///
    /// [`IdentityError`].
    pub fn load_with_passphrase(
        file: impl AsRef<Path>,
        passphrase: impl Into<Secret>,
    ) -> Result<Self, IdentityError> {
        identity::private_key(file.as_ref(), Some(&passphrase.into())).map(Self::new)
    }

    /// Shows this certificate in the place of the key.
    #[must_use]
    pub fn certificate(self, certificate: Certificate) -> Self {
        Self(self.0.map(|key| Key { certificate: Some(certificate), ..key }))
    }
}

impl Authenticator for KeyPair {
    fn next_attempt<'a>(&'a mut self, server: &'a ServerSays) -> BoxFuture<'a, Option<Attempt>> {
        let key = if server.methods.contains(&Method::PublicKey) { self.0.take() } else { None };
        Box::pin(async move { key.map(|key| Attempt::PublicKey(Box::new(key))) })
    }

    fn answer<'a>(&'a mut self, _: &'a Questions) -> BoxFuture<'a, Option<Vec<Secret>>> {
        Box::pin(async { None })
    }
}

impl From<PrivateKey> for Key {
    fn from(key: PrivateKey) -> Self {
        Self {
            public: key.public_key().clone(),
            certificate: None,
            signer: Arc::new(LocalKey(Arc::new(key))),
        }
    }
}

/// Logs in with the keys of an SSH agent, and nothing else.
#[derive(Debug, Clone)]
pub struct Agent(Standard);

impl Agent {
    /// That of `SSH_AUTH_SOCK`.
    #[must_use]
    pub fn of_environment() -> Self {
        Self::at(AgentSource::Environment)
    }

    /// That which listens there.
    #[must_use]
    pub fn at(agent: AgentSource) -> Self {
        Self(Standard::new(StandardOptions { agent, ..StandardOptions::new("", None) }))
    }
}

impl Authenticator for Agent {
    fn first_key<'a>(&'a mut self, login: &'a str) -> BoxFuture<'a, Option<Key>> {
        self.0.first_key(login)
    }

    fn next_attempt<'a>(&'a mut self, server: &'a ServerSays) -> BoxFuture<'a, Option<Attempt>> {
        self.0.next_attempt(server)
    }

    fn answer<'a>(&'a mut self, questions: &'a Questions) -> BoxFuture<'a, Option<Vec<Secret>>> {
        self.0.answer(questions)
    }

    fn notes(&self) -> Vec<String> {
        self.0.notes()
    }
}
