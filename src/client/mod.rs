//! The SSH client for programs: shells, commands, forwards and files on a host.
//!
//! [`Client`] dials a host by a [`ResolvedTarget`] and speaks SSH there: it checks the server's key against
//! what the host announced, logs in through an [`auth::Authenticator`] and opens a [`Session`]. The
//! session's [`Connection`] opens more of them, forwards ports and sockets, and moves files.
//! [`connect`] does the same over any stream.
//!
//! ```no_run
//! use irosh::{
//!     client::{Client, ClientOptions, ResolvedTarget, auth::{Standard, StandardOptions}},
//!     transport::{Network},
//! };
//! # async fn run(home: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
//! let identity = iroh::SecretKey::from_bytes(&[7; 32]); // one that the host has let in
//! let client = Client::bind(Network::default(), identity).await?;
//! let target: ResolvedTarget = "alice@endpointa…".parse()?; // as `irosh ticket` prints it there
//! let keys = Standard::new(StandardOptions::new(target.name(), Some(home)));
//! let options = ClientOptions::new("alice").authenticator(keys);
//! let connection = client.connect_without_session(&target, options).await?;
//! let session = connection.open_session().await?;
//! let output = session.capture_exec("uname -a", 1 << 20).await?;
//! println!("{}", String::from_utf8_lossy(&output.stdout));
//! connection.disconnect().await;
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what is in it |
//! | --- | --- |
//! | `reach`, `introduced` | from a target to a connection |
//! | `connect` | key exchange, host key, login |
//! | `connection` | the handle to a connection: channels, goodbye |
//! | `session`, `capture`, `stream`, `pty` | what a session channel does |
//! | `channel`, `inbox`, `outbox` | one channel: its queues, its window, its requests |
//! | `handler`, `shared` | what the server says, handed on |
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
mod connect;
mod connection;
mod copy;
mod event;
pub mod forward;
mod handler;
mod host_key;
mod inbox;
mod inboxes;
mod introduced;
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
mod wire;

pub use capture::ExecOutput;
pub use connect::{ConnectError, Phase, connect, connect_without_session};
pub use connection::{Connection, OpenError};
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
