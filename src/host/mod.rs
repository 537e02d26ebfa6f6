//! The host side: accepts connections, decides who may come in, and hands sessions to the backend.

mod access;
mod admin;
mod admission;
mod announce;
mod audit;
mod authorities;
mod backend;
mod budget;
mod certificates;
mod choice;
mod claim;
mod connection;
mod control;
mod crowd;
mod departures;
mod door;
mod event;
mod hand_over;
mod here;
mod host_keys;
mod hosted;
mod invites;
mod leg;
mod limit_settings;
mod limits;
mod line;
mod list_files;
mod lists;
mod live_settings;
mod loopback;
mod newcomer;
mod newcomers;
mod peer;
mod peer_edits;
mod peers;
mod presence;
mod process;
mod published_keys;
mod quiet;
mod refusals;
mod registry;
mod reload;
mod restrictions;
mod revoked_list;
mod roll;
mod run;
mod sessions;
mod settings;
mod shared;
mod silence;
mod startups;
mod status;
mod vouching;

pub use access::Access;
pub use admin::{Admin, AdminError};
pub use admission::{Admission, Admitted};
pub use authorities::Authority;
pub use backend::{Backend, BackendError, BuiltinServer, LOGIN_OPTIONS};
pub use choice::BackendChoice;
pub use claim::Claim;
pub use control::{ControlError, Running, RunningHost, running};
pub use event::Event;
pub use hand_over::{HandOver, Inherited};
pub use host_keys::{
    Basis, HostKey, KeptKeys, accept_seen_keys, ask_again, configured_keys, kept_keys, was_asked,
};
pub use invites::{OpenInvite, Terms, end_invites_of, issue, open_invites, revoke_invites};
pub use limit_settings::LimitSettings;
pub use limits::{MaxStartups, Penalties};
pub use list_files::ListError;
pub use lists::{
    AcceptedKeys, AllowedAuthority, AllowedPeer, Ended, InviteStatus, ListedAuthority, ListedPeer, NewInvite,
    PeerList, Reloaded, RevokedPeers,
};
pub use live_settings::{LiveSettings, Reread};
pub use loopback::{AddressKey, Addresses};
pub use peer::{Peer, PeerOptions, Revoked};
pub use peer_edits::{Allowed, Edit, EditError, Revocation, allow, allow_authority, revoke};
pub use peers::{AuthorizedPeers, BadLine, Identity};
pub use presence::{Presence, PresenceError};
pub use published_keys::{FetchError, KeysUrl, PublishedKeys, fetch_keys, published_name};
pub use reload::Reload;
pub use restrictions::Restrictions;
pub use revoked_list::check_revoked_keys;
pub use run::{Host, HostError, HostOptions};
pub use settings::HostSettings;
pub use shared::Stop;
pub use status::{
    CertificateStatus, ConnectionStatus, Draining, LastRefused, PeerStatus, Refused, SessionStatus, Status,
};
pub use vouching::{CannotVouch, can_vouch};

pub use crate::settings::{SettingsError, load_settings};

/// A certificate as it would be written, of bytes that can be read as one.
#[cfg(fuzzing)]
#[must_use]
pub fn certificate_again(blob: &[u8]) -> Option<Vec<u8>> {
    certificates::UserCertificate::read(blob).ok()?.certificate().to_bytes().ok()
}
