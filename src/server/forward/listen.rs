//! Listeners of a connection: `-R`, for ports and for unix sockets (RFC 4254 section 7.1).

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, UnixListener};
use tokio_util::task::AbortOnDropHandle;

use super::to_client::ToClient;
use crate::{
    forward_sockets::{SocketFile, listen_tcp, pause},
    server::config::{Config, value::GatewayPorts},
};

/// What a connection listens on.
#[derive(Default)]
pub(in crate::server) struct Listeners {
    open: HashMap<Place, Vec<AbortOnDropHandle<()>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Port(String, u32),
    Socket(PathBuf),
}

impl Listeners {
    /// Listens on a port for the client; returns it. 0 asks for any.
    ///
    /// # Errors
    ///
    /// What the system says; nothing is listened on then.
    pub(in crate::server) async fn add_port(
        &mut self,
        config: &Config,
        address: &str,
        port: u16,
        to: &ToClient,
    ) -> io::Result<u16> {
        let (listeners, port) = listen(&addresses(address, config.gateway_ports).await?, port)?;
        let tasks = listeners
            .into_iter()
            .map(|listener| spawn(accept_tcp(listener, address.to_owned(), port, to.clone())));
        self.open.insert(Place::Port(address.to_owned(), port.into()), tasks.collect());
        Ok(port)
    }

    /// Stops listening on a port, which is free afterwards; whether there was such a listener.
    pub(in crate::server) async fn remove_port(&mut self, address: &str, port: u32) -> bool {
        self.remove(&Place::Port(address.to_owned(), port)).await
    }

    /// Listens on a unix socket for the client.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(in crate::server) fn add_socket(
        &mut self,
        config: &Config,
        path: &Path,
        to: &ToClient,
    ) -> io::Result<()> {
        let mode = 0o777 & !config.stream_local_bind_mask;
        let listening = SocketFile::listen(path, mode, config.stream_local_bind_unlink)?;
        let accepting = accept_socket(listening, path.to_owned(), to.clone());
        self.open.insert(Place::Socket(path.to_owned()), vec![spawn(accepting)]);
        Ok(())
    }

    /// Stops listening on a unix socket, which is gone afterwards; whether there was such a listener.
    pub(in crate::server) async fn remove_socket(&mut self, path: &Path) -> bool {
        self.remove(&Place::Socket(path.to_owned())).await
    }

    async fn remove(&mut self, place: &Place) -> bool {
        let Some(tasks) = self.open.remove(place) else { return false };
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
        true
    }
}

fn spawn(accepting: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(accepting))
}

/// The addresses that a bind address stands for (RFC 4254 section 7.1, sshd_config(5), GatewayPorts).
async fn addresses(asked: &str, gateway: GatewayPorts) -> io::Result<Vec<IpAddr>> {
    let loopback = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let all = vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    Ok(match (gateway, asked) {
        (GatewayPorts::No, _) | (GatewayPorts::ClientSpecified, "localhost") => loopback,
        (GatewayPorts::Yes, _) | (GatewayPorts::ClientSpecified, "" | "*") => all,
        (GatewayPorts::ClientSpecified, name) => {
            tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()
        }
    })
}

/// Listens on every address where that can be done, all on one port, as sshd does.
fn listen(addresses: &[IpAddr], port: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    let mut port = port;
    let mut listeners = Vec::new();
    let mut failed = None;
    for address in addresses {
        match listen_tcp(SocketAddr::new(*address, port)) {
            Ok(listener) => {
                port = listener.local_addr()?.port();
                listeners.push(listener);
            }
            Err(error) => failed = Some(error),
        }
    }
    if listeners.is_empty() {
        return Err(failed.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()));
    }
    Ok((listeners, port))
}

async fn accept_tcp(listener: TcpListener, address: String, port: u16, to: ToClient) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                let (to, address) = (to.clone(), address.clone());
                // On its own: a listener that goes takes no connection with it.
                tokio::spawn(async move {
                    let origin = (peer.ip().to_string(), peer.port().into());
                    let opening =
                        (to.session).channel_open_forwarded_tcpip(address, port.into(), origin.0, origin.1);
                    let opened = opening.await;
                    to.carry(opened, stream).await;
                });
            }
            Err(error) => pause(&error).await,
        }
    }
}

async fn accept_socket((listener, _file): (UnixListener, SocketFile), path: PathBuf, to: ToClient) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (to, path) = (to.clone(), path.clone());
                tokio::spawn(async move {
                    let opened =
                        to.session.channel_open_forwarded_streamlocal(path.into_os_string().into_vec()).await;
                    to.carry(opened, stream).await;
                });
            }
            Err(error) => pause(&error).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_may_name_an_address_gets_that_one_or_none() {
        let asked = |name: &'static str| addresses(name, GatewayPorts::ClientSpecified);
        let own = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(asked("127.0.0.2").await.expect("an address"), [own]);
        assert!(asked("..").await.is_err(), "a name that is none");
        assert_eq!(asked("").await.expect("all").len(), 2);
        let others = addresses("..", GatewayPorts::No).await.expect("loopback");
        assert!(others.iter().all(IpAddr::is_loopback));
    }
}
