//! Content compared from end to end.

use std::{
    fs::File,
    io::{self, Read},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, oneshot};

use super::{
    super::sftp::{Attributes, OpenFlags, Sftp, SftpError},
    names::join,
    stream::{Next, ReadAhead},
};

/// SHA-256 of a file.
pub type Sha256Digest = [u8; 32];

/// What [`RemoteSha256::sha256`] gives.
pub type Sha256Future<'a> = Pin<Box<dyn Future<Output = Vec<Option<Sha256Digest>>> + Send + 'a>>;

/// Computes SHA-256 of files on the other machine, such as by running `sha256sum` there.
pub trait RemoteSha256: Send + Sync {
    /// The digests of these files, in their order. One that cannot be had is none, and the content is
    /// read back then.
    fn sha256<'a>(&'a self, paths: &'a [Vec<u8>]) -> Sha256Future<'a>;
}

/// Files that are asked for at once.
const BATCH: usize = 256;

/// A file that is not longer is read back: that is one round trip, and no program is started.
const SHORT: u64 = 32 << 10;

/// Bytes of a local file that are hashed at once.
const BLOCK: usize = 256 << 10;

/// Asks for digests of remote files, many at once.
pub(super) struct Verifier {
    sftp: Sftp,
    remote: Option<Arc<dyn RemoteSha256>>,
    queue: Mutex<Vec<Question>>,
    /// Where relative paths begin at the server: a program there may be started elsewhere.
    home: OnceCell<Vec<u8>>,
    /// Held by the one who asks for all that are queued.
    turn: tokio::sync::Mutex<()>,
}

struct Question {
    path: Vec<u8>,
    answer: oneshot::Sender<Option<Sha256Digest>>,
}

impl Verifier {
    pub(super) fn new(sftp: Sftp, remote: Option<Arc<dyn RemoteSha256>>) -> Self {
        Self {
            sftp,
            remote,
            queue: Mutex::default(),
            home: OnceCell::new(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The digest of a remote file.
    pub(super) async fn remote(&self, path: &[u8], size: u64) -> Result<Sha256Digest, SftpError> {
        if size > SHORT
            && let Some(remote) = &self.remote
            && let Some(digest) = self.asked(remote.as_ref(), self.absolute(path).await?).await
        {
            return Ok(digest);
        }
        self.read_back(path, size).await
    }

    async fn absolute(&self, path: &[u8]) -> Result<Vec<u8>, SftpError> {
        if path.starts_with(b"/") {
            return Ok(path.to_vec());
        }
        Ok(join(self.home.get_or_try_init(|| self.sftp.realpath(".")).await?, path))
    }

    async fn asked(&self, remote: &dyn RemoteSha256, path: Vec<u8>) -> Option<Sha256Digest> {
        let (answer, mut receiver) = oneshot::channel();
        self.questions().push(Question { path, answer });
        loop {
            let _turn = self.turn.lock().await;
            match receiver.try_recv() {
                Ok(digest) => return digest,
                Err(oneshot::error::TryRecvError::Closed) => return None,
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let questions: Vec<Question> = {
                let mut queue = self.questions();
                let count = queue.len().min(BATCH);
                queue.drain(..count).collect()
            };
            let (paths, answers): (Vec<_>, Vec<_>) =
                questions.into_iter().map(|question| (question.path, question.answer)).unzip();
            let mut digests = remote.sha256(&paths).await.into_iter();
            for answer in answers {
                let _ = answer.send(digests.next().flatten());
            }
        }
    }

    async fn read_back(&self, path: &[u8], size: u64) -> Result<Sha256Digest, SftpError> {
        let file = self.sftp.open(path, OpenFlags::READ, &Attributes::default()).await?;
        let mut ahead = ReadAhead::new(&self.sftp, &file, 0, size);
        let mut hash = Sha256::new();
        // A file that is shorter has another digest, which is all that matters.
        while let Next::Data(_, held) = ahead.next().await? {
            hash.update(&held.bytes);
        }
        Ok(hash.finalize().into())
    }

    fn questions(&self) -> std::sync::MutexGuard<'_, Vec<Question>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The digest of a local file from its begin. Blocks.
pub(super) fn local(mut file: &File) -> io::Result<Sha256Digest> {
    use std::io::Seek;
    file.rewind()?;
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => hash.update(&block[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
