//! Asking servers of the web, as iroh's own client would: by the same authorities, names and proxy.

use std::time::Duration;

use iroh::Endpoint;
use reqwest::{Client, Proxy, Url, redirect};

use super::settings::Network;

/// A client for one server, which follows no other that answers for it. Nothing where the server's name is not found.
pub(crate) async fn web_client(
    endpoint: &Endpoint,
    network: &Network,
    server: &Url,
    patience: Duration,
) -> Option<Client> {
    let builder = Client::builder()
        .tls_backend_preconfigured(endpoint.tls_config().clone())
        .redirect(redirect::Policy::none())
        .timeout(patience);
    let builder = match network.web_proxy() {
        Some(proxy) => builder.proxy(Proxy::all(proxy).ok()?),
        None => {
            let builder = builder.no_proxy();
            match (server.domain(), endpoint.dns_resolver()) {
                (Some(name), Ok(resolver)) => {
                    let found = resolver.lookup_ipv4_ipv6(name, patience).await.ok()?;
                    let addrs: Vec<_> = found.map(|ip| (ip, 0).into()).collect();
                    builder.resolve_to_addrs(name, &addrs)
                }
                _ => builder,
            }
        }
    };
    builder.build().ok()
}
