//! A relay server within the test's process.

use iroh_relay::server::{RelayConfig, Server, ServerConfig};
use tokio::runtime::Runtime;

/// A relay server over plain HTTP on loopback.
pub(crate) struct Relay {
    url: String,
    _server: Server,
    _runtime: Runtime,
}

impl Relay {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut config = ServerConfig::default();
        config.relay = Some(RelayConfig::new(([127, 0, 0, 1], 0)));
        let server = runtime.block_on(Server::spawn(config)).expect("a relay server");
        let url = format!("http://{}", server.http_addr().expect("the relay's address"));
        Self { url, _server: server, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
