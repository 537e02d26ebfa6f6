//! `hosts.toml`: short names for targets.

use std::{collections::BTreeMap, fmt, io, path::Path};

use iroh_tickets::endpoint::EndpointTicket;
use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::{
    files::{LockError, read_trusted_file, update_file},
    transport::{Invite, InviteSecret, Target, TargetError},
};

/// The aliases of one user.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Aliases {
    /// Ticket or endpoint id by name, as it was typed; no two names differ by case alone.
    pub hosts: BTreeMap<String, String>,
    /// Where the agent listens for those that have a port.
    pub ports: BTreeMap<String, Place>,
}

/// The names alone: what they stand for may be an invite, which is a secret.
impl fmt::Debug for Aliases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aliases")
            .field("hosts", &self.hosts.keys())
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// What adding a name says of the port of its host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Listens {
    /// It stays what it was.
    #[default]
    AsBefore,
    /// There is none.
    Nowhere,
    /// There.
    At(Place),
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    hosts: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a ticket, or a table with `target` and maybe `listen`")]
enum Entry {
    Target(String),
    Table(Table),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<Place>,
}

/// The aliases could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AliasError {
    /// Reading or writing failed.
    #[error("cannot use the list of hosts: {0}")]
    Io(#[from] io::Error),
    /// Another process holds the file.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The file is not right.
    #[error("{path} is damaged: {reason}\nmend it with an editor, or remove it and add the hosts again", path = .path.display())]
    Damaged {
        /// The file.
        path: std::path::PathBuf,
        /// Line and key.
        reason: String,
    },
    /// A name that ssh would not take, or that is something else already.
    #[error("`{0}` cannot be a name\nuse letters, digits, `-`, `_` and `.`, not beginning with `-`")]
    BadName(String),
    /// Each agent would open another port, of which no program knows.
    #[error("port 0 is none that a program could be told of\ngive one that is free, such as 2222")]
    PortZero,
    /// Another host has the port.
    #[error(
        "{place} is {name} already\ngive another port, or take it from there: irosh hosts add {name} {name} --no-listen"
    )]
    PortTaken {
        /// Where it is.
        place: Place,
        /// The other host.
        name: String,
    },
    /// The name is a target of its own.
    #[error("`{0}` is a ticket, an invite or an endpoint id, and cannot be a name")]
    NameIsTarget(String),
    /// What the name should stand for is not a target.
    #[error(transparent)]
    Target(#[from] TargetError),
}

impl Aliases {
    /// Reads the file; one that is not there has no aliases.
    ///
    /// # Errors
    ///
    /// [`AliasError::Io`] or [`AliasError::Damaged`].
    pub fn load(path: &Path) -> Result<Self, AliasError> {
        match read_trusted_file(path)? {
            Some(text) => Self::parse(path, &text),
            None => Ok(Self::default()),
        }
    }

    /// Reads a target with these aliases.
    ///
    /// # Errors
    ///
    /// [`TargetError`] with the nearest alias, if one is near.
    pub fn resolve(&self, text: &str) -> Result<Target, TargetError> {
        Target::resolve(text, &self.hosts)
    }

    /// The port of a host, by a name as it may be typed.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<Place> {
        let name = Target::bare_name(name);
        self.ports.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, place)| *place)
    }

    /// Whether this can be a name; it may be in use.
    ///
    /// # Errors
    ///
    /// [`AliasError::BadName`] or [`AliasError::NameIsTarget`].
    pub fn check_name(name: &str) -> Result<(), AliasError> {
        check_name(name).map(drop)
    }

    /// Gives a target a name, or an existing name another target or port; returns the old target.
    ///
    /// An invite is kept with its secret, which the first connection may still need.
    ///
    /// # Errors
    ///
    /// [`AliasError`]; nothing is changed then.
    pub fn add(
        path: &Path,
        name: &str,
        target: &str,
        listens: Listens,
    ) -> Result<Option<String>, AliasError> {
        let name = check_name(name)?;
        update_file(path, 0o600, |text| {
            let mut aliases = Self::parse(path, text)?;
            let target = aliases.resolve(target)?;
            let addr = target.addr().clone();
            let word = match target.secret() {
                Some(secret) => Invite { addr, secret: secret.clone() }.to_string(),
                None => EndpointTicket::new(addr).to_string(),
            };
            let (old, port) = aliases.take(name).unzip();
            let port = match listens {
                Listens::AsBefore => port.flatten(),
                Listens::Nowhere => None,
                Listens::At(place) => Some(aliases.free(place)?),
            };
            aliases.hosts.insert(name.to_owned(), word);
            aliases.ports.extend(port.map(|place| (name.to_owned(), place)));
            Ok((Some(aliases.render()?), old))
        })
    }

    /// Has no name keep the secret of an invite that was used: it has admitted us, and is of no use to us any more.
    ///
    /// # Errors
    ///
    /// [`AliasError`]; nothing is changed then.
    pub fn forget_secret(path: &Path, used: &InviteSecret) -> Result<(), AliasError> {
        update_file(path, 0o600, |text| {
            let mut aliases = Self::parse(path, text)?;
            let mut changed = false;
            for word in aliases.hosts.values_mut() {
                let target: Option<Target> = word.parse().ok();
                if let Some(target) = target.filter(|target| target.secret() == Some(used)) {
                    *word = EndpointTicket::new(target.addr().clone()).to_string();
                    changed = true;
                }
            }
            let text = changed.then(|| aliases.render()).transpose()?;
            Ok((text, ()))
        })
    }

    /// Forgets a name; returns what it stood for.
    ///
    /// # Errors
    ///
    /// [`AliasError`]; nothing is changed then.
    pub fn remove(path: &Path, name: &str) -> Result<Option<String>, AliasError> {
        let name = Target::bare_name(name);
        update_file(path, 0o600, |text| {
            let mut aliases = Self::parse(path, text)?;
            let old = aliases.take(name);
            let text = old.is_some().then(|| aliases.render()).transpose()?;
            Ok((text, old.map(|(target, _)| target)))
        })
    }

    /// A place for a port, where no other host has it.
    fn free(&self, place: Place) -> Result<Place, AliasError> {
        if place.0.port() == 0 {
            return Err(AliasError::PortZero);
        }
        match self.ports.iter().find(|(_, taken)| **taken == place) {
            Some((name, _)) => Err(AliasError::PortTaken { place, name: name.clone() }),
            None => Ok(place),
        }
    }

    fn take(&mut self, name: &str) -> Option<(String, Option<Place>)> {
        let name = self.hosts.keys().find(|other| other.eq_ignore_ascii_case(name))?.clone();
        Some((self.hosts.remove(&name)?, self.ports.remove(&name)))
    }

    fn parse(path: &Path, text: &str) -> Result<Self, AliasError> {
        toml::from_str(text).map_err(|error| AliasError::Damaged {
            path: path.to_owned(),
            reason: error.to_string().trim().to_owned(),
        })
    }

    fn render(&self) -> Result<String, AliasError> {
        toml::to_string(self).map_err(|error| io::Error::other(error).into())
    }
}

impl From<Written> for Aliases {
    fn from(written: Written) -> Self {
        let mut aliases = Self::default();
        for (name, entry) in written.hosts {
            let (target, listen) = match entry {
                Entry::Target(target) => (target, None),
                Entry::Table(Table { target, listen }) => (target, listen),
            };
            aliases.ports.extend(listen.map(|place| (name.clone(), place)));
            aliases.hosts.insert(name, target);
        }
        aliases
    }
}

impl From<Aliases> for Written {
    fn from(aliases: Aliases) -> Self {
        let Aliases { hosts, mut ports } = aliases;
        let entries = hosts.into_iter().map(|(name, target)| {
            let entry = match ports.remove(&name) {
                None => Entry::Target(target),
                listen => Entry::Table(Table { target, listen }),
            };
            (name, entry)
        });
        Self { hosts: entries.collect() }
    }
}

/// A name that ssh takes for a host and that is no target by itself.
fn check_name(name: &str) -> Result<&str, AliasError> {
    let bare = Target::bare_name(name);
    if !is_name(bare) {
        return Err(AliasError::BadName(without_secret(name)));
    }
    match bare.parse::<Target>() {
        Err(TargetError::Unknown { .. }) => Ok(bare),
        _ => Err(AliasError::NameIsTarget(without_secret(name))),
    }
}

/// Whether ssh takes a name for a host; a list that was edited by hand may have others.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= 64 && !name.starts_with(['-', '.']) && name.bytes().all(fits)
}

/// What was given for a name, as far as it can be shown: it may be an invite in the wrong place.
#[must_use]
pub fn without_secret(name: &str) -> String {
    const SHOWN: usize = 20;
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> String {
        iroh::SecretKey::from_bytes(&[3; 32]).public().to_string()
    }

    #[test]
    fn names_are_added_replaced_and_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts.toml");
        assert_eq!(Aliases::add(&path, "Box.irosh", &id(), Listens::AsBefore).expect("added"), None);
        let aliases = Aliases::load(&path).expect("read");
        assert_eq!(aliases.resolve("BOX").expect("found").addr().id.to_string(), id());
        assert!(
            Aliases::add(&path, "other", "box", Listens::AsBefore).expect("an alias of an alias").is_none()
        );
        assert!(Aliases::add(&path, "box", &id(), Listens::AsBefore).expect("replaced").is_some());
        assert!(
            Aliases::add(&path, "BOX", &id(), Listens::AsBefore).expect("the same in another case").is_some()
        );
        assert_eq!(Aliases::load(&path).expect("read").hosts.keys().collect::<Vec<_>>(), ["BOX", "other"]);
        assert!(Aliases::remove(&path, "box").expect("removed").is_some());
        assert!(Aliases::remove(&path, "box").expect("not there").is_none());
    }

    #[test]
    fn a_name_keeps_its_port_until_it_is_told_of_another_or_of_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts.toml");
        let text =
            format!("[hosts]\nplain = \"{0}\"\n\n[hosts.box]\ntarget = \"{0}\"\nlisten = 2222\n", id());
        std::fs::write(&path, text).expect("written");
        let ports = || {
            let ports = Aliases::load(&path).expect("read").ports;
            ports.iter().map(|(name, place)| format!("{name} {place}")).collect::<Vec<_>>()
        };
        assert_eq!(ports(), ["box 127.0.0.1:2222"]);
        Aliases::add(&path, "Box", &id(), Listens::AsBefore).expect("added");
        assert_eq!(ports(), ["Box 127.0.0.1:2222"]);
        Aliases::add(&path, "a", &id(), Listens::At("[::1]:3".parse().expect("a place"))).expect("added");
        assert_eq!(ports(), ["Box 127.0.0.1:2222", "a [::1]:3"]);
        Aliases::add(&path, "box", &id(), Listens::Nowhere).expect("added");
        Aliases::remove(&path, "a").expect("removed");
        assert_eq!(ports(), [""; 0]);
        for wrong in ["listen = \"here\"", "listen = 70000", "listens = 2"] {
            let text = format!("[hosts.box]\ntarget = \"{}\"\n{wrong}\n", id());
            std::fs::write(&path, text).expect("written");
            assert!(matches!(Aliases::load(&path), Err(AliasError::Damaged { .. })), "{wrong}");
        }
    }

    #[test]
    fn two_hosts_have_no_port_in_common_and_none_has_port_0() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts.toml");
        let add = |name: &str, place: &str| {
            let place = place.parse().expect("a place");
            Aliases::add(&path, name, &id(), Listens::At(place)).map_err(|error| error.to_string())
        };
        add("box", "2222").expect("added");
        add("BOX", "127.0.0.1:2222").expect("it may keep its own");
        add("other", "[::1]:2222").expect("another address");
        let before = std::fs::read_to_string(&path).expect("read");
        let taken = add("crate", "2222").expect_err("refused");
        assert!(taken.starts_with("127.0.0.1:2222 is BOX already\n"), "{taken}");
        assert!(add("crate", "0").expect_err("refused").starts_with("port 0 "));
        assert_eq!(std::fs::read_to_string(&path).expect("read"), before);
    }

    #[test]
    fn a_secret_that_was_used_is_kept_under_no_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts.toml");
        let addr: iroh::EndpointAddr = iroh::SecretKey::from_bytes(&[3; 32]).public().into();
        let invite = |byte| Invite { addr: addr.clone(), secret: InviteSecret([byte; 16]) };
        let add = |name: &str, invite: Invite, port: &str| {
            Aliases::add(&path, name, &invite.to_string(), Listens::At(port.parse().expect("a place")))
        };
        add("box", invite(1), "2222").expect("added");
        add("same", invite(1), "2223").expect("added");
        add("other", invite(2), "2224").expect("added");
        Aliases::forget_secret(&path, &InviteSecret([1; 16])).expect("forgotten");
        let aliases = Aliases::load(&path).expect("read");
        let secret = |name: &str| aliases.resolve(name).expect("a target").secret().cloned();
        assert_eq!((secret("box"), secret("same")), (None, None));
        assert_eq!(secret("other"), Some(InviteSecret([2; 16])));
        assert_eq!((aliases.resolve("box").expect("a target").addr(), aliases.ports.len()), (&addr, 3));
    }

    #[test]
    fn names_that_ssh_would_not_take_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts.toml");
        for name in ["", "-box", "a b", "$(x)", "a;b", &id()] {
            assert!(Aliases::add(&path, name, &id(), Listens::AsBefore).is_err(), "{name}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn a_damaged_file_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts.toml");
        std::fs::write(&path, "hosts = 3").expect("write");
        assert!(matches!(
            Aliases::add(&path, "box", &id(), Listens::AsBefore),
            Err(AliasError::Damaged { .. })
        ));
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "hosts = 3");
    }
}
