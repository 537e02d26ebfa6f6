//! One caller: what it wants, and how that goes.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, Interest},
    net::UnixStream,
    sync::oneshot,
    time::timeout,
};

use super::{
    hosts::Use,
    message::{Answer, LONGEST, Request, What, line, word},
    serve::Agent,
    socket,
};
use crate::{
    files::Paths,
    log::with_causes,
    proxy::{
        BridgeError, SessionStatus, Stop, carry, ends, known_hosts_lines, load_host_keys, public_key_lines,
        save_host_keys,
    },
};

/// How long a caller may take to say what it wants.
const ASKS: Duration = Duration::from_secs(10);

/// A caller that is heard.
pub(super) struct Caller {
    stream: UnixStream,
    fds: Vec<OwnedFd>,
}

/// A session at a host that did not go well: for people, with what to do next.
type Failed = String;

impl Caller {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, fds: Vec::new() }
    }

    /// Does what it wants.
    pub(super) async fn serve(mut self, agent: Arc<Agent>) {
        if !socket::is_own(&self.stream) {
            return;
        }
        let Ok(Ok(Some(Request { network, what }))) = timeout(ASKS, self.request()).await else {
            // Garbage, or a caller of another version.
            return self.say(&Answer::Declined).await;
        };
        // What it had asked for before it went away is not done: it has turned to others.
        if self.try_say(&Answer::Taken).is_err() {
            return;
        }
        let answer = match what {
            What::Status => Answer::Status(Box::new(agent.status())),
            What::Stop => {
                agent.stop();
                Answer::Over
            }
            What::KnownHosts { target, sought } => {
                let asked = async {
                    let host = agent.host(&network, &target).await?;
                    known_hosts(agent.paths(), &host, &target, sought.as_deref()).await
                };
                asked.await.map_or_else(Answer::Failed, Answer::Text)
            }
            What::Session { target } => match agent.host(&network, &target).await {
                Ok(host) => self.carry(&agent, host).await,
                Err(failed) => Answer::Failed(failed),
            },
            What::SessionEnd { target } => match agent.host(&network, &target).await {
                Ok(host) => match self.give_end(&agent, host).await {
                    Some(answer) => answer,
                    None => return,
                },
                Err(failed) => Answer::Failed(failed),
            },
        };
        self.say(&answer).await;
    }
}

impl Caller {
    /// What the caller says first, with the descriptors that come along.
    async fn request(&mut self) -> io::Result<Option<Request>> {
        let mut said = Vec::new();
        let mut part = vec![0; LONGEST];
        while !said.ends_with(b"\n") {
            let Self { stream, fds } = self;
            stream.readable().await?;
            let received = stream.try_io(Interest::READABLE, || {
                socket::receive(&*stream, &mut part[..LONGEST - said.len()], fds)
            });
            match received {
                Ok(0) => return Ok(None),
                Ok(count) => said.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(serde_json::from_slice(&said).ok())
    }

    /// Says something to a caller who may be gone, or not listen.
    async fn say(&self, answer: &Answer) {
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
    async fn carry(&mut self, agent: &Agent, host: Use) -> Answer {
        let Ok([stdin, stdout]) = <[OwnedFd; 2]>::try_from(std::mem::take(&mut self.fds)) else {
            return Answer::Failed("the agent was not given stdin and stdout".to_owned());
        };
        let stop = async {
            tokio::select! {
                stop = told(&mut self.stream) => stop,
                () = agent.stopped() => Stop::Gone,
            }
        };
        let local = match ends(stdin, stdout) {
            Ok(local) => local,
            Err(error) => return Answer::Failed(said(BridgeError::Stdio(error))),
        };
        let carried = carry(agent.paths(), host.link(), local, |status| host.has(status.clone()), stop).await;
        went(agent, &host, carried)
    }

    /// Opens a session of which the caller gets an end, and which goes on without it. `None` when it has it.
    async fn give_end(&mut self, agent: &Arc<Agent>, host: Use) -> Option<Answer> {
        let made = UnixStream::pair().and_then(|(ours, theirs)| Ok((ours.into_std()?, theirs.into_std()?)));
        let made = made.and_then(|(ours, theirs)| Ok((ends(ours.try_clone()?.into(), ours.into())?, theirs)));
        let (local, theirs) = match made {
            Ok(made) => made,
            Err(error) => return Some(Answer::Failed(said(BridgeError::Stdio(error)))),
        };
        theirs.set_nonblocking(false).ok()?;
        let is_warm = host.link().current().is_some();
        let (tell, begun) = oneshot::channel();
        let (give_up, given_up) = oneshot::channel();
        let session = tokio::spawn({
            let agent = Arc::clone(agent);
            let busy = agent.busy();
            async move {
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
        });
        tokio::pin!(session);
        let opened = async {
            match begun.await {
                Ok(status) if !is_warm => status.opened().await,
                Ok(_) => {}
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            answer = &mut session => return answer.ok(),
            () = opened => {}
            stop = told(&mut self.stream) => {
                let _ = give_up.send(stop);
                return session.await.ok();
            }
        }
        // From here on it is ssh's, and nobody gives it up any more.
        if self.send(&Answer::End, Some(&theirs.into())).is_err() {
            let _ = give_up.send(Stop::Gone);
        }
        None
    }
}

/// Waits until a caller says that it is to end, or is gone.
async fn told(stream: &mut UnixStream) -> Stop {
    match stream.read_u8().await {
        Ok(word::HANG_UP) => Stop::HangUp,
        Ok(word::INTERRUPT) => Stop::Interrupt,
        _ => Stop::Gone,
    }
}

/// Notes how a session went.
fn went(agent: &Agent, host: &Use, carried: Result<(), BridgeError>) -> Answer {
    if agent.is_stopping() {
        return Answer::Failed("the agent was stopped, and the session with it".to_owned());
    }
    let failed = carried.err().map(said);
    host.went(failed.as_deref());
    match failed {
        Some(failed) => {
            tracing::warn!("{}: {}", host.link().target().short_name(), failed.replace('\n', "; "));
            Answer::Failed(failed)
        }
        None => Answer::Over,
    }
}

async fn known_hosts(paths: &Paths, host: &Use, name: &str, sought: Option<&str>) -> Result<String, Failed> {
    let id = host.link().target().addr().id;
    let mut keys = load_host_keys(paths, id);
    if keys.is_empty() {
        let connection = host.link().reach().await.map_err(|error| with_causes(&*error))?;
        let welcome = connection.welcome().await.map_err(|error| with_causes(&*error))?;
        keys = public_key_lines(&welcome.host_keys);
        if let Err(error) = save_host_keys(paths, id, &welcome.host_keys) {
            tracing::debug!("the host's ssh keys are not kept: {error}");
        }
    }
    Ok(known_hosts_lines(name, sought, &keys))
}

fn said(error: impl std::error::Error + 'static) -> Failed {
    with_causes(&error)
}
