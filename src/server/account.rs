//! Accounts: whom a login means, whether they may log in, and becoming them.

use std::{
    ffi::CString,
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use nix::unistd::{Gid, Group, Uid, User};

use super::{
    config::{Config, access::NotAllowed, value::RootLogin},
    key_options::Refusal,
};

/// An account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) home: PathBuf,
    pub(super) shell: PathBuf,
}

/// What may come of a password of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Password {
    /// It may be right.
    Open,
    /// Its field in /etc/shadow begins with `!`, as where none was ever set: no password opens the account. A key
    /// does, as it does with sshd wherever that asks PAM.
    Locked,
}

/// An account may not log in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoLogin {
    /// There is none of that name, or this server serves another user alone.
    #[error("no such user here")]
    Unknown,
    /// Nobody knows which groups it is in.
    #[error("its groups cannot be found out: {0}")]
    Groups(String),
    /// The configuration names it among those who may not, or not among those who may.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// `PermitRootLogin no`.
    #[error("root may not log in here")]
    Root,
    /// By its date in /etc/shadow.
    #[error("the account has expired")]
    Expired,
    /// Nobody knows whether it has expired.
    #[error("/etc/shadow cannot be read: {0}")]
    Unreadable(String),
    /// The shell is missing, or cannot be run.
    #[error("the shell {0} does not exist or cannot be run")]
    Shell(PathBuf),
    /// By what the client may do, whoever it logs in as.
    #[error(transparent)]
    Restricted(#[from] Refusal),
}

impl Account {
    /// Looks a login up. A server that does not run as root serves its own user alone.
    ///
    /// # Errors
    ///
    /// [`NoLogin::Unknown`], also where the system cannot say.
    pub(super) fn find(login: &str) -> Result<Self, NoLogin> {
        let Some(user) = User::from_name(login).ok().flatten() else {
            return Self::of_process(login).ok_or(NoLogin::Unknown);
        };
        let own = Uid::effective();
        if !own.is_root() && user.uid != own {
            return Err(NoLogin::Unknown);
        }
        let shell = if user.shell.as_os_str().is_empty() { "/bin/sh".into() } else { user.shell };
        Ok(Self { name: user.name, uid: user.uid, gid: user.gid, home: user.dir, shell })
    }

    /// The user of this process, where the system has no account for its number, as in many a container: what an
    /// account says is in the environment then. The number is a name, too.
    fn of_process(login: &str) -> Option<Self> {
        let (uid, gid) = (Uid::effective(), Gid::effective());
        if !matches!(User::from_uid(uid), Ok(None)) {
            return None;
        }
        let is = |variable| std::env::var(variable).is_ok_and(|name| name == login);
        if login != uid.to_string() && !is("USER") && !is("LOGNAME") {
            return None;
        }
        let path = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = path("HOME").unwrap_or_else(|| "/".into());
        let shell = path("SHELL").filter(|shell| runs(shell)).unwrap_or_else(|| "/bin/sh".into());
        Some(Self { name: login.to_owned(), uid, gid, home, shell })
    }

    /// The names of its groups, of those that have one.
    ///
    /// # Errors
    ///
    /// [`NoLogin::Groups`] where the system cannot say: one that is denied may be among them.
    pub(super) fn groups(&self) -> Result<Vec<String>, NoLogin> {
        let unknown = |error: nix::Error| NoLogin::Groups(error.to_string());
        let name = CString::new(self.name.as_str()).map_err(|_| NoLogin::Unknown)?;
        let groups = nix::unistd::getgrouplist(&name, self.gid).map_err(unknown)?;
        let named = groups.into_iter().map(Group::from_gid).filter_map(Result::transpose);
        named.map(|group| group.map(|group| group.name).map_err(unknown)).collect()
    }

    /// Whether it may log in at all, as sshd's `allowed_user` sees it.
    ///
    /// # Errors
    ///
    /// [`NoLogin`], for the log: a client is told nothing.
    pub(super) fn check(&self, config: &Config) -> Result<(), NoLogin> {
        if self.uid.is_root() && config.permit_root_login == RootLogin::No {
            return Err(NoLogin::Root);
        }
        // Within another root, the shell is another one.
        if config.chroot_directory.is_none() && !runs(&self.shell) {
            return Err(NoLogin::Shell(self.shell.clone()));
        }
        Ok(())
    }

    /// Whether it has expired, and whether a password may open it, by the system's own list.
    ///
    /// # Errors
    ///
    /// [`NoLogin`].
    pub(super) fn check_shadow(&self) -> Result<Password, NoLogin> {
        // Only root can read this, and only root serves others.
        let shadow = match fs::read("/etc/shadow") {
            Ok(shadow) => shadow,
            Err(error) if error.kind() == io::ErrorKind::NotFound || !Uid::effective().is_root() => {
                Vec::new()
            }
            Err(error) => return Err(NoLogin::Unreadable(error.to_string())),
        };
        check_shadow(&String::from_utf8_lossy(&shadow), &self.name, days_since_1970())
    }

    /// Takes on the account's groups. What follows may shut this process in, where there is no list of groups.
    ///
    /// # Errors
    ///
    /// What the system says; the process must end then.
    pub(super) fn enter_groups(&self) -> io::Result<()> {
        if self.is_ours()? && !self.uid.is_root() {
            return Ok(());
        }
        nix::unistd::initgroups(&CString::new(self.name.as_str())?, self.gid)?;
        Ok(nix::unistd::setresgid(self.gid, self.gid, self.gid)?)
    }

    /// Whether this process is the user's in every respect.
    fn is_ours(&self) -> io::Result<bool> {
        let uids = nix::unistd::getresuid()?;
        Ok([uids.real, uids.effective, uids.saved].iter().all(|uid| *uid == self.uid))
    }

    /// Becomes this user for good, in the groups entered before, and makes sure of it.
    ///
    /// # Errors
    ///
    /// What the system says; the process must end then.
    pub(super) fn become_it(&self) -> io::Result<()> {
        if self.is_ours()? && !self.uid.is_root() {
            return Ok(());
        }
        nix::unistd::setresuid(self.uid, self.uid, self.uid)?;
        let gids = nix::unistd::getresgid()?;
        let all =
            self.is_ours()? && [gids.real, gids.effective, gids.saved].iter().all(|gid| *gid == self.gid);
        // The way back must be shut.
        let back = !self.uid.is_root() && nix::unistd::setuid(Uid::from_raw(0)).is_ok();
        if all && !back { Ok(()) } else { Err(io::Error::other("the user could not be changed for good")) }
    }

    /// Runs `act` with the rights of this user on files, as sshd does while it reads a user's keys. Ends the
    /// process rather than leave it between two users.
    pub(super) fn as_it<T>(&self, act: impl FnOnce() -> T) -> io::Result<T> {
        if !Uid::effective().is_root() || self.uid.is_root() {
            return Ok(act());
        }
        let before = nix::unistd::getgroups()?;
        let name = CString::new(self.name.as_str())?;
        let entered = nix::unistd::initgroups(&name, self.gid)
            .and_then(|()| nix::unistd::setegid(self.gid))
            .and_then(|()| nix::unistd::seteuid(self.uid));
        let result = entered.map(|()| act());
        let left = nix::unistd::seteuid(Uid::from_raw(0))
            .and_then(|()| nix::unistd::setegid(Gid::from_raw(0)))
            .and_then(|()| nix::unistd::setgroups(&before));
        if let Err(error) = left {
            tracing::error!("cannot be root again: {error}");
            crate::log::flush();
            std::process::abort();
        }
        Ok(result?)
    }

    /// What `/etc/nologin` says to those whom it keeps out: all but root.
    pub(super) fn no_login_notice(&self) -> Option<Vec<u8>> {
        if self.uid.is_root() { None } else { fs::read("/etc/nologin").ok() }
    }
}

fn runs(program: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(program).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn days_since_1970() -> i64 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    i64::try_from(seconds / 86_400).unwrap_or(i64::MAX)
}

/// Reads the line of shadow(5) for a user; none says nothing.
fn check_shadow(shadow: &str, name: &str, today: i64) -> Result<Password, NoLogin> {
    let line = shadow.lines().find(|line| line.split(':').next() == Some(name));
    let Some(fields) = line.map(|line| line.split(':').collect::<Vec<_>>()) else {
        return Ok(Password::Open);
    };
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<i64>().ok());
    // -1 stands for never, and 0 for a day long ago.
    if number(7).is_some_and(|expiry| expiry != -1 && today > expiry) {
        return Err(NoLogin::Expired);
    }
    match fields.get(1) {
        Some(password) if password.starts_with('!') => Ok(Password::Locked),
        _ => Ok(Password::Open),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_and_expired_accounts_are_told_from_the_others() {
        let shadow = "a:!x:1:::::\nb:*:1:::::\nc:$6$x:1:0:9:7::100:\nd::1:0:9:7::0:\ne::1:0:9:7::-1:\nf:!x:1:0:9:7::4:\n";
        assert_eq!(check_shadow(shadow, "a", 5), Ok(Password::Locked));
        assert_eq!(check_shadow(shadow, "b", 5), Ok(Password::Open));
        assert_eq!(check_shadow(shadow, "c", 100), Ok(Password::Open));
        assert_eq!(check_shadow(shadow, "c", 101), Err(NoLogin::Expired));
        assert_eq!(check_shadow(shadow, "d", 5), Err(NoLogin::Expired));
        assert_eq!(check_shadow(shadow, "e", 5), Ok(Password::Open));
        assert_eq!(check_shadow(shadow, "f", 5), Err(NoLogin::Expired));
        assert_eq!(check_shadow(shadow, "nobody", 5), Ok(Password::Open));
    }

    #[test]
    fn the_user_of_the_process_is_found_and_no_other_without_root() {
        let own = User::from_uid(Uid::effective()).expect("asked").expect("a user");
        assert_eq!(Account::find(&own.name).expect("found").uid, own.uid);
        assert_eq!(Account::find("no-such-user-here"), Err(NoLogin::Unknown));
    }
}
