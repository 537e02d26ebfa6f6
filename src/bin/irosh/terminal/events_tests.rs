use std::fs::File;

use tokio::io::AsyncWriteExt;

use super::{super::pty::Pty, *};

#[tokio::test]
async fn input_is_typed_and_ends_once() {
    let (mut other, input) = tokio::io::duplex(4);
    let mut events = Events::new(None, None, input).expect("listening");
    other.write_all(b"abc").await.expect("written");
    assert_eq!(events.next().await, TerminalEvent::Typed(b"abc".to_vec()));
    drop(other);
    assert_eq!(events.next().await, TerminalEvent::Eof);
    // After that there is nothing to read, and nothing is returned.
    let again = std::future::poll_fn(|cx| {
        let next = std::pin::pin!(events.next());
        std::task::Poll::Ready(next.poll(cx).is_pending())
    });
    assert!(again.await);
}

#[tokio::test]
async fn the_null_device_is_no_terminal_and_ends_at_once() {
    let null = File::open("/dev/null").expect("opened");
    assert!(Terminal::of(&null).expect("asked").is_none());
    let mut events = Events::new(None, None, tokio::fs::File::from_std(null)).expect("listening");
    assert_eq!(events.next().await, TerminalEvent::Eof);
}

#[tokio::test]
async fn a_terminal_that_is_gone_is_the_end() {
    let pty = Pty::open();
    let slave = pty.slave().try_clone().expect("duplicated");
    let terminal = Terminal::of(&slave).expect("asked");
    let raw = terminal.as_ref().expect("a terminal").raw().expect("raw");
    let input = tokio::fs::File::from_std(slave);
    let mut events = Events::new(terminal.as_ref(), Some(&raw), input).expect("listening");
    pty.type_in(b"x");
    assert_eq!(events.next().await, TerminalEvent::Typed(b"x".to_vec()));
    drop(pty);
    assert_eq!(events.next().await, TerminalEvent::Eof);
}
