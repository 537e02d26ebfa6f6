//! Who may log in, as a program that serves decides it.

use std::{ffi::OsString, net::IpAddr};

use russh::keys::ssh_key::PublicKey;

use crate::{
    questions::{BoxFuture, Questions, Secret},
    server::key_options::KeyOptions,
};

/// Who asks to come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRequest {
    /// The login, as the client names it.
    pub user: String,
    /// The user id of the account, where there is one that may log in. What an [`Authenticator`] says of any
    /// other login does not count, but it should take as long.
    pub uid: Option<u32>,
    /// Where the client comes from, if it came over TCP.
    pub address: Option<IpAddr>,
}

/// What comes next in keyboard-interactive (RFC 4256).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interaction {
    /// These questions; the answers go to the next [`Authenticator::interact`].
    Ask(Questions),
    /// It is them.
    Accept,
    /// It is not.
    Refuse,
}

/// An account may not be used now, for a reason that goes into the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAdmitted(pub String);

/// Decides by what a login is proven, besides the keys and certificates of sshd_config(5).
///
/// One serves one connection, so it can keep what it has asked. Which methods are tried at all is the
/// configuration's: PasswordAuthentication, KbdInteractiveAuthentication, AuthenticationMethods. A future
/// that is dropped is not asked for again: the connection has ended, or LoginGraceTime has passed.
pub trait Authenticator: Send {
    /// What a key may do that no file allows in; `None` refuses it. A key is asked for when it is offered,
    /// which proves nothing, and again when its signature was right. A revoked one is not asked for.
    fn public_key<'a>(
        &'a mut self,
        _: &'a LoginRequest,
        _: &'a PublicKey,
    ) -> BoxFuture<'a, Option<KeyOptions>> {
        Box::pin(async { None })
    }

    /// Whether this is the password.
    fn password<'a>(&'a mut self, _: &'a LoginRequest, _: Secret) -> BoxFuture<'a, bool> {
        Box::pin(async { false })
    }

    /// What is asked next. Without answers it begins anew; the answers are as many as the questions were.
    fn interact<'a>(&'a mut self, _: &'a LoginRequest, _: Option<Vec<Secret>>) -> BoxFuture<'a, Interaction> {
        Box::pin(async { Interaction::Refuse })
    }

    /// Has the last word, when a login is proven by whatever method. Returns what it adds to the
    /// environment of every session.
    fn admit<'a>(
        &'a mut self,
        _: &'a LoginRequest,
    ) -> BoxFuture<'a, Result<Vec<(OsString, OsString)>, NotAdmitted>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
