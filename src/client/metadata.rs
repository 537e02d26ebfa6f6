//! What is known of a server.

use iroh::EndpointId;
use russh::{Names, keys::PublicKey};

/// What is known of the server at the other end, and of the host that it is behind. Texts of theirs may hold control
/// characters.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RemoteMetadata {
    /// The host that was dialled; none where the stream is the program's own.
    pub host: Option<HostMetadata>,
    /// Its identification line, such as `SSH-2.0-OpenSSH_9.2` (RFC 4253 section 4.2).
    pub identification: String,
    /// The key that it has shown and that was found right.
    pub host_key: Option<PublicKey>,
    /// The login.
    pub login: String,
    /// What it wanted shown before the login.
    pub banner: Option<String>,
    /// The algorithms in use.
    pub algorithms: Algorithms,
}

/// What is known of a host: what it says to who is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostMetadata {
    /// Its endpoint id, which it has proven to be its own.
    pub id: EndpointId,
    /// What the machine calls itself.
    pub name: String,
    /// The program that runs there and its version, such as `irosh 0.1.0`.
    pub software: String,
}

/// The algorithms in use, by the names that SSH gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Algorithms {
    /// The key exchange.
    pub kex: String,
    /// What the host key signs with.
    pub host_key: String,
    /// The cipher, in both directions.
    pub cipher: String,
    /// The MAC of what is sent; means nothing with a cipher that has its own.
    pub mac: String,
}

impl Algorithms {
    pub(crate) fn of(names: &Names) -> Self {
        Self {
            kex: names.kex.as_ref().to_owned(),
            host_key: names.key.to_string(),
            cipher: names.cipher.as_ref().to_owned(),
            mac: names.client_mac.as_ref().to_owned(),
        }
    }
}
