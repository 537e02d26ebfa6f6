//! Endpoints, keys and names: everything between a word that a user typed and a QUIC connection.

mod congestion;
mod crypto;
mod endpoint;
mod identity;
mod settings;
mod target;
mod ticket;

pub use endpoint::{
    ALPN, BindFailed, STREAM_WINDOW, admit, admit_stranger, bind_client, bind_host, close_quickly,
    set_max_sessions, set_window,
};
pub(crate) use identity::openssh_public;
pub use identity::{KeyError, KeyFile};
pub use settings::{Bind, NameService, Network, Relay, SettingError};
pub use target::{Target, TargetError};
pub use ticket::{Invite, InviteSecret};
