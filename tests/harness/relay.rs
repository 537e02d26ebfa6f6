//! A relay server within the test's process.

use std::{net::Ipv4Addr, path::Path, sync::Arc};

use iroh_relay::server::{
    Access, AccessControl, CertConfig, ClientRequest, RelayConfig, Server, ServerConfig, TlsConfig,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::runtime::Runtime;

/// A relay server on loopback, over plain HTTP unless it was given a certificate.
pub(crate) struct Relay {
    url: String,
    _server: Server,
    _runtime: Runtime,
}

impl Relay {
    pub(crate) fn start() -> Self {
        Self::serve(RelayConfig::new((Ipv4Addr::LOCALHOST, 0)), "127.0.0.1")
    }

    /// A relay for those who have a token.
    pub(crate) fn with_token(token: &str) -> Self {
        let mut config = RelayConfig::new((Ipv4Addr::LOCALHOST, 0));
        config.access = Arc::new(Token(token.to_owned()));
        Self::serve(config, "127.0.0.1")
    }

    /// A relay whose certificate is one of its own, until the end of this year; it is written to a file.
    pub(crate) fn with_certificate(file: &Path, name: &str, valid_until: i32) -> Self {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(valid_until, 12, 31);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(file, certificate.pem()).expect("a file");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.expect("versions").with_no_client_auth();
        let der = PrivatePkcs8KeyDer::from(key.serialize_der());
        let server_config =
            tls.with_single_cert(vec![certificate.der().clone()], der.into()).expect("a pair");
        let mut config = RelayConfig::new((Ipv4Addr::LOCALHOST, 0));
        config.tls = Some(TlsConfig::new((Ipv4Addr::LOCALHOST, 0), CertConfig::Manual { server_config }));
        Self::serve(config, "localhost")
    }

    fn serve(relay: RelayConfig, name: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut config = ServerConfig::default();
        config.relay = Some(relay);
        let server = runtime.block_on(Server::spawn(config)).expect("a relay server");
        let url = match (server.https_addr(), server.http_addr()) {
            (Some(addr), _) => format!("https://{name}:{}/", addr.port()),
            (None, addr) => format!("http://{name}:{}/", addr.expect("the relay's address").port()),
        };
        Self { url, _server: server, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
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
