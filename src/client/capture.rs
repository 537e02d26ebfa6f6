//! The output of a command, collected.

use std::borrow::Cow;

use bytes::BytesMut;

use crate::client::{
    session::{Session, SessionError, SessionEvent, SessionEvents},
    state::Exit,
};

/// What a command printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Its output.
    pub stdout: Vec<u8>,
    /// Its output of the second kind.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub exit: Exit,
}

impl Output {
    /// Whether it ended with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.exit.success()
    }

    /// Its output as text; what is not UTF-8 is U+FFFD.
    #[must_use]
    pub fn stdout_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Its output of the second kind as text; what is not UTF-8 is U+FFFD.
    #[must_use]
    pub fn stderr_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }
}

/// What a command said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecOutput {
    /// Its output.
    pub stdout: Vec<u8>,
    /// Its output of the second kind.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub exit: Exit,
    /// Whether there was more of either than was wanted.
    pub truncated: bool,
}

impl ExecOutput {
    /// Whether it ended with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.exit.success()
    }
}

impl Session {
    /// Runs a command without input, on a channel of its own, and collects what it says, up to `cap` bytes of each
    /// stream; the rest is read and thrown away. If the returned future is dropped, the command is hung up on.
    ///
    /// # Errors
    ///
    /// [`SessionError`], also where the session ends without telling how the command did.
    pub async fn capture_exec(
        &self,
        command: impl AsRef<[u8]>,
        cap: usize,
    ) -> Result<ExecOutput, SessionError> {
        let session = self.connection().open_session().await?;
        session.exec(command).await?;
        let (sender, mut events) = session.split();
        sender.eof();
        collect(&mut events, cap).await
    }
}

async fn collect(events: &mut SessionEvents, cap: usize) -> Result<ExecOutput, SessionError> {
    let (mut stdout, mut stderr) = (BytesMut::new(), BytesMut::new());
    let (mut exit, mut truncated) = (None, false);
    let mut keep = |kept: &mut BytesMut, data: &[u8]| {
        let room = cap.saturating_sub(kept.len()).min(data.len());
        kept.extend_from_slice(&data[..room]);
        truncated |= room < data.len();
    };
    while let Some(event) = events.next().await? {
        match event {
            SessionEvent::Stdout(data) => keep(&mut stdout, &data),
            SessionEvent::Stderr(data) => keep(&mut stderr, &data),
            SessionEvent::ExitStatus(status) => exit = Some(Exit::Status(status)),
            SessionEvent::ExitSignal(signal) => exit = Some(Exit::Signal(signal)),
            SessionEvent::Eof | SessionEvent::Closed => {}
        }
    }
    let exit = exit.ok_or(SessionError::Closed)?;
    Ok(ExecOutput { stdout: stdout.into(), stderr: stderr.into(), exit, truncated })
}
