//! What many commands take: how to reach the network.

use irosh::{
    settings::NetworkChoice,
    transport::{Authorities, Bind, NameService, Relay, RelayToken},
};

/// `--system` for a command that refuses it: not in its help.
pub(super) fn no_system() -> clap::Arg {
    clap::Arg::new("system").long("system").global(true).hide(true).action(clap::ArgAction::SetTrue)
}

/// How to reach the network.
#[derive(clap::Args, Clone)]
pub(super) struct NetworkArguments {
    /// Relay servers: default, none or URLs with commas between them
    #[arg(long, env = "IROSH_RELAY", value_name = "WHICH")]
    pub(super) relay: Option<Relay>,
    /// Name service: default, none or `PKARR-URL,ORIGIN[,NAMESERVER]`
    #[arg(long, env = "IROSH_DNS", value_name = "WHICH")]
    pub(super) dns: Option<NameService>,
    /// Addresses to bind: `ADDRESS:PORT[,ADDRESS:PORT]`
    #[arg(long, env = "IROSH_BIND", value_name = "ADDRESS")]
    pub(super) bind: Option<Bind>,
    /// Authorities that vouch for relays besides the usual: system, or a PEM file
    #[arg(long, env = "IROSH_CA", value_name = "WHICH")]
    pub(super) ca: Option<Authorities>,
    /// Whether machines on this network find each other by multicast (mDNS); true by default
    #[arg(long, env = "IROSH_LAN", value_name = "true|false")]
    pub(super) lan: Option<bool>,
}

impl NetworkArguments {
    /// What the environment alone says, where there is no command line.
    pub(super) fn of_environment() -> Self {
        let variable = |name| std::env::var(name).ok();
        Self {
            relay: variable("IROSH_RELAY").and_then(|text| text.parse().ok()),
            dns: variable("IROSH_DNS").and_then(|text| text.parse().ok()),
            bind: variable("IROSH_BIND").and_then(|text| text.parse().ok()),
            ca: variable("IROSH_CA").map(Into::into),
            lan: variable("IROSH_LAN").and_then(|text| text.parse().ok()),
        }
    }
}

impl From<NetworkArguments> for NetworkChoice {
    fn from(arguments: NetworkArguments) -> Self {
        let NetworkArguments { relay, dns, bind, ca, lan } = arguments;
        Self { relay, dns, bind, ca, lan, relay_token: RelayToken::of_environment() }
    }
}
