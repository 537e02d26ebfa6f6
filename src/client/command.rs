//! A command and its streams, as `std::process` and `tokio::process` have them.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::client::{
    capture::Output,
    channel::RawChannel,
    connection::Connection,
    outbox::Outbox,
    pty::{PtyOptions, PtySize},
    session::{Session, SessionError, SessionSender},
    state::{Exit, SessionState},
    stream,
};

/// The most that [`Command::output`] collects of each stream, in bytes, unless another limit is set.
const OUTPUT_LIMIT: usize = 64 << 20;

/// A command that the login shell of a host runs: see [`Connection::command`].
///
/// ```no_run
/// # async fn run() -> irosh::Result<()> {
/// let host = irosh::connect("alice@box").await?;
/// let output = host.command("grep -c").arg("two words").arg("/etc/motd").output().await?;
/// println!("{}: {}", output.exit, output.stdout_lossy());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing runs until it is spawned"]
pub struct Command {
    connection: Connection,
    line: Vec<u8>,
    environment: Vec<(Vec<u8>, Vec<u8>)>,
    terminal: Option<PtyOptions>,
    output_limit: usize,
}

impl Connection {
    /// A command, which the login shell there reads: words, quotes, `$` and `;` mean what they mean to that shell. What is
    /// to mean nothing to it is added with [`Command::arg`].
    pub fn command(&self, command: impl AsRef<OsStr>) -> Command {
        Command {
            connection: self.clone(),
            line: command.as_ref().as_bytes().to_vec(),
            environment: Vec::new(),
            terminal: None,
            output_limit: OUTPUT_LIMIT,
        }
    }
}

impl Command {
    /// Adds an argument, quoted so that the login shell passes it on as it is, whatever is in it: sh and those like it,
    /// fish and csh. Only csh takes no newline.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.line.push(b' ');
        self.line.extend(quoted(argument.as_ref().as_bytes()));
        self
    }

    /// Adds arguments, as [`Command::arg`].
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        for argument in arguments {
            self.arg(argument);
        }
        self
    }

    /// Sets a variable, where the server's AcceptEnv allows it.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.environment.push((name.as_ref().as_bytes().to_vec(), value.as_ref().as_bytes().to_vec()));
        self
    }

    /// Runs it on a terminal, as `ssh -t` does: stdout and stderr are one then.
    pub fn pty(&mut self, options: PtyOptions) -> &mut Self {
        self.terminal = Some(options);
        self
    }

    /// The most bytes of each stream that [`Command::output`] collects; 64 MiB otherwise.
    pub fn output_limit(&mut self, bytes: usize) -> &mut Self {
        self.output_limit = bytes;
        self
    }

    /// Starts it. If the returned future is dropped, the command is hung up on.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn spawn(&self) -> Result<Child, SessionError> {
        let session = self.connection.open_session().await?;
        if let Some(terminal) = &self.terminal {
            session.request_pty(terminal).await?;
        }
        for (name, value) in &self.environment {
            // Refusals do not matter, as in ssh.
            session.tell_env(name, value).await;
        }
        session.exec(&self.line).await?;
        Ok(Child::new(session))
    }

    /// Runs it without input, throws away what it prints, and waits for its end.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn status(&self) -> Result<Exit, SessionError> {
        let mut child = self.spawn().await?;
        (child.stdout, child.stderr) = (None, None);
        child.wait().await
    }

    /// Runs it without input and collects what it prints.
    ///
    /// # Errors
    ///
    /// [`SessionError`]; [`SessionError::TooLong`] when it prints more than [`Command::output_limit`].
    pub async fn output(&self) -> Result<Output, SessionError> {
        let mut child = self.spawn().await?;
        child.output_limit = self.output_limit;
        child.wait_with_output().await
    }
}

/// A command that runs. When it and its streams are dropped, its session is closed, and the server hangs up on it.
#[must_use = "it is hung up on when it and its streams are dropped"]
#[derive(Debug)]
pub struct Child {
    /// Its input, which ends when this is dropped or shut down.
    pub stdin: Option<ChildStdin>,
    /// Its output. When this is dropped, the output is thrown away.
    pub stdout: Option<ChildOutput>,
    /// Its output of the second kind; nothing with a terminal. When this is dropped, it is thrown away.
    ///
    /// As with local processes, a command waits where one of its outputs is full: here, where 4 MiB of both have not been read.
    pub stderr: Option<ChildOutput>,
    session: SessionSender,
    output_limit: usize,
}

impl Child {
    fn new(session: Session) -> Self {
        let (channel, outbox, session) = session.into_parts();
        let output =
            |stderr| ChildOutput { channel: Arc::clone(&channel), stderr, left: Bytes::new(), ended: false };
        Self {
            stdin: Some(ChildStdin { channel: Arc::clone(&channel), outbox }),
            stdout: Some(output(false)),
            stderr: Some(output(true)),
            session,
            output_limit: OUTPUT_LIMIT,
        }
    }

    /// Ends the input and waits until the command has ended. If the returned future is dropped, nothing is lost.
    ///
    /// # Errors
    ///
    /// [`SessionError`]: the connection is gone, or the server does not tell how it ended.
    pub async fn wait(&mut self) -> Result<Exit, SessionError> {
        self.stdin = None;
        let mut state = self.session.watch_state();
        let over = |state: &SessionState| {
            matches!(state, SessionState::Exited(_) | SessionState::Closed(_) | SessionState::Disconnected(_))
        };
        let over = state.wait_for(over).await.map(|state| state.clone());
        match (self.session.exited(), over) {
            (Some(exit), _) => Ok(exit),
            (None, Ok(SessionState::Disconnected(why))) => Err(why.into()),
            (None, _) => Err(SessionError::Closed),
        }
    }

    /// Ends the input, collects what is left of both outputs, up to 64 MiB of each, and waits until the command has
    /// ended.
    ///
    /// # Errors
    ///
    /// As [`Child::wait`]; [`SessionError::TooLong`].
    pub async fn wait_with_output(mut self) -> Result<Output, SessionError> {
        self.stdin = None;
        let limit = self.output_limit;
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let (stdout, stderr) = tokio::try_join!(collect(stdout, limit), collect(stderr, limit))
            .map_err(|error| self.session.why_failed(error))?;
        Ok(Output { stdout, stderr, exit: self.wait().await? })
    }

    /// Sends it a signal; `name` is without `SIG`, such as `TERM` (RFC 4254 section 6.9).
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn signal(&self, name: &str) -> Result<(), SessionError> {
        self.session.signal(name).await
    }

    /// Tells it that its terminal has another size.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn resize(&self, size: PtySize) -> Result<(), SessionError> {
        self.session.resize(size).await
    }
}

/// Reads to the end; an error of no kind of its own where that is too far.
async fn collect(output: Option<ChildOutput>, limit: usize) -> io::Result<Vec<u8>> {
    let mut collected = Vec::new();
    if let Some(output) = output {
        let mut limited = output.take((limit as u64).saturating_add(1));
        limited.read_to_end(&mut collected).await?;
        if collected.len() > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, TooLong(limit)));
        }
    }
    Ok(collected)
}

/// A command printed more bytes than this.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} bytes")]
struct TooLong(usize);

impl SessionSender {
    /// Why output could not be collected.
    fn why_failed(&self, error: io::Error) -> SessionError {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<TooLong>()) {
            Some(TooLong(limit)) => SessionError::TooLong { limit: *limit },
            None => self.why(),
        }
    }
}

/// The input of a command. Shutting it down ends the input after what was written; so does dropping it.
#[derive(Debug)]
pub struct ChildStdin {
    channel: Arc<RawChannel>,
    outbox: Arc<Outbox>,
}

/// One of the two outputs of a command.
#[derive(Debug)]
pub struct ChildOutput {
    channel: Arc<RawChannel>,
    stderr: bool,
    left: Bytes,
    ended: bool,
}

impl AsyncRead for ChildOutput {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.is_empty() && !self.ended {
            match ready!(self.channel.poll_data(self.stderr, cx)) {
                Some(data) => self.left = data,
                None => {
                    self.ended = true;
                    stream::check_end(&self.channel)?;
                }
            }
        }
        let count = self.left.len().min(buf.remaining());
        buf.put_slice(&self.left[..count]);
        self.left.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl Drop for ChildOutput {
    fn drop(&mut self) {
        if !self.ended {
            // The other output must not be held up by what nobody wants.
            self.channel.throw_away_data(self.stderr);
        }
    }
}

impl AsyncWrite for ChildStdin {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        stream::poll_write(&self.channel, &self.outbox, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream::poll_flush(&self.channel, &self.outbox, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for ChildStdin {
    fn drop(&mut self) {
        self.outbox.end();
    }
}

/// One word for a login shell. Within single quotes shells differ on `'`, `\` and `!`, which stand outside of them.
fn quoted(argument: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(byte);
    if !argument.is_empty() && argument.iter().all(plain) {
        return argument.to_vec();
    }
    let mut quoted = Vec::with_capacity(argument.len() + 2);
    quoted.push(b'\'');
    for byte in argument {
        match byte {
            b'\'' | b'\\' | b'!' => quoted.extend([b'\'', b'\\', *byte, b'\'']),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn every_login_shell_passes_an_argument_on_as_it_is() {
        let arguments: [&[u8]; 14] = [
            b"plain",
            b"",
            b"two words",
            b"it's",
            b"-n",
            b"$HOME `id` $(id)",
            b"a\\'(echo obeyed)\\'b",
            b"\\\\ \\n \\",
            b"!! !$ #no",
            b"{a,b} *?[a] ~ ^x %d",
            b"\"quoted\"; echo; | & < >",
            b"=ls",
            b"\t tab",
            b"\xff\xc3\x80",
        ];
        let mut tried = 0;
        for shell in ["sh", "dash", "bash", "zsh", "ksh", "fish", "csh", "tcsh"] {
            let path = std::env::var_os("PATH").unwrap_or_default();
            if !std::env::split_paths(&path).any(|folder| folder.join(shell).is_file()) {
                eprintln!("skipped: {shell} is not installed");
                continue;
            }
            tried += 1;
            let mut line = b"printf '%s\\\\0'".to_vec();
            if !matches!(shell, "fish") {
                line = b"printf '%s\\0'".to_vec();
            }
            for argument in &arguments {
                line.push(b' ');
                line.extend(quoted(argument));
            }
            let output = std::process::Command::new(shell)
                .arg("-c")
                .arg(std::ffi::OsString::from_vec(line))
                .output()
                .expect("a shell");
            let came: Vec<_> = output.stdout.split(|byte| *byte == 0).collect();
            let shown: Vec<_> = came.iter().map(|argument| String::from_utf8_lossy(argument)).collect();
            assert_eq!(came[..came.len() - 1], arguments[..], "{shell}: {shown:?}");
        }
        assert!(tried > 0);
    }
}
