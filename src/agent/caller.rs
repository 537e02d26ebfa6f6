//! One caller: what it wants, and how that goes.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    sync::{Arc, OnceLock},
    time::Duration,
};

use iroh::EndpointId;
use tokio::{io::AsyncWriteExt as _, net::UnixStream, sync::oneshot, time::timeout};

use super::{
    hosts::{Purpose, Use},
    message::{Answer, Cause, Failed, NetworkWords, Request, What, word},
    state::Agent,
};
use crate::{
    files::Paths,
    proxy::{
        BridgeError, SessionError, SessionStatus, State, Stop, carry, ends, host_keys_kept,
        known_hosts_lines, load_host_keys, public_key_lines, save_host_keys,
    },
    session::{LocalReader, LocalWriter},
    socket::{self, line},
};

/// How long a caller may take to say what it wants.
const ASKS: Duration = Duration::from_secs(10);

/// A caller that is heard.
pub(super) struct Caller {
    stream: UnixStream,
    fds: Vec<OwnedFd>,
}

impl Caller {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, fds: Vec::new() }
    }

    /// Does what it wants.
    pub(super) async fn serve(mut self, agent: Arc<Agent>) {
        if !socket::is_own(&self.stream) {
            return;
        }
        let request = match timeout(ASKS, socket::hear::<Request>(&self.stream, &mut self.fds)).await {
            Ok(Ok(Some(request))) if request.is_at_home(agent.paths()) && self.has_all(&request) => request,
            // Garbage, or a caller who means something else.
            _ => return self.say(&Answer::Declined),
        };
        let Request { network, identity, what, .. } = request;
        if let Some(target) = what.target() {
            if !agent.can(&network, identity.as_ref(), target) {
                return self.say(&Answer::Declined);
            }
            agent.note(identity.as_ref());
        }
        let identity = identity.as_ref();
        // What it had asked for before it went away is not done: it has turned to others.
        if self.try_say(&Answer::Taken).is_err() {
            return;
        }
        let answer = match what {
            What::Status => {
                let status = line(&Answer::Status(Box::new(agent.status())));
                let _ = timeout(ASKS, self.stream.write_all(&status)).await;
                return;
            }
            What::Stop => {
                agent.stop();
                Answer::Over
            }
            What::KnownHosts { target, sought } => {
                let asked = async {
                    let host = agent.host(&network, identity, &target, Purpose::Question).await?;
                    known_hosts(agent.paths(), &host, &target, sought.as_deref()).await
                };
                asked.await.map_or_else(Answer::Failed, Answer::Text)
            }
            What::Session { target } => {
                match agent.host(&network, identity, &target, Purpose::Session).await {
                    Ok(host) => self.carry(&agent, host).await,
                    Err(failed) => Answer::Failed(failed),
                }
            }
            What::SessionEnd { target, stays } => {
                match agent.host(&network, identity, &target, Purpose::Session).await {
                    Ok(host) => match self.give_end(&agent, host, stays).await {
                        Some(answer) => answer,
                        None => return,
                    },
                    Err(failed) => Answer::Failed(failed),
                }
            }
        };
        self.say(&answer);
    }
}

impl Caller {
    /// Whether the descriptors have come along that are needed.
    fn has_all(&self, request: &Request) -> bool {
        !matches!(request.what, What::Session { .. }) || self.fds.len() == 2
    }

    /// Says something to a caller who may be gone, or not listen.
    fn say(&self, answer: &Answer) {
        if let Err(error) = self.try_say(answer) {
            tracing::debug!("a caller is not told how it went: {error}");
        }
    }

    /// An answer that fits into what a socket holds, or none.
    fn try_say(&self, answer: &Answer) -> io::Result<()> {
        self.send(answer, None)
    }

    fn send(&self, answer: &Answer, end: Option<&OwnedFd>) -> io::Result<()> {
        let said = line(answer);
        let end: Vec<_> = end.into_iter().map(AsFd::as_fd).collect();
        match socket::send(&self.stream, &said, &end)? {
            sent if sent == said.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Carries a session between the descriptors that the caller has handed over.
    async fn carry(&mut self, agent: &Arc<Agent>, host: Use) -> Answer {
        let Ok([stdin, stdout]) = <[OwnedFd; 2]>::try_from(std::mem::take(&mut self.fds)) else {
            return Answer::Failed(Cause::Caller.says("the agent was not given stdin and stdout"));
        };
        let local = match ends(stdin, stdout) {
            Ok(local) => local,
            Err(error) => return Answer::Failed(Cause::Caller.of(&BridgeError::Stdio(error))),
        };
        let id = host.link().target().addr().id;
        let (tell, begun) = oneshot::channel();
        let (give_up, given_up) = oneshot::channel();
        let session = tokio::spawn(carry_alone(Arc::clone(agent), host, local, tell, given_up));
        let status = OnceLock::new();
        let warned = async {
            let Ok(begun) = begun.await else { return };
            if let Ok(welcome) = status.get_or_init(|| begun).host().welcome().await {
                self.warn_of_keys(agent, id, &welcome.host_keys);
            }
        };
        tokio::pin!(session, warned);
        let mut is_warned = false;
        let stop = loop {
            tokio::select! {
                answer = &mut session => return answer.unwrap_or(Answer::Declined),
                stop = told(&self.stream) => break stop,
                () = &mut warned, if !is_warned => is_warned = true,
            }
        };
        let _ = give_up.send(stop);
        let has_spoken = |status: &SessionStatus| status.counters().to_local() > 0;
        if status.get().is_some_and(has_spoken) {
            // ssh has what it wanted: its last words are on their way, and nobody waits for them.
            return Answer::Over;
        }
        session.await.unwrap_or(Answer::Declined)
    }

    /// Opens a session of which the caller gets an end, and which goes on without it. `None` when all is said.
    async fn give_end(&mut self, agent: &Arc<Agent>, host: Use, stays: bool) -> Option<Answer> {
        let (local, theirs) = match end_for_caller() {
            Ok(made) => made,
            Err(error) => return Some(Answer::Failed(Cause::Caller.of(&BridgeError::Stdio(error)))),
        };
        let is_warm = host.link().current().is_some();
        let id = host.link().target().addr().id;
        let (tell, begun) = oneshot::channel();
        let (give_up, given_up) = oneshot::channel();
        let session = tokio::spawn(carry_alone(Arc::clone(agent), host, local, tell, given_up));
        tokio::pin!(session);
        let opened = async {
            let Ok(status) = begun.await else { std::future::pending().await };
            if stays {
                self.say(&Answer::Reached);
            }
            // A host that is known to answer need not be waited for: ssh's first words go with the question.
            if !is_warm {
                status.opened().await;
            }
            match status.host().welcome().await {
                Ok(welcome) => (status, welcome),
                // It is seen to fail elsewhere.
                Err(_) => std::future::pending().await,
            }
        };
        let (status, welcome) = tokio::select! {
            answer = &mut session => return answer.ok(),
            opened = opened => opened,
            stop = told(&self.stream) => {
                let _ = give_up.send(stop);
                return session.await.ok();
            }
        };
        self.warn_of_keys(agent, id, &welcome.host_keys);
        let end = Answer::End {
            host_keys: welcome.host_keys.iter().map(hex::encode).collect(),
            host_name: welcome.host_name.clone(),
            software: welcome.software.clone(),
        };
        if self.send(&end, Some(&theirs)).is_err() {
            let _ = give_up.send(Stop::Gone);
            return None;
        }
        // Who waits for the end of what comes from there has the only one.
        drop(theirs);
        if !stays {
            return None;
        }
        tokio::select! {
            answer = &mut session => answer.ok(),
            _ = told(&self.stream) => None,
            () = self.tell_of_outages(&status) => None,
        }
    }

    /// Says that ssh will not find the host's keys, where they cannot be kept for it.
    fn warn_of_keys(&self, agent: &Agent, id: EndpointId, keys: &[Vec<u8>]) {
        if let Err(why) = host_keys_kept(agent.paths(), id, keys) {
            self.say(&Answer::Warned(why));
        }
    }

    /// Says when the session waits for its host, and when it goes on.
    async fn tell_of_outages(&self, status: &SessionStatus) {
        let mut state = status.state();
        let mut since = None;
        while state.changed().await.is_ok() {
            let said = match &*state.borrow_and_update() {
                State::Detached { why, since: lost } if since.is_none() => {
                    since = Some(*lost);
                    Some(Answer::Detached(why.to_string()))
                }
                State::Attached => {
                    since.take().map(|since| Answer::Attached(since.elapsed().as_millis() as u64))
                }
                State::Opening | State::Detached { .. } => None,
            };
            if let Some(said) = said {
                self.say(&said);
            }
        }
        // It is over, which is seen elsewhere.
        std::future::pending().await
    }
}

/// Two ends of a socket: one for a session, one for whoever speaks SSH there.
fn end_for_caller() -> io::Result<((LocalReader, LocalWriter), OwnedFd)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    Ok((ends(ours.try_clone()?.into(), ours.into())?, theirs.into()))
}

impl Agent {
    /// Carries a session of somebody who has come to the port of a host, for as long as both sides want it.
    pub(super) async fn carry_for_port(self: Arc<Self>, name: &str, local: (LocalReader, LocalWriter)) {
        let identity = self.noted();
        let network = NetworkWords::of_environment();
        match self.host(&network, identity.as_ref(), name, Purpose::Session).await {
            Ok(host) => {
                let (tell, _) = oneshot::channel();
                // Nobody tells it to end.
                let (_give_up, given_up) = oneshot::channel();
                carry_alone(self, host, local, tell, given_up).await;
            }
            Err(failed) => tracing::warn!("{name}: {}", failed.message.replace('\n', "; ")),
        }
    }
}

/// Carries a session that goes on without its caller.
async fn carry_alone(
    agent: Arc<Agent>,
    host: Use,
    local: (LocalReader, LocalWriter),
    tell: oneshot::Sender<SessionStatus>,
    given_up: oneshot::Receiver<Stop>,
) -> Answer {
    let busy = agent.busy();
    let stop = async {
        tokio::select! {
            Ok(stop) = given_up => stop,
            () = agent.stopped() => Stop::Gone,
        }
    };
    let begun = |status: &SessionStatus| {
        host.has(status.clone());
        let _ = tell.send(status.clone());
    };
    let carried = carry(agent.paths(), host.link(), local, begun, stop).await;
    let answer = went(&agent, &host, carried);
    drop(busy);
    answer
}

/// Waits until a caller says that it is to end, or is gone.
async fn told(stream: &UnixStream) -> Stop {
    let mut said = [0];
    loop {
        let read = match stream.readable().await {
            Ok(()) => stream.try_read(&mut said),
            Err(error) => Err(error),
        };
        return match (read, said[0]) {
            (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => continue,
            (Ok(1), word::HANG_UP) => Stop::HangUp,
            (Ok(1), word::INTERRUPT) => Stop::Interrupt,
            _ => Stop::Gone,
        };
    }
}

/// Notes how a session went.
fn went(agent: &Agent, host: &Use, carried: Result<(), BridgeError>) -> Answer {
    if agent.is_stopping() {
        return Answer::Failed(Cause::Session.says("the agent was stopped, and the session with it"));
    }
    let Err(error) = carried else {
        return Answer::Over;
    };
    let cause = match &error {
        BridgeError::Dial(_) => Cause::Host,
        BridgeError::Session(error) => match &**error {
            SessionError::Lost(_) | SessionError::Cut(_) | SessionError::Protocol(_) => Cause::Session,
            SessionError::Unproved(_) => Cause::Caller,
            _ => Cause::Host,
        },
        BridgeError::Stdio(_) | BridgeError::Write(_) => Cause::Session,
    };
    let failed = cause.of(&error);
    host.failed(&failed.message);
    tracing::warn!("{}: {}", host.link().target().short_name(), failed.message.replace('\n', "; "));
    Answer::Failed(failed)
}

async fn known_hosts(paths: &Paths, host: &Use, name: &str, sought: Option<&str>) -> Result<String, Failed> {
    let id = host.link().target().addr().id;
    let mut keys = load_host_keys(paths, id);
    if keys.is_empty() {
        let connection = host.link().reach().await.map_err(|error| Cause::Host.of(&*error))?;
        let welcome = connection.welcome().await.map_err(|error| Cause::Host.of(&*error))?;
        keys = public_key_lines(&welcome.host_keys);
        if let Err(error) = save_host_keys(paths, id, &welcome.host_keys) {
            tracing::debug!("the host's ssh keys are not kept: {error}");
        }
    }
    Ok(known_hosts_lines(name, sought, &keys))
}
