//! Who answers where a relay should, as a browser would ask: the relay, with its clock, or somebody in between.

use std::time::Duration;

use iroh::{Endpoint, RelayUrl};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use reqwest::{Response, Url, header};

use super::finding::Finding;
use crate::{
    log::one_line,
    transport::{Network, Relay, web_client},
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a relay is asked to say again at `/generate_204`, and in which header it does (iroh-relay's server).
const CHALLENGE: (&str, &str) = ("X-Iroh-Challenge", "irosh-doctor");
const RESPONSE: (&str, &str) = ("X-Iroh-Response", "response irosh-doctor");

/// How far a clock may be off: certificates and tickets of others are not more exact.
const EXACT: SignedDuration = SignedDuration::from_mins(5);

/// What was heard where a relay should be.
pub(super) enum Heard {
    /// Nothing that can be understood.
    Nothing,
    /// The relay, and by how much this machine's clock is ahead of its.
    Relay(Option<SignedDuration>),
    /// Somebody else, who answers this.
    Other(String),
}

/// Asks over plain HTTP, as who stands in between answers that; and over TLS where nobody does.
pub(super) async fn listen(endpoint: &Endpoint, network: &Network, url: &RelayUrl) -> Heard {
    let mut plain = Url::clone(url);
    if url.scheme() == "https" {
        // A URL with an address of the web takes any other of its schemes; its port is that of the new one.
        let _ = plain.set_scheme("http");
        let _ = plain.set_port(None);
    }
    let mut urls = vec![plain];
    if url.scheme() == "https" {
        urls.push(Url::clone(url));
    }
    for url in urls {
        if let Some(answer) = ask(endpoint, network, url).await {
            return understand(&answer);
        }
    }
    Heard::Nothing
}

async fn ask(endpoint: &Endpoint, network: &Network, relay: Url) -> Option<Response> {
    let url = relay.join("/generate_204").ok()?;
    let client = web_client(endpoint, network, &relay, PATIENCE).await?;
    let request = client.get(url).header(CHALLENGE.0, CHALLENGE.1);
    request.send().await.inspect_err(|error| tracing::debug!("{relay}: {error}")).ok()
}

fn understand(answer: &Response) -> Heard {
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    if header(RESPONSE.0) != Some(RESPONSE.1) {
        let to = header(header::LOCATION.as_str()).map(|to| format!(" to {}", one_line(to)));
        return Heard::Other(format!("{}{}", answer.status(), to.unwrap_or_default()));
    }
    let date = header(header::DATE.as_str()).and_then(|date| {
        let date = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
        Some(Timestamp::now().duration_since(date))
    });
    Heard::Relay(date)
}

/// Whether somebody in between answers for others, as networks do that want to be logged in to.
pub(super) fn captive_portal(network: &Network, heard: &[Heard]) -> Finding {
    const CHECK: &str = "captive portal";
    let other = heard.iter().find_map(|heard| match heard {
        Heard::Other(answer) => Some(answer),
        _ => None,
    });
    match other {
        Some(answer) => Finding::failed(
            CHECK,
            &format!(
                "somebody else answers where a relay should: {answer}\nopen any http:// page in a browser and log in to \
                 this network; where there is no such page, the setting `relay` names something that is no relay"
            ),
        ),
        None if network.relay == Relay::None => {
            Finding::ok(CHECK, "not looked for: there is no relay to ask")
        }
        None if heard.iter().any(|heard| matches!(heard, Heard::Relay(_))) => {
            Finding::ok(CHECK, "none: a relay answers for itself")
        }
        None => Finding::ok(CHECK, "not known: nobody answers"),
    }
}

/// Whether this machine's clock is right, by those of the relays.
pub(super) fn clock(network: &Network, heard: &[Heard]) -> Finding {
    const CHECK: &str = "clock";
    let ahead = heard.iter().filter_map(|heard| match heard {
        Heard::Relay(ahead) => *ahead,
        _ => None,
    });
    // One whose own clock is off is not to be believed where another agrees.
    match ahead.min_by_key(|ahead| ahead.abs()) {
        None if network.relay == Relay::None => Finding::ok(CHECK, "not compared: there is no relay to ask"),
        None => Finding::ok(CHECK, "not compared: no relay has told its time"),
        Some(ahead) if ahead.abs() <= EXACT => Finding::ok(CHECK, "it agrees with a relay's"),
        Some(ahead) => {
            let way = if ahead.is_positive() { "ahead" } else { "behind" };
            Finding::failed(
                CHECK,
                &format!(
                    "it is {} {way} of a relay's: certificates and times of expiry are misjudged\nset it, and have it \
                     kept: timedatectl set-ntp true",
                    lasting(ahead.abs())
                ),
            )
        }
    }
}

/// To the nearest of a unit.
fn lasting(time: SignedDuration) -> String {
    let minutes = (time.as_secs() + 30) / 60;
    match (minutes + 30) / 60 {
        0 => format!("{minutes} min"),
        hours @ 1..72 => format!("{hours} h"),
        hours => format!("{} days", (hours + 12) / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_where_all_relays_say_so() {
        let relay = |minutes| Heard::Relay(Some(SignedDuration::from_mins(minutes)));
        let said = |heard: &[Heard]| clock(&Network::default(), heard).found;
        assert!(said(&[relay(-24 * 60)]).contains("24 h behind"));
        assert!(said(&[relay(97 * 60), relay(96 * 60 - 1)]).contains("4 days ahead"));
        assert!(said(&[relay(6), Heard::Nothing]).contains("6 min ahead"));
        assert_eq!(said(&[relay(-24 * 60), relay(1)]), "it agrees with a relay's");
        assert_eq!(said(&[Heard::Other("302".to_owned())]), "not compared: no relay has told its time");
    }
}
