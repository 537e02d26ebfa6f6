//! The host side: accepts connections, decides who may come in, and hands sessions to the backend.

mod admin;
mod admission;
mod announce;
mod audit;
mod backend;
mod budget;
mod choice;
mod connection;
mod control;
mod crowd;
mod departures;
mod door;
mod event;
mod hand_over;
mod host_keys;
mod hosted;
mod invites;
mod limits;
mod list_files;
mod lists;
mod loopback;
mod newcomers;
mod peer_edits;
mod peers;
mod presence;
mod process;
mod refusals;
mod registry;
mod reload;
mod restrictions;
mod roll;
mod run;
mod sessions;
mod settings;
mod silence;
mod startups;
mod status;
mod vouching;

pub use admin::{Admin, AdminError};
pub use admission::{Admission, Admitted};
pub use backend::{Backend, BackendError, BuiltinServer, LOGIN_OPTIONS};
pub use choice::BackendChoice;
pub use control::{ControlError, Running, RunningHost, running};
pub use event::Event;
pub use hand_over::{HandOver, Inherited};
pub use host_keys::{
    Basis, HostKey, KeptKeys, accept_seen_keys, ask_again, configured_keys, kept_keys, was_asked,
};
pub use invites::{OpenInvite, Terms, end_invites_of, issue, open_invites, revoke_invites};
pub use limits::{MaxStartups, Penalties};
pub use list_files::ListError;
pub use lists::{
    AcceptedKeys, AllowedPeer, Ended, InviteStatus, ListedPeer, NewInvite, PeerList, Reloaded, RevokedPeers,
};
pub use loopback::{AddressKey, Addresses};
pub use peer_edits::{Allowed, Edit, EditError, Revocation, allow, revoke};
pub use peers::{AuthorizedPeers, BadLine, Identity, Peer, PeerOptions, Revoked};
pub use presence::{Presence, PresenceError};
pub use reload::{LiveSettings, Reload, Reread};
pub use restrictions::Restrictions;
pub use run::{Host, HostError, HostOptions, Stop};
pub use settings::{Access, HostSettings, LimitSettings, SettingsError, load_settings};
pub use status::{ConnectionStatus, Draining, LastRefused, PeerStatus, Refused, SessionStatus, Status};
pub use vouching::{CannotVouch, can_vouch};
