//! The SSH client for programs: shells, commands, forwards and files on a host.
//!
//! [`irosh::connect`](crate::connect) connects as the user's own ssh would, and a [`Connection`] does the rest: it runs
//! commands, opens sessions, forwards ports and sockets, and moves files.
//!
//! ```no_run
//! # use irosh::client::{forward::{Listen, Place}, transfer::TransferOptions};
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
//! host.upload(["site"], "/srv/www", TransferOptions::default().recursive(true)).await?;
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
//! over any stream; a [`Session`] is a channel with its events as they come. Steps of connecting are told by
//! [`ClientOptions::phases`].
//!
//! ```no_run
//! use irosh::{SecretKey, client::{Client, ClientOptions, ResolvedTarget, auth::KeyPair}, transport::Network};
//!
//! # async fn run() -> irosh::Result<()> {
//! let identity = SecretKey::from_bytes(&[7; 32]); // one that the host has let in
//! let client = Client::bind(Network::default(), identity).await?;
//! let target: ResolvedTarget = "alice@endpointa…".parse()?; // as `irosh ticket` prints it there
//! let key = KeyPair::load("backup_key")?; // one without a passphrase
//! let options = ClientOptions::default().authenticator(key);
//! let host = client.connect_without_session(&target, options).await?;
//! # Ok(()) }
//! ```
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`auth`] | proving who logs in |
//! | [`forward`] | ports, sockets, SOCKS, the agent |
//! | [`sftp`] | files, one by one |
//! | [`transfer`] | copies of files and trees |
//! | [`terminal`] | this process's terminal, for a shell there |
//! | [`ssh_config`] | what the user's own ssh would do for a host |

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
mod phase;
mod pty;
mod reach;
#[cfg(test)]
mod secrets_tests;
mod session;
pub mod sftp;
mod shared;
pub mod ssh_config;
mod state;
mod stream;
mod target;
pub mod terminal;
pub mod transfer;

pub use capture::{ExecOutput, Output};
pub use channel::OpenError;
pub use command::{Child, ChildOutput, ChildStdin, Command};
pub use connect::{ConnectError, connect, connect_without_session};
pub use connection::Connection;
pub use copy::{FilesError, remote_sha256};
pub use event::ConnectionEvent;
pub use host_key::{HostKeyMismatch, HostKeyPolicy};
pub use metadata::{Algorithms, HostMetadata, RemoteMetadata};
pub use options::ClientOptions;
pub use phase::Phase;
pub(crate) use phase::PhaseSink;
pub use pty::{PtyMode, PtyOptions, PtySize};
pub use reach::{Client, ClientError};
pub use session::{Session, SessionError, SessionEvent, SessionEvents, SessionSender};
pub use state::{Disconnected, Exit, ExitSignal, Running, SessionState};
pub use stream::ChannelStream;
pub use target::ResolvedTarget;

pub use russh::keys::{Certificate, HashAlg, PrivateKey, PublicKey};
