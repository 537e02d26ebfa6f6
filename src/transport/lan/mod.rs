//! Machines on one network find each other, with no server: a part of multicast DNS (RFC 6762).
//!
//! A host says where it is when it comes to a network, and when it is asked. A client asks when it looks for a host, and
//! says nothing of itself, nor for which host it looks. Neither keeps anything of what it hears, and neither is kept
//! waiting: a machine whose networks carry nothing of the kind asks nobody.
//!
//! Whatever is told may be a lie. An address is believed by who holds the host's key and by nothing else, so each is
//! dialled by itself, beside all other ways.
//!
//! The crates that speak mDNS were not of use here. Those for swarms ask all machines at once, again and again for as long
//! as they run, and remember all that answer: a host in a large network is found by chance, and memory grows with what
//! strangers say. They need a default route, which two machines at a switch have not.

mod announcer;
mod interfaces;
mod pace;
mod packet;
mod search;
mod sockets;

pub(crate) use announcer::{announce, is_heard};
pub(crate) use packet::Told;
#[cfg(fuzzing)]
pub use packet::read_packet;
pub(crate) use search::Search;
