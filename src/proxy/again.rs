//! Reaching a host again that was reached before.

use std::{future::pending, sync::Arc, time::Duration};

use iroh::Endpoint;
use tokio::time::{sleep, timeout};

use super::{apart::Fresh, connection::HostConnection, dial::Dialer, session_error::SessionError};
use crate::{
    protocol::{RefusalCode, SessionId},
    transport::Target,
};

/// The longest pause between two tries to reach a host that a session waits for.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long a try takes at first, then, and beside those.
const FIRST_TRY: Duration = Duration::from_millis(700);
const SHORT_TRY: Duration = Duration::from_secs(1);
const LONG_TRY: Duration = Duration::from_secs(8);

/// How long one takes where none may be beside it.
const MIDDLE_TRY: Duration = Duration::from_secs(3);

/// The pause after somebody has not confirmed who we are.
const UNPROVED: Duration = Duration::from_secs(5);

/// Reaches a host again, however long it takes, from an endpoint that knows of no path. An error is one that waiting
/// does not mend.
///
/// What is sent first in a handshake is sent again after ever longer pauses: many short tries find a network that is
/// back sooner than one that is long. Those who need longer get it beside them.
pub(super) async fn reach_again(
    dialer: &Dialer,
    before: &Endpoint,
    target: &Target,
) -> Result<HostConnection, Arc<SessionError>> {
    let from = loop {
        match dialer.afresh().await {
            Ok(from) => break Arc::new(from),
            Err(error) => tracing::debug!("{error}"),
        }
        sleep(jittered(LONGEST_PAUSE)).await;
    };
    if dialer.credentials().may_ask() {
        // Of two at once, each would have somebody confirm it.
        let from = &from;
        let once = |within| async move {
            let_in(dialer.dial_again_once(from, before, target, within).await.ok_or(None)?).await
        };
        return keep_trying(FIRST_TRY, MIDDLE_TRY, once).await;
    }
    let tries = |first, then| keep_trying(first, then, |within| reach(dialer, &from, before, target, within));
    tokio::select! {
        host = tries(FIRST_TRY, SHORT_TRY) => host,
        host = async {
            sleep(SHORT_TRY).await;
            tries(LONG_TRY, LONG_TRY).await
        } => host,
        host = reach_nearby(dialer, target) => host,
    }
}

/// Reaches a host again that has moved, or from where this machine has moved to, where both are on one network.
async fn reach_nearby(dialer: &Dialer, target: &Target) -> Result<HostConnection, Arc<SessionError>> {
    if !dialer.network().lan {
        return pending().await;
    }
    loop {
        if let Some(host) = dialer.dial_nearby(target).await {
            match let_in(host).await {
                Ok(host) => return Ok(host),
                Err(Some(error)) => return Err(error),
                Err(None) => {}
            }
        }
        sleep(jittered(LONGEST_PAUSE)).await;
    }
}

/// Tries something again and again: the first two times for so long, then for so long.
async fn keep_trying<T, E, F: Future<Output = Result<T, Option<E>>>>(
    first: Duration,
    then: Duration,
    attempt: impl Fn(Duration) -> F,
) -> Result<T, E> {
    let (mut pause, mut tries) = (Duration::from_millis(50), 0_u32);
    loop {
        match attempt(if tries < 2 { first } else { then }).await {
            Ok(done) => return Ok(done),
            Err(Some(error)) => return Err(error),
            Err(None) => {}
        }
        tries += 1;
        sleep(jittered(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Connects to a host and has it let us in. An error is one that waiting does not mend.
async fn reach(
    dialer: &Dialer,
    from: &Arc<Fresh>,
    before: &Endpoint,
    target: &Target,
    within: Duration,
) -> Result<HostConnection, Option<Arc<SessionError>>> {
    let_in(dialer.dial_again(from, before, target, within).await.ok_or(None)?).await
}

/// Has a host let us in. An error is one that waiting does not mend.
async fn let_in(host: HostConnection) -> Result<HostConnection, Option<Arc<SessionError>>> {
    // The network may go away once more before the answer is there.
    match timeout(LONG_TRY, host.welcome()).await.map_err(|_| None)? {
        Ok(_) => Ok(host),
        Err(error) => match &*error {
            SessionError::Refused(refusal)
                if !matches!(
                    refusal.code,
                    RefusalCode::Busy | RefusalCode::TooMany | RefusalCode::GoingAway | RefusalCode::Internal
                ) =>
            {
                Err(Some(error))
            }
            // The agent may have been locked, or nobody there to touch a key.
            SessionError::Unproved(_) => {
                sleep(UNPROVED).await;
                Err(None)
            }
            _ => Err(None),
        },
    }
}

/// Half of it, and as much more as chance has it: those who were cut off together are not to come back together.
pub(super) fn jittered(pause: Duration) -> Duration {
    let [byte, ..] = SessionId::generate().0;
    pause / 2 + pause * u32::from(byte) / 512
}
