//! The network: UDP, the router, relays, the name service, and what stands in for them.

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use futures_util::future::join_all;
use iroh::{Endpoint, RelayUrl, Watcher as _, unstable_net_report::NetReport};
use tokio::time::timeout;

use super::{
    finding::Finding,
    web::{Heard, captive_portal, clock, listen},
};
use crate::{
    proxy::{Dialer, milliseconds, name_service_fault},
    transport::{BindFailed, NameService, Network, Relay, try_relay},
};

/// How long iroh's own look at the network may take: it ends after 5 s.
const REPORT: Duration = Duration::from_secs(6);

/// What relays have answered: each over TCP, and all of them over whatever iroh has tried.
struct Answers {
    relays: Vec<(RelayUrl, Result<Duration, String>)>,
    report: Option<NetReport>,
    heard: Vec<Heard>,
}

pub(super) async fn look(dialer: Result<&Dialer, &BindFailed>, network: &Network) -> Vec<Finding> {
    let endpoint = match dialer {
        Ok(dialer) => dialer.endpoint(),
        Err(error) => return vec![Finding::failed("UDP", error)],
    };
    let (answers, service) = tokio::join!(ask(endpoint, network), name_service(endpoint, network));
    let mut found = vec![answers.udp()];
    found.extend(answers.router());
    found.extend(answers.relays(network));
    found.push(captive_portal(network, &answers.heard));
    found.push(clock(network, &answers.heard));
    found.push(service);
    found
}

async fn ask(endpoint: &Endpoint, network: &Network) -> Answers {
    let urls = network.relay.urls();
    let relays = join_all(urls.iter().map(|url| async {
        let answer = try_relay(endpoint, network, url).await;
        (url.clone(), answer)
    }));
    let report = async {
        // Without a relay, nobody is asked.
        if urls.is_empty() {
            return None;
        }
        timeout(REPORT, endpoint.net_report().initialized()).await.ok()
    };
    let heard = join_all(urls.iter().map(|url| listen(endpoint, network, url)));
    let (relays, report, heard) = tokio::join!(relays, report, heard);
    Answers { relays, report, heard }
}

impl Answers {
    fn udp(&self) -> Finding {
        let open = |why: &str| {
            Finding::ok("UDP", format!("a socket can be opened, and nobody asked for more: {why}"))
        };
        let report = self.report.as_ref();
        if report.is_some_and(NetReport::has_udp) {
            let seen = report.and_then(seen_at).map(|seen| format!(", and comes from {seen} for others"));
            return Finding::ok("UDP", format!("passes{}", seen.unwrap_or_default()));
        }
        if self.relays.is_empty() {
            return open("relays are turned off");
        }
        // One without TLS does not tell by which address one is seen.
        let mut asked = self.relays.iter().filter(|(url, _)| url.scheme() == "https").peekable();
        if asked.peek().is_none() {
            return open("the relays have no TLS");
        }
        if asked.any(|(_, answer)| answer.is_ok()) {
            return Finding::warning(
                "UDP",
                &"is blocked, it seems: no relay answers over it (QUIC address discovery), while over TCP they do; hosts \
                  are reached by relays alone\nhave this network's firewall let UDP out, to any port",
            );
        }
        Finding::warning(
            "UDP",
            &"no relay that is reached can tell whether it passes\nsee what is said of the relays",
        )
    }

    /// What the router makes of a socket (RFC 4787 section 4.1).
    fn router(&self) -> Option<Finding> {
        let report = self.report.as_ref().filter(|report| report.has_udp())?;
        let is_own = seen_at(report).is_some_and(|seen| UdpSocket::bind((seen.ip(), 0)).is_ok());
        Some(match report.mapping_varies_by_dest() {
            _ if is_own => Finding::ok("router", "none in between: others see this machine's own address"),
            Some(true) => Finding::warning(
                "router",
                &"it shows a socket at another port to each whom it sends to (hard NAT): hosts behind one that does, or \
                  that keeps strangers out, are reached by relays\nhosts with an address of their own, or on this \
                  network, are reached directly; else have the router do NAT with endpoint-independent mapping",
            ),
            Some(false) => Finding::ok("router", "it keeps ports, so most hosts can be reached directly"),
            None => Finding::ok("router", "there is one; it takes two relays to tell whether it keeps ports"),
        })
    }

    fn relays(&self, network: &Network) -> Vec<Finding> {
        if network.relay == Relay::None {
            return vec![Finding::ok("relay", "turned off: hosts are reached by direct addresses alone")];
        }
        let some = self.relays.iter().any(|(_, answer)| answer.is_ok());
        let latency = |url: &RelayUrl| {
            let times = self.report.iter().flat_map(|report| report.relay_latency.iter());
            times.filter(|(_, of, _)| *of == url).map(|(_, _, time)| time).min()
        };
        let found = self.relays.iter().map(|(url, answer)| match answer {
            Ok(took) => {
                let took = milliseconds(latency(url).unwrap_or(*took));
                Finding::ok("relay", format!("{url} answers in {took:.0} ms"))
            }
            Err(fault) => {
                let fault = format!("{url} cannot be used: {fault}");
                if some {
                    return Finding::warning("relay", &format!("{fault}\nanother relay is used"));
                }
                Finding::failed(
                    "relay",
                    &format!("{fault}\ncheck this network, and --relay, IROSH_RELAY or the setting `relay`"),
                )
            }
        });
        found.collect()
    }
}

/// The address by which others see this side.
fn seen_at(report: &NetReport) -> Option<SocketAddr> {
    let v4 = report.global_v4.map(Into::into);
    v4.or_else(|| report.global_v6.map(Into::into))
}

async fn name_service(endpoint: &Endpoint, network: &Network) -> Finding {
    const CHECK: &str = "name service";
    if network.dns == NameService::None {
        return Finding::ok(CHECK, "turned off: hosts are reached by tickets that hold their addresses");
    }
    if network.web_proxy().is_some() {
        return Finding::ok(CHECK, "asked by the HTTP proxy of the environment, which is not looked behind");
    }
    match name_service_fault(endpoint, network).await {
        None => Finding::ok(CHECK, "it can be asked"),
        Some((service, fault)) => Finding::failed(
            CHECK,
            &format!(
                "{service} cannot be asked: {fault}\ncheck this network and its name servers; tickets that hold \
                 addresses work without"
            ),
        ),
    }
}
