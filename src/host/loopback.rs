//! An address of its own for each identity, so that sshd tells peers apart.

use std::net::{Ipv4Addr, SocketAddr};

use sha2::{Digest, Sha256};

use super::peers::Identity;

/// The address of 127.0.0.0/8 from which sessions of an identity reach an SSH server on loopback.
///
/// sshd's log, `from=`, `MaxStartups` and `PerSourcePenalties` then see a peer where they would see
/// the same 127.0.0.1 for all. The address depends on the key alone. 127.0.0.0/16, where resolvers
/// and other services live, and 127.255.0.0/16 are left out.
#[must_use]
pub fn address_of(identity: &Identity) -> Ipv4Addr {
    let hash = Sha256::digest(identity.0);
    let (a, b, c) = (hash[0], hash[1], hash[2]);
    Ipv4Addr::new(127, 1 + a % 254, b, 1 + c % 254)
}

/// The source address for a connection to `server`, if it is one that has a choice.
pub(super) fn source_for(server: SocketAddr, identity: &Identity) -> Option<Ipv4Addr> {
    let loopback = matches!(server, SocketAddr::V4(addr) if addr.ip().is_loopback());
    // Only Linux answers on all of 127.0.0.0/8.
    (cfg!(target_os = "linux") && loopback).then(|| address_of(identity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_fixed_and_apart() {
        let addresses: std::collections::BTreeSet<_> =
            (0..200_u8).map(|seed| address_of(&Identity([seed; 32]))).collect();
        assert!(addresses.len() > 195);
        assert!(
            addresses
                .iter()
                .all(|addr| addr.is_loopback() && !matches!(addr.octets(), [_, 0 | 255, ..] | [.., 0 | 255]))
        );
        assert_eq!(address_of(&Identity([1; 32])), address_of(&Identity([1; 32])));
    }
}
