//! For which logins a host can vouch.

use std::{io, os::unix::fs::MetadataExt, path::Path};

use nix::unistd::{Uid, User};

/// No session of this host can ever have a login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the built-in server serves the user alone who runs the host, {of}, and not {login}\ngive --login {of}, or run the host as root: a server of root's serves every login; an sshd needs no --login"
)]
pub struct CannotVouch {
    login: String,
    of: String,
}

/// Checks that the host whose lists are at these places may let somebody in as `login`: the built-in server
/// of root serves all, that of anybody else themselves alone.
///
/// # Errors
///
/// [`CannotVouch`].
pub fn can_vouch(list: &Path, login: &str) -> Result<(), CannotVouch> {
    // The folders of a service are the service's own, whoever asks.
    let owner = list.ancestors().skip(1).find_map(|folder| owner_of(folder).ok());
    let uid = owner.filter(|_| Uid::effective().is_root()).unwrap_or_else(Uid::effective);
    let is_own = User::from_name(login).ok().flatten().is_some_and(|user| user.uid == uid);
    if uid.is_root() || is_own {
        return Ok(());
    }
    // Who has no account, as in a container, logs in by the number.
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let of = name.unwrap_or_else(|| uid.to_string());
    if login == of { Ok(()) } else { Err(CannotVouch { login: login.to_owned(), of }) }
}

fn owner_of(folder: &Path) -> io::Result<Uid> {
    Ok(Uid::from_raw(std::fs::metadata(folder)?.uid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_vouches_for_those_whom_its_server_serves() {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("not/there/yet/authorized_peers");
        let own = User::from_uid(Uid::effective()).expect("users").expect("a user").name;
        assert_eq!(can_vouch(&list, &own), Ok(()));
        if !Uid::effective().is_root() {
            assert!(can_vouch(&list, "root").is_err());
            return;
        }
        assert_eq!(can_vouch(&list, "nobody"), Ok(()));
        std::os::unix::fs::chown(folder.path(), Some(65_534), None).expect("an owner");
        assert_eq!(can_vouch(&list, "nobody"), Ok(()));
        let error = can_vouch(&list, "root").expect_err("refused").to_string();
        assert!(error.contains("nobody, and not root\ngive --login nobody"), "{error}");
        std::os::unix::fs::chown(folder.path(), Some(4711), None).expect("an owner");
        assert_eq!(can_vouch(&list, "4711"), Ok(()), "without an account");
    }
}
