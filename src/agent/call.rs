//! The caller's side: an agent is found or started, and asked.
//!
//! It is all that `irosh-proxy` does, so it is small and knows nothing of networks.

use std::{
    fs, io,
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    time::timeout,
};

use super::message::{Answer, NetworkWords, Request, What, socket_of, word};
use crate::{
    files::{Lock, Paths},
    log,
    signals::Interrupts,
    socket::{self, LONGEST, LONGEST_ANSWER, line, read_last_line, read_line},
    stdio::{Kind, kind},
};

/// How long an agent that has heard may take to answer: one that is to stop ends its sessions first.
const ANSWERS: Duration = Duration::from_secs(10);

/// How long an agent may take to say that it has heard: one that was stopped says nothing.
const HEARS: Duration = Duration::from_secs(3);

/// How long it may take until another caller has started the agent.
const STARTS: Duration = Duration::from_secs(5);

/// How long it may take to end a session, and to say how it went.
const ENDS: Duration = Duration::from_secs(3);

/// How a call went.
#[derive(Debug)]
pub enum Called {
    /// What was asked for is done.
    Done,
    /// This is what was asked for.
    Text(String),
    /// It went wrong, and this is to be said about it.
    Failed(String),
    /// No agent has heard: nothing has happened.
    NotHeard,
}

/// Has the agent carry a session between this process's stdin and stdout and a host, until it is over or this process
/// is told to stop. With `fdpass`, ssh is handed an end of it instead, over stdout (`ProxyUseFdpass`), and it goes on.
///
/// An agent is started by running `program` where there is none.
///
/// # Errors
///
/// What the system says of this process's own descriptors and signals.
pub fn call_for_session(
    paths: &Paths,
    program: &Path,
    network: NetworkWords,
    target: &str,
    fdpass: bool,
) -> io::Result<Called> {
    let ends = [io::stdin().as_fd().try_clone_to_owned()?, io::stdout().as_fd().try_clone_to_owned()?];
    // Of a file or a terminal, an agent may be left with a read that never ends.
    let waits = |end: &OwnedFd| matches!(kind(end), Ok(Kind::Pipe | Kind::Socket));
    if !ends.iter().all(waits) {
        return Ok(Called::NotHeard);
    }
    let target = target.to_owned();
    let (what, ends) = match fdpass {
        true => (What::SessionEnd { target, stays: false }, Vec::new()),
        false => (What::Session { target }, Vec::from(ends)),
    };
    let Some(stream) = find_or_start(paths, program) else { return Ok(Called::NotHeard) };
    let Some(stream) = asks(stream, &Request::new(paths, network, what), &ends) else {
        return Ok(Called::NotHeard);
    };
    drop(ends);
    // What ssh reads ends with this process: once it has said what was wrong.
    if fdpass { pass_end(&stream) } else { outcome(stream) }
}

/// Has the agent say the SSH keys of a host as lines of known_hosts, where there is one.
#[must_use]
pub fn call_for_known_hosts(
    paths: &Paths,
    network: NetworkWords,
    target: &str,
    sought: Option<&str>,
) -> Called {
    let what = What::KnownHosts { target: target.to_owned(), sought: sought.map(ToOwned::to_owned) };
    let called = connect(&socket_of(paths)).ok();
    let stream = called.and_then(|stream| asks(stream, &Request::new(paths, network, what), &[]));
    match stream.and_then(|stream| read_line(&stream).ok()?) {
        Some(Answer::Text(lines)) => Called::Text(lines),
        Some(Answer::Failed(failed)) => Called::Failed(failed.message),
        _ => Called::NotHeard,
    }
}

/// Asks whoever listens at a socket; nothing where nobody does. Who does not understand it has declined.
pub(super) fn ask(paths: &Paths, path: &Path, what: What) -> Option<Answer> {
    let stream = connect(path).ok()?;
    let request = Request::new(paths, NetworkWords::default(), what);
    let Some(stream) = asks(stream, &request, &[]) else { return Some(Answer::Declined) };
    Some(read_last_line(&stream, ANSWERS).ok().flatten().unwrap_or(Answer::Declined))
}

/// Has an agent run, by running `program` where there is none; says whether one hears.
#[must_use]
pub fn start(paths: &Paths, program: &Path) -> bool {
    let request = Request::new(paths, NetworkWords::default(), What::Status);
    find_or_start(paths, program).is_some_and(|stream| asks(stream, &request, &[]).is_some())
}

pub(super) fn find_or_start(paths: &Paths, program: &Path) -> Option<UnixStream> {
    let path = socket_of(paths);
    if let Ok(stream) = connect(&path) {
        return Some(stream);
    }
    // One of those who find none starts it.
    let _lock = Lock::wait(&path.with_extension("lock"), STARTS).ok()?;
    if let Ok(stream) = connect(&path) {
        return Some(stream);
    }
    let listener = socket::listen(&path).ok()?;
    // Heard as soon as the agent listens, which need not be waited for.
    let stream = connect(&path).ok()?;
    let started = Command::new(program)
        .args(["agent", "serve"])
        .current_dir("/")
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(_) => Some(stream),
        Err(_) => {
            let _ = fs::remove_file(&path);
            None
        }
    }
}

/// Asks, and waits until the agent has heard.
pub(super) fn asks(stream: UnixStream, request: &Request, fds: &[OwnedFd]) -> Option<UnixStream> {
    let said = line(request);
    if said.len() > LONGEST {
        return None;
    }
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    let sent = socket::send(&stream, &said, &fds).ok()?;
    io::Write::write_all(&mut &stream, &said[sent..]).ok()?;
    stream.set_read_timeout(Some(HEARS)).ok()?;
    let mut heard = read_line(&stream);
    if heard.is_err() {
        // It can say nothing any more; what it has said already counts.
        let _ = stream.shutdown(Shutdown::Read);
        heard = read_line(&stream);
    }
    stream.set_read_timeout(None).ok()?;
    matches!(heard, Ok(Some(Answer::Taken))).then_some(stream)
}

/// Waits until the session is over.
fn outcome(stream: UnixStream) -> io::Result<Called> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupted = Interrupts::listen()?;
        stream.set_nonblocking(true)?;
        let (reader, mut writer) = tokio::net::UnixStream::from_std(stream)?.into_split();
        let mut lines = BufReader::new(reader).lines();
        let told = async {
            let signal = interrupted.next().await;
            let said = if signal == Signal::SIGINT { word::INTERRUPT } else { word::HANG_UP };
            let _ = writer.write_all(&[said]).await;
            // An agent that stands still says nothing any more, and whoever signals again has waited enough.
            let _ = timeout(ENDS, interrupted.next()).await;
        };
        let answered = async {
            loop {
                let line = lines.next_line().await.ok().flatten()?;
                match serde_json::from_str(&line) {
                    Ok(Answer::Warned(why)) => warn(&why),
                    answer => return answer.ok(),
                }
            }
        };
        let answer = tokio::select! {
            answer = answered => answer,
            () = told => {
                let silent = "the agent does not answer\nsee whether it stands still: irosh agent status";
                return Ok(Called::Failed(silent.to_owned()));
            }
        };
        Ok(called(answer))
    })
}

/// Hands ssh the end of the session.
fn pass_end(stream: &UnixStream) -> io::Result<Called> {
    let told = |answer| {
        if let Answer::Warned(why) = answer {
            warn(&why);
        }
    };
    match end_of(stream, told)? {
        (_, Some(end)) => pass_to_ssh(&end).map(|()| Called::Done),
        (answer, None) => Ok(called(answer)),
    }
}

/// Waits for an end of a session, or for why there is none; what the agent says before goes to `told`.
pub(super) fn end_of(
    stream: &UnixStream,
    mut told: impl FnMut(Answer),
) -> io::Result<(Option<Answer>, Option<OwnedFd>)> {
    loop {
        let (mut fds, mut said, mut byte) = (Vec::new(), Vec::new(), [0]);
        while said.len() < LONGEST_ANSWER
            && socket::receive(stream, &mut byte, &mut fds)? > 0
            && byte != *b"\n"
        {
            said.push(byte[0]);
        }
        match serde_json::from_slice(&said) {
            Ok(answer @ (Answer::Warned(_) | Answer::Reached)) => told(answer),
            answer => return Ok((answer.ok(), fds.pop())),
        }
    }
}

fn warn(why: &str) {
    log::complain("irosh-proxy", &why);
}

fn called(answer: Option<Answer>) -> Called {
    match answer {
        Some(Answer::Over) => Called::Done,
        Some(Answer::Text(text)) => Called::Text(text),
        Some(Answer::Failed(failed)) => Called::Failed(failed.message),
        _ => Called::Failed(
            "the agent has died, and the session with it\nrun ssh again: it starts another agent".to_owned(),
        ),
    }
}

/// Connects to an agent of this user's.
fn connect(path: &Path) -> io::Result<UnixStream> {
    socket::connect(path, socket::is_trusted)
}

/// Hands ssh the socket that it is to use (`ProxyUseFdpass`), over stdout.
///
/// # Errors
///
/// What the system says, such as that stdout is no socket.
pub fn pass_to_ssh(end: &impl AsFd) -> io::Result<()> {
    // With one byte, as its mm_receive_fd wants it (monitor_fdpass.c).
    socket::send(io::stdout(), &[0], &[end.as_fd()]).map(drop)
}
