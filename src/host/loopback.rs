//! An address of its own for each identity, so that sshd tells peers apart.

use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Once,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::peers::Identity;
use crate::files::{PrivateFileError, create_private_file, read_private_file};

/// What a host's addresses are made with, so that nobody can look for a key that gets another's.
#[derive(Clone)]
pub struct AddressKey([u8; 32]);

/// The addresses of the identities on a list, no two alike.
///
/// An address is of 127.0.0.0/8, and sessions of its identity come from it where the SSH server is on
/// loopback: sshd's log, `from=`, `MaxStartups` and `PerSourcePenalties` then see a peer where they would
/// see the same 127.0.0.1 for all. It says who a peer is to those who trust this machine's processes, and
/// proves nothing: any of them can bind it.
#[derive(Debug, Clone)]
pub struct Addresses {
    key: AddressKey,
    given: HashMap<Identity, Ipv4Addr>,
    taken: HashSet<Ipv4Addr>,
}

impl AddressKey {
    /// Reads the key of a host, or makes it.
    ///
    /// # Errors
    ///
    /// [`PrivateFileError`] when the file cannot be used, or others can read it.
    pub fn load_or_create(path: &Path) -> Result<Self, PrivateFileError> {
        let new = iroh::SecretKey::generate().to_bytes();
        match create_private_file(path, hex::encode(new).as_bytes()) {
            Ok(()) => return Ok(Self(new)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(PrivateFileError::Io { path: path.to_owned(), source }),
        }
        let mut key = [0; 32];
        let text = read_private_file(path)?;
        hex::decode_to_slice(text.trim_ascii(), &mut key).map_err(|_| PrivateFileError::Io {
            path: path.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidData, "it is not 64 hex digits"),
        })?;
        Ok(Self(key))
    }

    /// The address that an identity has at the `attempt`th try. 127.0.0.0/16, where resolvers and other
    /// services live, and 127.255.0.0/16 are left out.
    fn address(&self, identity: &Identity, attempt: u32) -> Ipv4Addr {
        // A key of any length will do.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return Ipv4Addr::LOCALHOST };
        mac.update(identity.key());
        identity
            .application()
            .into_iter()
            .for_each(|application| mac.update(application.as_str().as_bytes()));
        mac.update(&attempt.to_be_bytes());
        let code = mac.finalize().into_bytes();
        Ipv4Addr::new(127, 1 + code[0] % 254, code[1], 1 + code[2] % 254)
    }
}

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressKey")
    }
}

impl Addresses {
    /// Those of a list: whoever stands later gives way, so that an address is fixed for as long as those
    /// above it stay.
    #[must_use]
    pub fn new<'a>(key: AddressKey, listed: impl Iterator<Item = &'a Identity>) -> Self {
        let mut addresses = Self { key, given: HashMap::new(), taken: HashSet::new() };
        for identity in listed {
            if !addresses.given.contains_key(identity) {
                let address = addresses.free(identity);
                addresses.given.insert(*identity, address);
                addresses.taken.insert(address);
            }
        }
        addresses
    }

    /// The address of an identity; one that is not on the list has none of those that are.
    #[must_use]
    pub fn of(&self, identity: &Identity) -> Ipv4Addr {
        self.given.get(identity).copied().unwrap_or_else(|| self.free(identity))
    }

    fn free(&self, identity: &Identity) -> Ipv4Addr {
        // There are 16 million: a list that leaves none in a thousand tries is no list of people.
        let mut tries = (0..1000).map(|attempt| self.key.address(identity, attempt));
        tries.find(|address| !self.taken.contains(address)).unwrap_or_else(|| self.key.address(identity, 0))
    }
}

/// The source address for a connection to `server`, if it is one that has a choice.
pub(super) fn source_for(server: SocketAddr, address: Ipv4Addr) -> Option<Ipv4Addr> {
    let loopback = matches!(server, SocketAddr::V4(addr) if addr.ip().is_loopback());
    // Only Linux answers on all of 127.0.0.0/8.
    (cfg!(target_os = "linux") && loopback).then_some(address)
}

/// Says that peers cannot be told apart by their addresses here: loopback may be 127.0.0.1 alone.
pub(super) fn warn_once(error: &io::Error) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            "the ssh server sees all peers at one address: no other one of 127.0.0.0/8 can be used: {error}"
        );
    });
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn identities(count: u16) -> Vec<Identity> {
        let identity =
            |number: u16| Identity::ed25519(std::array::from_fn(|at| number.to_be_bytes()[at % 2]));
        (0..count).map(identity).collect()
    }

    #[test]
    fn addresses_are_those_of_loopback_that_nothing_else_uses() {
        let key = AddressKey([7; 32]);
        let is_fit = |address: Ipv4Addr| {
            address.is_loopback() && !matches!(address.octets(), [_, 0 | 255, ..] | [.., 0 | 255])
        };
        assert!(identities(1000).iter().all(|identity| is_fit(key.address(identity, 0))));
    }

    #[test]
    fn who_does_not_know_the_hosts_key_does_not_know_an_address() {
        let addresses = |key| Addresses::new(AddressKey([key; 32]), identities(100).iter());
        let (one, two) = (addresses(1), addresses(2));
        let alike = identities(100).iter().filter(|identity| one.of(identity) == two.of(identity)).count();
        assert!(alike < 3, "{alike}");
    }

    #[test]
    fn no_two_of_a_list_have_one_address_and_a_stranger_has_none_of_theirs() {
        let key = AddressKey([7; 32]);
        // Among so many, some get the same at their first try.
        let all = identities(20_000);
        let first: HashSet<_> = all.iter().map(|identity| key.address(identity, 0)).collect();
        assert!(first.len() < all.len(), "nothing is shown");
        let (listed, strangers) = all.split_at(19_000);
        let addresses = Addresses::new(key.clone(), listed.iter());
        let given: HashSet<_> = listed.iter().map(|identity| addresses.of(identity)).collect();
        assert_eq!(given.len(), listed.len());
        assert!(strangers.iter().all(|identity| !given.contains(&addresses.of(identity))));
        // Whoever comes to the list later changes nobody's.
        let more = Addresses::new(key, all.iter());
        assert!(listed.iter().all(|identity| addresses.of(identity) == more.of(identity)));
    }

    #[test]
    fn the_key_is_made_once_and_is_nobody_elses() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state/loopback_key");
        let key = AddressKey::load_or_create(&path).expect("made");
        assert_eq!(AddressKey::load_or_create(&path).expect("read").0, key.0);
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("a mode");
        let error = AddressKey::load_or_create(&path).expect_err("refused").to_string();
        assert!(error.contains("can be read by others"), "{error}");
        assert!(!format!("{key:?}").contains(&hex::encode(key.0)));
    }
}
