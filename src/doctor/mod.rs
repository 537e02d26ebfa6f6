//! What stands between a user and their hosts: programs, files, the network, ssh's configuration and a host itself.
//!
//! Each check looks at one thing, ends in time whatever the network is like, and says what it has found and what to do
//! about it. Those that do not need each other's outcome run at the same time.

mod case;
mod files;
mod finding;
mod host;
mod identity;
mod lan;
mod network;
mod programs;
mod ssh;
mod web;

use std::{future::Future, pin::Pin, time::Duration};

use futures_util::stream::{FuturesOrdered, StreamExt as _};
use iroh::SecretKey;
use tokio::time::timeout;

pub use case::Case;
pub use finding::{Finding, Verdict};

use crate::proxy::{Credentials, Dialer};

/// How long a check may take: as long as a host that is dialled, and a little more for what is found out then.
const DEADLINE: Duration = Duration::from_secs(45);

type Check<'a> = Pin<Box<dyn Future<Output = Vec<Finding>> + 'a>>;

/// Looks at everything, and tells what is found, in the same order each time.
pub async fn examine(case: &Case, mut tell: impl FnMut(Finding)) {
    let known = identity::credentials(&case.paths, case.identity.as_deref(), case.target.is_some());
    let own = known.as_ref().ok().and_then(Clone::clone);
    let has_key = own.is_some();
    let nobody = || Credentials::from(SecretKey::generate());
    let dialer = Dialer::bind(case.network.clone(), own.unwrap_or_else(nobody)).await;
    let mut checks = FuturesOrdered::<Check<'_>>::new();
    checks.push_back(within("programs", programs::look()));
    checks.push_back(within("key", identity::look(known)));
    checks.push_back(within("host key", async { files::host_key(&case.paths).into_iter().collect() }));
    checks.push_back(within("settings", async { files::settings(&case.paths) }));
    checks.push_back(within("agent", files::agent(&case.paths)));
    checks.push_back(within("network", network::look(dialer.as_ref(), &case.network)));
    checks.push_back(within("local network", lan::look(case)));
    checks.push_back(within("ssh configuration", ssh::look(case)));
    if let (Some(name), Ok(dialer)) = (&case.target, &dialer) {
        checks.push_back(within("host", host::look(dialer, case, name, has_key)));
    }
    while let Some(found) = checks.next().await {
        found.into_iter().for_each(&mut tell);
    }
    drop(checks);
    if let Ok(dialer) = dialer {
        dialer.close().await;
    }
}

/// A check that is given up on some time.
fn within<'a>(name: &'static str, check: impl Future<Output = Vec<Finding>> + 'a) -> Check<'a> {
    Box::pin(async move {
        timeout(DEADLINE, check).await.unwrap_or_else(|_| {
            vec![Finding::failed(name, &format!("nothing is known after {} s", DEADLINE.as_secs()))]
        })
    })
}
