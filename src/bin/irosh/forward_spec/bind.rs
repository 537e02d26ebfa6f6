//! The addresses that a port is listened on.

/// The addresses that a port is listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bind {
    /// None was named: loopback, unless `GatewayPorts` says otherwise.
    Unnamed,
    /// `*` or nothing before the colon: every address.
    Any,
    /// `localhost`: the loopback addresses of every family.
    Loopback,
    /// This one: an address, without brackets, or a name.
    Address(String),
}

impl Bind {
    /// The address in a `tcpip-forward` request (RFC 4254 section 7.1): empty is every address.
    #[must_use]
    pub(crate) fn wire(&self) -> &str {
        match self {
            Self::Unnamed | Self::Loopback => "localhost",
            Self::Any => "",
            Self::Address(address) => address,
        }
    }
}
