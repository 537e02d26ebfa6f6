//! Files of a user that decide who may log in.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::server::account::Account;

/// The longest file that is read.
const LONGEST: u64 = 16 << 20;

/// Reads a file with the user's rights; a relative path is in the home directory. `None`, with a line in
/// the log where that is not simply because there is no such file, when it cannot be used. `strict`:
/// only where nobody but the user and root can change it (sshd_config(5), StrictModes).
pub(super) fn read_of_user(account: &Account, path: &str, strict: bool) -> Option<Vec<u8>> {
    if path == "none" {
        return None;
    }
    let path = account.home.join(path);
    let read = account.as_it(|| read(&path, account, strict));
    match read.unwrap_or_else(Err) {
        Ok(content) => Some(content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!("{}: {error}", path.display());
            None
        }
    }
}

fn read(path: &Path, account: &Account, strict: bool) -> io::Result<Vec<u8>> {
    // A pipe in its place must not keep the server waiting.
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if strict {
        check_modes(&file, path, account)?;
    }
    let mut content = Vec::new();
    file.take(LONGEST).read_to_end(&mut content)?;
    Ok(content)
}

/// The file, and every folder above it up to the home directory or the root, must be the user's or root's
/// and closed to others' writing (OpenSSH's `safe_path`).
fn check_modes(file: &File, path: &Path, account: &Account) -> io::Result<()> {
    let safe = |uid: u32, mode: u32| (uid == 0 || uid == account.uid.as_raw()) && mode & 0o022 == 0;
    let refuse =
        |what: &Path| Err(io::Error::other(format!("bad ownership or modes for {}", what.display())));
    let found = file.metadata()?;
    if !safe(found.uid(), found.mode()) {
        return refuse(path);
    }
    let real = path.canonicalize()?;
    let home: Option<PathBuf> = account.home.canonicalize().ok();
    for folder in real.ancestors().skip(1) {
        let found = folder.metadata()?;
        if !safe(found.uid(), found.mode()) {
            return refuse(folder);
        }
        if home.as_deref() == Some(folder) {
            break;
        }
    }
    Ok(())
}
