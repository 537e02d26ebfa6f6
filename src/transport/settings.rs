//! How an endpoint reaches the network: relays, name service and bind addresses.

use std::{
    convert::Infallible,
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use iroh::{RelayMap, RelayMode, RelayUrl, address_lookup::N0_DNS_PKARR_RELAY_PROD};
use serde::{Deserialize, Serialize};
use url::Url;

use super::web_proxy::web_proxy;

/// Everything about the network that a user may choose.
///
/// A value is taken from the flag, then the environment, then the settings file, then the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The relay servers to use.
    pub relay: Relay,
    /// The name service that turns an endpoint id into addresses.
    pub dns: NameService,
    /// The addresses to bind, at most one an address family; empty binds every interface on a free port.
    pub bind: Bind,
    /// Who may vouch for relays and the name service, besides those whom browsers trust.
    pub ca: Option<Authorities>,
    /// What relays are shown that want a token.
    pub relay_token: Option<RelayToken>,
    /// Whether machines on this network find each other without a server: a host says by multicast where it is, and a
    /// client asks for it.
    pub lan: bool,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            relay: Relay::default(),
            dns: NameService::default(),
            bind: Bind::default(),
            ca: None,
            relay_token: None,
            lan: true,
        }
    }
}

impl Network {
    /// The same with ports that are free: for what runs beside the one that has these.
    pub(crate) fn on_any_port(&self) -> Self {
        let free = |addr: &SocketAddr| SocketAddr::new(addr.ip(), 0);
        Self { bind: Bind(self.bind.0.iter().map(free).collect()), ..self.clone() }
    }

    /// The HTTP proxy of the environment by which relays and the name service are reached.
    pub(crate) fn web_proxy(&self) -> Option<Url> {
        let service = self.dns.service();
        let relays = self.relay.urls();
        let servers = relays.iter().map(|url| &**url).chain(&service);
        web_proxy(servers, |name| std::env::var(name).ok())
    }
}

/// `relay` in a settings file, `IROSH_RELAY`, `--relay`: `default`, `none` or URLs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Relay {
    /// The public relay servers that iroh's makers run.
    #[default]
    Default,
    /// No relay server: direct addresses only.
    None,
    /// These relay servers.
    Urls(Vec<RelayUrl>),
}

/// `dns` in a settings file, `IROSH_DNS`, `--dns`: `default`, `none` or
/// `PKARR-URL,ORIGIN[,NAMESERVER]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NameService {
    /// The public name service that iroh's makers run.
    #[default]
    Default,
    /// None: a target must carry its addresses.
    None,
    /// A name service of one's own.
    Custom {
        /// Where records are published and resolved over HTTP.
        pkarr: url::Url,
        /// The domain under which records are served over DNS.
        origin: String,
        /// The DNS server to ask, when it is not the system's.
        nameserver: Option<SocketAddr>,
    },
}

/// `ca` in a settings file, `IROSH_CA`, `--ca`: `system` or the path of a PEM file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Authorities {
    /// Those that this machine's system trusts.
    System,
    /// Those whose certificates are in this file.
    File(PathBuf),
}

/// `relay-token` in a settings file, `IROSH_RELAY_TOKEN`; never on a command line, which others can read.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct RelayToken(String);

impl RelayToken {
    /// The one of the environment.
    #[must_use]
    pub fn of_environment() -> Option<Self> {
        std::env::var("IROSH_RELAY_TOKEN").ok().and_then(Self::new)
    }

    /// One that somebody else has found in the environment.
    pub(crate) fn new(token: String) -> Option<Self> {
        Some(token).filter(|token| !token.is_empty()).map(Self)
    }

    /// The token itself.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RelayToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayToken(..)")
    }
}

/// `bind` in a settings file, `IROSH_BIND`, `--bind`: `ADDRESS:PORT[,ADDRESS:PORT]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bind(pub Vec<SocketAddr>);

/// A network setting that could not be read; says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// Not `default`, `none` or a list of relay URLs.
    #[error("`{0}` is not a relay setting: use `default`, `none` or https URLs with commas between them")]
    Relay(String),
    /// Not `default`, `none` or `pkarr-url,origin[,nameserver]`.
    #[error("`{0}` is not a name service: use `default`, `none` or `PKARR-URL,ORIGIN[,NAMESERVER:PORT]`")]
    NameService(String),
    /// Not socket addresses.
    #[error("`{0}` is not an address to bind: use `ADDRESS:PORT`, at most one IPv4 and one IPv6 address")]
    Bind(String),
    /// Neither on nor off.
    #[error("`{0}` does not say whether hosts are looked for on this network: use `true` or `false`")]
    Lan(String),
}

impl Relay {
    /// The same for iroh's endpoint builder.
    pub(super) fn mode(&self, token: Option<&RelayToken>) -> RelayMode {
        match self {
            Self::Default => RelayMode::Default,
            Self::None => RelayMode::Disabled,
            Self::Urls(urls) => {
                let map: RelayMap = urls.iter().cloned().map(relay_config).collect();
                RelayMode::Custom(match token {
                    Some(token) => map.with_auth_token(token.as_str()),
                    None => map,
                })
            }
        }
    }

    /// All of them.
    pub(crate) fn urls(&self) -> Vec<RelayUrl> {
        match self {
            Self::Default => RelayMode::Default.relay_map().urls(),
            Self::None => Vec::new(),
            Self::Urls(urls) => urls.clone(),
        }
    }
}

impl NameService {
    /// Where records are published and resolved over HTTP.
    pub(crate) fn service(&self) -> Option<Url> {
        match self {
            Self::Custom { pkarr, .. } => Some(pkarr.clone()),
            Self::Default => N0_DNS_PKARR_RELAY_PROD.parse().ok(),
            Self::None => None,
        }
    }
}

/// A relay without TLS serves no QUIC address discovery, and asking for it costs 3 s.
fn relay_config(url: RelayUrl) -> iroh::RelayConfig {
    if url.scheme() == "http" { iroh::RelayConfig::new(url, None) } else { iroh::RelayConfig::from(url) }
}

impl FromStr for Relay {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        match text.trim() {
            "default" | "" => Ok(Self::Default),
            "none" => Ok(Self::None),
            urls => {
                let wrong = || SettingError::Relay(text.to_owned());
                let parse = |url: &str| {
                    let url: RelayUrl = url.trim().parse().map_err(|_| wrong())?;
                    let web = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
                    web.then_some(url).ok_or_else(wrong)
                };
                urls.split(',').map(parse).collect::<Result<_, _>>().map(Self::Urls)
            }
        }
    }
}

impl Bind {
    /// These addresses, or all of this machine where none is said.
    pub(super) fn or_any(&self) -> Vec<SocketAddr> {
        let any = || vec![(Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::UNSPECIFIED, 0).into()];
        if self.0.is_empty() { any() } else { self.0.clone() }
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::None => f.write_str("none"),
            Self::Urls(urls) => f.write_str(&join(urls)),
        }
    }
}

impl FromStr for NameService {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let wrong = || SettingError::NameService(text.to_owned());
        match text.trim() {
            "default" | "" => return Ok(Self::Default),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let mut parts = text.split(',').map(str::trim);
        let pkarr = parts.next().and_then(|url| url.parse().ok()).ok_or_else(wrong)?;
        let origin = parts.next().filter(|origin| !origin.is_empty()).ok_or_else(wrong)?;
        let nameserver = parts.next().map(|addr| addr.parse().map_err(|_| wrong())).transpose()?;
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self::Custom { pkarr, origin: origin.to_owned(), nameserver })
    }
}

impl fmt::Display for NameService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::None => f.write_str("none"),
            Self::Custom { pkarr, origin, nameserver: None } => write!(f, "{pkarr},{origin}"),
            Self::Custom { pkarr, origin, nameserver: Some(server) } => {
                write!(f, "{pkarr},{origin},{server}")
            }
        }
    }
}

impl FromStr for Bind {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let wrong = || SettingError::Bind(text.to_owned());
        let addrs: Vec<SocketAddr> = text
            .split(',')
            .filter(|addr| !addr.trim().is_empty())
            .map(|addr| addr.trim().parse().map_err(|_| wrong()))
            .collect::<Result<_, _>>()?;
        let one_a_family = addrs.iter().filter(|addr| addr.is_ipv4()).count() <= 1
            && addrs.iter().filter(|addr| addr.is_ipv6()).count() <= 1;
        one_a_family.then_some(Self(addrs)).ok_or_else(wrong)
    }
}

impl FromStr for Authorities {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.to_owned().into())
    }
}

impl From<String> for Authorities {
    fn from(text: String) -> Self {
        if text == "system" { Self::System } else { Self::File(text.into()) }
    }
}

impl From<Authorities> for String {
    fn from(authorities: Authorities) -> Self {
        authorities.to_string()
    }
}

impl fmt::Display for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join(&self.0))
    }
}

fn join(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

macro_rules! as_string {
    ($($setting:ty),*) => {$(
        impl TryFrom<String> for $setting {
            type Error = SettingError;
            fn try_from(text: String) -> Result<Self, SettingError> {
                text.parse()
            }
        }
        impl From<$setting> for String {
            fn from(setting: $setting) -> Self {
                setting.to_string()
            }
        }
    )*};
}
as_string!(Relay, NameService, Bind);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_print_as_they_are_read() {
        for text in ["default", "none", "https://a.example/,http://b.example:81/"] {
            assert_eq!(text.parse::<Relay>().expect(text).to_string(), text);
        }
        for text in ["default", "none", "http://pkarr.example/pkarr,dns.example,127.0.0.1:53"] {
            assert_eq!(text.parse::<NameService>().expect(text).to_string(), text);
        }
        for text in ["127.0.0.1:0", "127.0.0.1:0,[::1]:0"] {
            assert_eq!(text.parse::<Bind>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_wrong_setting_says_what_was_expected() {
        for text in ["nope", "ftp://x", "https://ok.example,,"] {
            let error = text.parse::<Relay>().expect_err(text).to_string();
            assert!(error.contains("`default`, `none`"), "{error}");
        }
        for text in ["x", "http://x", "http://x,", "http://x,o,notanaddress", "http://x,o,1.1.1.1:53,more"] {
            assert!(text.parse::<NameService>().is_err(), "{text}");
        }
        for text in ["127.0.0.1", "127.0.0.1:1,127.0.0.2:2", "host:22"] {
            assert!(text.parse::<Bind>().is_err(), "{text}");
        }
    }
}
