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
    placing: Placing,
    placed: Vec<(Forward, Placed)>,
}

/// What sets forwards up.
#[derive(Clone)]
pub(super) struct Placing {
    connection: Connection,
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
        Self { placing: Placing { connection, gateway, unlink }, placed: Vec::new() }
    }

    /// Sets up a forward; where it listens.
    pub(super) async fn add(&mut self, forward: Forward) -> Result<&(Forward, Placed), NotPlaced> {
        let placed = self.placing.place(&forward).await?;
        Ok(self.keep(forward, placed))
    }

    /// Sets up a forward of ssh_config. One that fails is told, and an error with `ExitOnForwardFailure`.
    ///
    /// # Errors
    ///
    /// [`NotPlaced`], with the forward.
    pub(super) async fn add_configured(
        &mut self,
        forward: Forward,
        config: &SshConfig,
    ) -> anyhow::Result<Option<&(Forward, Placed)>> {
        match self.placing.place(&forward).await {
            Ok(placed) => Ok(Some(self.keep(forward, placed))),
            Err(error) => {
                let error = anyhow::Error::from(error).context(format!("{} {forward}", option(&forward)));
                if config.exit_on_forward_failure {
                    return Err(error);
                }
                irosh::log::complain_of("irosh", &*error);
                Ok(None)
            }
        }
    }

    pub(super) fn placing(&self) -> Placing {
        self.placing.clone()
    }

    /// Has one that was set up until it is taken or this is dropped.
    pub(super) fn keep(&mut self, forward: Forward, placed: Placed) -> &(Forward, Placed) {
        self.placed.push((forward, placed));
        &self.placed[self.placed.len() - 1]
    }

    /// The forward of this kind that listens there, to be cancelled.
    pub(super) fn take(&mut self, listen: &Listen, direction: Direction, socks: bool) -> Option<Placed> {
        let is_meant = |(forward, _): &(Forward, Placed)| {
            forward.direction == direction
                && (forward.to == Destination::Socks) == socks
                && listen.cancels(&forward.listen)
        };
        let at = self.placed.iter().position(is_meant)?;
        Some(self.placed.remove(at).1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.placed.is_empty()
    }

    /// A line for each.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |(forward, _): &(Forward, Placed)| format!("{} {forward}", option(forward));
        self.placed.iter().map(line).collect()
    }
}

impl Placing {
    /// Sets up a forward, which may wait for the server.
    ///
    /// # Errors
    ///
    /// [`NotPlaced`].
    pub(super) async fn place(&self, forward: &Forward) -> Result<Placed, NotPlaced> {
        Ok(match (forward.direction, &forward.to) {
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
        })
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

/// The forwards of ssh_config. One that is none is told and left out.
pub(super) fn configured(config: &SshConfig) -> Vec<Forward> {
    // A path stands as it is, and everything else with its address in brackets.
    let part = |text: &str| match text.starts_with('/') {
        true => text.replace('\\', "\\\\").replace(':', "\\:"),
        false => text.to_owned(),
    };
    let local = config.local_forwards.iter();
    let local = local.map(|(listen, to)| Forward::local(format!("{}:{}", part(listen), part(to))));
    let remote = config.remote_forwards.iter().map(|(listen, to)| match to {
        Some(to) => Forward::remote(format!("{}:{}", part(listen), part(to))),
        None => Forward::remote(part(listen)),
    });
    // `ssh -G` prints the socket of a LocalForward to a socket once more, as a DynamicForward.
    let again = |listen: &&String| {
        listen.starts_with('/') && config.local_forwards.iter().any(|(local, _)| local == *listen)
    };
    let dynamic = config.dynamic_forwards.iter().filter(|listen| !again(listen));
    let dynamic = dynamic.map(|listen| Forward::dynamic(part(listen)));
    let mut found = Vec::new();
    for forward in local.chain(remote).chain(dynamic) {
        match forward {
            Ok(forward) => found.push(forward),
            Err(error) => irosh::log::complain("irosh", &error),
        }
    }
    found
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
        Listen::Socket(path) => RemoteListen::Socket(path.clone()),
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
