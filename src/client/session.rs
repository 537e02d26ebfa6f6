//! A session: a shell, a command or a subsystem (RFC 4254 section 6).

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::client::{
    channel::{OpenError, RawChannel, Wanted},
    connection::Connection,
    inbox::Item,
    incoming::Origin,
    outbox::Outbox,
    pty::{PtyOptions, PtySize},
    state::{Disconnected, Exit, ExitSignal, Running, SessionState},
    stream::ChannelStream,
};
use crate::ssh_wire::Writer;

/// One session of a connection. It is closed when it is dropped, once what was sent is out, or the server
/// has taken nothing for 10 seconds.
#[must_use = "it is closed when it is dropped"]
#[derive(Debug)]
pub struct Session {
    sender: SessionSender,
    events: SessionEvents,
}

/// The half of a session that sends; cheap to clone.
#[derive(Debug, Clone)]
pub struct SessionSender {
    channel: Arc<RawChannel>,
    outbox: Arc<Outbox>,
}

/// The half of a session that is told what happens. When it is dropped, output is thrown away.
#[derive(Debug)]
pub struct SessionEvents {
    channel: Arc<RawChannel>,
    /// Whether the end of the output was told, and how the process ended.
    ended: bool,
    exited: bool,
    over: bool,
}

/// What happens in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// Output.
    Stdout(Bytes),
    /// Output of the second kind; never with a terminal.
    Stderr(Bytes),
    /// There is no more output.
    Eof,
    /// The process has ended by itself.
    ExitStatus(u32),
    /// A signal has ended the process.
    ExitSignal(ExitSignal),
    /// The session is over, and nothing comes after this. Where no end of the process was told before, the server has
    /// closed the session without one.
    Closed,
}

/// A session could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The channel could not be opened.
    #[error(transparent)]
    Open(OpenError),
    /// The server refuses a request, such as `pty-req` or `shell`.
    #[error("the server refuses the request `{0}`")]
    Refused(&'static str),
    /// The session is closed, takes no more input, or has ended without telling how the command did.
    #[error("the session is closed")]
    Closed,
    /// A command has printed more than its [output limit](crate::client::Command::output_limit).
    #[error("the command has printed more than {limit} bytes")]
    TooLong {
        /// Bytes of one stream.
        limit: usize,
    },
    /// The connection is gone.
    #[error(transparent)]
    Disconnected(#[from] Disconnected),
}

/// A connection that is gone is [`SessionError::Disconnected`] here, too.
impl From<OpenError> for SessionError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Disconnected(why) => Self::Disconnected(why),
            other => Self::Open(other),
        }
    }
}

impl Connection {
    /// Opens one more session. Cancel safe: a session that nobody waits for is closed.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open_session(&self) -> Result<Session, OpenError> {
        Ok(Session::new(RawChannel::open(self.link(), Wanted::Session).await?))
    }
}

impl Session {
    pub(crate) fn new(channel: Arc<RawChannel>) -> Self {
        let outbox = Arc::new(Outbox::new(Arc::clone(&channel)));
        let events =
            SessionEvents { channel: Arc::clone(&channel), ended: false, exited: false, over: false };
        Self { sender: SessionSender { channel, outbox }, events }
    }

    /// The connection that carries it.
    pub fn connection(&self) -> Connection {
        self.sender.channel.link.clone().into()
    }

    /// What it is doing now.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.sender.state()
    }

    /// Follows what it is doing.
    #[must_use]
    pub fn watch_state(&self) -> watch::Receiver<SessionState> {
        self.sender.watch_state()
    }

    /// Asks for a terminal; before the shell or the command. Cancel safe, as is every request here: the
    /// server may have acted on one that nobody waits for any more.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn request_pty(&self, options: &PtyOptions) -> Result<(), SessionError> {
        self.sender.ask("pty-req", options.encode()).await
    }

    /// Sets a variable for what is started next.
    ///
    /// # Errors
    ///
    /// [`SessionError`]; servers refuse what their AcceptEnv does not allow.
    pub async fn set_env(&self, name: &[u8], value: &[u8]) -> Result<(), SessionError> {
        self.sender.ask("env", Vec::new().string(name).string(value)).await
    }

    /// As [`Session::set_env`], and whether the server allows it does not matter.
    pub(crate) async fn tell_env(&self, name: &[u8], value: &[u8]) {
        self.sender.channel.tell("env", Vec::new().string(name).string(value)).await;
    }

    /// Starts the login shell.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn start_shell(&self) -> Result<(), SessionError> {
        self.start("shell", Vec::new(), Running::Shell).await
    }

    /// Starts a command, which the login shell reads.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn exec(&self, command: impl AsRef<[u8]>) -> Result<(), SessionError> {
        let payload = Vec::new().string(command.as_ref());
        self.start("exec", payload, Running::Exec).await
    }

    /// Starts a subsystem, such as `sftp`.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn subsystem(&self, name: impl AsRef<[u8]>) -> Result<(), SessionError> {
        let payload = Vec::new().string(name.as_ref());
        self.start("subsystem", payload, Running::Subsystem).await
    }

    async fn start(&self, name: &'static str, data: Vec<u8>, what: Running) -> Result<(), SessionError> {
        let reply = self.request(name, data).await;
        self.sender.accepted(name, reply).await?;
        self.runs(what);
        Ok(())
    }

    /// What comes before a program, and the request that starts it.
    async fn request(&self, name: &'static str, data: Vec<u8>) -> oneshot::Receiver<bool> {
        let channel = &self.sender.channel;
        // Refusals do not matter, as in ssh.
        if channel.link.shared().incoming.get(&Origin::Agent).is_some() {
            channel.tell("auth-agent-req@openssh.com", Vec::new()).await;
        }
        for (variable, value) in channel.link.environment() {
            channel.tell("env", Vec::new().string(variable).string(value)).await;
        }
        channel.request(name, data).await
    }

    fn runs(&self, what: Running) {
        self.sender.channel.inbox.session().send_if_modified(|state| {
            let idle = *state == SessionState::Authenticated;
            if idle {
                *state = SessionState::Running(what);
            }
            idle
        });
    }

    /// As [`Session::subsystem`] and [`Session::into_stream`] in one: what is written to the stream goes out
    /// behind the request, and does not wait for the reply.
    pub(crate) async fn into_subsystem(
        self,
        name: &str,
    ) -> (impl Future<Output = Result<(), SessionError>> + use<>, ChannelStream) {
        let reply = self.request("subsystem", Vec::new().string(name.as_bytes())).await;
        self.runs(Running::Subsystem);
        let sender = self.sender.clone();
        let accepted = async move { sender.accepted("subsystem", reply).await };
        (accepted, self.into_stream())
    }

    /// Queues bytes for the input of what runs; waits while much is queued that the server's window does
    /// not allow yet. Cancel safe: all of the bytes are queued or none.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn send(&self, bytes: impl AsRef<[u8]>) -> Result<(), SessionError> {
        self.sender.send(bytes).await
    }

    /// As [`Session::send`], without a copy.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn send_bytes(&self, bytes: Bytes) -> Result<(), SessionError> {
        self.sender.send_bytes(bytes).await
    }

    /// Ends the input, after what is queued.
    pub fn eof(&self) {
        self.sender.eof();
    }

    /// Tells the server that the terminal has another size.
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn resize(&self, size: PtySize) -> Result<(), SessionError> {
        self.sender.resize(size).await
    }

    /// Sends a signal to what runs; `name` is without `SIG` (RFC 4254 section 6.9).
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn signal(&self, name: &str) -> Result<(), SessionError> {
        self.sender.signal(name).await
    }

    /// Sends a break of so many milliseconds to what runs, where the server can (RFC 4335).
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn send_break(&self, milliseconds: u32) -> Result<(), SessionError> {
        self.sender.send_break(milliseconds).await
    }

    /// Waits for the next event; `None` after [`SessionEvent::Closed`]. Cancel safe. While events are not taken, this
    /// session waits, and no other.
    ///
    /// # Errors
    ///
    /// The connection is gone, and something may be missing: the output, or how the process ended. All that had come
    /// before was told.
    pub async fn next_event(&mut self) -> Result<Option<SessionEvent>, Disconnected> {
        self.events.next().await
    }

    /// Sending and events apart, for tasks of their own.
    #[must_use]
    pub fn split(self) -> (SessionSender, SessionEvents) {
        (self.sender, self.events)
    }

    /// Input and stdout as a stream, for a subsystem. What comes on stderr is thrown away.
    #[must_use]
    pub fn into_stream(self) -> ChannelStream {
        ChannelStream::with_outbox(self.events.into_channel(), self.sender.outbox)
    }

    /// The channel, its sending end, and what can be asked of it.
    pub(crate) fn into_parts(self) -> (Arc<RawChannel>, Arc<Outbox>, SessionSender) {
        let outbox = Arc::clone(&self.sender.outbox);
        (self.events.into_channel(), outbox, self.sender)
    }

    /// Closes the session now: what is queued may be lost, and what runs is hung up on. Cancel safe.
    pub async fn close(self) {
        self.sender.close().await;
    }

    /// Closes the whole connection, with a goodbye. As [`Connection::disconnect`].
    pub async fn disconnect(self) {
        self.connection().disconnect().await;
    }
}

impl SessionSender {
    /// What the session is doing now.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.channel.inbox.session().borrow().clone()
    }

    pub(crate) fn watch_state(&self) -> watch::Receiver<SessionState> {
        self.channel.inbox.session().subscribe()
    }

    /// How the process has ended, if it has.
    pub(crate) fn exited(&self) -> Option<Exit> {
        self.channel.inbox.exited()
    }

    /// As [`Session::send`].
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn send(&self, bytes: impl AsRef<[u8]>) -> Result<(), SessionError> {
        self.send_bytes(Bytes::copy_from_slice(bytes.as_ref())).await
    }

    /// As [`Session::send_bytes`].
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn send_bytes(&self, bytes: Bytes) -> Result<(), SessionError> {
        self.outbox.send(bytes).await.map_err(|_| self.why())
    }

    /// As [`Session::eof`].
    pub fn eof(&self) {
        self.outbox.end();
    }

    /// As [`Session::resize`].
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn resize(&self, size: PtySize) -> Result<(), SessionError> {
        self.tell("window-change", size.encode(Vec::new())).await
    }

    /// As [`Session::signal`].
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn signal(&self, name: &str) -> Result<(), SessionError> {
        let name = name.strip_prefix("SIG").unwrap_or(name);
        self.tell("signal", Vec::new().string(name.as_bytes())).await
    }

    /// As [`Session::send_break`].
    ///
    /// # Errors
    ///
    /// [`SessionError`].
    pub async fn send_break(&self, milliseconds: u32) -> Result<(), SessionError> {
        self.ask("break", Vec::new().uint32(milliseconds)).await
    }

    /// Tells the server that what the process writes to its stdout is used no more, so that the process learns
    /// it when it writes (`eow@openssh.com` of OpenSSH's PROTOCOL, section 2.1). What is on its way still comes.
    ///
    /// # Errors
    ///
    /// [`SessionError`]; [`SessionError::Refused`] where the server is not known to listen to that.
    pub async fn stop_reading(&self) -> Result<(), SessionError> {
        const NAME: &str = "eow@openssh.com";
        // Others may take it amiss, as OpenSSH's own client believes.
        let server = self.channel.link.shared().metadata().identification;
        if !server.contains("OpenSSH") {
            return Err(SessionError::Refused(NAME));
        }
        self.tell(NAME, Vec::new()).await
    }

    /// As [`Session::close`]. Not cancel safe: the session may not have been closed.
    pub async fn close(&self) {
        self.channel.link.close_channel(self.channel.id).await;
        self.channel.inbox.close();
    }

    async fn ask(&self, name: &'static str, data: Vec<u8>) -> Result<(), SessionError> {
        let reply = self.channel.request(name, data).await;
        self.accepted(name, reply).await
    }

    async fn accepted(&self, name: &'static str, reply: oneshot::Receiver<bool>) -> Result<(), SessionError> {
        match reply.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SessionError::Refused(name)),
            Err(_) => Err(self.why()),
        }
    }

    async fn tell(&self, name: &'static str, data: Vec<u8>) -> Result<(), SessionError> {
        if self.channel.tell(name, data).await { Ok(()) } else { Err(self.why()) }
    }

    pub(crate) fn why(&self) -> SessionError {
        self.channel.link.disconnected().map_or(SessionError::Closed, SessionError::Disconnected)
    }
}

impl SessionEvents {
    /// As [`Session::next_event`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn next(&mut self) -> Result<Option<SessionEvent>, Disconnected> {
        if self.over {
            return Ok(None);
        }
        let item = poll_fn(|cx| self.channel.poll_next(cx)).await;
        self.ended |= matches!(item, Some(Item::Eof));
        self.exited |= matches!(item, Some(Item::Exit(_)));
        Ok(Some(match item {
            Some(Item::Data(data, false)) => SessionEvent::Stdout(data),
            Some(Item::Data(data, true)) => SessionEvent::Stderr(data),
            Some(Item::Eof) => SessionEvent::Eof,
            Some(Item::Exit(Exit::Status(status))) => SessionEvent::ExitStatus(status),
            Some(Item::Exit(Exit::Signal(signal))) => SessionEvent::ExitSignal(signal),
            None => {
                self.over = true;
                match self.disconnected() {
                    // The status may come before the last of the output, which a lost connection takes with it.
                    Some(why) if !(self.ended && self.exited) => return Err(why),
                    _ => SessionEvent::Closed,
                }
            }
        }))
    }

    /// Why the connection is gone, if that is why the session is over.
    #[must_use]
    pub fn disconnected(&self) -> Option<Disconnected> {
        match &*self.channel.inbox.session().borrow() {
            SessionState::Disconnected(why) => Some(why.clone()),
            _ => None,
        }
    }

    fn into_channel(mut self) -> Arc<RawChannel> {
        self.over = true;
        Arc::clone(&self.channel)
    }
}

impl Drop for SessionEvents {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // Somebody may still send, and must not be held up by output that nobody wants.
        self.channel.throw_away();
    }
}
