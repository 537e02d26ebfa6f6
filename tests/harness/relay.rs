//! A relay server within the test's process.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use iroh_relay::{
    defaults::DEFAULT_RELAY_QUIC_PORT,
    server::{
        Access, AccessControl, CertConfig, ClientRequest, QuicConfig, RelayConfig, Server, ServerConfig,
        TlsConfig,
    },
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::runtime::Runtime;
use url::Url;

/// A relay server on loopback, over plain HTTP unless it was given a certificate.
pub(crate) struct Relay {
    url: String,
    _server: Server,
    _runtime: Runtime,
}

impl Relay {
    pub(crate) fn start() -> Self {
        Self::serve(RelayConfig::new((Ipv4Addr::LOCALHOST, 0)), None, "127.0.0.1")
    }

    /// A relay for those who have a token.
    pub(crate) fn with_token(token: &str) -> Self {
        let mut config = RelayConfig::new((Ipv4Addr::LOCALHOST, 0));
        config.access = Arc::new(Token(token.to_owned()));
        Self::serve(config, None, "127.0.0.1")
    }

    /// A relay whose certificate is one of its own, until the end of this year; it is written to a file.
    pub(crate) fn with_certificate(file: &Path, name: &str, valid_until: i32) -> Self {
        let certificate = Certificate::of(&[name], valid_until);
        std::fs::write(file, &certificate.pem).expect("a file");
        let mut config = RelayConfig::new((Ipv4Addr::LOCALHOST, 0));
        config.tls = Some(certificate.tls((Ipv4Addr::LOCALHOST, 0).into()));
        Self::serve(config, None, "localhost")
    }

    /// A relay at an address of its own and the usual ports, that tells everybody by which address they are seen
    /// (QUIC address discovery). It is to be started where the address is.
    pub(crate) fn with_discovery(certificate: &Certificate, address: Ipv4Addr) -> Self {
        let mut config = RelayConfig::new((address, 80));
        config.tls = Some(certificate.tls((address, 443).into()));
        let quic = QuicConfig::new((address, DEFAULT_RELAY_QUIC_PORT));
        Self::serve(config, Some(quic), &address.to_string())
    }

    fn serve(relay: RelayConfig, quic: Option<QuicConfig>, name: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut config = ServerConfig::default();
        (config.relay, config.quic) = (Some(relay), quic);
        let server = runtime.block_on(Server::spawn(config)).expect("a relay server");
        let url = match (server.https_addr(), server.http_addr()) {
            (Some(addr), _) => Url::parse(&format!("https://{name}:{}/", addr.port())),
            (None, addr) => {
                Url::parse(&format!("http://{name}:{}/", addr.expect("the relay's address").port()))
            }
        };
        let url = url.expect("a URL").to_string();
        Self { url, _server: server, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// A certificate that vouches for itself.
pub(crate) struct Certificate {
    pub(crate) pem: String,
    config: rustls::ServerConfig,
}

impl Certificate {
    /// For servers of these names or addresses, until the end of this year.
    pub(crate) fn of(names: &[&str], valid_until: i32) -> Self {
        let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut params = rcgen::CertificateParams::new(names).expect("names");
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(valid_until, 12, 31);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.expect("versions").with_no_client_auth();
        let der = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = tls.with_single_cert(vec![certificate.der().clone()], der.into()).expect("a pair");
        Self { pem: certificate.pem(), config }
    }

    /// For a server of a test's own.
    pub(crate) fn server(&self) -> Arc<rustls::ServerConfig> {
        Arc::new(self.config.clone())
    }

    fn tls(&self, at: SocketAddr) -> TlsConfig {
        TlsConfig::new(at, CertConfig::Manual { server_config: self.config.clone() })
    }
}

/// Lets in who has the token.
#[derive(Debug)]
struct Token(String);

impl AccessControl for Token {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        if request.auth_token().as_deref() == Some(&self.0) {
            Access::Allow
        } else {
            Access::Deny { reason: None }
        }
    }
}
