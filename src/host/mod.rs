//! The host side: accepts connections, decides who may come in, and hands sessions to the backend.

mod admission;
mod audit;
mod backend;
mod connection;
mod crowd;
mod door;
mod event;
mod host_keys;
mod invites;
mod limits;
mod loopback;
mod newcomers;
mod peers;
mod presence;
mod registry;
mod repeats;
mod run;
mod settings;
mod startups;

pub use admission::{Admission, Admitted};
pub use backend::{Backend, BackendChoice, BackendError, BuiltinServer};
pub use event::Event;
pub use invites::{OpenInvite, Terms, issue};
pub use limits::{MaxStartups, Penalties};
pub use loopback::address_of;
pub use peers::{AuthorizedPeers, BadLine, EditError, Identity, Peer, PeerOptions, allow, revoke};
pub use presence::{Presence, PresenceError};
pub use run::{Host, HostError, HostOptions, Reload, Stop};
pub use settings::{Access, HostSettings, LimitSettings, SettingsError, load_settings};
