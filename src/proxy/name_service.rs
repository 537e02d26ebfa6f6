//! Whether the name service can be asked from here.

use std::time::Duration;

use iroh::Endpoint;
use tokio::{net::TcpStream, time::timeout};
use url::{Host, Url};

use crate::{
    log::one_line,
    transport::{Network, resolver_fault},
};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the name service should be, and why it is not reached, if it is not.
pub(crate) async fn name_service_fault(endpoint: &Endpoint, network: &Network) -> Option<(String, String)> {
    let service = network.dns.service()?;
    if network.web_proxy().is_some() {
        return None;
    }
    let fault = match timeout(PATIENCE, reach(endpoint, &service)).await {
        Ok(Ok(())) => return None,
        Ok(Err(fault)) => fault,
        Err(_) => format!("it does not answer within {} s", PATIENCE.as_secs()),
    };
    let host = service.host_str().unwrap_or_default();
    let shown = service.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    Some((shown, fault))
}

async fn reach(endpoint: &Endpoint, service: &Url) -> Result<(), String> {
    let port = service.port_or_known_default().unwrap_or(443);
    let addr = match service.host() {
        Some(Host::Ipv4(ip)) => ip.into(),
        Some(Host::Ipv6(ip)) => ip.into(),
        Some(Host::Domain(name)) => {
            let unknown = |error: &dyn std::fmt::Display| {
                let what = format!("its name cannot be looked up: {}", one_line(&error.to_string()));
                resolver_fault().map_or_else(|| what.clone(), |fault| format!("{what} ({fault})"))
            };
            let resolver = endpoint.dns_resolver().map_err(|error| unknown(&error))?;
            let mut found =
                resolver.lookup_ipv4_ipv6(name, PATIENCE).await.map_err(|error| unknown(&error))?;
            found.next().ok_or_else(|| unknown(&"it has no address"))?
        }
        None => return Ok(()),
    };
    TcpStream::connect((addr, port)).await.map(drop).map_err(|error| error.to_string())
}
