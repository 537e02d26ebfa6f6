//! The record of a nameplate at a name service, by which a code is found from anywhere.
//!
//! It is one as endpoints publish them of themselves (pkarr), under a key that the nameplate makes. All that it holds is
//! the id of an endpoint that was made for one pairing, and until when: where that endpoint is, its own record says.

use std::{fmt, ops::ControlFlow, str::FromStr, time::Duration};

use futures_util::StreamExt as _;
use iroh::{
    Endpoint, EndpointId, SecretKey,
    address_lookup::{EndpointInfo, UserData},
};
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::nameplate::Nameplate;
use crate::{
    log::{one_line, with_causes},
    transport::{Network, web_client},
};

/// Seconds for which others may keep it.
const TTL: u32 = 30;

/// How long the service may take to take a record.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a record says of which nobody is to be found.
const NOBODY: &str = "-";

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Notice {
    /// Who shows a code of this nameplate.
    pub(super) id: EndpointId,
    /// Until when, in seconds since 1970.
    pub(super) until: i64,
}

impl Notice {
    /// Whether its code has had its time, by this machine's clock.
    pub(super) fn is_over(&self) -> bool {
        self.until <= Timestamp::now().as_second()
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.until)
    }
}

/// It says of nobody.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoNotice;

impl FromStr for Notice {
    type Err = NoNotice;

    fn from_str(text: &str) -> Result<Self, NoNotice> {
        let (id, until) = text.split_once(' ').ok_or(NoNotice)?;
        let (id, until) = (id.parse().map_err(|_| NoNotice)?, until.parse().map_err(|_| NoNotice)?);
        Ok(Self { id, until })
    }
}

/// The place of a nameplate's record.
#[derive(Clone)]
pub(super) struct Record {
    endpoint: Endpoint,
    network: Network,
    service: Url,
    key: SecretKey,
}

impl Record {
    /// Nothing where there is no name service.
    pub(super) fn of(endpoint: &Endpoint, network: &Network, nameplate: Nameplate) -> Option<Self> {
        let (endpoint, network) = (endpoint.clone(), network.clone());
        Some(Self { service: network.dns.service()?, endpoint, network, key: nameplate.key() })
    }

    /// Asks, by all ways that names are looked up, and tells of each answer as it comes, until that is enough or all have
    /// answered. Whether anything came back in time, be it that there is no such record.
    pub(super) async fn read(
        &self,
        within: Duration,
        mut tell: impl FnMut(Notice) -> ControlFlow<()>,
    ) -> bool {
        let Ok(lookups) = self.endpoint.address_lookup() else { return false };
        let mut answers = lookups.resolve(self.key.public());
        let (end, mut heard) = (Instant::now() + within, false);
        while let Ok(Some(answer)) = timeout_at(end, answers.next()).await {
            heard = true;
            // Of several ways, one may have no answer.
            let Ok(Ok(item)) = answer else { continue };
            let notice = item.user_data().and_then(|said| said.to_string().parse().ok());
            if notice.is_some_and(|notice| tell(notice).is_break()) {
                break;
            }
        }
        heard
    }

    /// Writes what is to be said now.
    ///
    /// # Errors
    ///
    /// Why it was not written, in one line.
    pub(super) async fn write(&self, notice: Option<&Notice>) -> Result<(), String> {
        let said = notice.map_or_else(|| NOBODY.to_owned(), Notice::to_string);
        let said: Option<UserData> = said.parse().ok();
        let info = EndpointInfo::new(self.key.public()).with_user_data(said);
        let packet = info.to_pkarr_signed_packet(&self.key, TTL).map_err(|error| error.to_string())?;
        let mut url = self.service.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(&self.key.public().to_z32());
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let client = web_client(&self.endpoint, &self.network, &url, PATIENCE).await;
        let client = client.ok_or_else(|| format!("the name service {host} is not found"))?;
        let answer = client.put(url).body(packet.to_relay_payload()).send().await;
        let answer = answer.map_err(|error| {
            let why = one_line(&with_causes(&error.without_url()));
            format!("the name service {host} cannot be asked: {why}")
        })?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(format!("the name service {host} does not take a record: {}", answer.status()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_reads_as_it_is_written() {
        let notice = Notice { id: SecretKey::from_bytes(&[3; 32]).public(), until: 1_800_000_000 };
        assert_eq!(notice.to_string().parse(), Ok(notice));
        let past = Notice { until: 1, ..notice };
        assert!(past.is_over());
        for wrong in ["", NOBODY, "1800000000", "abc 18", &notice.id.to_string(), "- -"] {
            assert_eq!(wrong.parse::<Notice>(), Err(NoNotice), "{wrong}");
        }
    }
}
