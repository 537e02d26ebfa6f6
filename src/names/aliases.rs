//! `hosts.toml`: short names for targets.

use std::{collections::BTreeMap, io, path::Path};

use iroh_tickets::endpoint::EndpointTicket;
use serde::{Deserialize, Serialize};

use crate::{
    files::{LockError, read_trusted_file, update_file},
    transport::{Invite, Target, TargetError},
};

/// The aliases of one user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aliases {
    /// Ticket or endpoint id by name, as it was typed; no two names differ by case alone.
    #[serde(default)]
    pub hosts: BTreeMap<String, String>,
}

/// The aliases could not be read or changed.
#[derive(Debug, thiserror::Error)]
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

    /// Gives a target a name, or an existing name another target; returns the old one.
    ///
    /// An invite is kept with its secret, which the first connection may still need.
    ///
    /// # Errors
    ///
    /// [`AliasError`]; nothing is changed then.
    pub fn add(path: &Path, name: &str, target: &str) -> Result<Option<String>, AliasError> {
        let name = check_name(name)?;
        update_file(path, 0o600, |text| {
            let mut aliases = Self::parse(path, text)?;
            let target = aliases.resolve(target)?;
            let addr = target.addr().clone();
            let word = match target.secret() {
                Some(secret) => Invite { addr, secret: secret.clone() }.to_string(),
                None => EndpointTicket::new(addr).to_string(),
            };
            let old = aliases.take(name);
            aliases.hosts.insert(name.to_owned(), word);
            Ok((Some(aliases.render()?), old))
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
            Ok((text, old))
        })
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let name = self.hosts.keys().find(|other| other.eq_ignore_ascii_case(name))?.clone();
        self.hosts.remove(&name)
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
        assert_eq!(Aliases::add(&path, "Box.irosh", &id()).expect("added"), None);
        let aliases = Aliases::load(&path).expect("read");
        assert_eq!(aliases.resolve("BOX").expect("found").addr().id.to_string(), id());
        assert!(Aliases::add(&path, "other", "box").expect("an alias of an alias").is_none());
        assert!(Aliases::add(&path, "box", &id()).expect("replaced").is_some());
        assert!(Aliases::add(&path, "BOX", &id()).expect("the same in another case").is_some());
        assert_eq!(Aliases::load(&path).expect("read").hosts.keys().collect::<Vec<_>>(), ["BOX", "other"]);
        assert!(Aliases::remove(&path, "box").expect("removed").is_some());
        assert!(Aliases::remove(&path, "box").expect("not there").is_none());
    }

    #[test]
    fn names_that_ssh_would_not_take_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts.toml");
        for name in ["", "-box", "a b", "$(x)", "a;b", &id()] {
            assert!(Aliases::add(&path, name, &id()).is_err(), "{name}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn a_damaged_file_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts.toml");
        std::fs::write(&path, "hosts = 3").expect("write");
        assert!(matches!(Aliases::add(&path, "box", &id()), Err(AliasError::Damaged { .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "hosts = 3");
    }
}
