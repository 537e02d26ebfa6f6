//! What the user asked for as a backend, and what `auto` stands for.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use super::{
    authorities::Authority,
    backend::{Backend, BackendError, ServerEnd},
    host_keys::machine_has_sshd,
    peers::AuthorizedPeers,
};
use crate::files::Paths;

/// Where sshd is looked for by `auto`.
const LOCAL_SSHD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 22);

/// What the user asked for: `auto` or a backend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// The local SSH server if there is one, else the built-in one.
    #[default]
    Auto,
    /// This one.
    Fixed(Backend),
}

impl BackendChoice {
    /// Settles what `auto` stands for: an SSH server at 127.0.0.1:22, or the built-in one.
    ///
    /// # Errors
    ///
    /// [`BackendError::SshdIsDown`] where this machine has an sshd that does not answer, and somebody could log in
    /// to the built-in server without a proof that sshd would ask for.
    pub async fn settle(&self, paths: &Paths) -> Result<Backend, BackendError> {
        match self {
            Self::Fixed(backend) => Ok(backend.clone()),
            Self::Auto if is_sshd(LOCAL_SSHD).await => Ok(Backend::Tcp(LOCAL_SSHD)),
            Self::Auto => {
                let vouched = |list: AuthorizedPeers| {
                    list.peers.iter().any(|peer| peer.options.login.is_some())
                        || list.authorities.iter().any(Authority::vouches)
                };
                let list = paths.authorized_peers();
                if machine_has_sshd(&paths.kept_host_keys(), &Backend::Tcp(LOCAL_SSHD))
                    && AuthorizedPeers::load(&list).is_ok_and(vouched)
                {
                    return Err(BackendError::SshdIsDown { at: LOCAL_SSHD, peers: list });
                }
                Ok(Backend::Builtin)
            }
        }
    }
}

/// Whether an SSH identification string comes from an address within two seconds, and not from just anybody's
/// process.
async fn is_sshd(addr: SocketAddr) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect(addr).await?;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).await?;
        io::Result::Ok((greeting == *b"SSH-").then(|| ServerEnd::of_tcp(&stream).owner()))
    };
    let Ok(Ok(Some(owner))) = timeout(Duration::from_secs(2), greeting).await else {
        return false;
    };
    let foreign = owner.filter(|uid| crate::owner::is_trusted(*uid) == Some(false));
    if let Some(uid) = foreign {
        tracing::error!("what listens at {addr} is user {uid}'s, and not sshd");
    }
    foreign.is_none()
}

impl FromStr for BackendChoice {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Self, BackendError> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            other => other.parse().map(Self::Fixed),
        }
    }
}
