//! Whether a relay server can be used from here, and why not.

use std::{
    error::Error,
    io,
    time::{Duration, Instant},
};

use iroh::{Endpoint, RelayUrl, SecretKey};
use iroh_relay::client::ClientBuilder;
use rustls::CertificateError;
use tokio::time::timeout;

use super::settings::Network;
use crate::log::one_line;

/// How long a relay may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is wrong with a relay, if something is.
pub(crate) async fn relay_fault(endpoint: &Endpoint, network: &Network, url: &RelayUrl) -> Option<String> {
    try_relay(endpoint, network, url).await.err()
}

/// Connects to a relay as an endpoint would, under a key of its own; says how long that took, or what is wrong.
pub(crate) async fn try_relay(
    endpoint: &Endpoint,
    network: &Network,
    url: &RelayUrl,
) -> Result<Duration, String> {
    let resolver = endpoint.dns_resolver().map_err(|error| error.to_string())?.clone();
    let begun = Instant::now();
    let tls = endpoint.tls_config().clone();
    let mut builder = ClientBuilder::new(url.clone(), SecretKey::generate(), resolver).tls_client_config(tls);
    if let Some(proxy) = network.web_proxy() {
        builder = builder.proxy_url(proxy);
    }
    if let Some(token) = &network.relay_token {
        builder = builder.auth_token(token.as_str());
    }
    match timeout(PATIENCE, builder.connect()).await {
        Ok(Ok(_)) => Ok(begun.elapsed()),
        Ok(Err(error)) => Err(explain(&error)),
        Err(_) => Err(format!("it does not answer within {} s", PATIENCE.as_secs())),
    }
}

/// What a person needs to know of it.
fn explain(error: &(dyn Error + 'static)) -> String {
    let causes = || std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    match causes().find_map(certificate) {
        Some(CertificateError::UnknownIssuer) => {
            "its certificate is of an authority that is not known here: name that in the setting `ca`"
                .to_owned()
        }
        Some(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired".to_owned()
        }
        Some(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "its certificate is of another name".to_owned()
        }
        Some(other) => format!("its certificate is not good: {other}"),
        None => causes().last().map_or_else(String::new, |cause| one_line(&cause.to_string())),
    }
}

/// What is wrong with a certificate, where that is the error.
fn certificate(error: &(dyn Error + 'static)) -> Option<CertificateError> {
    let inner = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
    let tls = match inner {
        Some(inner) => inner.downcast_ref::<rustls::Error>(),
        None => error.downcast_ref::<rustls::Error>(),
    };
    match tls {
        Some(rustls::Error::InvalidCertificate(why)) => Some(why.clone()),
        _ => None,
    }
}
