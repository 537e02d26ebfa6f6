//! Whom a server serves.

use std::path::PathBuf;

use nix::unistd;

use crate::server::{login::Login, origin::Origin};

/// The user whose rights the process has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The login.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The home, as the list of users has it.
    pub home: PathBuf,
    /// Where the client comes from, for the log; empty where that is not known.
    pub address: String,
}

impl User {
    /// The user that this process runs as, and the client of whose connection sshd has told it.
    #[must_use]
    pub fn of_process() -> Self {
        let uid = unistd::Uid::current();
        let connection = std::env::var("SSH_CONNECTION").unwrap_or_default();
        let address = connection.split(' ').next().unwrap_or_default().to_owned();
        match unistd::User::from_uid(uid) {
            Ok(Some(found)) => Self { address, ..found.into() },
            _ => Self { name: uid.to_string(), uid: uid.as_raw(), home: "/".into(), address },
        }
    }

    /// Who has logged in to the built-in server.
    pub(in crate::server) fn of_login(login: &Login) -> Self {
        let account = &login.account;
        let address = Origin::whence(login.origin.as_ref()).host.unwrap_or_default().to_owned();
        Self { name: account.name.clone(), uid: account.uid.as_raw(), home: account.home.clone(), address }
    }

    /// The user of this name, if there is one.
    pub(super) fn find(name: &str) -> Option<Self> {
        unistd::User::from_name(name).ok().flatten().map(Self::from)
    }
}

impl From<unistd::User> for User {
    fn from(found: unistd::User) -> Self {
        Self { name: found.name, uid: found.uid.as_raw(), home: found.dir, address: String::new() }
    }
}
