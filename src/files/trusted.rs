//! Files that say who or what may run here.

use std::{
    io::{self, Read},
    path::Path,
};

use nix::unistd::{Gid, Group, User, geteuid};
use rustix::fs::Stat;

use super::place::{Place, existing, refuse_foreign, refuse_writable};

/// Reads a text file that decides who or what may run here; `None` where there is none.
///
/// As with sshd's `StrictModes`, the file and the folders above it, up to the home directory, must be this user's or
/// root's, and others must not be able to write them. The file is looked at while it is open.
///
/// # Errors
///
/// [`io::ErrorKind::PermissionDenied`] with what to do, or what the system says.
pub fn read_trusted_file(path: &Path) -> io::Result<Option<String>> {
    let text = |bytes| {
        String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
    };
    read_trusted_bytes(path)?.map(text).transpose()
}

/// The same of a file that need not be text.
///
/// # Errors
///
/// The same.
pub fn read_trusted_bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(place) = existing(Place::find(path))? else { return Ok(None) };
    let Some((mut file, stat)) = place.read()? else { return Ok(None) };
    refuse_foreign(path, &stat)?;
    refuse_writable(path, &stat)?;
    for (folder, stat) in place.way() {
        refuse_foreign(folder, stat)?;
        if !is_for_own_group_alone(stat) {
            refuse_writable(folder, stat)?;
        }
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Whether the others who can write it are a group that has nobody but this user in it, as many systems give
/// to each user.
fn is_for_own_group_alone(stat: &Stat) -> bool {
    let name_of_user = || Some(User::from_uid(geteuid()).ok()??.name);
    let is_own = |group: Group| {
        let user = name_of_user();
        Some(&group.name) == user.as_ref() && group.mem.iter().all(|member| Some(member) == user.as_ref())
    };
    stat.st_mode & 0o022 == 0o020
        && Group::from_gid(Gid::from_raw(stat.st_gid)).ok().flatten().is_some_and(is_own)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, chown},
    };

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
    }

    #[test]
    fn a_file_that_others_can_write_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        assert_eq!(read_trusted_file(&path).expect("read"), None);
        fs::write(&path, "x").expect("write");
        chmod(&path, 0o644);
        assert_eq!(read_trusted_file(&path).expect("read").as_deref(), Some("x"));
        for mode in [0o664, 0o646, 0o1666] {
            chmod(&path, mode);
            let error = read_trusted_file(&path).expect_err("refused").to_string();
            assert!(error.contains("chmod go-w"), "{error}");
        }
    }

    #[test]
    fn a_file_below_a_folder_that_others_can_write_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("above/inner");
        fs::create_dir_all(&inner).expect("folders");
        let path = inner.join("list");
        fs::write(&path, "x").expect("write");
        read_trusted_file(&path).expect("fine");
        for open in [&inner, &folder.path().join("above")] {
            chmod(open, 0o777);
            let error = read_trusted_file(&path).expect_err("refused").to_string();
            assert!(error.contains(&format!("chmod go-w {}", open.display())), "{error}");
            chmod(open, 0o1777);
            read_trusted_file(&path).expect("as in /tmp");
            chmod(open, 0o755);
        }
    }

    #[test]
    fn a_file_or_folder_of_another_user_is_not_believed() {
        if !geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("a folder");
        let path = inner.join("list");
        fs::write(&path, "x").expect("write");
        for foreign in [&path, &inner] {
            chown(foreign, Some(4711), None).expect("chown");
            let error = read_trusted_file(&path).expect_err("refused").to_string();
            assert!(error.contains("belongs to the user 4711"), "{error}");
            chown(foreign, Some(0), None).expect("chown");
        }
        read_trusted_file(&path).expect("fine");
    }

    #[test]
    fn a_pipe_in_place_of_a_file_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let error = read_trusted_file(&path).expect_err("refused").to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }
}
