//! How a client proves that it holds its identity.

/// The label under which both sides export keying material of the TLS session (RFC 8446 section
/// 7.5). The context is the identity's public key.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-irosh/1 identity";

/// Bytes of keying material.
pub const EXPORTER_LENGTH: usize = 32;

/// What the identity signs: a line that no SSH signature begins with, then the keying material.
///
/// The material is unlike in each connection and known to its two ends alone, so a signature made
/// for one host proves nothing to another.
#[must_use]
pub fn proof_message(exported: &[u8; EXPORTER_LENGTH]) -> Vec<u8> {
    [b"irosh/1 identity proof\n", &exported[..]].concat()
}
