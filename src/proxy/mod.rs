//! The client side: from a target to a session on this process's stdin and stdout.

mod again;
mod announced;
mod apart;
mod bridge;
mod connection;
mod dial;
mod dial_error;
mod instances;
mod name_service;
mod obstacles;
mod patience;
mod session;
mod stdio;
mod stream;

pub use announced::{known_hosts_lines, load_host_keys, public_key_lines, save_host_keys};
pub use bridge::{BridgeError, bridge};
pub use connection::{HostConnection, SessionError};
pub use dial::Dialer;
pub use dial_error::DialError;
pub use obstacles::Obstacles;
pub use session::{ClientSession, SessionStatus, State};
pub use stdio::stdio;
pub use stream::SessionStream;
