//! What a server has sent on a channel and nobody has used yet.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::client::state::{Disconnected, Exit, SessionState};

/// The window of each channel, in bytes: the most that an [`Inbox`] holds.
pub(crate) const WINDOW: u32 = 4 << 20;

/// The most that comes out at once, in bytes.
const LARGEST: usize = 256 << 10;

/// Turns of stdout and stderr that are told apart. From then on both come out as one turn each, or the order
/// of single bytes would take more room than they do.
const MOST_TURNS: usize = 1024;

/// What comes out of an inbox, in the order in which it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// Data; whether it is of stderr.
    Data(Bytes, bool),
    /// No more data.
    Eof,
    /// How the process ended.
    Exit(Exit),
}

/// A queue for one channel.
///
/// The connection's loop never waits for it: the server cannot send more than the window, which is
/// opened again by what is used and not by what arrives. So a channel whose reader stands still holds
/// up nobody but itself. One task at a time takes from it.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    session: watch::Sender<SessionState>,
    closed: CancellationToken,
    unread: CancellationToken,
    gone: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    /// Of stdout and of stderr.
    data: [BytesMut; 2],
    /// Data is here by its length alone.
    order: VecDeque<Entry>,
    eof: bool,
    exit: Option<Exit>,
    closed: bool,
    replies: VecDeque<oneshot::Sender<bool>>,
    /// Of everything or of stdout alone, and of stderr alone.
    readers: [Option<Waker>; 2],
}

#[derive(Debug)]
enum Entry {
    Data(usize, bool),
    Eof,
    Exit(Exit),
}

impl State {
    fn wake(&mut self) {
        self.readers.iter_mut().filter_map(Option::take).for_each(Waker::wake);
    }

    /// Data of one stream, whatever came before it.
    fn take_data(&mut self, stderr: bool) -> Option<Bytes> {
        let data = &mut self.data[usize::from(stderr)];
        let now = data.len().min(LARGEST);
        if now == 0 {
            return None;
        }
        let taken = data.split_to(now).freeze();
        let mut left = now;
        self.order.retain_mut(|entry| match entry {
            Entry::Data(length, of_stderr) if *of_stderr == stderr => {
                let part = left.min(*length);
                *length -= part;
                left -= part;
                *length > 0
            }
            _ => true,
        });
        Some(taken)
    }

    fn take(&mut self) -> Option<Item> {
        match self.order.pop_front()? {
            Entry::Data(length, stderr) => {
                let now = length.min(LARGEST);
                if now < length {
                    self.order.push_front(Entry::Data(length - now, stderr));
                }
                Some(Item::Data(self.data[usize::from(stderr)].split_to(now).freeze(), stderr))
            }
            Entry::Eof => Some(Item::Eof),
            Entry::Exit(exit) => Some(Item::Exit(exit)),
        }
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            session: watch::Sender::new(SessionState::Authenticated),
            closed: CancellationToken::new(),
            unread: CancellationToken::new(),
            gone: CancellationToken::new(),
        }
    }
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, data: &[u8], stderr: bool) {
        let mut state = self.state();
        if data.is_empty() || state.eof || state.closed {
            return;
        }
        state.data[usize::from(stderr)].extend_from_slice(data);
        let back = if state.order.len() < MOST_TURNS { 1 } else { 3 };
        let turn = state.order.iter_mut().rev().take(back).find_map(|entry| match entry {
            Entry::Data(length, of_stderr) if *of_stderr == stderr => Some(length),
            _ => None,
        });
        match turn {
            Some(length) => *length += data.len(),
            None => state.order.push_back(Entry::Data(data.len(), stderr)),
        }
        state.wake();
    }

    /// No more data will come.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        if !state.eof {
            state.eof = true;
            state.order.push_back(Entry::Eof);
            state.wake();
        }
    }

    /// The process has ended; only the first news of it counts.
    pub(crate) fn exit(&self, exit: Exit) {
        let mut state = self.state();
        if state.exit.is_none() {
            state.exit = Some(exit.clone());
            // Whoever is told finds the state changed.
            self.session.send_replace(SessionState::Exited(exit.clone()));
            state.order.push_back(Entry::Exit(exit));
            state.wake();
        }
    }

    /// How the process has ended, if it has.
    pub(crate) fn exited(&self) -> Option<Exit> {
        self.state().exit.clone()
    }

    /// The server will use nothing more that it is sent.
    pub(crate) fn stop_reading(&self) {
        self.unread.cancel();
    }

    /// The channel is closed: nothing that is sent arrives any more. What has come before still counts.
    pub(crate) fn close(&self) {
        self.close_with(None);
    }

    /// As [`Self::close`], by the server: all that it was sent has gone where it was to go.
    pub(crate) fn close_there(&self) {
        self.close_with(None);
        self.gone.cancel();
    }

    /// As [`Self::close`]: the connection is gone.
    pub(crate) fn disconnect(&self, why: Disconnected) {
        self.close_with(Some(why));
        self.gone.cancel();
    }

    fn close_with(&self, why: Option<Disconnected>) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        state.closed = true;
        let over = why.map_or_else(|| SessionState::Closed(state.exit.clone()), SessionState::Disconnected);
        // Whoever is told finds the state changed.
        self.session.send_replace(over);
        state.replies.clear();
        self.unread.cancel();
        self.closed.cancel();
        state.wake();
    }

    /// The next reply to a request goes there; dropped when there will be none.
    pub(crate) fn expect_reply(&self, to: oneshot::Sender<bool>) {
        let mut state = self.state();
        if !state.closed {
            state.replies.push_back(to);
        }
    }

    /// The server has replied to a request.
    pub(crate) fn reply(&self, success: bool) {
        let to = self.state().replies.pop_front();
        if let Some(to) = to {
            let _ = to.send(success);
        }
    }

    /// The next item; `None` when the channel is closed and all is taken. Only the last task that asked
    /// is woken.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let mut state = self.state();
        if let Some(item) = state.take() {
            return Poll::Ready(Some(item));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.readers[0] = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next data of stdout or of stderr alone; `None` when no more of it comes. Of the tasks that ask for the same,
    /// only the last is woken.
    pub(crate) fn poll_data(&self, stderr: bool, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.state();
        if let Some(data) = state.take_data(stderr) {
            return Poll::Ready(Some(data));
        }
        if state.eof || state.closed {
            return Poll::Ready(None);
        }
        state.readers[usize::from(stderr)] = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Told when the channel is closed, or the connection is gone.
    pub(crate) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// Told when the server has closed the channel as well, or the connection is gone.
    pub(crate) fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// Told when the server will use nothing more that it is sent.
    pub(crate) fn unread(&self) -> &CancellationToken {
        &self.unread
    }

    /// Whether the server has said that no more data comes.
    pub(crate) fn has_ended(&self) -> bool {
        self.state().eof
    }

    /// The state of the session that this channel is.
    pub(crate) fn session(&self) -> &watch::Sender<SessionState> {
        &self.session
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn next(inbox: &Inbox) -> Option<Item> {
        poll_fn(|cx| inbox.poll_next(cx)).await
    }

    #[tokio::test]
    async fn packets_of_one_stream_come_out_as_one_and_streams_in_their_order() {
        let inbox = Inbox::default();
        inbox.push(b"one ", false);
        inbox.push(b"two", false);
        inbox.push(b"oh", true);
        inbox.push(b"three", false);
        inbox.exit(Exit::Status(3));
        inbox.exit(Exit::Status(4));
        inbox.end();
        inbox.push(b"too late", false);
        inbox.close();
        let mut items = Vec::new();
        while let Some(item) = next(&inbox).await {
            items.push(item);
        }
        let data = |text: &'static [u8], stderr| Item::Data(Bytes::from_static(text), stderr);
        let exit = Item::Exit(Exit::Status(3));
        let expected = [data(b"one two", false), data(b"oh", true), data(b"three", false), exit, Item::Eof];
        assert_eq!(items, expected);
    }

    #[tokio::test]
    async fn streams_in_turns_of_one_byte_take_no_more_room_than_their_bytes() {
        let inbox = Inbox::default();
        let bytes: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        for (count, byte) in bytes.iter().enumerate() {
            inbox.push(&[*byte], false);
            inbox.push(&[!*byte], true);
            if count == 50_000 {
                inbox.exit(Exit::Status(0));
            }
        }
        assert!(inbox.state().order.len() < MOST_TURNS + 4);
        inbox.close();
        let mut came = [Vec::new(), Vec::new()];
        while let Some(item) = next(&inbox).await {
            if let Item::Data(data, stderr) = item {
                came[usize::from(stderr)].extend_from_slice(&data);
            }
        }
        let inverted: Vec<_> = bytes.iter().map(|byte| !byte).collect();
        assert!(came == [bytes, inverted]);
    }

    #[tokio::test]
    async fn one_stream_is_read_past_the_other_and_both_are_woken() {
        let inbox = Inbox::default();
        inbox.push(b"out", false);
        inbox.push(b"err", true);
        inbox.exit(Exit::Status(0));
        inbox.push(b"more", true);
        let data = |stderr| {
            let inbox = &inbox;
            poll_fn(move |cx| inbox.poll_data(stderr, cx))
        };
        assert_eq!(data(true).await.as_deref(), Some(&b"errmore"[..]));
        assert_eq!(inbox.state().order.len(), 2);
        let (late, ()) = tokio::join!(data(true), async { inbox.push(b"late", true) });
        assert_eq!(late.as_deref(), Some(&b"late"[..]));
        assert_eq!(data(false).await.as_deref(), Some(&b"out"[..]));
        let (ended, both, ()) = tokio::join!(data(false), data(true), async { inbox.end() });
        assert_eq!((ended, both), (None, None));
    }

    #[tokio::test]
    async fn a_reply_that_cannot_come_any_more_is_not_waited_for() {
        let inbox = Inbox::default();
        let (first, told) = oneshot::channel();
        inbox.expect_reply(first);
        inbox.close();
        assert!(told.await.is_err());
        let (second, told) = oneshot::channel();
        inbox.expect_reply(second);
        assert!(told.await.is_err());
    }
}
