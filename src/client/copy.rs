//! Files over a connection: SFTP in a session of its own, and digests computed at the server.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path, sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::client::{
    channel::OpenError,
    connection::Connection,
    session::SessionError,
    sftp::{Completion, RemotePath, Sftp, SftpError, complete},
    state::Exit,
    transfer::{
        RemoteSha256, Sha256Digest, Sha256Future, TransferError, TransferFailure, TransferOptions,
        TransferReport, download, upload,
    },
};

/// How long a file server may take to say its first word: what a login script does comes before it.
const FIRST_WORD: Duration = Duration::from_secs(60);

/// Files could not be moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// No channel.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The server has no SFTP.
    #[error("the server does not serve files: {0}\nit needs `Subsystem sftp` in its sshd_config")]
    Subsystem(SessionError),
    /// The file server ended before it began, and how, if the server tells.
    #[error("the file server did not start{}", with(.1))]
    NotStarted(SftpError, Option<Exit>),
    /// The file server said nothing for this long.
    #[error("the file server has said nothing within {} seconds", .0.as_secs())]
    Silent(Duration),
    /// SFTP went wrong.
    #[error(transparent)]
    Sftp(#[from] SftpError),
    /// A transfer was not done in full.
    #[error(transparent)]
    Transfer(#[from] TransferFailure),
}

impl Connection {
    /// SFTP in a session of its own, which ends with the last clone of it.
    ///
    /// # Errors
    ///
    /// [`FilesError`], but no [`FilesError::Transfer`].
    pub async fn sftp(&self) -> Result<Sftp, FilesError> {
        let sftp = self.begin_sftp().await?;
        sftp.ask_limits().await?;
        Ok(sftp)
    }

    /// Without the limits, which a transfer asks for along with other things.
    async fn begin_sftp(&self) -> Result<Sftp, FilesError> {
        let start = async {
            let session = self.open_session().await?;
            // As ssh's sftp, it speaks before the server has said yes: a round trip less.
            let (accepted, stream) = session.into_subsystem("sftp").await;
            let ending = stream.ending();
            let (reader, writer) = tokio::io::split(stream);
            let accepted = async { accepted.await.map_err(FilesError::Subsystem) };
            let started = async {
                match Sftp::begin(reader, writer).await {
                    Err(error @ SftpError::Gone { .. }) if self.disconnected().is_none() => {
                        Err(FilesError::NotStarted(error, ending.within(LAST_WORD).await))
                    }
                    other => Ok(other?),
                }
            };
            let ((), sftp) = tokio::try_join!(accepted, started)?;
            Ok(sftp)
        };
        timeout(FIRST_WORD, start).await.unwrap_or(Err(FilesError::Silent(FIRST_WORD)))
    }

    async fn sftp_unless(&self, cancel: &CancellationToken) -> Result<Sftp, FilesError> {
        tokio::select! {
            sftp = self.begin_sftp() => sftp,
            () = cancel.cancelled() => {
                let errors = vec![TransferError::Cancelled];
                Err(TransferFailure { errors, errors_total: 1, report: TransferReport::default() }.into())
            }
        }
    }

    /// Copies files and folders to the server, by the rules of [`crate::client::transfer`]. Dropping the future
    /// stops it where it is, as a lost connection does.
    ///
    /// # Errors
    ///
    /// [`FilesError`].
    pub async fn upload(
        &self,
        sources: impl IntoIterator<Item = impl AsRef<Path>>,
        destination: impl RemotePath,
        options: TransferOptions,
    ) -> Result<TransferReport, FilesError> {
        let options = self.with_digests(options);
        Ok(upload(&self.sftp_unless(&options.cancel).await?, sources, destination, options).await?)
    }

    /// Copies files and folders from the server, by the rules of [`crate::client::transfer`]. Dropping the
    /// future stops it where it is, as a lost connection does.
    ///
    /// # Errors
    ///
    /// [`FilesError`].
    pub async fn download(
        &self,
        sources: impl IntoIterator<Item = impl RemotePath>,
        destination: impl AsRef<Path>,
        options: TransferOptions,
    ) -> Result<TransferReport, FilesError> {
        let options = self.with_digests(options);
        Ok(download(&self.sftp_unless(&options.cancel).await?, sources, destination, options).await?)
    }

    /// Has digests computed by the server unless something else is to do so.
    fn with_digests(&self, mut options: TransferOptions) -> TransferOptions {
        if options.checksum {
            options.remote_sha256.get_or_insert_with(|| remote_sha256(self.clone()));
        }
        options
    }

    /// The paths of the server that begin like this, as a shell would complete them. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`FilesError`], but no [`FilesError::Transfer`].
    pub async fn remote_completion(&self, partial: impl RemotePath) -> Result<Vec<Completion>, FilesError> {
        Ok(complete(&self.sftp().await?, partial.as_remote()).await?)
    }
}

/// Computes digests by `sha256sum` at the server, where there is one.
#[must_use]
pub fn remote_sha256(connection: Connection) -> Arc<dyn RemoteSha256> {
    Arc::new(ByCommand(connection))
}

struct ByCommand(Connection);

/// How long the server may take to tell how its file server ended.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Bytes that a login shell may print before the command.
const MOST_GREETING: usize = 64 << 10;

/// The line before the digests.
const MARK: &[u8] = b"irosh:sha256\n";

/// Bytes of a command line. The kernel takes 128 KiB in one argument, which all of it becomes.
const LONGEST: usize = 64 << 10;

impl RemoteSha256 for ByCommand {
    fn sha256<'a>(&'a self, paths: &'a [Vec<u8>]) -> Sha256Future<'a> {
        Box::pin(async move {
            let mut digests = Vec::with_capacity(paths.len());
            let mut rest = paths;
            while !rest.is_empty() {
                let mut length = 0;
                let fits = rest.iter().take_while(|path| {
                    length += escaped(path).len() + 3;
                    length <= LONGEST
                });
                let (now, later) = rest.split_at(fits.count().max(1));
                digests.extend(self.ask(now).await);
                rest = later;
            }
            digests
        })
    }
}

impl ByCommand {
    async fn ask(&self, paths: &[Vec<u8>]) -> Vec<Option<Sha256Digest>> {
        let unknown = vec![None; paths.len()];
        let mut command = self.0.command(OsStr::from_bytes(&command(paths)));
        match command.output_limit(MOST_GREETING + 128 * paths.len()).output().await {
            Ok(output) if output.success() => digests(&output.stdout, paths.len()).unwrap_or(unknown),
            _ => unknown,
        }
    }
}

/// The mark, and then a line of output for each path, whatever the login shell is and says.
fn command(paths: &[Vec<u8>]) -> Vec<u8> {
    // The x keeps newlines that a name ends with.
    let script = r#"echo irosh:sha256; for f do f=$(printf %b "$f"; echo x); f=${f%x}; "#;
    let script = format!(r#"{script}sha256sum <"$f" 2>/dev/null || echo none; done"#);
    let mut command = format!("exec sh -c '{script}' sh").into_bytes();
    for path in paths {
        command.extend(b" '");
        command.extend(escaped(path));
        command.push(b'\'');
    }
    command
}

/// A path as printf's `%b` reads it. What login shells understand each in their own way, even within quotes, is
/// not in it.
fn escaped(path: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(path.len());
    for byte in path {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => escaped.push(*byte),
            other => escaped.extend(format!("\\0{other:03o}").bytes()),
        }
    }
    escaped
}

/// Reads what the command printed; none unless there is a line for each path.
fn digests(output: &[u8], paths: usize) -> Option<Vec<Option<Sha256Digest>>> {
    let begin = output.windows(MARK.len()).rposition(|window| window == MARK)? + MARK.len();
    let lines = output[begin..].strip_suffix(b"\n")?.split(|byte| *byte == b'\n');
    let digests: Vec<_> = lines.map(digest).collect();
    (digests.len() == paths).then_some(digests)
}

fn with(exit: &Option<Exit>) -> String {
    match exit {
        Some(exit) => {
            format!(": {exit}\nlook at `Subsystem sftp` in the server's sshd_config, and into its log")
        }
        None => "\nlook into the server's log".to_owned(),
    }
}

fn digest(line: &[u8]) -> Option<Sha256Digest> {
    let mut digest = Sha256Digest::default();
    hex::decode_to_slice(line.get(..64)?, &mut digest).ok()?;
    Some(digest)
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::*;

    /// The digests that a login shell gives for files with these names, all of which but the last are there.
    fn digests_by(shell: &str, names: &[&[u8]]) -> Option<Vec<Option<Sha256Digest>>> {
        let folder = tempfile::tempdir().expect("a folder");
        let paths: Vec<_> =
            names.iter().map(|name| [folder.path().as_os_str().as_bytes(), b"/", name].concat()).collect();
        for (path, name) in paths.iter().zip(names).take(names.len() - 1) {
            std::fs::write(Path::new(OsStr::from_bytes(path)), name).expect("a file");
        }
        let text = command(&paths);
        let output = std::process::Command::new(shell)
            .current_dir(folder.path())
            .arg("-c")
            .arg(OsStr::from_bytes(&text))
            .output()
            .expect("a shell");
        let made = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(made, names.len() - 1, "{shell}: a name was obeyed");
        assert_eq!(digests(&output.stdout, names.len() + 1), None);
        digests(&[b"Welcome!\n", &output.stdout[..]].concat(), names.len())
    }

    #[test]
    fn no_login_shell_obeys_a_name() {
        let names: [&[u8]; 16] = [
            b"plain",
            b"it's",
            b"-n",
            b"two\nlines",
            b"ends\n",
            b"$HOME",
            b"a\\'(touch PWNED)\\'b",
            b"a'\n`touch PWNED`\n'b",
            b"$(touch PWNED)",
            b"';touch PWNED;'",
            b"!!; !touch",
            b"\\0041\\c\\",
            b"%s %b {a,b} *?[a] ~",
            b"\"; touch PWNED; \"",
            b"\xff\xc3\x80 \t\x1b",
            b"not there",
        ];
        let mut tried = 0;
        for shell in ["sh", "dash", "bash", "zsh", "ksh", "fish", "csh", "tcsh"] {
            let path = std::env::var_os("PATH").unwrap_or_default();
            if !std::env::split_paths(&path).any(|folder| folder.join(shell).is_file()) {
                eprintln!("skipped: {shell} is not installed");
                continue;
            }
            tried += 1;
            let digests = digests_by(shell, &names).unwrap_or_else(|| panic!("{shell}: a line for each"));
            for (name, digest) in names.iter().zip(&digests).take(names.len() - 1) {
                let shown = String::from_utf8_lossy(name);
                assert_eq!(*digest, Some(sha2::Sha256::digest(name).into()), "{shell}: {shown:?}");
            }
            assert_eq!(digests[names.len() - 1], None, "{shell}");
        }
        assert!(tried > 0);
    }
}
