//! The client side: from a target to a session on this process's stdin and stdout.

mod announced;
mod bridge;
mod dial;
mod stdio;

pub use announced::{known_hosts_lines, load_host_keys, save_host_keys};
pub use bridge::{BridgeError, bridge};
pub use dial::{DialError, Dialer, HostConnection, PendingSession, SessionError};
