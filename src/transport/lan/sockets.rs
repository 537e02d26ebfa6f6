//! Sockets that hear what is said to all on a network, one for each interface and family.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    task::Poll,
};

use socket2::{Domain, Protocol, Socket as System, Type};
use tokio::{io::ReadBuf, net::UdpSocket};

use super::interfaces::Interface;

/// Where all are spoken to (RFC 6762 section 3).
const PORT: u16 = 5353;
const V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// What answers are worth hearing from no further than this network (RFC 6762 section 11).
const TTL: u32 = 255;

/// The sockets of some interfaces.
#[derive(Debug)]
pub(super) struct Sockets(Vec<Socket>);

#[derive(Debug)]
struct Socket {
    udp: UdpSocket,
    group: SocketAddr,
    interface: Interface,
}

impl Sockets {
    /// Opens those that can be had. Has to be called within a runtime.
    pub(super) fn open(interfaces: &[Interface]) -> Self {
        let mut sockets = Vec::new();
        for interface in interfaces {
            for is_v4 in [true, false] {
                let own = interface.networks.iter().map(|network| network.address);
                let Some(address) = own.clone().find(|address| address.is_ipv4() == is_v4) else { continue };
                let group = match address {
                    IpAddr::V4(_) => SocketAddr::from((V4, PORT)),
                    IpAddr::V6(_) => SocketAddrV6::new(V6, PORT, 0, interface.index).into(),
                };
                match open(interface, address, group) {
                    Ok(udp) => sockets.push(Socket { udp, group, interface: interface.clone() }),
                    Err(error) => tracing::debug!("{}: nobody is heard at {group}: {error}", interface.name),
                }
            }
        }
        Self(sockets)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn interface(&self, nth: usize) -> &Interface {
        &self.0[nth].interface
    }

    /// Says something to all on the network of one of them; whether it went out.
    pub(super) async fn say(&self, nth: usize, packet: &[u8]) -> bool {
        let Socket { udp, group, interface } = &self.0[nth];
        let said = udp.send_to(packet, group).await;
        if let Err(error) = &said {
            tracing::debug!("{}: nothing can be said to {group}: {error}", interface.name);
        }
        said.is_ok()
    }

    /// The next packet: which of them has heard it, and its length. Cancel safe.
    pub(super) async fn hear(&self, buffer: &mut [u8]) -> (usize, usize) {
        poll_fn(|context| {
            for (nth, socket) in self.0.iter().enumerate() {
                let mut read = ReadBuf::new(buffer);
                match socket.udp.poll_recv_from(context, &mut read) {
                    Poll::Ready(Ok(_)) => return Poll::Ready((nth, read.filled().len())),
                    // An error is told once; what follows it is heard.
                    Poll::Ready(Err(_)) => context.waker().wake_by_ref(),
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// A socket beside those of others that hear the same, such as avahi's.
fn open(interface: &Interface, address: IpAddr, group: SocketAddr) -> io::Result<UdpSocket> {
    let socket = System::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if group.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // What is sent to another's port and to this machine alone is not ours to take. Elsewhere than on Linux, who is bound
    // so sends from there.
    let any = match group {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)),
    };
    socket.bind(&if cfg!(target_os = "linux") { group } else { any }.into())?;
    match address {
        IpAddr::V4(address) => {
            socket.join_multicast_v4(&V4, &address)?;
            // Not by the route to that address, which there may not be, or which leads elsewhere.
            socket.set_multicast_if_v4(&address)?;
            socket.set_multicast_ttl_v4(TTL)?;
            // A program on this machine may look for a host on it.
            socket.set_multicast_loop_v4(true)?;
            #[cfg(target_os = "linux")]
            socket.set_multicast_all_v4(false)?;
        }
        IpAddr::V6(_) => {
            socket.join_multicast_v6(&V6, interface.index)?;
            socket.set_multicast_if_v6(interface.index)?;
            socket.set_multicast_hops_v6(TTL)?;
            socket.set_multicast_loop_v6(true)?;
        }
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}
