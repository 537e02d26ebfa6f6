//! The lines of ssh_config that make `ssh NAME` work: a file of our own, and one `Include` of it.

mod lines;
mod version;

use std::{
    fs, io,
    ops::Range,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

pub use lines::{Lines, Proxy, shared};
pub use version::SshVersion;

use crate::files::{read_file, write_file};

/// The file of our own, beside the user's.
const OWN_FILE: &str = "irosh_config";

/// The line that is put on top of the user's file.
const INCLUDE: &str = "Include irosh_config";

/// The user's ssh_config could not be changed, and nothing was.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot change {file}: {source}\nto do it by hand, run: irosh ssh-config print > {own}\nand put this line at the \
     top of {file}: {INCLUDE}",
    file = .file.display(), own = .file.with_file_name(OWN_FILE).display()
)]
pub struct SshConfigError {
    file: PathBuf,
    source: io::Error,
}

/// What installing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The file of our own.
    pub own_file: PathBuf,
    /// The user's file.
    pub user_file: PathBuf,
    /// The copy of the user's file as it was, if it was changed.
    pub backup: Option<PathBuf>,
}

/// Puts our file beside the user's and includes it at the top. Doing so again changes nothing.
///
/// # Errors
///
/// [`SshConfigError`]; all files are then as they were.
pub fn install(ssh_folder: &Path, text: &str) -> Result<Installed, SshConfigError> {
    let (own_file, user_file) = (ssh_folder.join(OWN_FILE), ssh_folder.join("config"));
    let change = || {
        let old = read_config(&user_file)?;
        let before = read_file(&own_file)?;
        write_file(&own_file, text.as_bytes(), 0o600)?;
        if old.as_deref().is_some_and(|old| include(old).is_some()) {
            return Ok(None);
        }
        include_at_the_top(&user_file, old.as_deref()).inspect_err(|_| {
            let _ = match before {
                Some(before) => write_file(&own_file, &before, 0o600),
                None => fs::remove_file(&own_file),
            };
        })
    };
    match change() {
        Ok(backup) => Ok(Installed { own_file, user_file, backup }),
        Err(source) => Err(SshConfigError { file: user_file, source }),
    }
}

/// Returns the copy of the file as it was.
fn include_at_the_top(user_file: &Path, old: Option<&[u8]>) -> io::Result<Option<PathBuf>> {
    let new = |old: &[u8]| [INCLUDE.as_bytes(), b"\n", old].concat();
    let Some(old) = old else {
        return write_file(user_file, &new(b""), 0o600).map(|()| None);
    };
    let backup = backup_of(user_file);
    write_file(&backup, old, 0o600)?;
    match write_file(user_file, &new(old), 0o600) {
        Ok(()) => Ok(Some(backup)),
        Err(error) => {
            let _ = fs::remove_file(&backup);
            Err(error)
        }
    }
}

/// Writes our file again where it is installed, so that `ssh ALIAS` follows the aliases.
///
/// # Errors
///
/// What the system says, with the file's name.
pub fn refresh(ssh_folder: &Path, text: &str) -> io::Result<bool> {
    let own_file = ssh_folder.join(OWN_FILE);
    let installed = own_file.exists();
    if installed {
        write_file(&own_file, text.as_bytes(), 0o600).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot write {}: {error}", own_file.display()))
        })?;
    }
    Ok(installed)
}

/// Takes the `Include` line and our file away; every other byte of the user's file stays.
///
/// # Errors
///
/// [`SshConfigError`]; all files are then as they were.
pub fn remove(ssh_folder: &Path) -> Result<bool, SshConfigError> {
    let (own_file, user_file) = (ssh_folder.join(OWN_FILE), ssh_folder.join("config"));
    let change = || {
        let removed = take_include_out(&user_file)?;
        match fs::remove_file(&own_file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(removed),
            Err(error) => Err(error),
        }
    };
    change().map_err(|source| SshConfigError { file: user_file.clone(), source })
}

fn take_include_out(user_file: &Path) -> io::Result<bool> {
    let Some(old) = read_config(user_file)? else { return Ok(false) };
    // One that was written in another way is the user's own.
    let Some(line) = include(&old).filter(|line| old[line.clone()].trim_ascii() == INCLUDE.as_bytes()) else {
        return Ok(false);
    };
    let new = [&old[..line.start], &old[line.end..]].concat();
    let backup = backup_of(user_file);
    let before = read_file(&backup)?;
    // There was none before, unless it was an empty one.
    if new.is_empty() && before.as_deref() != Some(b"") && !user_file.is_symlink() {
        fs::remove_file(user_file)?;
    } else {
        write_file(user_file, &new, 0o600)?;
    }
    if before.is_some_and(|before| before == new) {
        fs::remove_file(&backup)?;
    }
    Ok(true)
}

/// The user's file, if there is one and it can be replaced.
fn read_config(user_file: &Path) -> io::Result<Option<Vec<u8>>> {
    if user_file.is_symlink() && !user_file.exists() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it is a link to a file that is not there"));
    }
    let text = read_file(user_file)?;
    if text.is_some() {
        rustix::fs::access(user_file, rustix::fs::Access::WRITE_OK)?;
    }
    Ok(text)
}

/// Where the line is that includes our file for all hosts: one within a block counts for that block alone.
fn include(text: &[u8]) -> Option<Range<usize>> {
    let is_word = |byte: &u8| !byte.is_ascii_whitespace() && !matches!(byte, b'=' | b'"');
    let words = |line| -> Vec<&[u8]> {
        <[u8]>::split(line, |byte| !is_word(byte)).filter(|word| !word.is_empty()).collect()
    };
    let is_ours =
        |word: &&[u8]| Path::new(std::ffi::OsStr::from_bytes(word)).file_name() == Some(OWN_FILE.as_ref());
    let mut end = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let start = end;
        end += line.len();
        match &words(line)[..] {
            [keyword, ..]
                if keyword.eq_ignore_ascii_case(b"host") || keyword.eq_ignore_ascii_case(b"match") =>
            {
                return None;
            }
            [keyword, files @ ..]
                if keyword.eq_ignore_ascii_case(b"include") && files.iter().any(is_ours) =>
            {
                return Some(start..end);
            }
            _ => {}
        }
    }
    None
}

fn backup_of(user_file: &Path) -> PathBuf {
    user_file.with_file_name("config.before-irosh")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What is in a folder: names, and bytes or where a link leads.
    fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(folder).expect("read").map(|entry| entry.expect("an entry").path());
        let content = |path: &PathBuf| match fs::read_link(path) {
            Ok(target) => target.into_os_string().into_encoded_bytes(),
            Err(_) => fs::read(path).expect("read"),
        };
        let mut files: Vec<_> = entries.map(|path| (path.clone(), content(&path))).collect();
        files.sort();
        files
    }

    #[test]
    fn installing_twice_is_installing_once_and_removing_leaves_every_byte_as_it_was() {
        let texts: [&[u8]; 6] = [
            b"# mine\r\nHost a\n\tUser b\n\nInclude other",
            b"# caf\xe9 \xff\nHost *\n",
            b"",
            b"\n",
            b"Host a\n  Include irosh_config\n",
            b"Match all\nInclude irosh_config\n",
        ];
        for old in texts {
            let folder = tempfile::tempdir().expect("a folder");
            let user_file = folder.path().join("config");
            fs::write(&user_file, old).expect("write");
            let before = files(folder.path());
            let installed = install(folder.path(), "x").expect("installed");
            assert_eq!(fs::read(installed.backup.expect("a backup")).expect("read"), old);
            assert_eq!(install(folder.path(), "y").expect("again").backup, None);
            let included = [INCLUDE.as_bytes(), b"\n", old].concat();
            assert_eq!(fs::read(&user_file).expect("read"), included);
            assert_eq!(fs::read_to_string(folder.path().join(OWN_FILE)).expect("read"), "y");
            assert!(remove(folder.path()).expect("removed"));
            assert_eq!(files(folder.path()), before);
            assert!(!remove(folder.path()).expect("nothing left"));
        }
    }

    #[test]
    fn a_user_without_a_config_gets_one_and_gives_it_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let ssh = folder.path().join(".ssh");
        assert_eq!(install(&ssh, "x").expect("installed").backup, None);
        assert_eq!(fs::read_to_string(ssh.join("config")).expect("read"), format!("{INCLUDE}\n"));
        assert!(!refresh(folder.path(), "x").expect("not installed there"));
        remove(&ssh).expect("removed");
        assert_eq!(files(&ssh), []);
    }

    #[test]
    fn a_config_that_was_not_there_is_not_left_empty_because_of_an_older_copy() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("config.before-irosh"), "Host a\n").expect("written");
        let before = files(folder.path());
        install(folder.path(), "x").expect("installed");
        remove(folder.path()).expect("removed");
        assert_eq!(files(folder.path()), before);
    }

    #[test]
    fn an_include_that_the_user_has_written_is_enough_and_stays() {
        let lines = [
            "include ~/.ssh/irosh_config\n",
            "Include=irosh_config\nHost a\n",
            " Include other \"irosh_config\"\nHost a",
            "Include irosh_config other",
        ];
        for line in lines {
            let folder = tempfile::tempdir().expect("a folder");
            let old = format!("# mine\n{line}");
            fs::write(folder.path().join("config"), &old).expect("write");
            let before = files(folder.path());
            assert_eq!(install(folder.path(), "x").expect("installed").backup, None);
            remove(folder.path()).expect("removed");
            assert_eq!(files(folder.path()), before, "{line}");
        }
    }

    #[test]
    fn a_config_that_is_a_link_stays_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let real = folder.path().join("real");
        fs::write(&real, "Host a\n").expect("write");
        symlink("real", folder.path().join("config")).expect("a link");
        let before = files(folder.path());
        install(folder.path(), "x").expect("installed");
        assert_eq!(fs::read_to_string(&real).expect("read"), format!("{INCLUDE}\nHost a\n"));
        remove(folder.path()).expect("removed");
        assert_eq!(files(folder.path()), before);
    }

    #[test]
    fn where_the_config_cannot_be_changed_nothing_is_and_what_to_write_by_hand_is_said() {
        // A link to nothing, to what nobody can replace, and to itself.
        for target in ["missing", "/proc/version", "config"] {
            let folder = tempfile::tempdir().expect("a folder");
            let user_file = folder.path().join("config");
            symlink(target, &user_file).expect("a link");
            let before = files(folder.path());
            let said = install(folder.path(), "x").expect_err("refused").to_string();
            assert!(said.starts_with(&format!("cannot change {}: ", user_file.display())), "{said}");
            assert!(said.ends_with(&format!("top of {}: {INCLUDE}", user_file.display())), "{said}");
            assert_eq!(files(folder.path()), before, "{target}: half a change is left");
        }
    }
}
