//! What a caller and an agent say to each other: a line of JSON each, with descriptors beside the first.

use std::{env, fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::status::Status;
use crate::{
    files::{Paths, read_file},
    log::with_causes,
    proxy::{Credentials, agent_of_environment, certificate_file, named},
    settings::{NetworkChoice, identity_setting},
    transport::{FoundKey, Identity, KeyError, RelayToken, SettingError, find_key},
};

/// The version of these words. It is part of the socket's name, so that nobody is understood wrongly.
const VERSION: u32 = 1;

/// The socket of the agent that speaks as this program does: another version of it has another.
pub(super) fn socket_of(paths: &Paths) -> PathBuf {
    paths.agents().join(format!("agent-{}-{VERSION}.sock", env!("CARGO_PKG_VERSION")))
}

/// What a caller says, once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    from: Surroundings,
    pub(super) network: NetworkWords,
    /// Who the caller is to hosts, if not who the agent is by itself.
    #[serde(default)]
    pub(super) identity: Option<IdentityWords>,
    pub(super) what: What,
}

impl Request {
    pub(super) fn new(paths: &Paths, network: NetworkWords, what: What) -> Self {
        let identity = what.target().and_then(|_| IdentityWords::of_this_process(paths));
        Self { from: Surroundings::of_this_process(paths), network, identity, what }
    }

    /// Whether this process can do it in the caller's place: what it is about is the same here as there.
    pub(super) fn is_at_home(&self, paths: &Paths) -> bool {
        matches!(self.what, What::Status | What::Stop) || self.from == Surroundings::of_this_process(paths)
    }
}

/// What a caller and an agent have to have in common, besides what is said.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Surroundings {
    /// Names, keys and settings.
    folders: [PathBuf; 3],
    /// The network, where a machine has several (network_namespaces(7)).
    namespace: Option<PathBuf>,
    /// How the network is used.
    variables: Vec<Option<String>>,
}

impl Surroundings {
    /// HTTP proxies, and certificates that the system trusts.
    const VARIABLES: [&str; 10] = [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ];

    fn of_this_process(paths: &Paths) -> Self {
        Self {
            folders: paths.folders().map(Into::into),
            namespace: fs::read_link("/proc/self/ns/net").ok(),
            variables: Self::VARIABLES.iter().map(|name| env::var(name).ok()).collect(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    /// A session between the descriptors that come along and a host; it ends when the caller does.
    Session {
        target: String,
    },
    /// A session at a host, of which the caller gets an end. It goes on without the caller, who is told of it for as
    /// long as it stays, if it says that it will.
    SessionEnd {
        target: String,
        stays: bool,
    },
    /// The host's SSH keys as lines of known_hosts, also for the name that is sought.
    KnownHosts {
        target: String,
        sought: Option<String>,
    },
    Status,
    Stop,
}

impl What {
    /// The host that it is about.
    pub(super) fn target(&self) -> Option<&str> {
        match self {
            Self::Session { target } | Self::SessionEnd { target, .. } | Self::KnownHosts { target, .. } => {
                Some(target)
            }
            Self::Status | Self::Stop => None,
        }
    }
}

/// An identity that is not the one among our own files, by the setting `identity`. An agent that is shut in may not
/// read what is elsewhere, and its own environment may know of another ssh-agent, or of none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum IdentityWords {
    /// A private key in this file.
    File(PathBuf),
    /// A key that an ssh-agent has.
    Held {
        /// What names the key, for people.
        file: PathBuf,
        /// Its public half, as a line.
        public: String,
        /// The certificate that is beside the file.
        certificate: Option<String>,
        /// Where the ssh-agent is.
        socket: Option<PathBuf>,
    },
}

impl IdentityWords {
    /// What this process's settings and its environment say.
    pub(super) fn of_this_process(paths: &Paths) -> Option<Self> {
        let file = named(paths, &identity_setting(paths)?);
        match find_key(&file) {
            Ok(FoundKey::Public(identity)) => {
                let certificate = read_file(&certificate_file(&file)).ok().flatten();
                Some(Self::Held {
                    file,
                    public: identity.openssh(),
                    certificate: certificate.and_then(|text| String::from_utf8(text).ok()),
                    socket: agent_of_environment(),
                })
            }
            // Where it is wrong, whoever uses it says so.
            _ => Some(Self::File(file)),
        }
    }

    /// What they mean.
    pub(super) fn read(&self) -> Result<Credentials, KeyError> {
        match self {
            Self::File(file) => Credentials::of_file(file),
            Self::Held { file, public, certificate, socket } => {
                let identity = Identity::from_openssh(public);
                let identity = identity.ok_or_else(|| KeyError::NotAKey(file.clone()))?;
                Ok(Credentials::held(identity, file, socket.clone(), certificate.clone()))
            }
        }
    }

    /// What has to be read.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::File(file) => vec![file.clone(), certificate_file(file)],
            Self::Held { .. } => Vec::new(),
        }
    }
}

/// What an agent says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// The descriptors are its own from now on.
    Taken,
    /// The host is reached, and decides whether it lets us in. Said to who stays.
    Reached,
    /// The session's end comes along.
    End {
        /// The SSH keys that the host announced, in hex.
        host_keys: Vec<String>,
        /// What the host calls itself.
        #[serde(default)]
        host_name: String,
        /// What runs there.
        #[serde(default)]
        software: String,
    },
    /// Something is wrong that does not end it; more is said later.
    Warned(String),
    /// The host is not reached any more.
    Detached(String),
    /// It is reached again, after so many milliseconds.
    Attached(u64),
    /// What was asked for.
    Text(String),
    Status(Box<Status>),
    /// It is over, and all went well.
    Over,
    /// It went wrong.
    Failed(Failed),
    /// The agent does nothing for this caller, who may do without it.
    Declined,
}

/// Why something went wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Failed {
    pub(super) cause: Cause,
    /// For people, with what to do next on lines of their own.
    pub(super) message: String,
}

/// Where something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Cause {
    /// Before the network: a name, a setting, a key.
    Caller,
    /// The host was not reached, or refused, or has no ssh server.
    Host,
    /// On the way, after it had begun.
    Session,
}

impl Cause {
    /// An error there, with its causes.
    pub(super) fn of(self, error: &(dyn std::error::Error + 'static)) -> Failed {
        self.says(with_causes(error))
    }

    pub(super) fn says(self, message: impl Into<String>) -> Failed {
        Failed { cause: self, message: message.into() }
    }
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
    lan: Option<String>,
}

impl NetworkWords {
    /// These, and what stands in the environment alone.
    #[must_use]
    pub fn new(
        relay: Option<String>,
        dns: Option<String>,
        bind: Option<String>,
        ca: Option<String>,
        lan: Option<String>,
    ) -> Self {
        let relay_token = env::var("IROSH_RELAY_TOKEN").ok();
        Self { relay, dns, bind, ca: ca.map(absolute), relay_token, lan }
    }

    /// What stands in the environment, where there is no command line.
    pub(super) fn of_environment() -> Self {
        let variable = |name| env::var(name).ok();
        Self::new(
            variable("IROSH_RELAY"),
            variable("IROSH_DNS"),
            variable("IROSH_BIND"),
            variable("IROSH_CA"),
            variable("IROSH_LAN"),
        )
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
            lan: self.lan.as_deref().map(switch).transpose()?,
        })
    }
}

impl From<&NetworkChoice> for NetworkWords {
    fn from(choice: &NetworkChoice) -> Self {
        let NetworkChoice { relay, dns, bind, ca, relay_token, lan } = choice.clone();
        Self {
            relay: relay.map(Into::into),
            dns: dns.map(Into::into),
            bind: bind.map(Into::into),
            ca: ca.map(Into::into).map(absolute),
            relay_token: relay_token.map(|token| token.as_str().to_owned()),
            lan: lan.map(|lan| lan.to_string()),
        }
    }
}

/// What is on or off.
fn switch(text: &str) -> Result<bool, SettingError> {
    text.parse().map_err(|_| SettingError::Lan(text.to_owned()))
}

/// The file of `ca` for somebody who is in another folder.
fn absolute(ca: String) -> String {
    if ca == "system" {
        return ca;
    }
    let absolute = std::path::absolute(&ca).ok();
    absolute.and_then(|path| path.into_os_string().into_string().ok()).unwrap_or(ca)
}
