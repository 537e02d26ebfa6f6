//! `config.toml`, and how flag, environment, file and default come together.

use serde::Deserialize;

use crate::transport::{Authorities, Bind, NameService, Network, Relay, RelayToken};

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
}

impl From<ClientSettings> for NetworkChoice {
    fn from(settings: ClientSettings) -> Self {
        let ClientSettings { relay, dns, bind, ca, relay_token } = settings;
        Self { relay, dns, bind, ca, relay_token }
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_the_file_and_the_file_before_the_default() {
        let here = NetworkChoice { relay: Some(Relay::None), ..NetworkChoice::default() };
        let relay = Some(Relay::Default);
        let file = NetworkChoice { relay, dns: Some(NameService::None), ..NetworkChoice::default() };
        let network = here.or(file);
        assert_eq!(network, Network { relay: Relay::None, dns: NameService::None, ..Network::default() });
    }
}
