//! Plain OpenSSH to a machine that has no address, over peer-to-peer QUIC.
pub mod files;
pub mod protocol;
pub mod session;
pub mod transport;
