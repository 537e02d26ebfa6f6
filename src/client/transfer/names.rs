//! Names of parts, and names that are no names.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use sha2::{Digest, Sha256};

/// How names of parts end.
const SUFFIX: &[u8] = b".irosh-part";

/// How names end that files have while they are being replaced.
const ASIDE: &[u8] = b".irosh-old";

/// Bytes of a name, more than any file system takes.
const LONGEST_ENTRY: usize = 1024;

/// Bytes of a name that file systems take.
const LONGEST: usize = 255;

/// Hex digits that tell the name apart, and those that tell the source's state apart.
const DIGITS: usize = 16;

/// Hex digits that tell a part apart from all others.
const UNIQUE: usize = 16;

/// What makes two files of one name the same source: bytes, seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) size: u64,
    pub(super) changed: i64,
    pub(super) nanoseconds: i64,
}

/// A name for a new part of a file: `.NAME.HASH.irosh-part`. Long names are cut, the hash is of the whole.
///
/// No two are the same, so that two runs which copy one file at once do not get into each other's part.
pub(super) fn new_part_name(name: &[u8], version: Version) -> Vec<u8> {
    [&version_prefix(name, version)[..], unique().as_bytes(), SUFFIX].concat()
}

/// A name for a file that is being replaced. It is no part: nobody removes it unasked.
pub(super) fn aside_name(name: &[u8]) -> Vec<u8> {
    [&part_prefix(name)[..], unique().as_bytes(), ASIDE].concat()
}

/// Whether a name is that of a part of this version of a file.
pub(super) fn is_part_of_version(candidate: &[u8], name: &[u8], version: Version) -> bool {
    is_part_of(candidate, name) && candidate.starts_with(&version_prefix(name, version))
}

/// Whether a name is that of a part of this file, in whatever version.
pub(super) fn is_part_of(candidate: &[u8], name: &[u8]) -> bool {
    let prefix = part_prefix(name);
    is_part(candidate)
        && candidate.starts_with(&prefix)
        && candidate.len() == prefix.len() + DIGITS / 2 + UNIQUE + SUFFIX.len()
}

/// Whether a name looks like that of a part.
pub(super) fn is_part(candidate: &[u8]) -> bool {
    candidate.starts_with(b".") && candidate.ends_with(SUFFIX)
}

/// Whether a server's name for an entry is none: it would lead elsewhere, or no file has one like it.
pub(super) fn is_hostile(name: &[u8]) -> bool {
    !(1..=LONGEST_ENTRY).contains(&name.len())
        || matches!(name, b"." | b"..")
        || name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// As much of a name as is told of one that is none.
pub(super) fn shortened(name: &[u8]) -> &[u8] {
    &name[..name.len().min(LONGEST)]
}

/// A path's last name. None for those that end in `.`, `..` or are the root: what is in them is meant.
pub(super) fn base_name(path: &[u8]) -> Option<&[u8]> {
    let path = without_slashes(path);
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    (!is_hostile(name)).then_some(name)
}

/// The folder that a path's last name is in.
pub(super) fn parent(path: &[u8]) -> Vec<u8> {
    let path = without_slashes(path);
    match path.iter().rposition(|byte| *byte == b'/') {
        None => b".".to_vec(),
        Some(0) => b"/".to_vec(),
        Some(slash) => without_slashes(&path[..slash]).to_vec(),
    }
}

pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if folder.ends_with(b"/") { b"" } else { b"/" };
    [folder, slash, name].concat()
}

/// A path without the slashes at its end, unless it is nothing else.
pub(super) fn without_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(1, |last| last + 1);
    &path[..end.min(path.len())]
}

/// What the names of all parts of one version begin with.
fn version_prefix(name: &[u8], version: Version) -> Vec<u8> {
    let Version { size, changed, nanoseconds } = version;
    let state = [size.to_be_bytes(), changed.to_be_bytes(), nanoseconds.to_be_bytes()].concat();
    [&part_prefix(name)[..], digits(&state).as_bytes()].concat()
}

/// `.NAME.` and the digits of the name.
fn part_prefix(name: &[u8]) -> Vec<u8> {
    let room = LONGEST - 2 - DIGITS - UNIQUE - SUFFIX.len();
    let cut = match std::str::from_utf8(name) {
        // Some file systems take only whole characters.
        Ok(text) => text.floor_char_boundary(room),
        Err(_) => name.len().min(room),
    };
    [b".", &name[..cut], b".", digits(name).as_bytes()].concat()
}

fn unique() -> String {
    static NEXT: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(RandomState::new().build_hasher().finish()));
    format!("{:0UNIQUE$x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn digits(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..DIGITS / 4])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VERSION: Version = Version { size: 5, changed: 7, nanoseconds: 9 };

    proptest! {
        #[test]
        fn a_part_is_known_by_its_name(name in prop::collection::vec(any::<u8>(), 1..=255), size: u64) {
            let version = Version { size, ..VERSION };
            let part = new_part_name(&name, version);
            prop_assert!(part.len() <= LONGEST);
            prop_assert!(is_part_of(&part, &name) && is_part_of_version(&part, &name, version));
            let other = [&name[..name.len().min(254)], b"x"].concat();
            prop_assert!(name == other || !is_part_of(&part, &other));
        }
    }

    #[test]
    fn another_version_has_another_part() {
        let other = Version { nanoseconds: 8, ..VERSION };
        assert!(!is_part_of_version(&new_part_name(b"a", VERSION), b"a", other));
        assert_ne!(new_part_name(b"a", VERSION), new_part_name(b"a", VERSION));
    }

    #[test]
    fn the_last_name_of_a_path() {
        assert_eq!(base_name(b"/a/b//"), Some(&b"b"[..]));
        assert_eq!(base_name(b"b"), Some(&b"b"[..]));
        assert_eq!(base_name(b"a/."), None);
        assert_eq!(base_name(b"/"), None);
        assert_eq!((parent(b"/a/b/"), parent(b"/a"), parent(b"a")), (b"/a".into(), b"/".into(), b".".into()));
    }
}
