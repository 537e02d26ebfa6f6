//! What a caller and an agent say to each other: a line of JSON each, with descriptors beside the first.

use std::env;

use serde::{Deserialize, Serialize};

use super::status::Status;
use crate::{
    settings::NetworkChoice,
    transport::{RelayToken, SettingError},
};

/// The version of these words. It is part of the socket's name, so that nobody is understood wrongly.
pub(super) const VERSION: u32 = 1;

/// A longer line is not read.
pub(super) const LONGEST: usize = 64 << 10;

/// What a caller says, once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) network: NetworkWords,
    pub(super) what: What,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    /// A session between the descriptors that come along and a host; it ends when the caller does.
    Session {
        target: String,
    },
    /// A session at a host, of which the caller gets an end.
    SessionEnd {
        target: String,
    },
    /// The host's SSH keys as lines of known_hosts, also for the name that is sought.
    KnownHosts {
        target: String,
        sought: Option<String>,
    },
    Status,
    Stop,
}

/// What an agent says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// The descriptors are its own from now on.
    Taken,
    /// The session's end comes along.
    End,
    /// What was asked for.
    Text(String),
    Status(Box<Status>),
    /// It is over, and all went well.
    Over,
    /// It went wrong: for people, with what to do next on lines of their own.
    Failed(String),
    /// The agent does nothing for this caller, who may do without it.
    Declined,
}

/// What a caller says while its session runs: a byte.
pub(super) mod word {
    /// ssh has had enough, and is owed a reason.
    pub(in crate::agent) const HANG_UP: u8 = b'h';
    /// Somebody typed Ctrl-C.
    pub(in crate::agent) const INTERRUPT: u8 = b'i';
}

/// The network settings of a command line and its environment, as they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkWords {
    relay: Option<String>,
    dns: Option<String>,
    bind: Option<String>,
    ca: Option<String>,
    relay_token: Option<String>,
}

impl NetworkWords {
    /// These, and what stands in the environment alone.
    #[must_use]
    pub fn new(relay: Option<String>, dns: Option<String>, bind: Option<String>, ca: Option<String>) -> Self {
        Self { relay, dns, bind, ca, relay_token: env::var("IROSH_RELAY_TOKEN").ok() }
    }

    /// What they mean.
    ///
    /// # Errors
    ///
    /// [`SettingError`].
    pub fn read(&self) -> Result<NetworkChoice, SettingError> {
        Ok(NetworkChoice {
            relay: self.relay.as_deref().map(str::parse).transpose()?,
            dns: self.dns.as_deref().map(str::parse).transpose()?,
            bind: self.bind.as_deref().map(str::parse).transpose()?,
            ca: self.ca.clone().map(Into::into),
            relay_token: self.relay_token.clone().and_then(RelayToken::new),
        })
    }
}

/// A line that stands for itself.
pub(super) fn line(said: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(said).unwrap_or_default();
    line.push(b'\n');
    line
}
