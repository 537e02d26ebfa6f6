//! `config.toml`, and how flag, environment, file and default come together.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    files::{Paths, read_trusted_file},
    transport::{Authorities, Bind, NameService, Network, Relay, RelayToken},
};

/// A client's settings file; every key is optional, and an unknown one is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClientSettings {
    /// Relay servers.
    pub relay: Option<Relay>,
    /// Name service.
    pub dns: Option<NameService>,
    /// Addresses to bind.
    pub bind: Option<Bind>,
    /// Who may vouch for relays and the name service besides the usual.
    pub ca: Option<Authorities>,
    /// What relays are shown that want a token.
    pub relay_token: Option<RelayToken>,
    /// Whether hosts are looked for on this network, without a server.
    pub lan: Option<bool>,
    /// The file of the key that says who we are, in place of our own: a private key, or a public one whose private half
    /// an ssh-agent has.
    pub identity: Option<PathBuf>,
    /// Whether an agent holds connections and sessions.
    #[serde(default)]
    pub agent: AgentUse,
    /// Seconds for which an agent keeps the connection to a host after its last session; 600 unless set.
    pub keep_warm: Option<u64>,
}

/// Whether an agent is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentUse {
    /// It is started where there is none; who cannot have one does without.
    #[default]
    Auto,
    /// Never.
    Off,
}

/// Whether the environment (`IROSH_AGENT`) or the settings file says that an agent is to be used. What is wrong with the
/// file, whoever reads all of it says.
#[must_use]
pub fn agent_use(paths: &Paths) -> AgentUse {
    if std::env::var_os("IROSH_AGENT").is_some_and(|value| value == "off") {
        return AgentUse::Off;
    }
    Part::read(paths).agent
}

/// The file that the settings name as the key that says who we are, in the same way.
pub(crate) fn identity_setting(paths: &Paths) -> Option<PathBuf> {
    Part::read(paths).identity
}

/// What a program of the client's has to know that knows nothing of networks.
#[derive(Default, Deserialize)]
struct Part {
    #[serde(default)]
    agent: AgentUse,
    identity: Option<PathBuf>,
}

impl Part {
    fn read(paths: &Paths) -> Self {
        let text = read_trusted_file(&paths.client_settings()).ok().flatten();
        text.and_then(|text| toml::from_str(&text).ok()).unwrap_or_default()
    }
}

impl From<ClientSettings> for NetworkChoice {
    fn from(settings: ClientSettings) -> Self {
        let ClientSettings { relay, dns, bind, ca, relay_token, lan, identity: _, agent: _, keep_warm: _ } =
            settings;
        Self { relay, dns, bind, ca, relay_token, lan }
    }
}

/// The network settings of one place: a command line with its environment, or a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkChoice {
    /// Relay servers.
    pub relay: Option<Relay>,
    /// Name service.
    pub dns: Option<NameService>,
    /// Addresses to bind.
    pub bind: Option<Bind>,
    /// Who may vouch for relays and the name service besides the usual.
    pub ca: Option<Authorities>,
    /// What relays are shown that want a token.
    pub relay_token: Option<RelayToken>,
    /// Whether machines on this network find each other without a server.
    pub lan: Option<bool>,
}

impl NetworkChoice {
    /// What this place says, then what `file` says, then the defaults.
    #[must_use]
    pub fn or(self, file: Self) -> Network {
        Network {
            relay: self.relay.or(file.relay).unwrap_or_default(),
            dns: self.dns.or(file.dns).unwrap_or_default(),
            bind: self.bind.or(file.bind).unwrap_or_default(),
            ca: self.ca.or(file.ca),
            relay_token: self.relay_token.or(file.relay_token),
            lan: self.lan.or(file.lan).unwrap_or(true),
        }
    }
}

/// A settings file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// It could not be read, or others can write it.
    #[error("cannot read {0}: {1}")]
    Io(PathBuf, io::Error),
    /// It is not right; the message names line and key.
    #[error("{0}: {1}")]
    Wrong(PathBuf, String),
}

/// Reads a settings file of any kind; one that is not there has no settings in it.
///
/// # Errors
///
/// [`SettingsError`] with the file's name, and the line and key that are wrong.
pub fn load_settings<T: Default + for<'de> Deserialize<'de>>(path: &Path) -> Result<T, SettingsError> {
    match read_trusted_file(path) {
        Ok(Some(text)) => toml::from_str(&text)
            .map_err(|error| SettingsError::Wrong(path.to_owned(), error.to_string().trim().to_owned())),
        Ok(None) => Ok(T::default()),
        Err(error) => Err(SettingsError::Io(path.to_owned(), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_the_file_and_the_file_before_the_default() {
        let here = NetworkChoice { relay: Some(Relay::None), ..NetworkChoice::default() };
        let relay = Some(Relay::Default);
        let (dns, lan) = (Some(NameService::None), Some(false));
        let file = NetworkChoice { relay, dns, lan, ..NetworkChoice::default() };
        let network = here.or(file);
        assert_eq!(
            network,
            Network { relay: Relay::None, dns: NameService::None, lan: false, ..Network::default() }
        );
        let on = NetworkChoice { lan: Some(true), ..NetworkChoice::default() };
        assert!(on.or(NetworkChoice { lan: Some(false), ..NetworkChoice::default() }).lan);
        assert!(NetworkChoice::default().or(NetworkChoice::default()).lan);
    }
}
