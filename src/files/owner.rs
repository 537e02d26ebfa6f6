//! Whose the files are that root was asked to work on.

use std::{
    ffi::CString,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use nix::unistd::{Gid, Uid, User, geteuid};

use super::{
    paths::{NoHome, Paths},
    place::{Foreign, Place, name_of},
};

/// Root could not become the owner of the files, or who is not root may not work on them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
        let Some(Some((uid, gid))) = self.one_owner() else { return Ok(false) };
        become_user(uid, gid).map_err(|error| OwnerError::Become(name_of(uid.as_raw()), error))?;
        Ok(true)
    }

    /// Whose the folders are, as far as they are there and one user's.
    fn one_owner(&self) -> Option<Owner> {
        let owners: Vec<Owner> = self.folders().iter().filter_map(|folder| owner(folder)).collect();
        let first = *owners.first()?;
        owners.iter().all(|owner| *owner == first).then_some(first)
    }

    /// Whether they are several users', so that no process of one of them but root's can change all that is there.
    pub(crate) fn are_of_several(&self) -> bool {
        geteuid().is_root() && self.one_owner().is_none()
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
            let foreign = foreign(&error)?;
            Some(Some((Uid::from_raw(foreign.uid), Gid::from_raw(foreign.gid))))
        }
    }
}

fn foreign(error: &io::Error) -> Option<&Foreign> {
    error.get_ref()?.downcast_ref()
}

/// Opens a socket for nothing but to be connected to, which may be in a folder of another user's where this is root;
/// tells whose it is. Nobody leads root to a socket of somebody else, of its own least of all.
///
/// # Errors
///
/// What the system says, or [`io::ErrorKind::PermissionDenied`] where it is not of the user whose the folder is.
pub(crate) fn open_socket(path: &Path) -> io::Result<(OwnedFd, u32)> {
    let (place, expected) = match Place::find(path) {
        Ok(place) => (place, geteuid().as_raw()),
        Err(error) => match foreign(&error) {
            Some(foreign) => (Place::find_at(path, foreign.uid)?, foreign.uid),
            None => return Err(error),
        },
    };
    match place.open_socket()? {
        (socket, uid) if uid == expected => Ok((socket, uid)),
        _ => {
            let message = format!("{} is not of the user whose folder it is in", path.display());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
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

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{fs::chown, fs::lchown, fs::symlink, net::UnixListener},
    };

    use super::*;

    #[test]
    fn a_socket_is_found_where_it_is_of_the_user_whose_the_folder_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        assert_eq!(open_socket(&path).expect_err("not there").kind(), io::ErrorKind::NotFound);
        let _listener = UnixListener::bind(&path).expect("a socket");
        assert_eq!(open_socket(&path).expect("found").1, geteuid().as_raw());
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        assert!(open_socket(&file).expect_err("refused").to_string().contains("not a socket"));
    }

    #[test]
    fn nobody_leads_root_to_a_socket_of_somebody_else() {
        if !geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let (theirs, roots) = (folder.path().join("theirs"), folder.path().join("roots"));
        [&theirs, &roots].iter().for_each(|path| fs::create_dir(path).expect("a folder"));
        let (own, socket) = (theirs.join("own"), roots.join("socket"));
        let _listeners = [&own, &socket].map(|path| UnixListener::bind(path).expect("a socket"));
        [&theirs, &own].iter().for_each(|path| chown(path, Some(4711), Some(4711)).expect("given away"));
        assert_eq!(open_socket(&own).expect("found").1, 4711);
        fs::hard_link(&socket, theirs.join("name")).expect("a name");
        for (name, target) in [("link", &socket), ("folder", &roots), ("back", &own)] {
            symlink(target, theirs.join(name)).expect("a link");
            lchown(theirs.join(name), Some(4711), Some(4711)).expect("given away");
        }
        for name in ["name", "link", "folder/socket", "back"] {
            assert!(open_socket(&theirs.join(name)).is_err(), "{name}");
        }
        // Somebody else may have put it there.
        chown(&own, Some(4712), None).expect("given away");
        assert!(open_socket(&own).is_err());
    }
}
