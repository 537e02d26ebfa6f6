//! Backends: where the host takes a session.

use std::{
    ffi::OsString,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    path::PathBuf,
    process::Stdio,
    str::FromStr,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use rustix::net::AddressFamily;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream, UnixStream, tcp, unix},
    process::{ChildStderr, ChildStdout, Command},
    time::timeout,
};

use super::{
    hand_over::SESSIONS_VARIABLE,
    limits::MaxStartups,
    loopback,
    process::{InheritedProcess, Process},
    quiet::Quiet,
    registry::SessionPlace,
    roll::Standing,
};
use crate::{
    log,
    protocol::{BackendKind, Refusal, RefusalCode},
};

/// How long a backend may take to be connected.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// How long a command may take to end by itself once its session is over.
const EXIT_GRACE: Duration = Duration::from_secs(5);

/// The variable by which the built-in server is told what its client may do, in the words of
/// `authorized_keys`.
pub const LOGIN_OPTIONS: &str = "IROSH_LOGIN_OPTIONS";

/// What takes a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// An SSH server at a TCP address.
    Tcp(SocketAddr),
    /// An SSH server at a unix socket.
    Unix(PathBuf),
    /// A shell command that speaks SSH on a socket that is its stdin and stdout.
    Exec(String),
    /// The built-in SSH server, a process a session.
    Builtin,
}

/// The program behind [`Backend::Builtin`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuiltinServer {
    /// The command that speaks SSH on a socket that is its stdin and stdout, as a program and its
    /// arguments: `irosh sshd`, or `irosh-sshd`.
    pub command: Vec<OsString>,
    /// How many logins may be under way in it at once, of all peers together (`MaxStartups`). The command
    /// has to know `--logged-in-on-stdout` then: its connection is stdin alone, and it closes stdout once
    /// somebody has logged in.
    pub max_startups: Option<MaxStartups>,
}

/// For whom a backend is connected, and by what means.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// Whose session it is, and from which address; none for the host's own questions.
    pub(super) peer: Option<(&'a Standing, Ipv4Addr)>,
    /// The command of the built-in server: a program and its arguments.
    pub builtin: &'a [OsString],
    /// Whether the built-in server is to tell when somebody has logged in.
    pub tells_login: bool,
}

/// A backend that could not be read, or was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// Not a backend.
    #[error("`{0}` is not a backend\nuse auto, builtin, tcp:ADDRESS:PORT, unix:PATH or exec:COMMAND")]
    Unknown(String),
    /// `auto` would hand peers to the built-in server who need no proof there.
    #[error(
        "sshd does not answer at {at}, and at the built-in server the peers with `login=` in {peers} would need no proof\nstart sshd, or say what is meant: --backend builtin, or --backend tcp:{at}"
    )]
    SshdIsDown {
        /// Where sshd is looked for.
        at: SocketAddr,
        /// The list of peers.
        peers: PathBuf,
    },
}

impl FromStr for Backend {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Self, BackendError> {
        let unknown = || BackendError::Unknown(text.to_owned());
        if text == "builtin" {
            return Ok(Self::Builtin);
        }
        match text.split_once(':').ok_or_else(unknown)? {
            ("tcp", addr) => addr.parse().map(Self::Tcp).map_err(|_| unknown()),
            ("unix", path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            ("exec", command) if !command.trim().is_empty() => Ok(Self::Exec(command.to_owned())),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => write!(f, "tcp:{addr}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Exec(command) => write!(f, "exec:{command}"),
            Self::Builtin => f.write_str("builtin"),
        }
    }
}

/// A connected backend.
pub struct BackendStream {
    /// What the backend sends.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// What it is sent.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// The command, where the backend is one.
    pub child: Option<BackendChild>,
    /// Ends once somebody has logged in, where the backend tells.
    pub logged_in: Option<ChildStdout>,
    /// What the command complains about, where the question is the host's own.
    pub stderr: Option<ChildStderr>,
    /// Whose the server is.
    pub server: ServerEnd,
    /// The socket once more, for another process to go on with.
    pub socket: OwnedFd,
}

/// The server's end of a connection, as far as its owner can be found by it.
#[derive(Debug, Clone, Copy)]
pub enum ServerEnd {
    /// By the addresses of a TCP connection.
    Tcp(Option<(SocketAddr, SocketAddr)>),
    /// The user who listens at a unix socket.
    Unix(Option<u32>),
    /// The host's own child.
    Command,
}

impl ServerEnd {
    pub(super) fn of_tcp(stream: &TcpStream) -> Self {
        Self::Tcp(stream.local_addr().ok().zip(stream.peer_addr().ok()))
    }

    /// The user whose process it is, where that can be known; reads files, so it blocks.
    #[must_use]
    pub fn owner(self) -> Option<u32> {
        match self {
            Self::Tcp(addresses) => {
                addresses.and_then(|(ours, theirs)| crate::owner::of_connection(ours, theirs))
            }
            Self::Unix(uid) => uid,
            Self::Command => None,
        }
    }
}

impl Backend {
    /// What kind it is, as a host tells its peers.
    #[must_use]
    pub fn kind(&self) -> BackendKind {
        match self {
            Self::Tcp(_) => BackendKind::Tcp,
            Self::Unix(_) => BackendKind::Unix,
            Self::Exec(_) => BackendKind::Exec,
            Self::Builtin => BackendKind::Builtin,
        }
    }

    /// Connects it.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] whose sentence says what is wrong with the SSH server.
    pub async fn connect(&self, caller: Caller<'_>) -> Result<BackendStream, Refusal> {
        let connecting = async {
            match self {
                Self::Tcp(addr) => connect_tcp(*addr, caller).await.and_then(BackendStream::of_tcp),
                Self::Unix(path) => UnixStream::connect(path).await.and_then(BackendStream::of_unix),
                Self::Exec(command) => {
                    let mut shell = Command::new("/bin/sh");
                    shell.arg("-c").arg(format!("exec {command}"));
                    spawn(shell, caller, false)
                }
                Self::Builtin => spawn(builtin(caller)?, caller, caller.tells_login),
            }
        };
        match timeout(CONNECT_DEADLINE, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(self.refusal(&error)),
            Err(_) => Err(self.refusal(&io::ErrorKind::TimedOut.into())),
        }
    }

    fn refusal(&self, error: &io::Error) -> Refusal {
        let what = match error.kind() {
            io::ErrorKind::ConnectionRefused => "refused the connection".to_owned(),
            io::ErrorKind::NotFound => "does not exist".to_owned(),
            io::ErrorKind::TimedOut => "did not answer".to_owned(),
            _ => format!("cannot be reached: {error}"),
        };
        let next = match self {
            Self::Tcp(_) | Self::Unix(_) => "sshd is running there",
            Self::Exec(_) => "the host's --backend command runs",
            Self::Builtin => "`irosh sshd` can be run",
        };
        Refusal::new(
            RefusalCode::Backend,
            format!("{} {what}\non the host, check that {next}", self.server()),
        )
    }

    /// What a peer is told that it is.
    pub(super) fn server(&self) -> String {
        match self {
            Self::Tcp(addr) => format!("the host's ssh server at {addr}"),
            Self::Unix(path) => format!("the host's ssh server at {}", path.display()),
            // The command itself may hold what is nobody's business.
            Self::Exec(_) => "the host's ssh server command".to_owned(),
            Self::Builtin => "the host's built-in ssh server".to_owned(),
        }
    }
}

impl BackendStream {
    /// Has the session's place held until the command has ended; gives it back where there is none.
    pub(super) fn hold(&mut self, place: SessionPlace) -> Option<SessionPlace> {
        match &mut self.child {
            Some(child) => child.place.replace(place),
            None => Some(place),
        }
    }

    /// A socket that another process was connected by.
    pub(super) fn inherited(socket: OwnedFd, process: Option<InheritedProcess>) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let stream = match rustix::net::getsockname(&socket)?.address_family() {
            AddressFamily::UNIX => Self::of_unix(UnixStream::from_std(socket.into())?)?,
            _ => Self::of_tcp(TcpStream::from_std(socket.into())?)?,
        };
        let process = process.map(Process::Inherited);
        let child = process.map(|process| BackendChild { process: Some(process), place: None });
        Ok(Self { child, ..stream })
    }

    fn of_tcp(stream: TcpStream) -> io::Result<Self> {
        let (server, socket) = (ServerEnd::of_tcp(&stream), stream.as_fd().try_clone_to_owned()?);
        let (reader, writer) = stream.into_split();
        Ok(Self::of_socket(
            Box::new(reader),
            Box::new(Quiet::new(writer, tcp::OwnedWriteHalf::forget)),
            server,
            socket,
        ))
    }

    fn of_unix(stream: UnixStream) -> io::Result<Self> {
        let server = ServerEnd::Unix(stream.peer_cred().ok().map(|theirs| theirs.uid()));
        let socket = stream.as_fd().try_clone_to_owned()?;
        let (reader, writer) = stream.into_split();
        Ok(Self::of_socket(
            Box::new(reader),
            Box::new(Quiet::new(writer, unix::OwnedWriteHalf::forget)),
            server,
            socket,
        ))
    }

    fn of_socket(
        reader: Box<dyn AsyncRead + Send + Unpin>,
        writer: Box<dyn AsyncWrite + Send + Unpin>,
        server: ServerEnd,
        socket: OwnedFd,
    ) -> Self {
        Self { reader, writer, server, socket, child: None, logged_in: None, stderr: None }
    }
}

/// Connects from an address that is the identity's own, where the server is on loopback.
async fn connect_tcp(addr: SocketAddr, caller: Caller<'_>) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = caller.peer.and_then(|(_, address)| loopback::source_for(addr, address)) {
        // Without it the server sees 127.0.0.1, as from everybody.
        if let Err(error) = socket.bind(SocketAddr::new(source.into(), 0)) {
            loopback::warn_once(&error);
        }
    }
    let stream = socket.connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A running command; it is hung up on when its session is over.
pub struct BackendChild {
    process: Option<Process>,
    /// The session's place, which others may have once the process is gone.
    place: Option<SessionPlace>,
}

/// The most bytes that may lie in the socket before a command, by the kernel's count, which doubles what it is told
/// (socket(7)). What comes back from a long outage is thousands of small packets. sshd takes all that is there, hands
/// on 64 KiB of it at a time, and moves what it keeps for each 256 bytes more: half a minute for 2 MiB, where it keeps
/// much.
const SSHD_TAKES: usize = 64 << 10;

/// Runs a command with one end of a socketpair as its stdin and stdout, as inetd does; with a pipe as its
/// stdout where it tells by that.
fn spawn(mut command: Command, caller: Caller<'_>, tells: bool) -> io::Result<BackendStream> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    if !tells {
        rustix::net::sockopt::set_socket_send_buffer_size(&ours, SSHD_TAKES / 2)?;
    }
    let theirs: OwnedFd = theirs.into();
    let stdout = if tells { Stdio::piped() } else { Stdio::from(theirs.try_clone()?) };
    // Of a session, all that is complained of belongs into the log.
    let stderr = if caller.peer.is_some() { log::stderr_of_children() } else { Stdio::piped() };
    command.stdin(Stdio::from(theirs)).stdout(stdout).stderr(stderr).process_group(0);
    // It may be of a host that runs in a session of another's.
    for name in ["IROSH_PEER", "IROSH_PEER_NAME", "IROSH_PEER_ADDRESS", SESSIONS_VARIABLE] {
        command.env_remove(name);
    }
    if let Some((Standing { peer, .. }, address)) = caller.peer {
        command.env("IROSH_PEER", peer.identity.fingerprint());
        command.env("IROSH_PEER_NAME", peer.shown_name());
        command.env("IROSH_PEER_ADDRESS", address.to_string());
    }
    start_anew(&mut command);
    let mut child = command.spawn()?;
    // The command holds the other copies of its end of the socketpair.
    drop(command);
    let stream = BackendStream::of_unix(UnixStream::from_std(ours)?)?;
    let (logged_in, stderr) = (child.stdout.take(), child.stderr.take());
    let child = Some(BackendChild { process: Some(Process::Child(child)), place: None });
    Ok(BackendStream { child, logged_in, stderr, server: ServerEnd::Command, ..stream })
}

/// A command starts as if the system had started it: what it runs for its user must not inherit what this process
/// ignores, or has raised for itself.
#[allow(unsafe_code, reason = "what runs between fork and exec is a few system calls and no allocation")]
fn start_anew(command: &mut Command) {
    let prepare = || {
        crate::signals::all_default();
        crate::descriptors::restore_limit()
    };
    // SAFETY: sigaction and setrlimit are async-signal-safe.
    unsafe { command.pre_exec(prepare) };
}

/// The built-in server's command, with the logins that the caller needs no proof for, and what it may do.
fn builtin(caller: Caller<'_>) -> io::Result<Command> {
    let (program, arguments) = caller.builtin.split_first().ok_or(io::ErrorKind::NotFound)?;
    let mut command = Command::new(program);
    command.args(arguments);
    command.env_remove(LOGIN_OPTIONS);
    if let Some((standing, _)) = caller.peer {
        command.args(standing.logins().iter().map(|login| format!("--login={login}")));
        // Not as an argument: a command may hold what is nobody's business.
        let restrictions = standing.restrictions();
        if !restrictions.is_empty() {
            command.env(LOGIN_OPTIONS, restrictions.to_string());
        }
    }
    if caller.tells_login {
        command.arg("--logged-in-on-stdout");
    }
    Ok(command)
}

impl BackendChild {
    /// Its process, while it is there to be waited for.
    pub(super) fn pid(&self) -> Option<i32> {
        self.process.as_ref().and_then(Process::pid)
    }

    /// Leaves it to whoever has its session now.
    pub(super) fn leave(mut self) {
        self.process = None;
    }
}

impl Drop for BackendChild {
    fn drop(&mut self) {
        let (Some(mut process), place) = (self.process.take(), self.place.take()) else {
            return;
        };
        tokio::spawn(async move {
            let _place = place;
            if timeout(EXIT_GRACE, process.wait()).await.is_ok() {
                return;
            }
            if let Some(pid) = process.pid() {
                let _ = killpg(Pid::from_raw(pid), Signal::SIGHUP);
            }
            if timeout(EXIT_GRACE, process.wait()).await.is_err() {
                process.kill();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::BackendChoice;

    const NOBODY: Caller<'static> = Caller { peer: None, builtin: &[], tells_login: false };

    #[test]
    fn backends_are_read_and_printed() {
        for text in
            ["builtin", "tcp:127.0.0.1:22", "tcp:[::1]:2222", "unix:/run/sshd.sock", "exec:/usr/sbin/sshd -i"]
        {
            assert_eq!(text.parse::<Backend>().expect(text).to_string(), text);
        }
        assert_eq!("auto".parse(), Ok(BackendChoice::Auto));
        for text in ["", "tcp", "tcp:localhost", "unix:relative", "exec:", "http://x"] {
            let error = text.parse::<BackendChoice>().expect_err(text).to_string();
            assert!(error.contains("tcp:ADDRESS:PORT"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_refused_backend_is_a_sentence() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("addr");
        let refusal = Backend::Tcp(free).connect(NOBODY).await.err().expect("refused");
        assert!(
            refusal.sentence.starts_with(&format!("the host's ssh server at {free} refused the connection")),
            "{refusal}"
        );
        let missing = Backend::Unix("/nonexistent/sock".into()).connect(NOBODY).await.err().expect("refused");
        assert!(missing.sentence.contains("/nonexistent/sock does not exist"), "{missing}");
    }
}
