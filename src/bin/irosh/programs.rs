//! Where our programs are, by names that outlive an upgrade.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Where this program is.
pub(super) fn this_one() -> io::Result<PathBuf> {
    stable(std::env::current_exe()?)
}

/// Where the program of this name is that lies beside this one.
pub(super) fn beside_this_one(name: &str) -> io::Result<PathBuf> {
    stable(std::env::current_exe()?.with_file_name(name))
}

/// Not by the name that a link leads to, which the next version may not have.
fn stable(real: PathBuf) -> io::Result<PathBuf> {
    let name = real.file_name().ok_or(io::ErrorKind::NotFound)?;
    let is_it = |path: &PathBuf| match (path.canonicalize(), real.canonicalize()) {
        (Ok(path), Ok(real)) => path == real,
        _ => false,
    };
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).filter(|folder| folder.is_absolute());
    let found = on_path.map(|folder| folder.join(name)).chain(as_called(name.as_ref())).find(is_it);
    Ok(found.unwrap_or(real))
}

/// Beside this program as it was called, where that was by a path.
fn as_called(name: &Path) -> Option<PathBuf> {
    let called = PathBuf::from(std::env::args_os().next()?);
    let called = std::path::absolute(Some(called).filter(|called| called.components().count() > 1)?).ok()?;
    Some(called.with_file_name(name))
}
