//! Asks an SSH server for its host keys, as `ssh-keyscan` does.

use std::{
    borrow::Cow,
    ffi::OsString,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use russh::{
    AlgorithmKind, Preferred, cipher,
    client::{self, Handler},
    kex,
    keys::{Algorithm, EcdsaCurve, HashAlg, PublicKeyOrCertificate},
    mac,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, copy_bidirectional},
    process::ChildStderr,
    time::timeout,
};

use super::{
    key::HostKey,
    offer::{after_identification, host_key_algorithms},
};
use crate::host::backend::{Backend, BackendStream, Caller};

/// How long the server may take to show one key.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long the server may take to notice that it was asked enough.
const GONE: Duration = Duration::from_secs(1);

/// How much of a complaint is repeated.
const LONGEST_COMPLAINT: u64 = 2 << 10;

/// A server's `SSH_MSG_KEXINIT` is among its first bytes: no packet is longer (RFC 4253 section 6.1).
const MOST_HEARD: usize = 36 << 10;

/// What a server has answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The keys that it has proved to hold, in order.
    pub(super) keys: Vec<HostKey>,
    /// Why it has proved none.
    pub(super) trouble: Option<Trouble>,
}

/// Why a server shows no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{0}")]
    Unreachable(String),
    #[error("it ends before its first word{}", said(.0))]
    Ended(String),
    #[error("it says nothing for {} s", DEADLINE.as_secs())]
    Silent,
    #[error("it does not speak ssh (sshd needs -i there, if it is a command)")]
    NotSsh,
    #[error("it has no {kind} algorithm that the host knows, but only {theirs}")]
    NothingInCommon { kind: &'static str, theirs: String },
    #[error("what listens there is user {0}'s, and neither root's nor this host's")]
    Foreign(u32),
    #[error("it ends in the key exchange: {0}")]
    Failed(String),
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(", and says: {text}") }
}

/// Asks a server for its host keys: a key exchange for each type, ended before authentication.
///
/// Once it has proved one of `machine`, it is not asked for the types of the others: each question is a line in its
/// log.
pub(super) async fn scan(backend: &Backend, builtin: &[OsString], machine: &[HostKey]) -> Answer {
    let mut wanted = host_keys();
    let mut answer = Answer::default();
    while !wanted.is_empty() {
        let asked = timeout(DEADLINE, ask(backend, builtin, &wanted)).await.unwrap_or(Err(Trouble::Silent));
        let (key, offered) = match asked {
            Ok(shown) => shown,
            Err(trouble) => {
                tracing::debug!("the ssh server shows no further host key: {trouble}");
                answer.trouble = answer.keys.is_empty().then_some(trouble);
                break;
            }
        };
        let before = wanted.len();
        let known = if machine.contains(&key) { machine } else { std::slice::from_ref(&key) };
        wanted.retain(|algorithm| {
            offered.contains(&algorithm.to_string()) && !known.iter().any(|key| key.kind() == kind(algorithm))
        });
        answer.keys.push(key);
        if wanted.len() == before {
            break;
        }
    }
    answer.keys.sort();
    answer
}

/// Returns the key that the server proves to hold, and the algorithms that it has keys for.
async fn ask(
    backend: &Backend,
    builtin: &[OsString],
    wanted: &[Algorithm],
) -> Result<(HostKey, Vec<String>), Trouble> {
    let caller = Caller { peer: None, builtin, tells_login: false };
    let BackendStream { mut reader, writer, server, stderr, child: _child, .. } =
        backend.connect(caller).await.map_err(|refusal| {
            Trouble::Unreachable(refusal.sentence.lines().next().unwrap_or_default().to_owned())
        })?;
    let mut first = vec![0; 512];
    let length = reader.read(&mut first).await.unwrap_or_default();
    first.truncate(length);
    if first.is_empty() {
        return Err(Trouble::Ended(last_words(stderr).await));
    }
    // Before it is told anything: who cannot be asked whose process he is any more cannot prove a key either.
    let owner = tokio::task::spawn_blocking(move || server.owner()).await.ok().flatten();
    if let Some(uid) = owner.filter(|uid| crate::owner::is_trusted(*uid) == Some(false)) {
        return Err(Trouble::Foreign(uid));
    }
    let mut theirs = tokio::io::join(Tap { unread: first, inner: reader, heard: Vec::new() }, writer);
    let (lent, mut ours) = tokio::io::duplex(64 << 10);
    let talk = async {
        let _ = copy_bidirectional(&mut ours, &mut theirs).await;
        // The question counts as one of MaxStartups until the server has noticed its end.
        let _ = theirs.shutdown().await;
        let _ = timeout(GONE, tokio::io::copy(&mut theirs, &mut tokio::io::sink())).await;
    };
    let config = client::Config { preferred: preferred(wanted), ..client::Config::default() };
    let shown = Shown::default();
    // The handler refuses every key, so this ends with the first one.
    let asking = client::connect_stream(Arc::new(config), lent, shown.clone());
    let (asked, ()) = tokio::join!(asking, talk);
    let heard = &theirs.reader().heard;
    match (shown.0.lock().ok().and_then(|mut shown| shown.take()), asked.err()) {
        (Some(key), _) => Ok((key, host_key_algorithms(heard))),
        (None, Some(russh::Error::NoCommonAlgo { kind, theirs, .. })) => {
            Err(Trouble::NothingInCommon { kind: name(&kind), theirs: theirs.join(",") })
        }
        _ if after_identification(heard).is_none() => Err(Trouble::NotSsh),
        (None, error) => Err(Trouble::Failed(error.map_or_else(String::new, |error| error.to_string()))),
    }
}

/// The beginning of what a command says on stderr, as one line.
async fn last_words(stderr: Option<ChildStderr>) -> String {
    let mut said = Vec::new();
    if let Some(stderr) = stderr {
        let _ = timeout(GONE, stderr.take(LONGEST_COMPLAINT).read_to_end(&mut said)).await;
    }
    let text = String::from_utf8_lossy(&said);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn name(kind: &AlgorithmKind) -> &'static str {
    match kind {
        AlgorithmKind::Kex => "key exchange",
        AlgorithmKind::Key => "host key",
        AlgorithmKind::Cipher => "cipher",
        AlgorithmKind::Mac => "MAC",
        AlgorithmKind::Compression => "compression",
    }
}

/// The type of the keys that sign with an algorithm.
fn kind(algorithm: &Algorithm) -> String {
    match algorithm {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None }.to_string(),
        other => other.to_string(),
    }
}

/// Every host key algorithm whose signatures can be verified here, best first.
fn host_keys() -> Vec<Algorithm> {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let rsa = |hash| Algorithm::Rsa { hash };
    vec![
        Algorithm::Ed25519,
        ecdsa(EcdsaCurve::NistP256),
        ecdsa(EcdsaCurve::NistP384),
        ecdsa(EcdsaCurve::NistP521),
        rsa(Some(HashAlg::Sha512)),
        rsa(Some(HashAlg::Sha256)),
        rsa(None),
    ]
}

/// Whatever russh has, old ciphers too: nothing secret is said, and the server proves its key all the same.
fn preferred(wanted: &[Algorithm]) -> Preferred {
    let also = |best: &[kex::Name]| {
        let rest = kex::ALL_KEX_ALGORITHMS.iter().map(|name| **name);
        let rest = rest.filter(|name| *name != kex::NONE && !best.contains(name));
        best.iter().copied().chain(rest).collect::<Vec<_>>()
    };
    let ciphers = cipher::ALL_CIPHERS.iter().map(|name| **name);
    let macs = mac::ALL_MAC_ALGORITHMS.iter().map(|name| **name);
    let authenticated = |name: &cipher::Name| {
        [cipher::CHACHA20_POLY1305, cipher::AES_128_GCM, cipher::AES_256_GCM].contains(name)
    };
    // Those that need no MAC go first: no MAC may be in common.
    let (mut cipher, rest): (Vec<_>, Vec<_>) =
        ciphers.filter(|name| ![cipher::CLEAR, cipher::NONE].contains(name)).partition(authenticated);
    cipher.extend(rest);
    Preferred {
        kex: also(&Preferred::DEFAULT.kex).into(),
        key: wanted.to_vec().into(),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: cipher.into(),
        mac: macs.filter(|name| *name != mac::NONE).collect::<Vec<_>>().into(),
        compression: Preferred::DEFAULT.compression,
    }
}

/// Keeps the key that the server shows and ends the connection.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Option<HostKey>>>);

impl Handler for Shown {
    type Error = russh::Error;

    /// Is called once the signature over the exchange has been verified.
    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        if let (PublicKeyOrCertificate::PublicKey { key, .. }, Ok(mut shown)) = (key, self.0.lock()) {
            *shown = Some(key.clone().into());
        }
        Ok(false)
    }
}

/// What a server says, kept as it passes by.
struct Tap {
    /// What was read of it before.
    unread: Vec<u8>,
    inner: Box<dyn AsyncRead + Send + Unpin>,
    heard: Vec<u8>,
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        if self.unread.is_empty() {
            std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        } else {
            let length = self.unread.len().min(buf.remaining());
            buf.put_slice(&self.unread[..length]);
            self.unread.drain(..length);
        }
        let room = MOST_HEARD - self.heard.len();
        let passed = &buf.filled()[before..];
        self.heard.extend(&passed[..passed.len().min(room)]);
        Poll::Ready(Ok(()))
    }
}
