//! Remote patterns.

use super::{
    super::sftp::{FileKind, Sftp, SftpError},
    error::{Side, TransferError},
    names::{is_hostile, join},
    pattern::{is_pattern, literal, matches},
};

/// The paths that a source to download stands for, sorted. A path that exists as it is written is that
/// path, whatever is in its name.
///
/// # Errors
/// Nothing fits; or `~user` is not known.
pub(super) async fn expand(sftp: &Sftp, source: &[u8]) -> Result<Vec<Vec<u8>>, TransferError> {
    let failed = |error| TransferError::remote(source, error);
    let path = sftp.expand_tilde(source).await.map_err(failed)?;
    let path = if path.is_empty() { b".".to_vec() } else { path };
    match sftp.lstat(&path).await {
        Ok(_) => return Ok(vec![path]),
        Err(error) if error.is_no_such_file() && is_pattern(&path) => {}
        Err(error) => return Err(failed(error)),
    }
    let mut found: Vec<Vec<u8>> = vec![if path.starts_with(b"/") { b"/".to_vec() } else { Vec::new() }];
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    for (number, part) in parts.iter().enumerate() {
        let last = number + 1 == parts.len();
        let mut next = Vec::new();
        for folder in found {
            if is_pattern(part) {
                next.extend(fitting(sftp, &folder, part, last).await.map_err(failed)?);
            } else {
                next.push(below(&folder, &literal(part)));
            }
        }
        found = next;
    }
    if !parts.last().is_some_and(|part| is_pattern(part)) {
        // Names behind a pattern need not be in each folder that fits.
        let mut there = Vec::new();
        for path in found {
            match sftp.lstat(&path).await {
                Ok(_) => there.push(path),
                Err(SftpError::Status { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        found = there;
    }
    if found.is_empty() {
        return Err(TransferError::NoSuchFile { side: Side::Remote, path: source.into() });
    }
    found.sort();
    Ok(found)
}

async fn fitting(sftp: &Sftp, folder: &[u8], pattern: &[u8], last: bool) -> Result<Vec<Vec<u8>>, SftpError> {
    let at: &[u8] = if folder.is_empty() { b"." } else { folder };
    let entries = match sftp.list(at).await {
        // A folder that may not be read has nothing that fits, as for a shell.
        Err(SftpError::Status { .. }) => return Ok(Vec::new()),
        other => other?,
    };
    let fits = entries.into_iter().filter(|entry| {
        let leads_on =
            matches!(entry.attributes.kind(), FileKind::Directory | FileKind::Link | FileKind::Unknown);
        matches(pattern, &entry.name) && !is_hostile(&entry.name) && (last || leads_on)
    });
    Ok(fits.map(|entry| below(folder, &entry.name)).collect())
}

fn below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { join(folder, name) }
}
