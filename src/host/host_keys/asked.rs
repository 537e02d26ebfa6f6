//! What a host knows of one server at the moment, and what there is to say about it.

use std::time::{Duration, Instant};

use super::{kept::KeptKeys, key::HostKey, scan::Trouble, signs::Signs, verdict::Basis};
use crate::{
    host::backend::Backend,
    log::printable,
    protocol::{Refusal, RefusalCode},
};

/// How long a server that shows no key is left alone.
const TROUBLE_AGE: Duration = Duration::from_secs(10);

/// The last answer of a server, and what was made of it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) kept: Option<KeptKeys>,
    /// When it last answered, or did not; none when that says nothing any more.
    pub(super) at: Option<Instant>,
    pub(super) asking: bool,
    /// What it looked like, and when that was looked at.
    pub(super) signs: Signs,
    pub(super) looked: Option<Instant>,
    /// Why it showed no key.
    trouble: Option<Trouble>,
    /// Why its keys could not be kept.
    pub(super) failure: Option<String>,
    /// What was said about it last.
    told: Option<String>,
}

impl Asked {
    pub(super) fn answer(&mut self, trouble: Option<Trouble>) {
        (self.trouble, self.at, self.asking) = (trouble, Some(Instant::now()), false);
    }

    pub(super) fn is_old(&self) -> bool {
        let age = if self.trouble.is_some() { TROUBLE_AGE } else { self.signs.max_age() };
        self.at.is_none_or(|at| at.elapsed() > age)
    }

    pub(super) fn announced(&self) -> &[HostKey] {
        self.kept.as_ref().map_or(&[], |kept| &kept.announced)
    }

    /// Why no session may be handed to the server.
    pub(super) fn objection(&self, backend: &Backend) -> Option<Refusal> {
        let server = backend.server();
        let (what, next) = match (&self.trouble, &self.kept) {
            (Some(Trouble::Foreign(_)), _) => {
                ("is not root's, and not the host's own", "look at what listens there".to_owned())
            }
            (_, Some(kept)) if kept.is_another() => ("has another host key", next_step(kept)),
            _ => return None,
        };
        Some(Refusal::new(RefusalCode::Backend, format!("{server} {what}\non the host, {next}")))
    }

    /// What is wrong with the server, as one line that may be printed.
    pub(super) fn problem(&self) -> Option<String> {
        self.failure.clone().or_else(|| self.fault()).map(|text| printable(&text).replace('\n', "; "))
    }

    fn fault(&self) -> Option<String> {
        match (&self.trouble, &self.kept) {
            (Some(Trouble::NothingInCommon { .. }), Some(kept)) if !kept.announced.is_empty() => None,
            (Some(trouble @ Trouble::NothingInCommon { .. }), _) => {
                Some(format!("{trouble}; name its keys in host.toml: host-keys = [\"ssh-...\"]"))
            }
            (Some(trouble), _) => Some(trouble.to_string()),
            (None, Some(kept)) if kept.is_another() => {
                Some(format!("it has another host key: {}; {}", shown(kept), next_step(kept)))
            }
            _ => None,
        }
    }

    /// Logs what is new about the server; returns the keys that have begun to wait to be accepted.
    pub(super) fn news(&mut self, backend: &Backend) -> Option<Vec<HostKey>> {
        let problem = self.problem();
        let waiting = self.kept.as_ref().filter(|kept| !kept.waiting().is_empty());
        let remark =
            waiting.map(|kept| format!("it has a new host key: {}; {}", shown(kept), next_step(kept)));
        let elsewhere = self.kept.as_ref().is_some_and(|kept| kept.basis == Basis::Elsewhere);
        let elsewhere = elsewhere.then(|| {
            "it is on another machine, so none of its host keys is announced; name them in host.toml: host-keys = [\"ssh-...\"]".to_owned()
        });
        let is_problem = problem.is_some();
        let text = problem.or(remark).or(elsewhere);
        if text == self.told {
            return None;
        }
        let waiting = waiting.map(|kept| kept.waiting().into_iter().cloned().collect());
        match &text {
            Some(text) if is_problem => tracing::error!("{backend}: {text}"),
            Some(text) => tracing::warn!("{backend}: {text}"),
            None => tracing::info!("{backend}: all is well again"),
        }
        self.told = text;
        waiting
    }
}

fn next_step(kept: &KeptKeys) -> String {
    match kept.basis {
        Basis::Configured => "mend host-keys in host.toml".to_owned(),
        _ => "if that is meant, run: irosh host-keys accept".to_owned(),
    }
}

fn shown(kept: &KeptKeys) -> String {
    kept.waiting().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
