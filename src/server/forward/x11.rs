//! The client's display, for programs here (RFC 4254 section 6.3).

use std::{
    ffi::OsString,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Stdio,
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket},
    process::Command,
    task::AbortHandle,
};

use super::to_client::ToClient;
use crate::{forward_sockets::pause, server::config::Config};

/// The first port of X11, that of display 0.
const FIRST_PORT: u32 = 6000;

/// Displays that are tried, as in sshd.
const DISPLAYS: u32 = 1000;

/// A display whose windows are shown at the client's; it goes with its session.
pub(in crate::server) struct Display {
    /// The machine's name, where programs elsewhere may use the display too.
    machine: Option<String>,
    number: u32,
    screen: u32,
    protocol: String,
    cookie: String,
    xauth: Option<String>,
    task: AbortHandle,
}

/// What a client says of its display.
pub(in crate::server) struct Asked<'a> {
    pub(in crate::server) protocol: &'a str,
    pub(in crate::server) cookie: &'a str,
    pub(in crate::server) screen: u32,
    /// One window program, and then no more.
    pub(in crate::server) single: bool,
}

impl Display {
    /// Listens on the first free display.
    ///
    /// # Errors
    ///
    /// What the system says, and a protocol or cookie that xauth could misread.
    pub(in crate::server) fn open(config: &Config, asked: &Asked<'_>, to: ToClient) -> io::Result<Self> {
        let is_plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_plain(asked.protocol) || !is_plain(asked.cookie) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (machine, address) = match config.x11_use_localhost {
            true => (None, Ipv4Addr::LOCALHOST),
            false => {
                let machine = nix::unistd::gethostname()?.to_string_lossy().into_owned();
                if !is_plain(&machine) {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                (Some(machine), Ipv4Addr::UNSPECIFIED)
            }
        };
        let (listener, number) = listen(address, config.x11_display_offset)?;
        let task = tokio::spawn(accept(listener, asked.single, to)).abort_handle();
        Ok(Self {
            machine,
            number,
            screen: asked.screen,
            protocol: asked.protocol.to_owned(),
            cookie: asked.cookie.to_owned(),
            xauth: config.xauth_location.clone(),
            task,
        })
    }

    /// For DISPLAY.
    pub(in crate::server) fn name(&self) -> String {
        self.name_at("localhost")
    }

    /// What the display is called, where this stands for the machine itself.
    fn name_at(&self, local: &str) -> String {
        format!("{}:{}.{}", self.machine.as_deref().unwrap_or(local), self.number, self.screen)
    }

    /// Tells the user's programs the cookie, through xauth.
    pub(in crate::server) async fn authorize(&self, environment: &[(OsString, OsString)]) {
        let Some(xauth) = &self.xauth else { return };
        let name = self.name_at("unix");
        let lines = format!("remove {name}\nadd {name} {} {}\n", self.protocol, self.cookie);
        let telling = async {
            let mut child = Command::new(xauth)
                .args(["-q", "-"])
                .env_clear()
                .envs(environment.iter().map(|(name, value)| (name, value)))
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(lines.as_bytes()).await?;
            }
            child.wait().await
        };
        if let Err(error) = telling.await {
            tracing::info!("{xauth}: {error}");
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen(address: Ipv4Addr, first: u32) -> io::Result<(TcpListener, u32)> {
    for number in first..first.saturating_add(DISPLAYS) {
        let Ok(port) = u16::try_from(FIRST_PORT.saturating_add(number)) else { break };
        let socket = TcpSocket::new_v4()?;
        match socket.bind(SocketAddr::new(IpAddr::V4(address), port)) {
            Ok(()) => return Ok((socket.listen(16)?, number)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

async fn accept(listener: TcpListener, single: bool, to: ToClient) {
    let mut more = true;
    while more {
        match listener.accept().await {
            Ok((stream, peer)) => {
                more = !single;
                let to = to.clone();
                // On its own: a window outlives the session that offered the display.
                tokio::spawn(async move {
                    let opened = to.session.channel_open_x11(peer.ip().to_string(), peer.port().into()).await;
                    to.carry(opened, stream).await;
                });
            }
            Err(error) => pause(&error).await,
        }
    }
}
