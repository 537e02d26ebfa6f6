//! The side that shows a code, and waits for somebody to type it.
//!
//! Whoever comes is given an answer with a secret of its own, which says nothing of the words. What counts as a guess is
//! a confirmation: the first one that comes is looked at, and none after it. So a crowd has one guess, as one has; and
//! who says nothing, or no more than a first word, has spent none of it, and is only in the way of a place.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use iroh::{Endpoint, endpoint::Incoming};
use jiff::Timestamp;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    agreement::{Channel, Keys, Side, answer},
    announcement::Announcement,
    code::Code,
    error::PairingError,
    line::{Line, STEP},
    met::{Met, MetClient, MetHost},
    nameplate::Nameplate,
};
use crate::{
    protocol::{
        CloseCode,
        pairing::{Confirm, Frame, MAX_STRANGERS_FRAME, Reason, Role},
    },
    transport::{Network, Relay, bind_pairing, close_quickly},
};

/// Who may be on the way to a guess at once. Where more come, the one that has had its place for longest loses it: a
/// person's machine needs it for three round trips.
const PLACES: usize = 256;

/// How long one may take to guess once it was answered: where several have its nameplate, it may be with another one.
const GUESS: Duration = Duration::from_secs(20);

/// How long a code waits for a relay before it is shown.
const RELAY_WAIT: Duration = Duration::from_secs(2);

/// How long those who wait may take to hear that a code is dead.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// What a code is shown with.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long it can be typed.
    pub ttl: Duration,
    /// The nameplate to have, taken or not; `None` for one that is free.
    pub nameplate: Option<Nameplate>,
}

impl Default for Options {
    /// Ten minutes, with a nameplate that is free.
    fn default() -> Self {
        Self { ttl: Duration::from_secs(10 * 60), nameplate: None }
    }
}

/// A code that is shown, for somebody to type it on another machine.
///
/// It can be guessed at once, and by whoever waits for it: after a guess it is dead. Where it is given up, [`Self::withdraw`] has nobody find it
/// any more; where it is dropped, the record at the name service stays until its time is over, and leads nowhere.
pub struct Showing {
    code: Code,
    endpoint: Endpoint,
    announcement: Announcement,
    until: Instant,
    expires: Timestamp,
    guessed: Arc<Guessed>,
}

impl Showing {
    /// Makes a code, under which this machine is found from now on.
    ///
    /// # Errors
    ///
    /// [`PairingError`] when there is no socket, no nameplate, or no way to tell anybody.
    pub async fn begin(network: &Network, options: Options) -> Result<Self, PairingError> {
        let Options { ttl, nameplate } = options;
        let endpoint = bind_pairing(network).await?;
        let expires = Timestamp::now().checked_add(ttl).unwrap_or(Timestamp::MAX);
        let until = Instant::now() + ttl;
        let claiming = Announcement::claim(&endpoint, network, nameplate, expires.as_second());
        let (claimed, ()) = tokio::join!(claiming, be_reachable(&endpoint, network));
        match claimed {
            Ok((nameplate, announcement)) => {
                let (code, guessed) = (Code::generate(nameplate), Arc::default());
                Ok(Self { code, endpoint, announcement, until, expires, guessed })
            }
            Err(error) => {
                close_quickly(&endpoint).await;
                Err(error)
            }
        }
    }

    /// What is to be typed on the other machine, and to be seen by nobody else.
    #[must_use]
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// Until when.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Why the code is found from this network alone, so far as is known, where one that others could be asked is
    /// configured.
    #[must_use]
    pub fn only_here(&self) -> Option<&str> {
        self.announcement.only_here.as_deref()
    }

    /// As a host: waits for the client on which the code is typed. With `compare`, people are to compare what both
    /// show.
    ///
    /// # Errors
    ///
    /// [`PairingError`]; the code is dead then.
    pub async fn client(&mut self, compare: bool) -> Result<MetClient, PairingError> {
        self.wait(Role::Host, compare).await.map(MetClient)
    }

    /// As a client: waits for the host on which the code is typed, in the same way.
    ///
    /// # Errors
    ///
    /// [`PairingError`]; the code is dead then.
    pub async fn host(&mut self, compare: bool) -> Result<MetHost, PairingError> {
        self.wait(Role::Client, compare).await.map(MetHost)
    }

    /// Nobody can type the code any more.
    pub async fn withdraw(mut self) {
        tokio::join!(self.announcement.withdraw(), close_quickly(&self.endpoint));
    }

    async fn wait(&mut self, role: Role, compare: bool) -> Result<Met, PairingError> {
        let met = self.guesses(role, compare).await;
        self.announcement.withdraw().await;
        if met.is_err() {
            close_quickly(&self.endpoint).await;
        }
        met
    }

    /// Takes whoever comes, until somebody has guessed.
    async fn guesses(&mut self, role: Role, compare: bool) -> Result<Met, PairingError> {
        let table = Arc::new(Table {
            code: self.code.clone(),
            endpoint: self.endpoint.clone(),
            role,
            compare,
            guessed: Arc::clone(&self.guessed),
        });
        let mut guests = Guests::default();
        loop {
            tokio::select! {
                // Who has guessed goes before who comes.
                biased;
                () = self.guessed.once.cancelled() => {}
                Some(_) = guests.next() => continue,
                () = sleep_until(self.until) => {}
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => {
                        guests.seat(&table, incoming);
                        continue;
                    }
                    None => return Err(PairingError::Protocol("the endpoint is closed".to_owned())),
                },
            }
            return match self.guessed.end() {
                Verdict::None => {
                    guests.are_told().await;
                    Err(PairingError::Expired)
                }
                Verdict::Wrong => {
                    guests.are_told().await;
                    Err(PairingError::Guessed)
                }
                Verdict::Right => {
                    let met = guests.right().await;
                    // Nobody waits for the others to hear of it.
                    tokio::spawn(async move { guests.are_told().await });
                    met.ok_or(PairingError::Dead)
                }
            };
        }
    }
}

impl std::fmt::Debug for Showing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Showing")
            .field("code", &self.code)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Waits for a relay, where there is one to be reached by: who types the code at once is to come in at once.
async fn be_reachable(endpoint: &Endpoint, network: &Network) {
    if network.relay != Relay::None {
        let _ = timeout(RELAY_WAIT, endpoint.online()).await;
    }
}

/// What those who come have before them.
struct Table {
    code: Code,
    endpoint: Endpoint,
    role: Role,
    compare: bool,
    guessed: Arc<Guessed>,
}

/// What has become of the one guess at a code. It is told here, and not by who was served: who has guessed wrong may be
/// gone before that, and the person is to see it all the same.
#[derive(Default)]
struct Guessed {
    verdict: Mutex<Option<Verdict>>,
    /// There is a verdict.
    once: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nobody has guessed in time.
    None,
    Wrong,
    Right,
}

impl Guessed {
    /// The one place where a guess is looked at, and only the first one. Nothing for any other.
    fn judge(&self, is_right: impl FnOnce() -> bool) -> Option<Verdict> {
        let mut known = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some() {
            return None;
        }
        *known = Some(if is_right() { Verdict::Right } else { Verdict::Wrong });
        self.once.cancel();
        *known
    }

    /// The verdict, after which no guess is looked at.
    fn end(&self) -> Verdict {
        let mut known = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = *known.get_or_insert(Verdict::None);
        self.once.cancel();
        verdict
    }
}

impl Table {
    /// Serves one who has come. What is agreed on with who has guessed right.
    async fn serve(self: Arc<Self>, incoming: Incoming, begun: Arc<AtomicBool>) -> Option<Met> {
        let connection = timeout(STEP, incoming.accept().ok()?).await.ok()?.ok()?;
        let channel = Channel::of(&connection, self.endpoint.id(), Side::Shows)?;
        let line = timeout(STEP, Line::accept(connection.clone()));
        let mut line = tokio::select! {
            line = line => match line {
                Ok(Ok(line)) => line,
                _ => {
                    connection.close(CloseCode::Deadline.into(), b"");
                    return None;
                }
            },
            () = self.guessed.once.cancelled() => {
                connection.close(CloseCode::Refused.into(), b"");
                return None;
            }
        };
        let heard = tokio::select! {
            heard = self.hear(&mut line, &channel, &begun) => Some(heard),
            () = self.guessed.once.cancelled() => None,
        };
        let (keys, confirm) = match heard {
            Some(Ok(heard)) => heard,
            Some(Err(None)) => {
                line.refuse(Reason::SameRole, "").await;
                return None;
            }
            Some(Err(Some(error))) => {
                tracing::debug!("no guess: {error}");
                match error {
                    PairingError::Version => line.refuse(Reason::Version, "").await,
                    PairingError::Deadline => line.hang_up(CloseCode::Deadline),
                    _ => line.hang_up(CloseCode::Protocol),
                }
                return None;
            }
            None => {
                line.refuse(Reason::Dead, "").await;
                return None;
            }
        };
        match self.guessed.judge(|| keys.confirms(Side::Types, &confirm)) {
            Some(Verdict::Right) => Some(self.agree(line, keys, &confirm).await),
            Some(_) => {
                line.refuse(Reason::Wrong, "").await;
                None
            }
            None => {
                line.refuse(Reason::Dead, "").await;
                None
            }
        }
    }

    /// Hears the first word, answers it, and hears the guess. Without an error where the roles do not fit.
    async fn hear(
        &self,
        line: &mut Line,
        channel: &Channel,
        begun: &AtomicBool,
    ) -> Result<(Keys, Confirm), Option<PairingError>> {
        let (frame, said) = line.hear(MAX_STRANGERS_FRAME, STEP).await.map_err(Some)?;
        let Frame::Start(start) = &frame else { return Err(Some(frame.unexpected().into())) };
        if start.role == self.role {
            return Err(None);
        }
        begun.store(true, Ordering::Relaxed);
        let no_message = |_| Some(PairingError::Protocol("no message of SPAKE2".to_owned()));
        let (keys, answer) = answer(&self.code, channel, start, &said).map_err(no_message)?;
        line.say(&answer).await.map_err(Some)?;
        let (frame, _) = line.hear(MAX_STRANGERS_FRAME, GUESS).await.map_err(Some)?;
        match frame {
            Frame::Confirm(confirm) if keys.keeps_promise(&confirm) => Ok((keys, confirm)),
            Frame::Confirm(_) => {
                Err(Some(PairingError::Protocol("a nonce is another one than was promised".to_owned())))
            }
            other => Err(Some(other.unexpected().into())),
        }
    }

    /// Proves in turn that this side knows the words.
    async fn agree(&self, mut line: Line, keys: Keys, theirs: &Confirm) -> Met {
        let confirm = Frame::Confirm(keys.confirm(Side::Shows, self.compare)).encode();
        if let Err(error) = line.say(&confirm).await {
            // Who knows the words is heard of where it is waited for.
            tracing::debug!("after a right guess: {error}");
        }
        let (verifier, compare) = (keys.verifier(Side::Types, theirs), self.compare || theirs.compare);
        Met { endpoint: self.endpoint.clone(), line, keys, verifier, compare }
    }
}

/// Those who have come.
#[derive(Default)]
struct Guests {
    tasks: JoinSet<Option<Met>>,
    /// In the order in which they came: what ends each, and whether it has said its first word.
    places: VecDeque<(AbortHandle, Arc<AtomicBool>)>,
}

impl Guests {
    fn seat(&mut self, table: &Arc<Table>, incoming: Incoming) {
        self.places.retain(|(task, _)| !task.is_finished());
        while self.places.len() >= PLACES {
            // Who has not even said a word goes first.
            let silent = self.places.iter().position(|(_, begun)| !begun.load(Ordering::Relaxed));
            if let Some((task, _)) = self.places.remove(silent.unwrap_or_default()) {
                task.abort();
            }
        }
        let begun = Arc::new(AtomicBool::new(false));
        let task = self.tasks.spawn(Arc::clone(table).serve(incoming, Arc::clone(&begun)));
        self.places.push_back((task, begun));
    }

    /// Waits until one of them has left, and gives who has guessed right; nothing where nobody is there. Cancel safe.
    async fn next(&mut self) -> Option<Option<Met>> {
        // Who was thrown out has guessed nothing: nobody is any more once there is a verdict.
        Some(self.tasks.join_next().await?.unwrap_or(None))
    }

    /// The one who has guessed right.
    async fn right(&mut self) -> Option<Met> {
        while let Some(left) = self.next().await {
            if left.is_some() {
                return left;
            }
        }
        None
    }

    /// Waits until all have heard that the code is dead, and have left.
    async fn are_told(&mut self) {
        let _ = timeout(LAST_WORDS, async { while self.next().await.is_some() {} }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_guess_is_looked_at_and_what_came_of_it_stays_known() {
        let guessed = Guessed::default();
        assert_eq!(guessed.judge(|| false), Some(Verdict::Wrong));
        assert!(guessed.once.is_cancelled());
        assert_eq!(guessed.judge(|| true), None);
        // However who has guessed was done with, and as often as it is asked.
        assert_eq!((guessed.end(), guessed.end()), (Verdict::Wrong, Verdict::Wrong));
    }

    #[test]
    fn once_its_time_is_over_no_guess_at_a_code_is_looked_at() {
        let guessed = Guessed::default();
        assert_eq!(guessed.end(), Verdict::None);
        assert_eq!(guessed.judge(|| true), None);
    }
}
