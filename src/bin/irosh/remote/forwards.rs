//! The forwards of a connection: those of the command line, and those of ssh_config.

use std::{
    net::{IpAddr, SocketAddr},
    os::unix::ffi::OsStringExt,
};

use clap::builder::{OsStringValueParser, TypedValueParser};
use irosh::client::{
    Connection,
    forward::{Bound, Forward as Placed, ForwardError, Listen as ClientListen, Place, RemoteListen},
    ssh_config::SshConfig,
};

use crate::forward_spec::{Bind, Destination, Direction, Forward, Listen, NotForward};

/// The forwards of a command line.
#[derive(clap::Args)]
pub(super) struct ForwardOptions {
    /// Listen here, connect there: `[BIND:]PORT:HOST:HOSTPORT`
    #[arg(short = 'L', value_name = "FORWARD", value_parser = read(Forward::local))]
    local: Vec<Forward>,
    /// Listen there, connect here: `[BIND:]PORT:HOST:HOSTPORT`
    #[arg(short = 'R', value_name = "FORWARD", value_parser = read(Forward::remote))]
    back: Vec<Forward>,
    /// Listen here as a SOCKS proxy: `[BIND:]PORT`
    #[arg(short = 'D', value_name = "FORWARD", value_parser = read(Forward::dynamic))]
    dynamic: Vec<Forward>,
}

/// Of any bytes, since sockets are files.
fn read(forward: fn(Vec<u8>) -> Result<Forward, NotForward>) -> impl TypedValueParser<Value = Forward> {
    OsStringValueParser::new().try_map(move |text| forward(text.into_vec()))
}

impl ForwardOptions {
    pub(super) fn all(&self) -> impl Iterator<Item = &Forward> {
        self.local.iter().chain(&self.back).chain(&self.dynamic)
    }
}

/// The forwards that are in place.
pub(super) struct Forwards {
    connection: Connection,
    gateway: bool,
    unlink: bool,
    exit_on_failure: bool,
    placed: Vec<(Forward, Placed)>,
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
        let exit_on_failure = config.exit_on_forward_failure;
        Self { connection, gateway, unlink, exit_on_failure, placed: Vec::new() }
    }

    /// Sets up a forward, which may wait for the server; where it listens.
    ///
    /// # Errors
    ///
    /// [`NotPlaced`], with the forward.
    pub(super) async fn add(&mut self, forward: Forward) -> anyhow::Result<&(Forward, Placed)> {
        match self.place(&forward).await {
            Ok(placed) => {
                self.placed.push((forward, placed));
                Ok(&self.placed[self.placed.len() - 1])
            }
            Err(error) => Err(anyhow::Error::from(error).context(forward.to_string())),
        }
    }

    /// The same of one without which the rest goes on: that it failed is told, and an error only with
    /// `ExitOnForwardFailure`.
    ///
    /// # Errors
    ///
    /// [`NotPlaced`], with the forward.
    pub(super) async fn try_add(&mut self, forward: Forward) -> anyhow::Result<Option<&(Forward, Placed)>> {
        let exit_on_failure = self.exit_on_failure;
        match self.add(forward).await {
            Ok(placed) => Ok(Some(placed)),
            Err(error) if exit_on_failure => Err(error),
            Err(error) => {
                irosh::log::complain_of("irosh", &*error);
                Ok(None)
            }
        }
    }

    /// Those of a session, as ssh has them: of the command line, and then of ssh_config. A port that the server
    /// has chosen is told.
    ///
    /// # Errors
    ///
    /// As of [`Forwards::try_add`].
    pub(super) async fn of_session(
        connection: Connection,
        config: &SshConfig,
        options: &ForwardOptions,
    ) -> anyhow::Result<Self> {
        let mut forwards = Self::new(connection, config);
        for forward in options.all().cloned().chain(configured(config)) {
            let chosen = matches!(forward.listen, Listen::Tcp { port: 0, .. });
            if let Some((forward, placed)) = forwards.try_add(forward).await?
                && chosen
                && let Bound::RemotePort { port, .. } = placed.bound()
            {
                irosh::log::complain("irosh", &format!("allocated port {port} for {forward}"));
            }
        }
        Ok(forwards)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.placed.is_empty()
    }

    /// A line for each.
    pub(super) fn lines(&self) -> Vec<String> {
        self.placed.iter().map(|(forward, _)| forward.to_string()).collect()
    }

    async fn place(&self, forward: &Forward) -> Result<Placed, NotPlaced> {
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
