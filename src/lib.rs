//! Plain OpenSSH to a machine that has no address, over peer-to-peer QUIC.
//!
//! ```text
//! ssh --pipe--> irosh-proxy --QUIC stream--> irosh host --TCP, unix socket or socketpair--> sshd
//! ```
//!
//! A client names a *target* ([`transport::Target`]): an alias, an endpoint id, a ticket or an
//! invite. [`proxy`] dials it, proves its identity and opens a *session* on a QUIC stream, the
//! session's *leg*. [`host`] accepts the connection, decides who may come in, and connects the
//! session to its *backend*. In both, [`session::Session`] moves the bytes: it outlives its legs, and
//! what is lost with one is sent again on the next. What the two say to each other beside ssh's bytes is
//! [`protocol`], without any I/O.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`transport`] | endpoints, keys, targets, tickets and invites |
//! | [`protocol`] | the frames of `irosh/1` |
//! | [`session`] | what outlives the network: tail, queue and rules, and what drives them |
//! | [`proxy`] | the client side, as `irosh-proxy` runs it |
//! | [`doctor`] | what stands between a user and their hosts |
//! | [`pairing`] | two machines that a code brings together |
//! | [`agent`] | connections and sessions that outlive who asked for them |
//! | [`host`] | the host side, as `irosh host` runs it |
//! | [`client`] | commands, sessions, forwards and transfers for programs |
//! | [`profile`] | what a user has for all their hosts: [`connect`] |
//! | [`server`] | the built-in SSH server |
//! | [`names`] | aliases and ssh_config |
//! | [`files`] | where files are and how they are written |

pub mod agent;
pub mod client;
#[doc(hidden)]
pub mod descriptors;
pub mod doctor;
mod elastic;
mod error;
pub mod files;
mod glob;
pub mod host;
#[doc(hidden)]
pub mod log;
mod memory;
pub mod names;
#[doc(hidden)]
pub mod outlet;
mod owner;
pub mod pairing;
mod private_key;
pub mod profile;
pub mod protocol;
pub mod proxy;
mod questions;
mod random;
mod repeats;
pub mod server;
pub mod session;
pub mod settings;
mod sftp_packet;
#[doc(hidden)]
pub mod signals;
mod socket;
pub mod stdio;
pub mod transport;

pub use error::{Error, ErrorKind, Result};
pub use profile::connect;

// What is others' and stands in what we take and give, so that a program needs no crate of the very same version.
pub use bytes::Bytes;
pub use futures_util::{Stream, StreamExt};
pub use iroh::{self, EndpointAddr, EndpointId, SecretKey};
pub use iroh_tickets::endpoint::EndpointTicket;
pub use jiff::Timestamp;
pub use tokio_util::sync::CancellationToken;
pub use url::Url;
