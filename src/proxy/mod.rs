//! The client side: from a target to a session on this process's stdin and stdout.

mod again;
mod announced;
mod apart;
mod bridge;
mod connection;
mod credentials;
mod dial;
mod dial_error;
mod discover;
mod instances;
mod link;
mod listen;
mod name_service;
mod nearby;
mod obstacles;
mod patience;
mod relayed;
mod session;
mod ssh_agent;
mod stdio;
mod stream;

pub use announced::{known_hosts_lines, load_host_keys, public_key_lines, save_host_keys};
pub(crate) use bridge::host_keys_kept;
pub use bridge::{BridgeError, Stop, bridge, carry};
pub use connection::{HostConnection, SessionError};
pub use credentials::Credentials;
pub(crate) use credentials::{agent_of_environment, certificate_file, named};
pub use dial::Dialer;
pub use dial_error::DialError;
pub use discover::{DiscoverError, Discovered, Found, Proofs, discover};
pub use link::Link;
pub(crate) use listen::accept;
pub use listen::{ListenError, listen};
pub(crate) use name_service::name_service_fault;
pub use obstacles::Obstacles;
pub use session::{ClientSession, SessionStatus, State};
pub use ssh_agent::CannotProve;
pub use stdio::{ends, stdio};
pub use stream::SessionStream;

pub use crate::transport::{PathStatus, milliseconds};
