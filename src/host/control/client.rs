//! Asking a running host.

use std::{
    io,
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    path::PathBuf,
    time::Duration,
};

use iroh::EndpointAddr;
use iroh_tickets::endpoint::EndpointTicket;
use nix::unistd::geteuid;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::message::{Answer, Call, Hello, PROTOCOL, Request, VERSION, socket_of};
use crate::{
    files::{Paths, open_socket},
    host::{
        authorities::Authority,
        host_keys::KeptKeys,
        invites::Terms,
        lists::{
            AcceptedKeys, AllowedAuthority, AllowedPeer, InviteStatus, NewInvite, PeerList, Reloaded,
            RevokedPeers,
        },
        peer::Peer,
        peer_edits::Edit,
        presence::is_running,
        status::Status,
    },
    socket::{self, line},
};

/// How long a host may take to say that it is there: one that was stopped says nothing.
const GREETS: Duration = Duration::from_secs(3);

/// How long it may take to do what it was asked: its servers may be slow to show their keys.
const DOES: Duration = Duration::from_secs(40);

/// A running host did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// It says why not: a sentence, and what to do next on the lines after it.
    #[error("{0}")]
    Failed(String),
    /// No host of these folders runs, or it listens to nobody.
    #[error("no host is running that could be asked\nstart it: irosh host")]
    NotRunning,
    /// It does not say a word, and has done nothing.
    #[error("the host that runs does not answer\nits log may say why")]
    Silent,
    /// It is so old that it is asked for nothing but how it is.
    #[error(
        "the host that runs is of an older version, which cannot be asked\nstart it anew, with this version: restart its service, or send it SIGUSR2"
    )]
    Older,
    /// It does not understand this program, or the other way round.
    #[error(
        "the host that runs is of version {version}, and this program of {}\nuse one version of both: restart the host's service, or send it SIGUSR2",
        VERSION
    )]
    OtherVersion {
        /// That of its program.
        version: String,
    },
    /// It was told, and has not said what came of it.
    #[error(
        "the host has not said what came of it: it has ended, or does not answer any more\nlook with `irosh status`, and then run this again"
    )]
    Lost,
    /// More was said than fits into a line.
    #[error("this is more than a host listens to, which is {} KiB", socket::LONGEST >> 10)]
    TooLong,
}

/// A host that runs, for whoever is its user or root.
///
/// What is asked of it takes effect before the answer comes. Each call is a connection of its own and blocks: for 3 s
/// where the host does not say a word, and for 40 s at the most. In a task, put it into
/// `tokio::task::spawn_blocking`. [`Admin`](crate::host::Admin) does the same where no host runs.
///
/// ```no_run
/// use irosh::{files::Paths, host::{RunningHost, Terms}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = RunningHost::find(&Paths::of_user()?)?;
/// let made = host.invite(&Terms { login: Some("alice".into()), ..Terms::default() })?;
/// println!("type there: ssh alice@{}", made.invite);
/// for peer in host.peers()?.here.unwrap_or_default() {
///     println!("{} is here, with {} sessions", peer.name, peer.sessions.len());
/// }
/// let revoked = host.revoke("an old laptop")?;
/// println!("ended: {:?}", revoked.ended);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RunningHost {
    paths: Paths,
    version: String,
    pid: u32,
}

impl RunningHost {
    /// The host of these folders.
    ///
    /// # Errors
    ///
    /// [`ControlError::NotRunning`], [`ControlError::Silent`], [`ControlError::Older`] or
    /// [`ControlError::OtherVersion`].
    pub fn find(paths: &Paths) -> Result<Self, ControlError> {
        greet(paths).map(|(_, host)| host)
    }

    /// The version of its program.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it is.
    ///
    /// # Errors
    ///
    /// [`ControlError`], as all that follow.
    pub fn status(&self) -> Result<Status, ControlError> {
        let stream = connect(&self.paths).map_err(|error| unheard(&error))?;
        match say(&stream, &Request::Status, GREETS) {
            Ok(Some(Answer::Status(status))) => Ok(*status),
            Ok(_) => Err(self.is_another()),
            Err(error) => Err(unheard(&error)),
        }
    }

    /// Where it is.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub fn ticket(&self) -> Result<EndpointAddr, ControlError> {
        let ticket: String = self.ask(&Call::Ticket)?;
        let ticket: EndpointTicket = ticket.parse().map_err(|_| self.is_another())?;
        Ok(ticket.into())
    }

    /// Makes an invite.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub fn invite(&self, terms: &Terms) -> Result<NewInvite, ControlError> {
        let Terms { ttl, uses, login, restrictions } = terms.clone();
        self.ask(&Call::Invite { ttl: ttl.as_secs(), uses, login, options: restrictions })
    }

    /// The invites that can still be used.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub fn invites(&self) -> Result<Vec<InviteStatus>, ControlError> {
        self.ask(&Call::Invites)
    }

    /// Takes an invite back, by its id; returns it as it was.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub fn revoke_invite(&self, id: &str) -> Result<Vec<InviteStatus>, ControlError> {
        self.ask(&Call::RevokeInvite { id: id.to_owned() })
    }

    /// Who may come in, and who is here.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub fn peers(&self) -> Result<PeerList, ControlError> {
        self.ask(&Call::Peers)
    }

    /// Admits an identity, or changes its line. Sessions end that began on other terms.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub fn allow(&self, peer: &Peer, edit: Edit) -> Result<AllowedPeer, ControlError> {
        self.ask(&Call::Allow { line: peer.line(), replace: edit == Edit::Replace })
    }

    /// Has the certificates of an authority admit, or changes its line. Sessions end that began on other terms.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub fn allow_authority(
        &self,
        authority: &Authority,
        edit: Edit,
    ) -> Result<AllowedAuthority, ControlError> {
        self.ask(&Call::AllowAuthority { line: authority.line(), replace: edit == Edit::Replace })
    }

    /// Takes an admission back, by name, fingerprint or key, and ends what the peer has here.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub fn revoke(&self, who: &str) -> Result<RevokedPeers, ControlError> {
        self.ask(&Call::Revoke { who: who.to_owned() })
    }

    /// The SSH host keys of its servers, which are asked for them now.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub fn host_keys(&self) -> Result<Vec<KeptKeys>, ControlError> {
        self.ask(&Call::HostKeys)
    }

    /// Has the keys announced that its servers show now.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub fn accept_host_keys(&self) -> Result<AcceptedKeys, ControlError> {
        self.ask(&Call::AcceptHostKeys)
    }

    /// Has it read settings and lists again.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; [`ControlError::Failed`] where the settings are wrong, and stay as they were.
    pub fn reload(&self) -> Result<Reloaded, ControlError> {
        self.ask(&Call::Reload)
    }

    fn ask<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ControlError> {
        if line(call).len() > socket::LONGEST {
            return Err(ControlError::TooLong);
        }
        // It may be another one by now, which is greeted as well.
        let (stream, host) = greet(&self.paths)?;
        match say(&stream, call, DOES) {
            Ok(Some(Answer::Done(done))) => serde_json::from_value(done).map_err(|_| host.is_another()),
            Ok(Some(Answer::Failed(why))) => Err(ControlError::Failed(why)),
            Ok(Some(Answer::Unknown { version })) => Err(ControlError::OtherVersion { version }),
            Ok(Some(_)) => Err(host.is_another()),
            Ok(None) | Err(_) => Err(ControlError::Lost),
        }
    }

    fn is_another(&self) -> ControlError {
        ControlError::OtherVersion { version: self.version.clone() }
    }
}

/// Greets the host of these folders.
fn greet(paths: &Paths) -> Result<(UnixStream, RunningHost), ControlError> {
    let stream = connect(paths).map_err(|error| unheard(&error))?;
    let answer = say(&stream, &Request::Hello(Hello::to(paths)), GREETS).map_err(|error| unheard(&error))?;
    match answer {
        Some(Answer::Hello { protocol: PROTOCOL, version, pid }) => {
            Ok((stream, RunningHost { paths: paths.clone(), version, pid }))
        }
        Some(Answer::Hello { version, .. } | Answer::Unknown { version }) => {
            Err(ControlError::OtherVersion { version })
        }
        Some(Answer::Declined) => Err(ControlError::Older),
        Some(Answer::Elsewhere) | None => Err(ControlError::NotRunning),
        Some(_) => Err(ControlError::OtherVersion { version: "unknown".to_owned() }),
    }
}

/// What it means that a host was not heard.
fn unheard(error: &io::Error) -> ControlError {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ControlError::Silent,
        _ => ControlError::NotRunning,
    }
}

/// Says something to a host and hears its answer; nothing where it leaves without one, or where that makes no sense.
fn say(mut stream: &UnixStream, said: &impl Serialize, within: Duration) -> io::Result<Option<Answer>> {
    stream.set_write_timeout(Some(GREETS))?;
    io::Write::write_all(&mut stream, &line(said))?;
    let Some(answer) = socket::read_last_line::<Value>(stream, within)? else { return Ok(None) };
    let nonsense = || Answer::Unknown { version: "unknown".to_owned() };
    Ok(Some(serde_json::from_value(answer).unwrap_or_else(|_| nonsense())))
}

/// Connects to the host, which is the user's whose the folder is: root asks another user's, too.
fn connect(paths: &Paths) -> io::Result<UnixStream> {
    let path = socket_of(paths);
    let (found, owner) = open_socket(&path)?;
    // What is found at a name in another user's folder may be something else at the next look.
    let at = match owner == geteuid().as_raw() {
        true => path,
        false => PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd())),
    };
    socket::connect(&at, |uid| uid == owner)
}

/// A host that runs, as far as it tells of itself.
#[derive(Debug)]
pub struct Running {
    /// How it is; nothing where it does not answer, or not as this version does.
    pub status: Option<Status>,
}

/// The host of these folders that runs, if one does.
#[must_use]
pub fn running(paths: &Paths) -> Option<Running> {
    match connect(paths) {
        Ok(stream) => {
            let status = match say(&stream, &Request::Status, GREETS) {
                Ok(Some(Answer::Status(status))) => Some(*status),
                _ => None,
            };
            Some(Running { status })
        }
        Err(_) => is_running(paths).then_some(Running { status: None }),
    }
}
