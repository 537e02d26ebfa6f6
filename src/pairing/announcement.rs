//! Taking a nameplate that nobody else has, and saying who has it.

use std::{
    ops::{ControlFlow, RangeInclusive},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use iroh::Endpoint;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    error::PairingError,
    local,
    nameplate::Nameplate,
    record::{Notice, Record},
};
use crate::transport::Network;

/// Why nobody is found elsewhere.
pub(super) const NO_SERVICE: &str = "no name service is set (dns)";

/// Where nameplates are taken from, one try after the other: short ones first, as long as they are free.
const CHOICES: [RangeInclusive<u16>; 8] = [
    1..=9,
    10..=99,
    10..=99,
    100..=999,
    100..=999,
    1000..=Nameplate::MAX,
    1000..=Nameplate::MAX,
    1000..=Nameplate::MAX,
];

/// How long the name service may take to say whether somebody has a nameplate.
const ASKING: Duration = Duration::from_secs(2);

/// How often a record is written anew.
const AGAIN: Duration = Duration::from_secs(4 * 60);

/// How long a record that was not taken waits to be tried again at first, and at the most.
const RETRY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30);

/// How long taking a record back may take.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A nameplate that was taken, and what tells others who has it.
pub(super) struct Announcement {
    endpoint: Endpoint,
    record: Option<Record>,
    /// Whether the record was ever written.
    written: Arc<AtomicBool>,
    /// What writes it.
    keeping: JoinSet<()>,
    /// Why the code is found on this network alone, so far.
    pub(super) only_here: Option<String>,
    /// What says so on this network.
    here: Option<AbortOnDropHandle<()>>,
}

impl Announcement {
    /// Takes this nameplate, or else one that nobody else has, as far as can be seen.
    ///
    /// # Errors
    ///
    /// [`PairingError::NoNameplate`], and [`PairingError::NoWay`] where nobody could be told.
    pub(super) async fn claim(
        endpoint: &Endpoint,
        network: &Network,
        wanted: Option<Nameplate>,
        until: i64,
    ) -> Result<(Nameplate, Self), PairingError> {
        let notice = Notice { id: endpoint.id(), until };
        if let Some(nameplate) = wanted {
            let record = Record::of(endpoint, network, nameplate);
            let place = Place { endpoint, network, nameplate, notice };
            let announcement = place.announce(record, true).await?;
            return Ok((nameplate, announcement.ok_or(PairingError::NoNameplate)?));
        }
        for range in &CHOICES {
            let nameplate = Nameplate::any(range);
            let place = Place { endpoint, network, nameplate, notice };
            if let Some(announcement) = place.take().await? {
                return Ok((nameplate, announcement));
            }
        }
        Err(PairingError::NoNameplate)
    }

    /// Nobody is to find it any more.
    pub(super) async fn withdraw(&mut self) {
        self.keeping.shutdown().await;
        self.here = None;
        if let Ok(lookups) = self.endpoint.address_lookup() {
            lookups.clear();
        }
        if let Some(record) = self.record.take().filter(|_| self.written.load(Ordering::Relaxed))
            && !matches!(timeout(LAST_WORD, record.write(None)).await, Ok(Ok(())))
        {
            tracing::debug!("the record could not be taken back, and is there until its time is over");
        }
    }
}

/// A nameplate that may be taken.
struct Place<'a> {
    endpoint: &'a Endpoint,
    network: &'a Network,
    nameplate: Nameplate,
    notice: Notice,
}

impl Place<'_> {
    /// Nothing where somebody else has it.
    async fn take(self) -> Result<Option<Announcement>, PairingError> {
        let Self { endpoint, network, nameplate, notice } = self;
        let record = Record::of(endpoint, network, nameplate);
        let elsewhere = async {
            let Some(record) = &record else { return (false, true) };
            let mut taken = false;
            let answers = record.read(ASKING, |other| {
                taken = other.id != notice.id && !other.is_over();
                if taken { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            let answers = answers.await;
            (taken, answers)
        };
        let (here, (elsewhere, answers)) =
            tokio::join!(local::is_taken(endpoint.id(), network, nameplate), elsewhere);
        if here || elsewhere { Ok(None) } else { self.announce(record, answers).await }
    }

    /// Says who has it. Nothing where somebody else has said so at the same time. A service that did not answer before
    /// is not waited for.
    async fn announce(
        self,
        record: Option<Record>,
        answers: bool,
    ) -> Result<Option<Announcement>, PairingError> {
        let Self { endpoint, network, nameplate, notice } = self;
        let (written, mut keeping) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        let mut only_here = None;
        if let Some(record) = &record {
            let first = if answers {
                record.write(Some(&notice)).await
            } else {
                Err("the name service does not answer".to_owned())
            };
            match first {
                Ok(()) => {
                    written.store(true, Ordering::Relaxed);
                    let mut first = None;
                    let tell = |said| {
                        first = Some(said);
                        ControlFlow::Break(())
                    };
                    record.read(ASKING, tell).await;
                    // Two that took it at the same moment both see the later one's.
                    if first.is_some_and(|said: Notice| said.id != notice.id && !said.is_over()) {
                        return Ok(None);
                    }
                }
                Err(why) => only_here = Some(why),
            }
            keeping.spawn(keep(record.clone(), notice, Arc::clone(&written)));
        }
        let here = local::announce(endpoint, network, nameplate);
        if here.is_none() && !written.load(Ordering::Relaxed) {
            let elsewhere = only_here.unwrap_or_else(|| NO_SERVICE.to_owned());
            return Err(PairingError::NoWay {
                here: local::obstacle(network).unwrap_or(local::FAILS),
                elsewhere,
            });
        }
        let endpoint = endpoint.clone();
        Ok(Some(Announcement { endpoint, record, written, keeping, only_here, here }))
    }
}

/// Writes a record again and again, and until it is taken at first.
async fn keep(record: Record, notice: Notice, written: Arc<AtomicBool>) {
    let mut retry = *RETRY.start();
    loop {
        let pause = if written.load(Ordering::Relaxed) { AGAIN } else { retry };
        sleep(pause).await;
        match record.write(Some(&notice)).await {
            Ok(()) => written.store(true, Ordering::Relaxed),
            Err(why) => {
                tracing::debug!("{why}");
                retry = (retry * 2).min(*RETRY.end());
            }
        }
    }
}
