//! A server inside the test, for what no real server can be made to say.

use std::{borrow::Cow, sync::Arc, time::Duration};

use irosh::client::HostKeyPolicy;
use russh::{
    ChannelId, MethodKind, MethodSet, SshId,
    keys::{PrivateKey, PublicKey, ssh_key::private::Ed25519Keypair},
    server::{Auth, Config, Handler, Response},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Questions with their echo flags, and the right answers.
type Round = (Vec<(&'static str, bool)>, Vec<&'static str>);

/// What it says to each attempt.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    /// The rounds of keyboard-interactive: the questions with their echo flags, and the right answers.
    pub(crate) rounds: Vec<Round>,
    /// The right password.
    pub(crate) password: Option<&'static str>,
    /// Whether any key is right.
    pub(crate) keys: bool,
    /// Whether the password comes first and a key after it.
    pub(crate) key_last: bool,
    /// What it calls itself.
    pub(crate) name: Option<&'static str>,
    /// Whether questions come first and the password after them.
    pub(crate) both: bool,
    /// Whether nothing at all is asked.
    pub(crate) open: bool,
    /// Attempts after which it hangs up.
    pub(crate) most_attempts: usize,
    pub(crate) banner: Option<&'static str>,
    /// What each command says before its status; then the server hangs up, with no end of the output.
    pub(crate) cut_off: Option<&'static str>,
    /// Whether it lets the client send no more than the first window.
    pub(crate) takes_nothing: bool,
    /// Whether it neither opens a session nor refuses to.
    pub(crate) opens_nothing: bool,
    /// Told when the client has left.
    pub(crate) left: CancellationToken,
    /// Told when the client closes a channel.
    pub(crate) closed: CancellationToken,
    /// Hangs up.
    pub(crate) cut: CancellationToken,
}

pub(crate) struct Scripted {
    script: Script,
    round: usize,
    answered: bool,
    unanswered: Vec<russh::server::ChannelOpenHandle>,
}

impl Scripted {
    /// A stream to a server that follows a script, and whom to trust.
    pub(crate) fn start(script: Script) -> (DuplexStream, HostKeyPolicy) {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
        let policy = HostKeyPolicy::Pinned(vec![key.public_key().clone()]);
        let mut methods = MethodSet::empty();
        if !script.rounds.is_empty() {
            methods.push(MethodKind::KeyboardInteractive);
        }
        if script.password.is_some() && !script.both {
            methods.push(MethodKind::Password);
        }
        if script.keys && !script.key_last {
            methods.push(MethodKind::PublicKey);
        }
        let config = Config {
            server_id: SshId::Standard(script.name.unwrap_or("SSH-2.0-test").into()),
            methods,
            keys: vec![key],
            auth_rejection_time: Duration::ZERO,
            manual_window: script.takes_nothing,
            max_auth_attempts: if script.most_attempts == 0 { 20 } else { script.most_attempts },
            ..Config::default()
        };
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            let (cut, left) = (script.cut.clone(), script.left.clone().drop_guard());
            let handler = Self { script, round: 0, answered: false, unanswered: Vec::new() };
            if let Ok(session) = russh::server::run_stream(Arc::new(config), theirs, handler).await {
                // russh goes on in a task of its own until its handle is told.
                let handle = session.handle();
                tokio::select! {
                    _ = session => {}
                    () = cut.cancelled() => {
                        let _ = handle.disconnect(russh::Disconnect::ByApplication, "bye".into(), String::new()).await;
                    }
                }
            }
            drop(left);
        });
        (ours, policy)
    }

    fn refuse(&self) -> Auth {
        let mut methods = MethodSet::empty();
        if !self.script.rounds.is_empty() && !self.answered {
            methods.push(MethodKind::KeyboardInteractive);
        }
        if self.script.password.is_some() && (!self.script.both || self.answered) {
            methods.push(MethodKind::Password);
        }
        if self.takes_keys() {
            methods.push(MethodKind::PublicKey);
        }
        Auth::Reject { proceed_with_methods: Some(methods), partial_success: false }
    }

    fn takes_keys(&self) -> bool {
        self.script.keys && (!self.script.key_last || self.answered)
    }

    fn ask(&self) -> Auth {
        let questions = &self.script.rounds[self.round].0;
        let prompts: Vec<(Cow<'static, str>, bool)> =
            questions.iter().map(|(text, echo)| ((*text).into(), *echo)).collect();
        Auth::Partial { name: "a title".into(), instructions: "read this".into(), prompts: prompts.into() }
    }
}

/// What is said takes so long from one end to the other.
pub(crate) fn far(stream: DuplexStream, takes: Duration) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (here, there) = (tokio::io::split(theirs), tokio::io::split(stream));
    tokio::spawn(carry(here.0, there.1, takes));
    tokio::spawn(carry(there.0, here.1, takes));
    ours
}

async fn carry(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    takes: Duration,
) {
    let (said, mut under_way) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let _ = said.send((Instant::now() + takes, buffer[..count].to_vec()));
        }
    });
    while let Some((at, bytes)) = under_way.recv().await {
        sleep_until(at).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

impl Handler for Scripted {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(self.script.banner.map(str::to_owned))
    }

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Self::Error> {
        Ok(if self.script.open { Auth::Accept } else { self.refuse() })
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, Self::Error> {
        let right = self.script.password == Some(password) && (!self.script.both || self.answered);
        if right && self.script.key_last {
            self.answered = true;
            let methods = MethodSet::from(&[MethodKind::PublicKey][..]);
            return Ok(Auth::Reject { proceed_with_methods: Some(methods), partial_success: true });
        }
        Ok(if right { Auth::Accept } else { self.refuse() })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        if self.script.rounds.is_empty() {
            return Ok(self.refuse());
        }
        let Some(response) = response else {
            self.round = 0;
            return Ok(self.ask());
        };
        let answers: Vec<_> = response.map(|answer| String::from_utf8_lossy(&answer).into_owned()).collect();
        if answers != self.script.rounds[self.round].1 {
            return Ok(self.refuse());
        }
        self.round += 1;
        if self.round < self.script.rounds.len() {
            return Ok(self.ask());
        }
        self.answered = true;
        if self.script.both {
            let methods = MethodSet::from(&[MethodKind::Password][..]);
            return Ok(Auth::Reject { proceed_with_methods: Some(methods), partial_success: true });
        }
        Ok(Auth::Accept)
    }

    async fn auth_publickey_offered(
        &mut self,
        _: &str,
        _: russh::server::PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(if self.takes_keys() { Auth::Accept } else { self.refuse() })
    }

    async fn auth_publickey(
        &mut self,
        _: &str,
        _: russh::server::VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(if self.takes_keys() { Auth::Accept } else { self.refuse() })
    }

    async fn channel_open_session(
        &mut self,
        _: russh::Channel<russh::server::Msg>,
        reply: russh::server::ChannelOpenHandle,
        _: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        match self.script.opens_nothing {
            true => self.unanswered.push(reply),
            false => reply.accept().await,
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        _: ChannelId,
        _: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        self.script.closed.cancel();
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        let Some(said) = self.script.cut_off else { return session.channel_failure(channel) };
        session.channel_success(channel)?;
        session.data(channel, said)?;
        session.exit_status_request(channel, 0)?;
        self.script.cut.cancel();
        Ok(())
    }
}
