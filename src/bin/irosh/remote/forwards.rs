//! The forwards of a connection: those of the command line, and those of `~C`.

use std::net::{IpAddr, SocketAddr};

use irosh::client::{
    Connection,
    forward::{Forward as Placed, ForwardError, Listen as ClientListen, Place, RemoteListen},
    ssh_config::SshConfig,
};

use crate::forward_spec::{Bind, Destination, Direction, Forward, Listen};

/// The forwards that are in place.
pub(super) struct Forwards {
    connection: Connection,
    placed: Vec<(Forward, Placed)>,
    gateway: bool,
    unlink: bool,
}

/// A forward could not be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotPlaced {
    /// By the client library.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// A name to listen on that is no address.
    #[error("cannot listen on `{0}`: it is no address of this machine")]
    Address(String),
    /// `-R` without a destination.
    #[error("-R without a destination, a SOCKS proxy at the server, is not available here\nuse ssh for it")]
    RemoteSocks,
}

impl Forwards {
    pub(super) fn new(connection: Connection, config: &SshConfig) -> Self {
        let (gateway, unlink) = (config.gateway_ports, config.stream_local_bind_unlink);
        Self { connection, placed: Vec::new(), gateway, unlink }
    }

    /// Sets up a forward; where it listens.
    pub(super) async fn add(&mut self, forward: Forward) -> Result<&Placed, NotPlaced> {
        let placed = match (forward.direction, &forward.to) {
            (Direction::Local, Destination::Socks) => {
                self.connection.dynamic_forward(&self.here(&forward.listen).await?).await?
            }
            (Direction::Local, to) => {
                self.connection.local_forward(&self.here(&forward.listen).await?, place(to)).await?
            }
            (Direction::Remote, Destination::Socks) => return Err(NotPlaced::RemoteSocks),
            (Direction::Remote, to) => {
                self.connection.remote_forward(there(&forward.listen), place(to)).await?
            }
        };
        self.placed.push((forward, placed));
        let (_, placed) = &self.placed[self.placed.len() - 1];
        Ok(placed)
    }

    /// Ends the forward of this kind that listens there; whether there was one.
    pub(super) async fn cancel(&mut self, listen: &Listen, direction: Direction, socks: bool) -> bool {
        let is_meant = |(forward, _): &(Forward, Placed)| {
            forward.direction == direction
                && (forward.to == Destination::Socks) == socks
                && listen.cancels(&forward.listen)
        };
        let Some(at) = self.placed.iter().position(is_meant) else { return false };
        let (_, placed) = self.placed.remove(at);
        placed.cancel().await.is_ok()
    }

    /// A line for each.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |(forward, _): &(Forward, Placed)| format!("{} {forward}", option(forward));
        self.placed.iter().map(line).collect()
    }

    async fn here(&self, listen: &Listen) -> Result<ClientListen, NotPlaced> {
        Ok(match listen {
            Listen::Socket(path) => ClientListen::Socket { path: path.clone(), unlink: self.unlink },
            Listen::Tcp { bind, port } => match bind {
                Bind::Unnamed if self.gateway => ClientListen::Everywhere(*port),
                Bind::Unnamed | Bind::Loopback => ClientListen::Loopback(*port),
                Bind::Any => ClientListen::Everywhere(*port),
                Bind::Address(address) => {
                    let ip = match address.parse::<IpAddr>() {
                        Ok(ip) => Some(ip),
                        Err(_) => tokio::net::lookup_host((address.as_str(), *port))
                            .await
                            .ok()
                            .and_then(|mut found| found.next())
                            .map(|found| found.ip()),
                    };
                    let ip = ip.ok_or_else(|| NotPlaced::Address(address.clone()))?;
                    ClientListen::Address(SocketAddr::new(ip, *port))
                }
            },
        })
    }
}

/// The option that asks for a forward.
pub(super) fn option(forward: &Forward) -> &'static str {
    match (forward.direction, &forward.to) {
        (Direction::Local, Destination::Socks) => "-D",
        (Direction::Local, _) => "-L",
        (Direction::Remote, _) => "-R",
    }
}

fn there(listen: &Listen) -> RemoteListen {
    match listen {
        Listen::Socket(path) => RemoteListen::Socket(path.to_string_lossy().into_owned()),
        Listen::Tcp { bind, port } => RemoteListen::Port { address: bind.wire().to_owned(), port: *port },
    }
}

fn place(to: &Destination) -> Place {
    match to {
        Destination::Tcp { host, port } => Place::tcp(host.clone(), *port),
        Destination::Socket(path) => Place::Socket(path.clone()),
        // Handled by who asks.
        Destination::Socks => Place::tcp("localhost", 1080),
    }
}
