//! Transfers over real servers. What holds for both directions is tested in both.

mod atomic;
mod errors;
mod hostile;
mod resume;
mod rules;
mod special;
mod trees;
mod turns;

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{
    super::sftp::{
        Sftp,
        tests::{Server, servers, soon},
    },
    TransferFailure, TransferOptions, TransferReport, download, upload,
};

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

const WAYS: [Way; 2] = [Way::Up, Way::Down];

impl Way {
    async fn copy(
        self,
        sftp: &Sftp,
        sources: &[PathBuf],
        destination: &Path,
        options: &TransferOptions,
    ) -> Result<TransferReport, TransferFailure> {
        let options = options.clone();
        match self {
            Self::Up => soon(upload(sftp, sources, destination.as_os_str().as_bytes(), options)).await,
            Self::Down => {
                let sources: Vec<_> =
                    sources.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
                soon(download(sftp, &sources, destination, options)).await
            }
        }
    }
}

/// A place with a server.
struct Place {
    dir: TempDir,
    server: Server,
    way: Way,
}

impl Place {
    /// One with each server in each direction.
    async fn each() -> Vec<Self> {
        let mut places = Vec::new();
        for server in servers() {
            for way in WAYS {
                places.push(Self { dir: folder(), server: Server::start(&server).await, way });
            }
        }
        places
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, content).expect("a file");
        path
    }

    fn make(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(&path).expect("a folder");
        path
    }

    async fn copy(
        &self,
        source: &Path,
        destination: &Path,
        options: &TransferOptions,
    ) -> Result<TransferReport, TransferFailure> {
        self.way.copy(&self.server.sftp, &[source.to_owned()], destination, options).await
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn recursive() -> TransferOptions {
    TransferOptions { recursive: true, ..TransferOptions::default() }
}

fn resume() -> TransferOptions {
    TransferOptions { recursive: true, resume: true, ..TransferOptions::default() }
}

/// Bytes without a pattern.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_ne_bytes()
    };
    std::iter::repeat_with(next).flatten().take(length).collect()
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Whether two trees have the same files with the same content.
fn same(one: &Path, other: &Path) -> bool {
    std::process::Command::new("diff").arg("-r").arg(one).arg(other).status().expect("diff").success()
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).expect("a file").mode() & 0o7777
}
