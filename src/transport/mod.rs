//! Endpoints, keys and names: everything between a word that a user typed and a QUIC connection.
//!
//! QUIC's state machine is in `vendor/noq-proto` with the patches of `vendor/patches/noq-proto`. As published,
//! a datagram that follows a short one in a batch is as short, and frames that do not fit in it panic: a
//! process with many connections over bad networks is ended by it sooner or later. And 2,048 packets of one stream
//! that follow one which was lost, or that nobody has read, end the connection with "too many gaps in stream buffer"
//! though there is none (quinn issue 2809): no stream could have a window of more than 2 MiB. `tests/quic.rs` shows
//! both. And where a client's router forgets it, a host sends some packets by the relay until the new address is
//! validated, which that router has forgotten as well: they stay lost for seconds. `tests/nats.rs` shows that.

mod addresses;
mod congestion;
mod crypto;
mod endpoint;
mod identity;
pub(crate) mod lan;
mod path;
mod public_identity;
pub(crate) mod pulse;
mod relay_fault;
mod resolver;
mod settings;
mod target;
mod ticket;
mod web_client;
mod web_proxy;

pub(crate) use addresses::{Interfaces, few as few_addresses};
pub(crate) use endpoint::web_tls;
pub use endpoint::{
    ALPN, BindFailed, PAIRING_ALPN, STRANGER_SESSIONS, STREAM_WINDOW, admit, admit_stranger, bind_client,
    bind_client_again, bind_host, bind_pairing, close_quickly, set_max_sessions, set_window,
};
pub(crate) use identity::{FoundKey, find_key};
pub use identity::{KeyError, KeyFile};
#[cfg(fuzzing)]
pub use lan::read_packet;
pub use path::{PathStatus, milliseconds};
pub(crate) use path::{is_direct, path_of};
pub(crate) use public_identity::KEY_TYPES;
pub use public_identity::{Application, Identity};
pub(crate) use relay_fault::{relay_fault, try_relay};
pub(crate) use resolver::resolver_fault;
pub use settings::{Authorities, Bind, NameService, Network, Relay, RelayToken, SettingError};
pub use target::{Target, TargetError};
pub use ticket::{Invite, InviteSecret};
pub(crate) use web_client::web_client;
pub(crate) use web_proxy::proxy_of_environment;
