//! Completion of remote paths.

use super::{answers::Entry, attributes::FileKind, error::SftpError, session::Sftp};

/// Entries that are offered at most.
const MOST: usize = 1000;

/// Bytes of a name that is offered.
const LONGEST: usize = 1 << 10;

/// Entries of a folder that are looked at.
const LOOKED_AT: usize = 20_000;

/// Symbolic links that are asked where they lead.
const LINKS: usize = 100;

/// A path that begins with what was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completion {
    /// What was typed, `~` and all, up to the end of one name; a folder has a slash behind it.
    pub path: Vec<u8>,
    /// Whether it is a folder, or a link to one.
    pub directory: bool,
}

/// The paths that begin with what was typed, sorted by bytes. Cancel safe.
///
/// Names with a leading dot are offered only for a dot that was typed. `~` and `~user/` are understood;
/// names of users are not completed. At most 1000 are given, of the first 20,000 of a folder.
///
/// # Errors
/// [`SftpError`]; a folder that does not exist or may not be read has nothing to offer and is none.
pub async fn complete(sftp: &Sftp, partial: &[u8]) -> Result<Vec<Completion>, SftpError> {
    if partial == b"~" {
        return Ok(vec![Completion { path: b"~/".to_vec(), directory: true }]);
    }
    let start = partial.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (folder, prefix) = partial.split_at(start);
    if folder.is_empty() && prefix.first() == Some(&b'~') {
        return Ok(Vec::new());
    }
    let known = async {
        let path = sftp.expand_tilde(folder).await?;
        let path = if path.is_empty() { b".".to_vec() } else { path };
        let mut listing = sftp.listing(&path).await?;
        let (mut entries, mut seen) = (Vec::new(), 0);
        while seen < LOOKED_AT
            && let Some(some) = listing.next().await?
        {
            seen += some.len();
            entries.extend(some.into_iter().filter(|entry| is_offered(entry, prefix)));
        }
        Ok((path, entries))
    };
    let (path, mut entries) = match known.await {
        Err(SftpError::Status { .. } | SftpError::Unsupported { .. }) => return Ok(Vec::new()),
        other => other?,
    };
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    entries.truncate(MOST);

    let mut found = Vec::with_capacity(entries.len());
    let mut links = 0;
    for entry in entries {
        let directory = match entry.attributes.kind() {
            FileKind::Directory => true,
            FileKind::Link | FileKind::Unknown if links < LINKS => {
                links += 1;
                let at = [&path[..], b"/", &entry.name].concat();
                sftp.stat(&at).await.is_ok_and(|attributes| attributes.is_directory())
            }
            _ => false,
        };
        let slash: &[u8] = if directory { b"/" } else { b"" };
        found.push(Completion { path: [folder, &entry.name, slash].concat(), directory });
    }
    Ok(found)
}

fn is_offered(entry: &Entry, prefix: &[u8]) -> bool {
    let hidden = entry.name.starts_with(b".") && !prefix.starts_with(b".");
    let hostile =
        !(1..=LONGEST).contains(&entry.name.len()) || entry.name.iter().any(|byte| matches!(byte, b'/' | 0));
    entry.name.starts_with(prefix) && !hidden && !hostile
}
