//! What `irosh-proxy` is told, which `irosh proxy` is told as well.

use clap::Parser;
use irosh::agent::NetworkWords;

/// Carry ssh's bytes to a host that has no address.
///
/// ssh runs this; run `irosh ssh-config install`, or put `ProxyCommand irosh-proxy -- '%h'` into ssh_config.
#[derive(Parser)]
#[command(name = "irosh-proxy", version, about)]
pub(crate) struct ProxyArguments {
    /// Print known_hosts lines for the host, and for the name by which ssh looks for its keys
    /// (`KnownHostsCommand /usr/bin/irosh-proxy --known-hosts=%H -- %h`)
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true)]
    pub(crate) known_hosts: Option<Option<String>>,
    /// Hand ssh a socket and leave (`ProxyUseFdpass yes`)
    #[arg(long, conflicts_with = "known_hosts")]
    pub(crate) fdpass: bool,
    /// Dial from this process, and leave the agent alone
    #[arg(long)]
    pub(crate) no_agent: bool,
    /// Relay servers: default, none or URLs with commas between them
    #[arg(long, env = "IROSH_RELAY", value_name = "WHICH")]
    relay: Option<String>,
    /// Name service: default, none or `PKARR-URL,ORIGIN[,NAMESERVER]`
    #[arg(long, env = "IROSH_DNS", value_name = "WHICH")]
    dns: Option<String>,
    /// Addresses to bind: `ADDRESS:PORT[,ADDRESS:PORT]`
    #[arg(long, env = "IROSH_BIND", value_name = "ADDRESS")]
    bind: Option<String>,
    /// Authorities that vouch for relays besides the usual: system, or a PEM file
    #[arg(long, env = "IROSH_CA", value_name = "WHICH")]
    ca: Option<String>,
    /// Whether hosts are looked for on this network by multicast (mDNS); true by default
    #[arg(long, env = "IROSH_LAN", value_name = "true|false")]
    lan: Option<String>,
    /// An alias, a ticket, an invite or an endpoint id, with or without .irosh
    pub(crate) target: String,
}

impl ProxyArguments {
    /// How to reach the network, as it was written.
    pub(crate) fn network(&self) -> NetworkWords {
        let Self { relay, dns, bind, ca, lan, .. } = self;
        NetworkWords::new(relay.clone(), dns.clone(), bind.clone(), ca.clone(), lan.clone())
    }
}
