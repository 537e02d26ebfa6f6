//! A session that the agent holds, for an SSH client in this process.

use std::{
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader, ReadBuf},
    net::UnixStream,
    sync::{oneshot, watch},
    task::spawn_blocking,
};

use super::{
    call::{asks, end_of, find_or_start},
    message::{Answer, Cause, NetworkWords, Request, What},
};
use crate::files::Paths;

/// What an SSH client has of a session that the agent holds. Dropped, it ends the session, once the host has what was
/// written.
pub(crate) struct AgentSession {
    stream: UnixStream,
    /// The SSH keys that the host announced.
    pub(crate) host_keys: Vec<Vec<u8>>,
    /// The host's name, and what runs there.
    pub(crate) host: (String, String),
    over: watch::Receiver<Option<Result<(), String>>>,
    /// Resolves when it is known how it went.
    ending: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send>>>,
}

/// A session could not be had from the agent.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// There is none, or it did not hear: it may be done without.
    #[error("no agent has heard")]
    NotHeard,
    /// The host was not reached, or refused, or has no ssh server: the agent's words, with what to do next.
    #[error("{0}")]
    Host(String),
    /// Anything else that the agent says.
    #[error("{0}")]
    Other(String),
}

/// What becomes of a session meanwhile.
pub(crate) enum AgentNews {
    /// The host is not reached any more.
    Detached(String),
    /// It is reached again.
    Attached(Duration),
}

impl AgentSession {
    /// Has the agent open a session; one is started by running `program` where there is none. `reached` is called once the
    /// host has answered, while it decides whether it lets us in.
    pub(crate) async fn open(
        paths: &Paths,
        program: &Path,
        network: NetworkWords,
        target: &str,
        reached: impl FnOnce(),
        news: impl Fn(AgentNews) + Send + 'static,
    ) -> Result<Self, AgentError> {
        let (paths, program) = (paths.clone(), program.to_owned());
        let what = What::SessionEnd { target: target.to_owned(), stays: true };
        let (tell, is_reached) = oneshot::channel();
        let mut tell = Some(tell);
        let mut asked = spawn_blocking(move || {
            let stream = find_or_start(&paths, &program)?;
            let stream = asks(stream, &Request::new(&paths, network, what), &[])?;
            let told = |answer| {
                // Warnings are about files of keys: whoever speaks SSH here has the keys from the agent.
                if matches!(answer, Answer::Reached)
                    && let Some(tell) = tell.take()
                {
                    let _ = tell.send(());
                }
            };
            let end = end_of(&stream, told).ok()?;
            Some((stream, end))
        });
        let asked = tokio::select! {
            biased;
            Ok(()) = is_reached => {
                reached();
                asked.await
            }
            asked = &mut asked => asked,
        };
        let Ok(Some((told, end))) = asked else { return Err(AgentError::NotHeard) };
        let keys = |keys: Vec<String>| keys.iter().filter_map(|key| hex::decode(key).ok()).collect();
        let (host_keys, host, end) = match end {
            (Some(Answer::End { host_keys, host_name, software }), Some(end)) => {
                (keys(host_keys), (host_name, software), end)
            }
            (Some(Answer::Failed(failed)), _) if failed.cause == Cause::Caller => {
                return Err(AgentError::Other(failed.message));
            }
            (Some(Answer::Failed(failed)), _) => return Err(AgentError::Host(failed.message)),
            _ => return Err(AgentError::Other(DIED.to_owned())),
        };
        let made = told.set_nonblocking(true).and_then(|()| UnixStream::from_std(told));
        let end = std::os::unix::net::UnixStream::from(end);
        let stream = end.set_nonblocking(true).and_then(|()| UnixStream::from_std(end));
        let (Ok(told), Ok(stream)) = (made, stream) else { return Err(AgentError::NotHeard) };
        let (tell, over) = watch::channel(None);
        tokio::spawn(async move {
            let outcome = listen(told, news).await;
            tell.send_replace(Some(outcome));
        });
        Ok(Self { stream, host_keys, host, over, ending: None })
    }

    /// Waits until it is known how it went.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut over = self.over.clone();
        let ending = self.ending.get_or_insert_with(|| {
            Box::pin(async move {
                match over.wait_for(Option::is_some).await.map(|over| over.clone()) {
                    Ok(Some(Err(why))) => Err(io::Error::other(why)),
                    _ => Ok(()),
                }
            })
        });
        let over = ready!(ending.as_mut().poll(cx));
        self.ending = None;
        Poll::Ready(over)
    }
}

const DIED: &str = "the agent has died, and the session with it";

/// Hears what the agent says of a session, until it is over.
async fn listen(told: UnixStream, news: impl Fn(AgentNews)) -> Result<(), String> {
    let mut lines = BufReader::new(told).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Answer::Detached(why)) => news(AgentNews::Detached(why)),
            Ok(Answer::Attached(after)) => news(AgentNews::Attached(Duration::from_millis(after))),
            Ok(Answer::Over) => return Ok(()),
            Ok(Answer::Failed(failed)) => return Err(failed.message),
            _ => {}
        }
    }
    Err(DIED.to_owned())
}

impl AsyncRead for AgentSession {
    /// Its end says whether it went well.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ending.is_none() {
            let before = buf.filled().len();
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
            if read.is_ok() && (buf.filled().len() > before || buf.remaining() == 0) {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_over(cx)
    }
}

impl AsyncWrite for AgentSession {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
