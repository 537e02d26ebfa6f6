//! What is in the way to a host that does not answer, as far as it can be told from here.

use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use futures_util::future::join_all;
use iroh::{Endpoint, EndpointAddr};
#[cfg(target_os = "linux")]
use rustix::net::sockopt;
use tokio::{net::UdpSocket, time::timeout};

use crate::transport::{Network, Relay, relay_fault, resolver_fault};

/// The smallest packet that QUIC can do with: 1,200 bytes (RFC 9000 section 14), UDP's header and IPv4's.
const SMALLEST_MTU: u32 = 1228;

/// How long the network may take to say that a packet went nowhere.
const ECHO: Duration = Duration::from_millis(500);

/// What was found, a sentence each; none where nothing is known to be wrong here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obstacles {
    found: Vec<String>,
    /// Whether no way leads out of here, so that nothing is known of the host.
    here: bool,
}

impl Obstacles {
    /// Looks at each way to the host; takes some 3 s.
    pub(super) async fn look(endpoint: &Endpoint, network: &Network, addr: &EndpointAddr) -> Self {
        let relays = async {
            let urls = addr.relay_urls().filter(|_| network.relay != Relay::None);
            let asked = urls.map(|url| async move { (url, relay_fault(endpoint, network, url).await) });
            join_all(asked).await
        };
        let directs = join_all(addr.ip_addrs().map(|addr| direct_fault(*addr)));
        let (relays, directs) = tokio::join!(relays, directs);
        let faults = |(url, fault): &(_, Option<String>)| {
            fault.as_ref().map(|fault| format!("the relay {url} cannot be used: {fault}"))
        };
        let mut found: Vec<_> = relays.iter().filter_map(faults).collect();
        let no_relay = !relays.is_empty() && found.len() == relays.len();
        if no_relay {
            found.extend(resolver_fault());
        }
        let known = directs.iter().flatten().count();
        if no_relay && known < directs.len() {
            found.push(
                "nothing comes back over UDP from its own addresses: it may be blocked on the way".to_owned(),
            );
        }
        found.extend(directs.into_iter().flatten());
        Self { found, here: no_relay }
    }

    /// What to do about it.
    pub(super) fn advice(&self) -> &'static str {
        if self.here {
            "check this network: it has to let UDP out, or a connection to the relay"
        } else {
            "is `irosh host` running there, and is there a network between? a new ticket may help: run `irosh \
             ticket` there"
        }
    }
}

/// Each on a line of its own, after another line.
impl fmt::Display for Obstacles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.found.iter().try_for_each(|fault| write!(f, "\n{fault}"))
    }
}

/// Whether a packet of QUIC's gets out to an address, by what the system says.
async fn direct_fault(addr: SocketAddr) -> Option<String> {
    match reach(addr).await {
        Ok(mtu) if mtu < smallest(addr) => Some(format!(
            "the way to {addr} takes packets of {mtu} bytes at the most (MTU), and QUIC needs {}",
            smallest(addr)
        )),
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Some(format!("nothing listens at {addr}: the host has stopped, or has another port by now"))
        }
        Err(error) => Some(format!("{addr} cannot be reached: {error}")),
    }
}

const fn smallest(addr: SocketAddr) -> u32 {
    match addr {
        SocketAddr::V4(_) => SMALLEST_MTU,
        SocketAddr::V6(_) => SMALLEST_MTU + 20,
    }
}

/// Sends an address one packet as large as QUIC's first, and says how large they may be on the way there.
async fn reach(addr: SocketAddr) -> io::Result<u32> {
    let any = if addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(addr).await?;
    forbid_fragments(&socket, addr);
    match socket.send(&[0; 1200]).await {
        // EMSGSIZE: the size is asked for below.
        Err(error) if error.raw_os_error() != Some(libc::EMSGSIZE) => return Err(error),
        _ => {}
    }
    // What comes back of it is an error of the next call: who listens there does not answer to zeros.
    if let Ok(Err(error)) = timeout(ECHO, socket.recv(&mut [0; 1])).await
        && error.raw_os_error() != Some(libc::EMSGSIZE)
    {
        return Err(error);
    }
    Ok(mtu(&socket, addr).unwrap_or(u32::MAX))
}

#[cfg(target_os = "linux")]
fn forbid_fragments(socket: &UdpSocket, addr: SocketAddr) {
    let _ = match addr {
        SocketAddr::V4(_) => sockopt::set_ip_mtu_discover(socket, sockopt::Ipv4PathMtuDiscovery::DO),
        SocketAddr::V6(_) => sockopt::set_ipv6_mtu_discover(socket, sockopt::Ipv6PathMtuDiscovery::DO),
    };
}

#[cfg(target_os = "linux")]
fn mtu(socket: &UdpSocket, addr: SocketAddr) -> Option<u32> {
    match addr {
        SocketAddr::V4(_) => sockopt::ip_mtu(socket).ok(),
        SocketAddr::V6(_) => sockopt::ipv6_mtu(socket).ok(),
    }
}

#[cfg(not(target_os = "linux"))]
fn forbid_fragments(_: &UdpSocket, _: SocketAddr) {}

#[cfg(not(target_os = "linux"))]
fn mtu(_: &UdpSocket, _: SocketAddr) -> Option<u32> {
    None
}
