//! One connection: what russh asks of a server, answered.
//!
//! russh calls these in its own loop, so nothing here waits for anything but a key that is looked up
//! before the login. What takes time runs in tasks of its own.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use russh::{
    Channel, ChannelId, ChannelOpenFailure, Disconnect, Pty, Sig,
    keys::ssh_key::{Algorithm, Certificate},
    server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey},
};
use tokio::{net::UnixStream, sync::oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    auth::{Authentication, Authenticator, NotEntered, Offer},
    channel::{inboxes::Inboxes, relay::Sending},
    config::value::ChannelTimeout,
    forward::{
        agent::AgentSocket,
        listen::Listeners,
        to_client::{Asked, ToClient},
        x11,
    },
    login::Login,
    pace,
    session::{Request, SessionChannel},
    sessions::Sessions,
};
use crate::{forward_sockets::connect_tcp, questions::Secret};

/// Channels that are not sessions, at once; sshd has no bound of its own.
const MOST_CHANNELS: usize = 4096;

/// The state of a connection.
pub(super) struct Connection {
    authentication: Authentication,
    login: Option<Arc<Login>>,
    /// The signature algorithm of the last offer, which russh does not repeat with a certificate.
    offered: Option<Algorithm>,
    /// What the security key says of its last signature, if one made it.
    security_key_flags: Option<u8>,
    /// Told when somebody is in.
    entered: CancellationToken,
    /// Where whoever has to be told of the end goes, when somebody is in.
    farewell: Option<oneshot::Sender<Box<dyn Authenticator>>>,
    inboxes: Inboxes,
    sessions: Sessions,
    listeners: Listeners,
}

impl Connection {
    pub(super) fn new(
        authentication: Authentication,
        entered: CancellationToken,
        farewell: oneshot::Sender<Box<dyn Authenticator>>,
    ) -> Self {
        Self {
            authentication,
            login: None,
            offered: None,
            security_key_flags: None,
            entered,
            farewell: Some(farewell),
            inboxes: Inboxes::default(),
            sessions: Sessions::default(),
            listeners: Listeners::default(),
        }
    }

    fn login(&self) -> Result<Arc<Login>, russh::Error> {
        self.login.clone().ok_or(russh::Error::NotAuthenticated)
    }

    /// Where connections go that are forwarded by channels of a type.
    fn to_client(&self, channel_type: &str, session: &Session) -> Result<ToClient, russh::Error> {
        let idle = ChannelTimeout::find(&self.login()?.config.channel_timeout, channel_type);
        Ok(ToClient { session: session.handle(), inboxes: self.inboxes.clone(), idle })
    }

    /// Replies to a request of a session channel.
    fn answer(done: bool, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        if done { session.channel_success(channel) } else { session.channel_failure(channel) }
    }

    fn start(&mut self, id: ChannelId, request: &Request, session: &mut Session) -> Result<(), russh::Error> {
        let login = self.login()?;
        let handle = session.handle();
        let started = self.sessions.get(id).is_some_and(|channel| channel.start(&login, request, handle));
        Self::answer(started, id, session)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.inboxes.close_all();
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    fn max_auth_attempts(&self) -> Option<usize> {
        self.authentication.most_rejections()
    }

    async fn authentication_notice(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(self.authentication.take_notice())
    }

    async fn auth_none(&mut self, user: &str) -> Result<Auth, Self::Error> {
        Ok(self.authentication.none(user).await)
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(self.authentication.password(user, password).await)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let text = |answer: Bytes| Secret::new(String::from_utf8_lossy(&answer).into_owned());
        let answers = response.map(|answers| answers.map(text).collect());
        Ok(self.authentication.interact(user, answers).await)
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        self.offered = Some(offer.algorithm.clone());
        let offer =
            Offer { key: offer.public_key, algorithm: offer.algorithm, certificate: offer.certificate };
        Ok(self.authentication.offered(user, &offer).await)
    }

    fn security_key_flags(&mut self, flags: Option<u8>) {
        self.security_key_flags = flags;
    }

    fn signature_refused(&mut self, user: &str, offer: PublicKeyOffer<'_>) {
        let offer =
            Offer { key: offer.public_key, algorithm: offer.algorithm, certificate: offer.certificate };
        self.authentication.forged(user, &offer);
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let offer = Offer { key: key.public_key, algorithm: key.algorithm, certificate: None };
        Ok(self.authentication.proven(user, &offer, self.security_key_flags).await)
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Self::Error> {
        let key = certificate.public_key().clone().into();
        let algorithm = self.offered.take().unwrap_or_else(|| certificate.algorithm());
        let offer = Offer { key: &key, algorithm: &algorithm, certificate: Some(certificate) };
        Ok(self.authentication.proven(user, &offer, self.security_key_flags).await)
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), Self::Error> {
        let (login, authenticator) = match self.authentication.enter().await {
            Ok(entered) => entered,
            Err(NotEntered::Nobody) => return Err(russh::Error::NotAuthenticated),
            Err(NotEntered::Notice(notice)) => {
                return session.disconnect(Disconnect::ByApplication, &notice, "");
            }
            Err(error) => {
                tracing::error!("no session: {error}");
                return Err(russh::Error::Disconnect);
            }
        };
        let _ = self.farewell.take().map(|farewell| farewell.send(authenticator));
        self.entered.cancel();
        // A Match block may have its own.
        let (interval, most) = pace::keepalive(&login.config);
        session.set_pace(pace::limits(&login.config), interval, most);
        // What reading the configuration and logging in took; many connections stand idle for long.
        crate::memory::give_back();
        if let Some(limit) = login.config.unused_connection_timeout.filter(|limit| !limit.is_zero()) {
            tokio::spawn(pace::end_unused(session.handle(), self.inboxes.clone(), limit));
        }
        self.login = Some(Arc::new(login));
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let most = usize::try_from(self.login()?.config.max_sessions).unwrap_or(usize::MAX);
        if self.sessions.len() >= most {
            tracing::info!("no more than {most} sessions");
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        }
        let sending = Sending::new(channel, &self.inboxes);
        self.sessions.add(sending.id(), SessionChannel::new(sending, self.inboxes.clone()));
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let port = u16::try_from(port)
            .ok()
            .filter(|port| self.login().is_ok_and(|login| login.may_connect(host, *port)));
        match port {
            Some(port) if self.inboxes.len() < MOST_CHANNELS => {
                let what = format!("{host}:{port}");
                let to = self.to_client("direct-tcpip", session)?;
                Asked { channel, reply, to }.connect(what, connect_tcp(host.to_owned(), port));
            }
            Some(_) => reply.reject(ChannelOpenFailure::ResourceShortage).await,
            None => reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await,
        }
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &[u8],
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if !self.login()?.may_connect_to_socket(path) {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        } else if self.inboxes.len() >= MOST_CHANNELS {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
        } else {
            let to = self.to_client("direct-streamlocal@openssh.com", session)?;
            let path = PathBuf::from(OsStr::from_bytes(path));
            Asked { channel, reply, to }.connect(path.display().to_string(), UnixStream::connect(path));
        }
        Ok(())
    }

    async fn channel_open_confirmation(
        &mut self,
        id: ChannelId,
        _: u32,
        _: u32,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        // The client may send at once, before the task that asked for the channel runs again.
        self.inboxes.get_or_add(id);
        Ok(())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Self::Error> {
        if let Some(inbox) = self.inboxes.get(id) {
            inbox.push(data);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        if let Some(inbox) = self.inboxes.get(id) {
            inbox.end();
        }
        Ok(())
    }

    async fn channel_eow(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        if let Some(inbox) = self.inboxes.get(id) {
            inbox.stop_reading();
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        // A session that never started has nobody else.
        let idle = self.sessions.remove_idle(id);
        if idle {
            self.inboxes.forget(id);
        }
        if idle {
            session.close(id)?;
        } else if !self.inboxes.close(id) {
            // Whoever had it may be done: what they sent last, such as an exit status, is on its way to the
            // loop, and goes first.
            let session = session.handle();
            tokio::spawn(async move { session.close(id).await });
        }
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &[u8],
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let login = self.login()?;
        let size = [columns, rows, width, height];
        let opened =
            self.sessions.get(id).is_some_and(|channel| channel.open_terminal(&login, term, size, modes));
        Self::answer(opened, id, session)
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let channel = self.sessions.get(id);
        let known = channel.is_some();
        if let Some(channel) = channel {
            channel.resize([columns, rows, width, height]);
        }
        Self::answer(known, id, session)
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &[u8],
        value: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let login = self.login()?;
        let set =
            self.sessions.get(id).is_some_and(|channel| channel.set_variable(&login.config, name, value));
        Self::answer(set, id, session)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.start(id, &Request::Shell, session)
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.start(id, &Request::Command(command.to_vec()), session)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        // The configuration's names are text, so what is not has none.
        let name = String::from_utf8_lossy(name).into_owned();
        self.start(id, &Request::Subsystem(name), session)
    }

    async fn signal(&mut self, id: ChannelId, signal: Sig, _: &mut Session) -> Result<(), Self::Error> {
        if let Some(channel) = self.sessions.get(id) {
            channel.signal(&signal);
        }
        Ok(())
    }

    async fn agent_request(&mut self, id: ChannelId, session: &mut Session) -> Result<bool, Self::Error> {
        if !self.login()?.may_forward_agent() {
            return Ok(false);
        }
        let to = self.to_client("agent-connection", session)?;
        // As in sshd, the first one stands.
        let Some(channel) = self.sessions.get(id).filter(|channel| !channel.has_agent()) else {
            return Ok(false);
        };
        match AgentSocket::open(to) {
            Ok(socket) => channel.offer_agent(socket),
            Err(error) => {
                tracing::warn!("no agent socket: {error}");
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        single: bool,
        protocol: &str,
        cookie: &str,
        screen: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let login = self.login()?;
        let asked = x11::Asked { protocol, cookie, screen, single };
        let to = self.to_client("x11-connection", session)?;
        let mut shown = false;
        if let Some(channel) = self.sessions.get(id)
            && login.may_forward_x11()
            && !channel.has_display()
        {
            match x11::Display::open(&login.config, &asked, to) {
                Ok(display) => {
                    channel.offer_display(display);
                    shown = true;
                }
                Err(error) => tracing::warn!("no display: {error}"),
            }
        }
        Self::answer(shown, id, session)
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut Session,
    ) -> Result<bool, Self::Error> {
        let login = self.login()?;
        let to = self.to_client("forwarded-tcpip", session)?;
        let Ok(wanted) = u16::try_from(*port) else { return Ok(false) };
        if !login.may_listen(address, wanted) {
            return Ok(false);
        }
        match self.listeners.add_port(&login.config, address, wanted, &to).await {
            Ok(listening) => *port = listening.into(),
            Err(error) => {
                tracing::info!("cannot listen on {address}:{wanted}: {error}");
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        _: &mut Session,
    ) -> Result<bool, Self::Error> {
        Ok(self.listeners.remove_port(address, port).await)
    }

    async fn streamlocal_forward(&mut self, path: &[u8], session: &mut Session) -> Result<bool, Self::Error> {
        let login = self.login()?;
        if !login.may_listen_on_socket() {
            return Ok(false);
        }
        let to = self.to_client("forwarded-streamlocal@openssh.com", session)?;
        let path = Path::new(OsStr::from_bytes(path));
        let listening = self.listeners.add_socket(&login.config, path, &to);
        if let Err(error) = &listening {
            tracing::info!("cannot listen on {}: {error}", path.display());
        }
        Ok(listening.is_ok())
    }

    async fn cancel_streamlocal_forward(
        &mut self,
        path: &[u8],
        _: &mut Session,
    ) -> Result<bool, Self::Error> {
        Ok(self.listeners.remove_socket(Path::new(OsStr::from_bytes(path))).await)
    }
}
