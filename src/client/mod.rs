//! The SSH client for programs: shells, commands, forwards and files on a host.
//!
//! [`irosh::connect`](crate::connect) connects as the user's own ssh would, and a [`Connection`] does the rest: it runs
//! commands, opens sessions, forwards ports and sockets, and moves files.
//!
//! ```no_run
//! # use irosh::client::forward::{Listen, Place};
//! # async fn run() -> irosh::Result<()> {
//! let host = irosh::connect("alice@box").await?;
//!
//! // A command: all of its output, or its streams.
//! let output = host.command("df -h").arg("/").output().await?;
//! print!("{}", output.stdout_lossy());
//! let mut sort = host.command("sort").spawn().await?;
//! let mut input = sort.stdin.take().expect("not taken yet");
//! tokio::io::copy(&mut &b"b\na\n"[..], &mut input).await?;
//! drop(input);
//! assert_eq!(sort.wait_with_output().await?.stdout, b"a\nb\n");
//!
//! // Files, as `scp -r` copies them, and one by itself.
//! host.upload(&["site".into()], b"/srv/www", Default::default()).await?;
//! let motd = host.sftp().await?.read_file("/etc/motd").await?;
//!
//! // A port, as with `ssh -L 5432:db:5432`.
//! let forward = host.local_forward(&Listen::Loopback(5432), Place::tcp("db", 5432)).await?;
//!
//! host.disconnect().await;
//! # drop((motd, forward));
//! # Ok(()) }
//! ```
//!
//! What that is made of can be had by itself. A [`Client`] dials hosts with credentials and a network of the program's
//! own, by a [`ResolvedTarget`]; [`ClientOptions`] say who logs in, by which [`auth::Authenticator`]; [`connect`] speaks SSH
//! over any stream; a [`Session`] is a channel with its events as they come.
//!
//! ```no_run
//! use irosh::{SecretKey, client::{Client, ClientOptions, ResolvedTarget, auth::KeyPair}, transport::Network};
//!
//! # async fn run() -> irosh::Result<()> {
//! let identity = SecretKey::from_bytes(&[7; 32]); // one that the host has let in
//! let client = Client::bind(Network::default(), identity).await?;
//! let target: ResolvedTarget = "alice@endpointa…".parse()?; // as `irosh ticket` prints it there
//! let key = KeyPair::load("backup_key").expect("a key without a passphrase");
//! let options = ClientOptions::default().authenticator(key);
//! let host = client.connect_without_session(&target, options).await?;
//! # Ok(()) }
//! ```
//!
//! | module | what is in it |
//! | --- | --- |
//! | `reach`, `introduced` | from a target to a connection |
//! | `connect` | key exchange, host key, login |
//! | `connection`, `link` | the handle to a connection, and what all that runs over it holds |
//! | `command` | a command and its streams |
//! | `session`, `capture`, `stream`, `pty` | what a session channel does |
//! | `channel`, `inbox`, `outbox` | one channel: its queues, its window, its requests |
//! | `handler`, `shared`, `incoming` | what the server says, handed on |
//! | [`auth`] | proving who logs in |
//! | [`forward`] | ports, sockets, SOCKS, the agent |
//! | [`sftp`], [`transfer`], `copy` | files |
//! | [`ssh_config`] | what the user's own ssh would do for a host |
//!
//! How bytes travel: the server's data goes from russh's loop into the inbox of its channel, which never
//! makes the loop wait; what is taken from there opens the window again. What is sent waits in the outbox
//! of its channel for the server's window. Under russh is an elastic buffer, so that both ends can write
//! at once.

mod algorithms;
pub mod auth;
mod capture;
mod channel;
mod command;
mod connect;
mod connection;
mod copy;
mod event;
pub mod forward;
mod handler;
mod host_key;
mod inbox;
mod inboxes;
mod incoming;
mod introduced;
mod link;
mod metadata;
mod options;
mod outbox;
mod pty;
mod reach;
mod session;
pub mod sftp;
mod shared;
pub mod ssh_config;
mod state;
mod stream;
pub mod transfer;

pub use capture::{ExecOutput, Output};
pub use channel::OpenError;
pub use command::{Child, ChildOutput, ChildStdin, Command};
pub use connect::{ConnectError, Phase, connect, connect_without_session};
pub use connection::Connection;
pub use copy::{FilesError, remote_sha256};
pub use event::ConnectionEvent;
pub use host_key::{HostKeyMismatch, HostKeyPolicy};
pub use metadata::{Algorithms, RemoteMetadata};
pub use options::ClientOptions;
pub use pty::{PtyMode, PtyOptions, PtySize};
pub use reach::{Client, ClientError, ResolvedTarget};
pub use session::{Session, SessionError, SessionEvent, SessionEvents, SessionSender};
pub use state::{Disconnected, Exit, ExitSignal, Running, SessionState};
pub use stream::ChannelStream;

pub use russh::keys::{Certificate, HashAlg, PrivateKey, PublicKey};
