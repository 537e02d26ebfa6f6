//! Paths made absolute.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use nix::errno::Errno;

use super::{
    server::Server,
    status::{Status, Stop},
    user::User,
    wire::{Reader, Reply},
};
use crate::server::log_level::LogLevel;

/// A path and its end, which C counts and Rust does not.
const LONGEST: usize = libc::PATH_MAX as usize - 1;

/// Symbolic links that are followed on one path.
const LINKS: u32 = 33;

impl Server {
    /// `expand-path@openssh.com`: as `REALPATH`, and `~user` is understood. `~` alone is the start, as in
    /// OpenSSH: where `-d` sends a client, it is at home.
    pub(super) fn expand_path(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let path = body.text()?;
        let path = match path {
            [] | b"~" => b".".to_vec(),
            [b'~', b'/', rest @ ..] => joined(&self.start, rest),
            [b'~', rest @ ..] => {
                let (user, rest) = split(rest);
                let user = home_of(user).ok_or(Stop::Status(Status::NoSuchFile, "no such user"))?;
                joined(&user, rest.unwrap_or_default())
            }
            path => path.to_vec(),
        };
        self.log(LogLevel::Verbose, format_args!("expand {:?}", OsStr::from_bytes(&path)));
        reply.name(&resolve(&self.start, &path)?);
        Ok(())
    }

    /// `home-directory`: draft-ietf-secsh-filexfer-extensions-00 section 5. The unnamed user is the one
    /// who is logged in. OpenSSH 9.2 answers with that one's home for every name.
    pub(super) fn home_directory(
        &mut self,
        body: &mut Reader<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<(), Stop> {
        let user = body.text()?;
        let home = if user.is_empty() { Some(self.options.user.home.clone()) } else { home_of(user) };
        reply.name(home.ok_or(Status::Failure)?.as_os_str().as_bytes());
        Ok(())
    }
}

fn home_of(user: &[u8]) -> Option<PathBuf> {
    Some(User::find(std::str::from_utf8(user).ok()?)?.home)
}

fn joined(directory: &Path, rest: &[u8]) -> Vec<u8> {
    [directory.as_os_str().as_bytes(), b"/", rest].concat()
}

/// The absolute path without links, `.` and `..` that a path leads to. Its last part need not exist.
///
/// This is OpenSSH's `sftp_realpath`: a trailing slash behind what does not exist is an error, behind a
/// file it is not.
pub(super) fn resolve(start: &Path, path: &[u8]) -> io::Result<Vec<u8>> {
    if path.is_empty() {
        return Err(Errno::ENOENT.into());
    }
    let absolute = path.starts_with(b"/");
    let mut resolved = if absolute { b"/".to_vec() } else { start.as_os_str().as_bytes().to_vec() };
    let mut left = path.to_vec();
    let mut links = 0;
    // Where in `left` the next part begins.
    let mut at = 0;
    loop {
        check(left.len() - at)?;
        let (part, rest) = split(&left[at..]);
        let last = rest.is_none();
        at += part.len() + 1;
        match part {
            b"" | b"." => {}
            b".." => cut_last(&mut resolved),
            part => {
                if !resolved.ends_with(b"/") {
                    resolved.push(b'/');
                }
                resolved.extend_from_slice(part);
                check(resolved.len())?;
                let here = Path::new(OsStr::from_bytes(&resolved));
                match fs::symlink_metadata(here) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && last => return Ok(resolved),
                    Err(error) => return Err(error),
                    Ok(metadata) if metadata.is_symlink() => {
                        links += 1;
                        if links > LINKS {
                            return Err(Errno::ELOOP.into());
                        }
                        let target = fs::read_link(here)?.into_os_string();
                        left = match rest {
                            Some(rest) => [target.as_bytes(), b"/", rest].concat(),
                            None => target.as_bytes().to_vec(),
                        };
                        at = 0;
                        if left.starts_with(b"/") {
                            resolved = b"/".to_vec();
                        } else {
                            cut_last(&mut resolved);
                        }
                        continue;
                    }
                    Ok(_) => {}
                }
            }
        }
        if last {
            return Ok(resolved);
        }
    }
}

/// A part of a path, and what follows the slash behind it.
fn split(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
        None => (path, None),
    }
}

/// Takes the last part off an absolute path; the root has none.
fn cut_last(path: &mut Vec<u8>) {
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.truncate(slash.max(1));
}

fn check(length: usize) -> io::Result<()> {
    if length > LONGEST { Err(Errno::ENAMETOOLONG.into()) } else { Ok(()) }
}
