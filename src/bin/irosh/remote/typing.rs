//! A session that somebody types in, on this process's terminal.

use std::time::Duration;

use irosh::{
    client::{Connection, PtySize, Session, SessionSender},
    stdio::Input,
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Link, ended::Ended, forwards::Forwards, output::print};
use crate::{
    escapes::{Action, EscapeChar, Escapes, Typed, text},
    terminal::{self, Events, RawMode, Terminal, TerminalEvent},
};

/// A session that somebody types in.
struct Typing<'a> {
    sender: SessionSender,
    /// What is to be sent; sending may wait, and `~.` must not.
    input: mpsc::UnboundedSender<Vec<u8>>,
    raw: RawMode,
    escapes: Escapes,
    escape: EscapeChar,
    forwards: Forwards,
    connection: &'a Connection,
    /// What waits for the server; `~.` must not wait for it.
    errands: JoinSet<()>,
}

pub(super) async fn on_terminal(
    session: Session,
    terminal: Terminal,
    escape: EscapeChar,
    link: &Link,
    forwards: Forwards,
) -> anyhow::Result<Ended> {
    let (sender, events) = session.split();
    let (input, feeding) = feed(sender.clone());
    let (sizes, resizes) = follow(sender.clone(), terminal.size());
    let raw = terminal.raw()?;
    let mut typed = Events::new(Some(&terminal), Some(&raw), Input::stdin()?)?;
    let mut typing = Typing {
        sender,
        input,
        raw,
        escapes: Escapes::new(escape),
        escape,
        forwards,
        connection: &link.connection,
        errands: JoinSet::new(),
    };
    let enough = CancellationToken::new();
    let printing = print(events, typing.sender.clone(), enough.clone());
    tokio::pin!(printing);
    let mut ended = None;
    let ended = loop {
        tokio::select! {
            printed = &mut printing => break Ended::printed(printed),
            event = typed.next() => match event {
                TerminalEvent::Typed(bytes) => {
                    if let Some(here) = typing.take(&bytes).await {
                        ended = Some(here);
                    }
                }
                // At once where that can be, and so before what is typed next.
                TerminalEvent::Resized(size) => tokio::select! {
                    biased;
                    _ = typing.sender.resize(size) => {}
                    () = std::future::ready(()) => drop(sizes.send_replace(size)),
                },
                // The only sender goes, which ends the input once all of it is sent.
                TerminalEvent::Eof => typing.input = mpsc::unbounded_channel().0,
                TerminalEvent::Killed(signal) => {
                    ended = Some(Ended::Here(Some(format!("killed by signal {}", signal as i32))));
                }
            },
        }
        if let Some(ended) = ended.take() {
            // What is on its way to the terminal gets there, unless somebody has stopped that, too.
            enough.cancel();
            let _ = timeout(LAST_OUTPUT, &mut printing).await;
            break ended;
        }
    };
    feeding.abort();
    resizes.abort();
    drop(typing);
    terminal::restore();
    // As ssh, which leaves the line that the session stood on.
    show(&format!("Connection to {} closed.\r\n", link.name));
    Ok(ended)
}

/// Sends what is put in, in order; the input's end is the session's.
fn feed(sender: SessionSender) -> (mpsc::UnboundedSender<Vec<u8>>, JoinHandle<()>) {
    let (input, mut waiting) = mpsc::unbounded_channel::<Vec<u8>>();
    let feeding = tokio::spawn(async move {
        while let Some(bytes) = waiting.recv().await {
            if sender.send_bytes(bytes.into()).await.is_err() {
                return;
            }
        }
        sender.eof();
    });
    (input, feeding)
}

/// Tells the server the newest size of the terminal, once it takes it.
fn follow(sender: SessionSender, size: PtySize) -> (watch::Sender<PtySize>, JoinHandle<()>) {
    let (sizes, mut newest) = watch::channel(size);
    let resizes = tokio::spawn(async move {
        while newest.changed().await.is_ok() {
            let size = *newest.borrow_and_update();
            let _ = sender.resize(size).await;
        }
    });
    (sizes, resizes)
}

/// How long the terminal may take for its last output.
const LAST_OUTPUT: Duration = Duration::from_millis(300);

impl Typing<'_> {
    /// Sends what was typed and does what its escapes ask for; how the session ends, if it does.
    async fn take(&mut self, bytes: &[u8]) -> Option<Ended> {
        for typed in self.escapes.typed(bytes) {
            match typed {
                Typed::Input(bytes) => drop(self.input.send(bytes)),
                Typed::Action(Action::Disconnect) => return Some(Ended::Here(None)),
                Typed::Action(action) => {
                    if let Err(error) = self.act(action).await {
                        show(&lines(&error));
                    }
                }
            }
        }
        None
    }

    async fn act(&mut self, action: Action) -> anyhow::Result<()> {
        match action {
            Action::Disconnect => {}
            Action::Suspend => {
                show(&text::suspend(self.escape));
                tokio::task::spawn_blocking(irosh::log::flush).await?;
                terminal::suspend(&self.raw).await?;
            }
            Action::ListForwards => {
                let lines = self.forwards.lines();
                show(&text::connections(self.escape, lines.iter().map(String::as_str)));
            }
            Action::Help => show(&text::help(self.escape)),
            Action::Break => {
                show(&text::send_break(self.escape));
                let sender = self.sender.clone();
                self.errands.spawn(async move {
                    // ssh does not ask what becomes of it.
                    let _ = sender.send_break(1000).await;
                });
            }
            Action::Rekey => {
                let connection = self.connection.clone();
                self.errands.spawn(async move { connection.rekey().await });
            }
        }
        Ok(())
    }
}

/// The lines of an error, which may have words of the server's.
fn lines(error: &dyn std::fmt::Display) -> String {
    text::raw_lines(&irosh::log::printable(&error.to_string()))
}

/// Says something on the raw terminal.
fn show(text: &str) {
    irosh::log::say(text);
}
