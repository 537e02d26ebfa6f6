//! What the server says, handed on.
//!
//! russh calls these in the connection's own loop, so nothing here waits.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Arc, OnceLock, Weak},
};

use russh::{
    Channel, ChannelId, ChannelOpenFailure, Names, Sig,
    client::{ChannelOpenHandle, DisconnectReason, Handle, Handler, Msg, Session},
    keys::PublicKeyOrCertificate,
};

use crate::client::{
    event::ConnectionEvent,
    host_key::{HostKeyMismatch, HostKeyPolicy},
    inbox::Inbox,
    incoming::Origin,
    metadata::Algorithms,
    shared::Shared,
    state::{Disconnected, Exit, ExitSignal},
};

/// Channels that may be open, of all kinds, with those of the server that are still being connected.
const MOST_CHANNELS: usize = 4096;

/// The extended data type of stderr (RFC 4254 section 5.2).
const STDERR: u32 = 1;

pub(crate) struct ClientHandler {
    shared: Arc<Shared>,
    host_keys: HostKeyPolicy,
    own: OwnHandle,
}

/// The handle to the loop that a handler is called in, once it is there.
pub(crate) type OwnHandle = Arc<OnceLock<Weak<Handle<ClientHandler>>>>;

/// Why russh's loop ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandlerError {
    #[error("the host key is not the right one")]
    HostKey(HostKeyMismatch),
    #[error(transparent)]
    Ssh(#[from] russh::Error),
}

impl ClientHandler {
    pub(crate) fn new(shared: Arc<Shared>, host_keys: HostKeyPolicy, own: OwnHandle) -> Self {
        Self { shared, host_keys, own }
    }

    fn gone(&self, why: Disconnected) {
        let why = self.shared.disconnect(why);
        self.shared.inboxes.disconnect_all(&why);
    }

    /// Tells the inbox of a channel, if there is one.
    fn tell(&self, id: ChannelId, what: impl FnOnce(&Inbox)) -> Result<(), HandlerError> {
        if let Some(inbox) = self.shared.inboxes.get(id) {
            what(&inbox);
        }
        Ok(())
    }

    /// Lets the server send as much again as was thrown away. In a task, since nothing here waits.
    fn give_back(&self, id: ChannelId, bytes: usize) {
        let Some(handle) = self.own.get().and_then(Weak::upgrade) else { return };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        tokio::spawn(async move {
            let _ = handle.adjust_window(id, bytes).await;
        });
    }

    async fn offer(&self, channel: Channel<Msg>, reply: ChannelOpenHandle, from: Origin) {
        match self.shared.incoming.get(&from) {
            None => refuse(reply).await,
            Some(_) if self.shared.channels() >= MOST_CHANNELS => {
                reply.reject(ChannelOpenFailure::ResourceShortage).await;
            }
            Some(incoming) => incoming.accept(from, channel, reply, self.shared.incoming.connect()),
        }
    }
}

async fn refuse(reply: ChannelOpenHandle) {
    reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
}

impl Drop for ClientHandler {
    fn drop(&mut self) {
        self.gone(Disconnected::Gone);
    }
}

impl Handler for ClientHandler {
    type Error = HandlerError;

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), Self::Error> {
        self.shared.add_banner(banner);
        self.shared.events.tell(ConnectionEvent::Banner(banner.to_owned()));
        Ok(())
    }

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let key = shown.public_key();
        self.host_keys.check(&key).map_err(HandlerError::HostKey)?;
        self.shared.set_host_key(key);
        Ok(true)
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        names: &Names,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.shared.set_algorithms(Algorithms::of(names), session.remote_sshid());
        Ok(())
    }

    async fn channel_open_confirmation(
        &mut self,
        id: ChannelId,
        _: u32,
        _: u32,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        // The server may send at once, before the task that asked for the channel runs again.
        self.shared.inboxes.get_or_add(id);
        Ok(())
    }

    async fn channel_success(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.tell(id, |inbox| inbox.reply(true))
    }

    async fn channel_failure(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.tell(id, |inbox| inbox.reply(false))
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.tell(id, Inbox::close_there)
    }

    async fn channel_eof(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.tell(id, Inbox::end)
    }

    async fn channel_eow(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.tell(id, Inbox::stop_reading)
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Self::Error> {
        self.tell(id, |inbox| inbox.push(data, false))
    }

    async fn extended_data(
        &mut self,
        id: ChannelId,
        kind: u32,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        // No other type is defined.
        if kind == STDERR {
            return self.tell(id, |inbox| inbox.push(data, true));
        }
        self.give_back(id, data.len());
        Ok(())
    }

    async fn exit_status(&mut self, id: ChannelId, status: u32, _: &mut Session) -> Result<(), Self::Error> {
        self.tell(id, |inbox| inbox.exit(Exit::Status(status)))
    }

    async fn exit_signal(
        &mut self,
        id: ChannelId,
        name: Sig,
        core_dumped: bool,
        message: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let name = match name {
            Sig::Custom(name) => name,
            // Their debug forms are the names of RFC 4254 section 6.10.
            known => format!("{known:?}"),
        };
        let signal = ExitSignal { name, core_dumped, message: message.to_owned() };
        self.tell(id, |inbox| inbox.exit(Exit::Signal(signal)))
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        address: &str,
        port: u32,
        originator: &str,
        originator_port: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        tracing::debug!("{originator}:{originator_port} comes in on {address}:{port}");
        self.offer(channel, reply, Origin::port(address, port)).await;
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &[u8],
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.offer(channel, reply, Origin::socket(Path::new(OsStr::from_bytes(path)))).await;
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.offer(channel, reply, Origin::Agent).await;
        Ok(())
    }

    // russh would agree to all of these.

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        refuse(reply).await;
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        refuse(reply).await;
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &[u8],
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        refuse(reply).await;
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        refuse(reply).await;
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Self::Error>) -> Result<(), Self::Error> {
        self.gone(match reason {
            DisconnectReason::ReceivedDisconnect(said) => {
                Disconnected::ByServer { code: said.reason_code as u32, message: said.message }
            }
            DisconnectReason::Error(HandlerError::Ssh(error)) => Disconnected::from_error(&error),
            DisconnectReason::Error(error) => Disconnected::Protocol(error.to_string().into()),
        });
        Ok(())
    }
}
