//! Who may log in, as a program that serves decides it.

use std::{ffi::OsString, net::IpAddr, sync::Arc};

use russh::keys::ssh_key::PublicKey;

use crate::{
    questions::{BoxFuture, Questions, Secret},
    server::{config::Config, key_options::KeyOptions},
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
    /// The steps of authentication that this login has gone through, such as `publickey ssh-ed25519 AAAA...`.
    pub steps: Vec<String>,
    /// The configuration for this login.
    pub config: Arc<Config>,
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

/// What a login gets from its [`Authenticator`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entrance {
    /// Added to the environment of every session.
    pub environment: Vec<(OsString, OsString)>,
    /// Shown before the first shell on a terminal, unless there is ~/.hushlogin.
    pub messages: String,
}

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

    /// Whether [`Authenticator::admit`] keeps out accounts that are locked or have expired, so that the server
    /// need not look at /etc/shadow.
    fn checks_accounts(&self) -> bool {
        false
    }

    /// Has the last word, when a login is proven by whatever method, and before the client is told.
    fn admit<'a>(&'a mut self, _: &'a LoginRequest) -> BoxFuture<'a, Result<(), NotAdmitted>> {
        Box::pin(async { Ok(()) })
    }

    /// What the client is to be told before its request is answered, and was not told before
    /// (SSH_MSG_USERAUTH_BANNER, RFC 4252 section 5.4).
    fn take_notice(&mut self) -> Option<String> {
        None
    }

    /// The login enters. This is called once, by a process that is about to become the user and is not yet. The
    /// connection ends after an error.
    fn enter<'a>(&'a mut self, _: &'a LoginRequest) -> BoxFuture<'a, Result<Entrance, NotAdmitted>> {
        Box::pin(async { Ok(Entrance::default()) })
    }

    /// The connection of a login that entered is over. This is called by the user's process, and may take
    /// five seconds.
    fn end(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
