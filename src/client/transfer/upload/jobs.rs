//! An upload, and what it has to do.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::{
    super::{
        super::sftp::{Attributes, SftpError},
        context::Context,
        removals::Removals,
    },
    local::Source,
};

/// An upload under way.
pub(in super::super) struct Upload {
    pub(super) context: Context,
    pub(super) removals: Arc<Removals>,
    /// Folders that get their modes and times once nothing more is put in them.
    pub(super) made: Mutex<Vec<(Vec<u8>, Attributes)>>,
    /// Held by each local folder that is open.
    pub(super) opened: Arc<()>,
}

/// A file to copy.
pub(in super::super) struct FileJob {
    pub(super) source: Source,
    pub(super) folder: Arc<RemoteFolder>,
    /// The name to take.
    pub(super) name: Vec<u8>,
    /// What has the name, where that was asked for already.
    pub(super) taken: Option<Result<Attributes, SftpError>>,
}

/// What has the name that a file is to get.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) attributes: Option<Attributes>,
}

/// A folder to make and to fill.
pub(in super::super) struct FolderJob {
    pub(super) source: Source,
    pub(super) remote: Vec<u8>,
    pub(super) above: Option<Arc<Above>>,
}

/// The folders a folder is in, by device and number.
pub(super) struct Above {
    identity: (u64, u64),
    /// How many there are.
    pub(super) depth: usize,
    above: Option<Arc<Self>>,
}

/// A remote folder.
pub(super) struct RemoteFolder {
    pub(super) path: Vec<u8>,
    /// What is in it, of all that matters; none when that was not asked for.
    pub(super) known: Option<HashMap<Vec<u8>, Attributes>>,
    /// The names of parts in it.
    pub(super) parts: Vec<Vec<u8>>,
}

impl FolderJob {
    pub(super) fn top(source: Source, remote: Vec<u8>) -> Self {
        Self { source, remote, above: None }
    }
}

impl RemoteFolder {
    pub(super) fn unknown(path: Vec<u8>) -> Self {
        Self { path, known: None, parts: Vec::new() }
    }
}

impl Above {
    pub(super) fn new(identity: (u64, u64), above: Option<Arc<Self>>) -> Self {
        let depth = above.as_ref().map_or(0, |above| above.depth) + 1;
        Self { identity, depth, above }
    }

    pub(super) fn contains(&self, identity: (u64, u64)) -> bool {
        let mut one = Some(self);
        while let Some(above) = one {
            if above.identity == identity {
                return true;
            }
            one = above.above.as_deref();
        }
        false
    }
}
