//! Why a relay server cannot be used from here.

use std::{error::Error, io, time::Duration};

use iroh::{Endpoint, RelayUrl, SecretKey};
use iroh_relay::client::ClientBuilder;
use rustls::CertificateError;
use tokio::time::timeout;

use super::settings::Network;
use crate::log::one_line;

/// How long a relay may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Connects to a relay as an endpoint would, under a key of its own; says what is wrong if that fails.
pub(crate) async fn relay_fault(endpoint: &Endpoint, network: &Network, url: &RelayUrl) -> Option<String> {
    let resolver = endpoint.dns_resolver().ok()?.clone();
    let tls = endpoint.tls_config().clone();
    let mut builder = ClientBuilder::new(url.clone(), SecretKey::generate(), resolver).tls_client_config(tls);
    if let Some(proxy) = network.web_proxy() {
        builder = builder.proxy_url(proxy);
    }
    if let Some(token) = &network.relay_token {
        builder = builder.auth_token(token.as_str());
    }
    match timeout(PATIENCE, builder.connect()).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(explain(&error)),
        Err(_) => Some(format!("it does not answer within {} s", PATIENCE.as_secs())),
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
