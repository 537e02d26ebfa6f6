//! Which SSH host keys the server behind the host has, so that no client needs to ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use russh::{
    Preferred,
    client::{self, Handler},
    keys::{Algorithm, EcdsaCurve, PublicKey, PublicKeyOrCertificate, ssh_key},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional},
    sync::watch,
    time::timeout,
};

use super::backend::{Backend, BackendStream, Caller};

/// How long the server may take to show one key.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long the server may take to notice that it was asked enough.
const GONE: Duration = Duration::from_secs(1);

/// Where OpenSSH's packages keep a machine's host keys.
const OPENSSH_FOLDER: &str = "/etc/ssh";

/// How old an answer may be before the server is asked again, for it may have new keys.
const MAX_AGE: Duration = Duration::from_secs(60);

/// The host keys of a backend.
#[derive(Default)]
pub(super) struct HostKeys(watch::Sender<Asked>);

#[derive(Default)]
struct Asked {
    keys: Vec<Vec<u8>>,
    /// When the server last answered, or did not; none when that says nothing any more.
    at: Option<Instant>,
    /// What OpenSSH's key files looked like then.
    files: KeyFiles,
    asking: bool,
}

/// When each file of a folder was last changed.
type KeyFiles = BTreeMap<PathBuf, SystemTime>;

impl HostKeys {
    /// Asks the server, in a task of its own, unless that was done lately.
    ///
    /// A server that does not answer now keeps the keys that it had. Where OpenSSH's key files have
    /// changed, the old answer counts for nothing.
    pub(super) fn ask(&self, backend: &Backend, builtin: &[OsString]) {
        let files = key_files(Path::new(OPENSSH_FOLDER));
        let due = self.0.send_if_modified(|asked| {
            if asked.files != files {
                (asked.at, asked.files) = (None, files);
            }
            let due = !asked.asking && asked.at.is_none_or(|at| at.elapsed() > MAX_AGE);
            asked.asking |= due;
            due
        });
        if due {
            let (asked, backend, builtin) = (self.0.clone(), backend.clone(), builtin.to_vec());
            tokio::spawn(async move {
                let keys = scan(&backend, &builtin).await;
                asked.send_modify(|asked| {
                    if keys.is_empty() {
                        tracing::warn!("{backend} does not answer as an ssh server (sshd needs -i there, if it is a command)");
                    } else {
                        if !asked.keys.is_empty() && asked.keys != keys {
                            tracing::info!("the ssh server has new host keys");
                        }
                        asked.keys = keys;
                    }
                    asked.at = Some(Instant::now());
                    asked.asking = false;
                });
            });
        }
    }

    /// Has the server asked again before the next answer is given.
    pub(super) fn forget(&self) {
        self.0.send_modify(|asked| asked.at = None);
    }

    /// Key blobs (RFC 4253 section 6.6) of the last answer; waits only for the first.
    pub(super) async fn known(&self, wait: Duration) -> Vec<Vec<u8>> {
        let mut asked = self.0.subscribe();
        let first = timeout(wait, asked.wait_for(|asked| asked.at.is_some())).await;
        first.ok().and_then(Result::ok).map(|asked| asked.keys.clone()).unwrap_or_default()
    }
}

/// Asks an SSH server for its host keys, as `ssh-keyscan` does: a key exchange for each type of
/// key, ended before authentication.
///
/// Key types that cannot be asked for here (RSA) are taken from the files in `/etc/ssh`, if one
/// there is a key that the server has shown.
///
/// Returns key blobs (RFC 4253 section 6.6), none when the server cannot be asked.
async fn scan(backend: &Backend, builtin: &[OsString]) -> Vec<Vec<u8>> {
    let mut keys = BTreeSet::new();
    for algorithm in [Algorithm::Ed25519, Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }] {
        match timeout(DEADLINE, ask(backend, builtin, algorithm.clone())).await {
            Ok(Some(key)) => keys.extend(key.to_bytes()),
            Ok(None) => tracing::debug!(%algorithm, "the ssh server shows no key of this type"),
            Err(_) => break,
        }
    }
    let on_disk = openssh_keys(Path::new(OPENSSH_FOLDER));
    if !keys.is_disjoint(&on_disk) {
        keys.extend(on_disk);
    }
    keys.into_iter().collect()
}

async fn ask(backend: &Backend, builtin: &[OsString], algorithm: Algorithm) -> Option<PublicKey> {
    let mut stream = backend.connect(Caller { peer: None, builtin, tells_login: false }).await.ok()?;
    let (lent, mut ours) = tokio::io::duplex(64 << 10);
    let talk = async {
        let _ = copy_bidirectional(&mut ours, &mut stream).await;
        // The question counts as one of MaxStartups until the server has noticed its end.
        let _ = stream.shutdown().await;
        let _ = timeout(GONE, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
    };
    let config = client::Config {
        preferred: Preferred { key: vec![algorithm].into(), ..Preferred::DEFAULT },
        ..client::Config::default()
    };
    let shown = Shown::default();
    // The handler refuses every key, so this ends with the first one.
    let asking = client::connect_stream(Arc::new(config), lent, shown.clone());
    let _ = tokio::join!(asking, talk);
    shown.0.lock().ok()?.take()
}

/// Keeps the key that the server shows and ends the connection.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Option<PublicKey>>>);

impl Handler for Shown {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        if let (PublicKeyOrCertificate::PublicKey { key, .. }, Ok(mut shown)) = (key, self.0.lock()) {
            *shown = Some(key.clone());
        }
        Ok(false)
    }
}

fn key_files(folder: &Path) -> KeyFiles {
    let Ok(files) = std::fs::read_dir(folder) else {
        return KeyFiles::new();
    };
    files.flatten().filter_map(|file| Some((file.path(), file.metadata().ok()?.modified().ok()?))).collect()
}

fn openssh_keys(folder: &Path) -> BTreeSet<Vec<u8>> {
    let Ok(files) = std::fs::read_dir(folder) else {
        return BTreeSet::new();
    };
    files
        .flatten()
        .filter(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.starts_with("ssh_host_") && name.ends_with("_key.pub")
        })
        .filter_map(|file| std::fs::read_to_string(file.path()).ok())
        .filter_map(|text| ssh_key::PublicKey::from_openssh(&text).ok()?.to_bytes().ok())
        .collect()
}

impl AsyncRead for BackendStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for BackendStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
