//! Whether hosts are found on this network, without a server.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{case::Case, finding::Finding};
use crate::{names::Aliases, transport::lan::Search};

const CHECK: &str = "local network";

/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_millis(1200);

/// Hosts that are counted, at the most.
const MOST: usize = 1000;

pub(super) async fn look(case: &Case) -> Vec<Finding> {
    vec![if case.network.lan {
        Finding::ok(CHECK, ask(case).await)
    } else {
        Finding::ok(CHECK, "turned off: hosts on it are found by tickets and the name service alone")
    }]
}

async fn ask(case: &Case) -> String {
    let target = case.target.as_deref().and_then(|name| {
        let aliases = Aliases::load(&case.paths.aliases()).ok()?;
        aliases.resolve(name).ok()
    });
    let mut search = match &target {
        Some(target) => Search::for_one(target.addr().id, &case.network.bind),
        None => Search::for_all(&case.network.bind),
    };
    let asked = search.ask().await.join(", ");
    if asked.is_empty() {
        return "no network here on which all machines can be asked at once (multicast): hosts on it are found by \
                tickets and the name service alone"
            .to_owned();
    }
    let (until, mut ids) = (Instant::now() + ANSWER, BTreeSet::new());
    while let Ok(told) = timeout_at(until, search.next()).await {
        if let Some(target) = &target {
            return format!("{target} says that it is at {}", told.addresses[0]);
        }
        if ids.len() < MOST {
            ids.insert(told.id);
        }
    }
    match (target, ids.len()) {
        (Some(target), _) => format!("{target} does not answer there: asked on {asked}"),
        (None, 0) => format!("no host answers there: asked on {asked}"),
        (None, 1) => format!("a host answers there: asked on {asked}"),
        (None, count) => format!("{count} hosts answer there: asked on {asked}"),
    }
}
