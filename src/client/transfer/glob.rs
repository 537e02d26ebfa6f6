//! Remote patterns.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::task::JoinSet;

use super::{
    super::sftp::{Attributes, Entry, FileKind, Pending, Sftp, SftpError},
    error::{Side, TransferError},
    names::{is_hostile, join},
    pattern::{is_pattern, literal, matches},
};

/// Folders that are listed at once.
const LISTED: usize = 64;

/// Names that may fit the parts of a pattern, all of them together.
const FITTING: usize = 100_000;

/// A path that a source stands for.
pub(super) struct Match {
    pub(super) path: Vec<u8>,
    attributes: Looked,
    /// The path without links, which is told of a folder.
    real: Option<Pending>,
}

enum Looked {
    Known(Attributes),
    Asked(Pending),
}

impl Match {
    /// Asks what is not known of a path, without waiting for the answers.
    async fn ask(sftp: &Sftp, path: Vec<u8>, known: Option<Attributes>) -> Self {
        // Of a link it matters where it leads.
        let known = known.filter(|known| matches!(known.kind(), FileKind::File | FileKind::Directory));
        let real = match known {
            Some(known) if !known.is_directory() => None,
            _ => Some(sftp.begin_realpath(&path).await),
        };
        let attributes = match known {
            Some(known) => Looked::Known(known),
            None => Looked::Asked(sftp.begin_stat(&path).await),
        };
        Self { path, attributes, real }
    }

    /// What it leads to and, of a folder, its path without links.
    pub(super) async fn looked_at(self) -> Result<(Attributes, Option<Vec<u8>>), SftpError> {
        let attributes = match self.attributes {
            Looked::Known(known) => known,
            Looked::Asked(pending) => pending.attributes().await?,
        };
        match self.real {
            Some(real) if attributes.is_directory() => Ok((attributes, Some(real.name().await?))),
            _ => Ok((attributes, None)),
        }
    }
}

/// The paths that a source to download stands for, sorted. A path that exists as it is written is that
/// path, whatever is in its name.
///
/// # Errors
/// Nothing fits; or `~user` is not known.
pub(super) async fn expand(sftp: &Sftp, source: &[u8]) -> Result<Vec<Match>, TransferError> {
    let failed = |error| TransferError::remote(source, error);
    let path = sftp.expand_tilde(source).await.map_err(failed)?;
    let path = if path.is_empty() { b".".to_vec() } else { path };
    let itself = sftp.begin_lstat(&path).await;
    let asked = Match::ask(sftp, path.clone(), None).await;
    match itself.attributes().await {
        Ok(_) => return Ok(vec![asked]),
        Err(error) if error.is_no_such_file() && is_pattern(&path) => {}
        Err(error) => return Err(failed(error)),
    }
    let room = Arc::new(AtomicUsize::new(FITTING));
    let mut found = fitting(sftp, &path, &room).await.map_err(failed)?;
    if room.load(Ordering::Relaxed) == 0 {
        return Err(TransferError::TooManyMatches { path: source.into() });
    }
    if found.is_empty() {
        return Err(TransferError::NoSuchFile { side: Side::Remote, path: source.into() });
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut matches = Vec::with_capacity(found.len());
    for (path, attributes) in found {
        matches.push(Match::ask(sftp, path, attributes).await);
    }
    Ok(matches)
}

/// What fits a pattern, with what folders told of it. No more than there is room for.
async fn fitting(
    sftp: &Sftp,
    pattern: &[u8],
    room: &Arc<AtomicUsize>,
) -> Result<Vec<(Vec<u8>, Option<Attributes>)>, SftpError> {
    let root = if pattern.starts_with(b"/") { b"/".to_vec() } else { Vec::new() };
    let mut found = vec![(root, None)];
    let parts: Vec<&[u8]> = pattern.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    for (number, part) in parts.iter().enumerate() {
        let last = number + 1 == parts.len();
        if !is_pattern(part) {
            found = found.into_iter().map(|(folder, _)| (below(&folder, &literal(part)), None)).collect();
            continue;
        }
        let mut next = Vec::new();
        let mut listing = JoinSet::new();
        let mut folders = found.into_iter();
        loop {
            while listing.len() < LISTED
                && let Some((folder, _)) = folders.next()
            {
                let (sftp, part, room) = (sftp.clone(), part.to_vec(), Arc::clone(room));
                listing.spawn(async move { fitting_in(&sftp, &folder, &part, last, &room).await });
            }
            match listing.join_next().await {
                None => break,
                Some(Ok(fits)) => next.extend(fits?),
                Some(Err(error)) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // Only this function could have aborted it.
                    Err(_) => break,
                },
            }
        }
        found = next;
    }
    if parts.last().is_some_and(|part| is_pattern(part)) {
        return Ok(found);
    }
    // Names behind a pattern need not be in each folder that fits.
    let mut asked = Vec::with_capacity(found.len());
    for (path, _) in found {
        asked.push((sftp.begin_lstat(&path).await, path));
    }
    let mut there = Vec::new();
    for (pending, path) in asked {
        match pending.attributes().await {
            Ok(attributes) => there.push((path, Some(attributes))),
            Err(SftpError::Status { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(there)
}

async fn fitting_in(
    sftp: &Sftp,
    folder: &[u8],
    pattern: &[u8],
    last: bool,
    room: &AtomicUsize,
) -> Result<Vec<(Vec<u8>, Option<Attributes>)>, SftpError> {
    let at: &[u8] = if folder.is_empty() { b"." } else { folder };
    let fits = |entry: &Entry| {
        let leads_on =
            matches!(entry.attributes.kind(), FileKind::Directory | FileKind::Link | FileKind::Unknown);
        !is_hostile(&entry.name) && matches(pattern, &entry.name) && (last || leads_on)
    };
    let mut found = Vec::new();
    let listed = async {
        let mut listing = sftp.listing(at).await?;
        while let Some(entries) = listing.next().await? {
            for entry in entries.into_iter().filter(fits) {
                let taken =
                    room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1));
                if taken.is_err() {
                    return Ok(());
                }
                found.push((below(folder, &entry.name), Some(entry.attributes)));
            }
        }
        Ok(())
    };
    match listed.await {
        // A folder that may not be read has nothing that fits, as for a shell.
        Err(SftpError::Status { .. }) => Ok(Vec::new()),
        other => other.map(|()| found),
    }
}

fn below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { join(folder, name) }
}
