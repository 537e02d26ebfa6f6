//! What leads to a host: one connection that all sessions there share, and one way back to it once it is lost.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{Shared, WeakShared},
};
use tokio::sync::watch;

use super::{
    again::reach_again, connection::HostConnection, credentials::Credentials, dial::Dialer,
    dial_error::DialError, session_error::SessionError,
};
use crate::{
    protocol::{CloseCode, SessionId},
    transport::Target,
};

/// The way to a host; clones are the same.
#[derive(Debug, Clone)]
pub struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dialer: Dialer,
    target: Target,
    current: watch::Sender<Option<HostConnection>>,
    /// Sessions that have ended while the host was away: it does not know.
    left: Mutex<Vec<SessionId>>,
    dialling: UnderWay<DialError>,
    returning: UnderWay<SessionError>,
}

/// What several wait for at once; it stops when nobody does any more.
type UnderWay<E> = Mutex<Option<WeakShared<Reaching<E>>>>;
type Reaching<E> = Pin<Box<dyn Future<Output = Reached<E>> + Send>>;
type Reached<E> = Result<HostConnection, Arc<E>>;

impl Link {
    /// A way to `target` that was not taken yet.
    #[must_use]
    pub fn new(dialer: &Dialer, target: &Target) -> Self {
        Self::of(dialer, target, None)
    }

    /// The way that has led to this connection.
    pub(super) fn to(dialer: &Dialer, target: &Target, host: HostConnection) -> Self {
        Self::of(dialer, target, Some(host))
    }

    fn of(dialer: &Dialer, target: &Target, host: Option<HostConnection>) -> Self {
        Self(Arc::new(Inner {
            dialer: dialer.for_another_host(),
            target: target.clone(),
            current: watch::Sender::new(host),
            left: Mutex::default(),
            dialling: UnderWay::default(),
            returning: UnderWay::default(),
        }))
    }

    /// Who is reached.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// Has proofs made as newer credentials of the same identity say, from now on.
    pub(crate) fn renew(&self, credentials: &Credentials) {
        self.0.dialer.credentials().renew(credentials);
    }

    /// The connection that is there and answers.
    #[must_use]
    pub fn current(&self) -> Option<HostConnection> {
        self.0.current.borrow().clone().filter(HostConnection::is_alive)
    }

    /// The connection that was there last, alive or not, and each that follows it.
    pub(crate) fn connections(&self) -> watch::Receiver<Option<HostConnection>> {
        self.0.current.subscribe()
    }

    /// The connection that is there, or one that is dialled for all who wait for it.
    ///
    /// # Errors
    ///
    /// [`DialError`] within 15 s.
    pub async fn reach(&self) -> Result<HostConnection, Arc<DialError>> {
        if let Some(host) = self.current() {
            return Ok(host);
        }
        let link = self.clone();
        let dialling = join(&self.0.dialling, || async move {
            let host = link.0.dialer.dial(&link.0.target).await.map_err(Arc::new)?;
            Ok(link.is_now(host))
        });
        // Of an endpoint that has a connection there, all goes by the path of that one, which may lead nowhere.
        let stale = self.0.current.borrow().clone().filter(HostConnection::may_come_back);
        match stale {
            None => dialling.await,
            Some(stale) => tokio::select! {
                biased;
                Ok(host) = self.again(&stale) => Ok(host),
                () = stale.comes_back(), if stale.is_open() => Ok(stale.clone()),
                dialled = dialling => dialled,
            },
        }
    }

    /// Another connection than the one that was lost, for all who wait for it, however long it takes. An error is one
    /// that waiting does not mend.
    pub(crate) async fn again(&self, lost: &HostConnection) -> Result<HostConnection, Arc<SessionError>> {
        if let Some(host) = self.current().filter(|host| !host.is(lost)) {
            return Ok(host);
        }
        let (link, before) = (self.clone(), lost.endpoint().clone());
        join(&self.0.returning, || async move {
            let host = reach_again(&link.0.dialer, &before, &link.0.target).await?;
            Ok(link.is_now(host))
        })
        .await
    }

    /// Why a host that is dialled for so long is not reached yet.
    #[must_use]
    pub fn so_far(&self, since: Duration) -> DialError {
        self.0.dialer.so_far(&self.0.target, since)
    }

    /// Closes the connection that is there.
    pub fn close(&self, code: CloseCode) {
        if let Some(host) = self.0.current.send_replace(None) {
            host.close(code);
        }
    }

    /// Has the host told, once it is reached again, that a session has ended; by another process, if not by this one.
    pub(super) fn leave(&self, session: SessionId) {
        lock(&self.0.left).push(session);
        self.0.dialer.leaves_something();
    }

    fn is_now(&self, host: HostConnection) -> HostConnection {
        tracing::info!("{}: connected", self.0.target);
        let left = std::mem::take(&mut *lock(&self.0.left));
        if !left.is_empty() {
            let host = host.clone();
            tokio::spawn(async move {
                for session in left {
                    host.end(session).await;
                }
            });
        }
        self.0.current.send_replace(Some(host.clone()));
        host
    }
}

/// Waits for what is under way, or for what is started now.
fn join<E, F>(slot: &UnderWay<E>, start: impl FnOnce() -> F) -> Shared<Reaching<E>>
where
    F: Future<Output = Reached<E>> + Send + 'static,
{
    let mut slot = lock(slot);
    let under_way = slot.as_ref().and_then(WeakShared::upgrade);
    under_way.filter(|reaching| reaching.peek().is_none()).unwrap_or_else(|| {
        let reaching: Reaching<E> = Box::pin(start());
        let reaching = reaching.shared();
        *slot = reaching.downgrade();
        reaching
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
