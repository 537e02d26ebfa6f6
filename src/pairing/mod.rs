//! Pairing: two machines that a code brings together admit each other.
//!
//! One machine *shows* a [`Code`], such as `7-velvet-otter`; a person *types* it on the other. Apart from that, one is
//! the *host*, which is reached afterwards, and one the *client*. Either may show it: a host for a person who goes to the
//! client, a client for a host on which a shell is open.
//!
//! ```text
//! 7            finds the other side: on this network by mDNS, elsewhere by a record that everybody can read
//! velvet-otter goes into SPAKE2 alone, on a connection to an endpoint that was made for this pairing
//! ```
//!
//! Once each side has proved to the other that it knows the words, the client says who it is, the host lets it in, and
//! says in turn where it is and which keys its SSH server has. Who guesses has one guess a code, of 65,536, and both
//! sides see that it was wrong. `PROTOCOL.md` has the bytes, and what others can do.
//!
//! ```no_run
//! use irosh::{
//!     pairing::{AboutHost, Options, Showing, join_host},
//!     proxy::Credentials,
//!     transport::Network,
//! };
//! # async fn host(about: AboutHost) -> Result<(), Box<dyn std::error::Error>> {
//! // The host shows a code:
//! let mut showing = Showing::begin(&Network::default(), Options::default()).await?;
//! println!("type there: {}", showing.code());
//! let mut met = showing.client(false).await?;
//! println!("both show: {}", met.verifier());
//! let client = met.introduction().await?;
//! // ... let client.identity in, with irosh::host::Admin, before it is told where the host is:
//! met.admit(&about).await?;
//! # Ok(()) }
//! # async fn client(credentials: Credentials) -> Result<(), Box<dyn std::error::Error>> {
//! // The client on which it is typed:
//! let mut met = join_host(&Network::default(), &"7-velvet-otter".parse()?, false).await?;
//! println!("both show: {}", met.verifier());
//! let host = met.introduce(&credentials, "alice@laptop").await?;
//! println!("{} lets us in", host.name);
//! # Ok(()) }
//! ```
//!
//! | module | what is in it |
//! | --- | --- |
//! | `code`, `words`, `nameplate` | what is typed |
//! | `agreement`, `verifier` | the key exchange, without any I/O |
//! | `showing`, `joining` | the two sides until they have agreed |
//! | `met` | what they say of themselves then |
//! | `announcement`, `record`, `local`, `search` | how they find each other |
//! | `line` | the stream between them |

mod agreement;
mod announcement;
mod code;
mod error;
mod joining;
mod line;
mod local;
mod met;
mod nameplate;
mod record;
mod search;
mod showing;
mod verifier;
mod words;

pub use code::{Code, CodeError};
pub use error::PairingError;
pub use joining::{join_client, join_host};
pub use met::{AboutClient, AboutHost, MetClient, MetHost};
pub use nameplate::{Nameplate, NoNameplate};
pub use showing::{Options, Showing};
pub use verifier::Verifier;

pub use crate::protocol::pairing::Role;
