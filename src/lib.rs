//! Plain OpenSSH to a machine that has no address, over peer-to-peer QUIC.
//!
//! ```text
//! ssh --pipe--> irosh-proxy --QUIC stream--> irosh host --TCP, unix socket or socketpair--> sshd
//! ```
//!
//! A client names a *target* ([`transport::Target`]): an alias, an endpoint id, a ticket or an
//! invite. `proxy` dials it, proves its identity and opens a *session* on a QUIC stream, the
//! session's *leg*. `host` accepts the connection, decides who may come in, and connects the
//! session to its *backend*. In both, [`session::Session`] moves the bytes: it outlives its legs, and
//! what is lost with one is sent again on the next. What the two say to each other beside ssh's bytes is
//! [`protocol`], without any I/O.
//!
//! # Features
//!
//! A feature of the package is a part of the library that can be had without the others. A program has all of them
//! unless it says `default-features = false`.
//!
//! | feature | what it is for |
//! | --- | --- |
//! | `client` | reaching hosts, as [`connect`](fn.connect.html) does, and pairing |
//! | `host` | being a host in front of any SSH server, and asking one that runs |
//! | `server` | serving SSH on a stream |
//! | `cli` | the programs `irosh`, `irosh-proxy` and `irosh-sshd`; it has all of the others |
//!
//! | module | feature | what is in it |
//! | --- | --- | --- |
//! | [`transport`] | | endpoints, keys, targets, tickets and invites |
//! | [`protocol`] | | the frames of `irosh/1` |
//! | [`session`] | | what outlives the network: tail, queue and rules, and what drives them |
//! | [`files`] | | where files are and how they are written |
//! | [`settings`] | | a client's settings file, and how it goes with a command line |
//! | [`names`](names/index.html) | `client` | aliases and ssh_config |
//! | [`proxy`](proxy/index.html) | `client` | the client side, as `irosh-proxy` runs it |
//! | [`pairing`](pairing/index.html) | `client` | two machines that a code brings together, and both their sides |
//! | [`client`](client/index.html) | `client` | commands, sessions, forwards and transfers for programs |
//! | [`profile`](profile/index.html) | `client` | what a user has for all their hosts: [`connect`](fn.connect.html) |
//! | [`agent`](agent/index.html) | `client`; `cli` to be one | connections and sessions that outlive who asked for them |
//! | [`host`](host/index.html) | `host` | the host side, as `irosh host` runs it |
//! | [`server`](server/index.html) | `server`; `host` has its `config` | the built-in SSH server |
//! | [`doctor`](doctor/index.html) | `cli` | what stands between a user and their hosts |
//!
//! [`Error`](struct.Error.html) and its kinds are of the feature `client`.

#![cfg_attr(
    not(feature = "cli"),
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "what several features need is there whole for each of them"
    )
)]

mod buffer;
#[doc(hidden)]
pub mod descriptors;
mod elastic;
pub mod files;
mod forward_sockets;
mod glob;
#[doc(hidden)]
pub mod log;
mod memory;
#[doc(hidden)]
pub mod outlet;
mod owner;
mod private_key;
pub mod protocol;
mod random;
mod repeats;
pub mod session;
pub mod settings;
#[doc(hidden)]
pub mod signals;
mod socket;
mod ssh_wire;
#[doc(hidden)]
pub mod stdio;
pub mod transport;

#[cfg(feature = "client")]
pub mod agent;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
pub mod names;
#[cfg(feature = "client")]
pub mod pairing;
#[cfg(feature = "client")]
pub mod profile;
#[cfg(feature = "client")]
pub mod proxy;

#[cfg(feature = "host")]
pub mod host;

#[cfg(any(feature = "client", feature = "server"))]
mod questions;
#[cfg(any(feature = "client", feature = "server"))]
mod sftp_packet;

#[cfg(any(feature = "host", feature = "server"))]
pub mod server;

#[cfg(feature = "cli")]
pub mod doctor;

#[cfg(feature = "client")]
pub use {
    error::{Error, ErrorKind, Result},
    profile::connect,
};

// What is others' and stands in what we take and give, so that a program needs no crate of the very same version.
pub use bytes::Bytes;
pub use futures_util::{Stream, StreamExt};
pub use iroh::{self, EndpointAddr, EndpointId, SecretKey};
pub use iroh_tickets::endpoint::EndpointTicket;
pub use jiff::Timestamp;
pub use tokio_util::sync::CancellationToken;
pub use url::Url;
