//! Whose the files are that root was asked to work on.

use std::{
    ffi::CString,
    io,
    path::{Path, PathBuf},
};

use nix::unistd::{Gid, Uid, User, geteuid};

use super::{
    NoHome, Paths,
    place::{Foreign, Place, name_of},
};

/// Root could not become the owner of the files, or who is not root may not work on them.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// There are no folders.
    #[error(transparent)]
    NoHome(#[from] NoHome),
    /// The system's files are not this user's.
    #[error("{0} is not yours to look into: the host of this system is root's\nrun the command with sudo")]
    NotRoot(PathBuf),
    /// The system has no files of ours.
    #[error(
        "this system has no host of its own: there is no {0}\nstart its service first, or leave out --system for your own host"
    )]
    NotSetUp(PathBuf),
    /// The system did not let root become that user.
    #[error("cannot become {0}, who owns the files: {1}")]
    Become(String, io::Error),
}

impl Paths {
    /// The folders that `of` names. Root becomes their owner first, for good, where they are another user's, who
    /// could lead it astray by what the names there stand for.
    ///
    /// Where they are several users', it stays root, which refuses to work in those that are not its own. To be
    /// called before anything is opened, and before there are threads.
    ///
    /// # Errors
    ///
    /// [`OwnerError`]; the process must end then.
    pub fn of_owner(of: impl Fn() -> Result<Self, NoHome>) -> Result<Self, OwnerError> {
        let paths = of()?;
        // Some of the folders depend on who asks.
        if paths.become_owner()? { Ok(of()?) } else { Ok(paths) }
    }

    /// Returns whether it is another user now.
    fn become_owner(&self) -> Result<bool, OwnerError> {
        if !geteuid().is_root() {
            return Ok(false);
        }
        let owners: Vec<Owner> = self.folders().iter().filter_map(|folder| owner(folder)).collect();
        let Some(first) = owners.first().filter(|first| owners.iter().all(|owner| owner == *first)) else {
            return Ok(false);
        };
        let Some((uid, gid)) = *first else { return Ok(false) };
        become_user(uid, gid).map_err(|error| OwnerError::Become(name_of(uid.as_raw()), error))?;
        Ok(true)
    }

    /// The folders of the system's service, where it has been set up and this user may work on its files;
    /// see [`Paths::of_owner`].
    ///
    /// # Errors
    ///
    /// [`OwnerError`]; the process must end then.
    pub fn of_systems_owner() -> Result<Self, OwnerError> {
        let paths = Self::of_system();
        let [config, state, _] = paths.folders();
        if !state.exists() {
            return Err(OwnerError::NotSetUp(state.to_owned()));
        }
        let is_shut = |folder: &Path| {
            let inside = folder.join("x").symlink_metadata();
            inside.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        };
        match [config, state].into_iter().find(|folder| is_shut(folder)) {
            Some(folder) => Err(OwnerError::NotRoot(folder.to_owned())),
            None => Self::of_owner(|| Ok(paths.clone())),
        }
    }
}

/// Whose a folder is: root's, or another user's.
type Owner = Option<(Uid, Gid)>;

/// `None` where there is no such folder, and root would make it.
fn owner(folder: &Path) -> Option<Owner> {
    match Place::find(&folder.join("x")) {
        Ok(_) => Some(None),
        Err(error) => {
            let foreign = error.get_ref()?.downcast_ref::<Foreign>()?;
            Some(Some((Uid::from_raw(foreign.uid), Gid::from_raw(foreign.gid))))
        }
    }
}

/// Becomes a user for good, with its groups where it has an account and the folder's where not.
fn become_user(uid: Uid, gid: Gid) -> io::Result<()> {
    let gid = match User::from_uid(uid)? {
        Some(user) => {
            nix::unistd::initgroups(&CString::new(user.name)?, user.gid)?;
            user.gid
        }
        None => {
            nix::unistd::setgroups(&[gid])?;
            gid
        }
    };
    nix::unistd::setresgid(gid, gid, gid)?;
    nix::unistd::setresuid(uid, uid, uid)?;
    let (uids, gids) = (nix::unistd::getresuid()?, nix::unistd::getresgid()?);
    let all = [uids.real, uids.effective, uids.saved].iter().all(|found| *found == uid)
        && [gids.real, gids.effective, gids.saved].iter().all(|found| *found == gid);
    // The way back must be shut.
    let back = nix::unistd::setuid(Uid::from_raw(0)).is_ok();
    if all && !back { Ok(()) } else { Err(io::Error::other("the user could not be changed for good")) }
}
