//! A byte stream cut into requests, and the replies collected: no input or output happens here.

use std::time::{Duration, Instant};

use super::{fatal::Fatal, limits::MAX_PACKET, server::Server};

/// Bytes to read at once.
const READ: usize = 256 << 10;

/// What is missing of a packet is read alone from this size on, so that the next packet starts at the
/// front of the buffer and nothing has to be moved.
const LARGE: usize = 16 << 10;

/// Requests are carried out until there are this many bytes of replies to send.
///
/// Two batches at most are kept: one that is being sent and one that is made meanwhile. With larger
/// ones client and server wait for each other by turns.
const BATCH: usize = 64 << 10;

/// How long requests are carried out before the replies so far are sent, however few they are: the next
/// one may be slow.
///
/// A request that may take as long as somebody else likes, such as one that opens a FIFO, is not begun
/// before the replies to those before it are on their way. For the others a reply each is not worth a
/// write each.
const TURN: Duration = Duration::from_millis(2);

/// The most bytes of requests that wait while replies cannot be sent.
///
/// A client may send requests for as long as it likes before it reads a reply (paramiko asks for a
/// whole file). If reading stopped as soon as replies back up, both sides would write and neither read.
/// So reading goes on up to here: 140,000 reads, more than enough for 4 GiB in pieces of 32 KiB. The
/// data that was asked for is read only when it can be sent, so this is all that such a client costs.
const QUEUE: usize = 4 << 20;

/// A [`Server`] between a stream of requests and a stream of replies.
///
/// Whoever drives it reads into [`Self::room`] and says so with [`Self::filled`], calls [`Self::work`],
/// and sends [`Self::replies`], reporting with [`Self::sent`]. Reading should go on while sending is
/// blocked, as long as there is room.
pub struct Pump {
    server: Server,
    /// Bytes received: carried out up to `start`, whole requests up to `whole`, received up to `end`.
    input: Vec<u8>,
    start: usize,
    whole: usize,
    end: usize,
    /// Replies that are being sent, and how far.
    sending: Vec<u8>,
    sent: usize,
    /// Replies to send next.
    next: Vec<u8>,
    /// What ended the requests, behind the last that can still be carried out.
    fatal: Option<Fatal>,
}

impl Pump {
    /// A pump with nothing in it.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self {
            server,
            input: Vec::new(),
            start: 0,
            whole: 0,
            end: 0,
            sending: Vec::new(),
            sent: 0,
            next: Vec::new(),
            fatal: None,
        }
    }

    /// Where to read the next bytes into. Empty when enough requests are waiting, or when none will be
    /// taken any more.
    pub fn room(&mut self) -> &mut [u8] {
        if self.fatal.is_some() || self.end - self.start >= QUEUE {
            return &mut [];
        }
        if self.start == self.end {
            (self.start, self.whole, self.end) = (0, 0, 0);
            if self.input.len() > 4 * READ {
                self.input = Vec::new();
            }
        }
        let missing = self.missing();
        let size = if missing >= LARGE { missing } else { READ };
        if self.input.len() - self.end < size && self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.whole -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        if self.input.len() - self.end < size {
            self.input.resize((self.end + size).max(2 * READ), 0);
        }
        &mut self.input[self.end..self.end + size]
    }

    /// Says that so many bytes were read into the room.
    ///
    /// # Panics
    /// When there was less room.
    pub fn filled(&mut self, count: usize) {
        assert!(count <= self.input.len() - self.end, "more was read than there was room for");
        self.end += count;
        while self.fatal.is_none() {
            match self.length_at(self.whole) {
                Some(length) if length > MAX_PACKET => {
                    self.fatal = Some(Fatal::TooLong(u32::try_from(length).unwrap_or(u32::MAX)));
                }
                Some(length) if self.end - self.whole >= 4 + length => self.whole += 4 + length,
                _ => break,
            }
        }
    }

    /// Carries out requests until there are enough replies to send, or some that are not to wait any
    /// longer, or no whole request is left.
    ///
    /// # Errors
    /// [`Fatal`] once the requests before the one that is at fault have been carried out. Replies may
    /// still be waiting then, and should be sent.
    pub fn work(&mut self) -> Result<(), Fatal> {
        let begun = Instant::now();
        while self.can_work() {
            let Some(length) = self.length_at(self.start) else { break };
            let packet = self.start + 4..self.start + 4 + length;
            self.start = packet.end;
            if let Err(fatal) = self.server.receive(&self.input[packet], &mut self.next) {
                self.whole = self.start;
                self.fatal = Some(fatal);
            }
            if begun.elapsed() >= TURN {
                break;
            }
        }
        if self.sending.is_empty() {
            std::mem::swap(&mut self.sending, &mut self.next);
        }
        match self.fatal {
            Some(fatal) if self.start == self.whole => Err(fatal),
            _ => Ok(()),
        }
    }

    /// Whether [`Self::work`] would carry out a request. It may do so only once the replies there are have
    /// been sent.
    #[must_use]
    pub fn can_work(&self) -> bool {
        if self.start == self.whole || self.next.len() >= BATCH {
            return false;
        }
        let all_sent = self.sending.is_empty() && self.next.is_empty();
        let length = self.length_at(self.start).unwrap_or(0);
        all_sent || !self.server.may_wait(&self.input[self.start + 4..self.start + 4 + length])
    }

    /// What is to be sent.
    #[must_use]
    pub fn replies(&self) -> &[u8] {
        &self.sending[self.sent..]
    }

    /// Says that so many bytes of the replies were sent.
    pub fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.sending.len());
        if self.sent == self.sending.len() {
            self.sending.clear();
            self.sent = 0;
            std::mem::swap(&mut self.sending, &mut self.next);
        }
    }

    /// The length of the packet that begins at a place, when it is known.
    fn length_at(&self, place: usize) -> Option<usize> {
        let (length, _) = self.input[place..self.end].split_first_chunk::<4>()?;
        Some(u32::from_be_bytes(*length) as usize)
    }

    /// How many bytes are missing of the packet that is incomplete.
    fn missing(&self) -> usize {
        self.length_at(self.whole).map_or(0, |length| (4 + length).saturating_sub(self.end - self.whole))
    }
}
