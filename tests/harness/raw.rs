//! A peer that says what it likes: QUIC without the manners of `irosh::proxy`.

use std::{net::Ipv4Addr, str::FromStr, time::Duration};

use iroh::{
    Endpoint, EndpointAddr, RelayMode, SecretKey,
    endpoint::{Connection, ConnectionError, QuicTransportConfig, RecvStream, SendStream, presets},
};
use iroh_tickets::endpoint::EndpointTicket;
use irosh::{
    protocol::{EXPORTER_LABEL, EXPORTER_LENGTH, Frame, Hello, Instance, MAX_CONTROL_FRAME, proof_message},
    session::read_frame,
    transport::{ALPN, Bind, NameService, Network, Relay, bind_client},
};
use tokio::{runtime::Runtime, time::timeout};

use super::Host;

/// How long the host may take to answer or to close.
const PATIENCE: Duration = Duration::from_secs(20);

/// A runtime for raw peers.
pub(crate) fn raw_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A host that completes handshakes and grants what it likes afterwards.
pub(crate) struct RawHost {
    pub(crate) endpoint: Endpoint,
}

impl RawHost {
    /// A host that lets a peer open so many streams and write so many bytes on them.
    pub(crate) async fn granting(streams: u32, bytes: u32) -> Self {
        let transport = QuicTransportConfig::builder()
            .max_concurrent_bidi_streams(streams.into())
            .stream_receive_window(bytes.into())
            .build();
        let builder = Endpoint::builder(presets::Minimal).alpns(vec![ALPN.to_vec()]);
        let builder = builder.relay_mode(RelayMode::Disabled).transport_config(transport);
        let builder = builder.clear_ip_transports().bind_addr((Ipv4Addr::LOCALHOST, 0)).expect("an address");
        Self { endpoint: builder.bind().await.expect("an endpoint") }
    }

    pub(crate) fn ticket(&self) -> String {
        let addr = EndpointAddr::new(self.endpoint.id());
        let addrs = self.endpoint.bound_sockets().into_iter();
        EndpointTicket::new(addrs.fold(addr, EndpointAddr::with_ip_addr)).to_string()
    }

    /// Takes connections and holds them.
    pub(crate) async fn hold(self) {
        let mut held = Vec::new();
        while let Some(incoming) = self.endpoint.accept().await {
            if let Ok(accepting) = incoming.accept() {
                held.push(accepting.await);
            }
        }
    }
}

/// A connection to a host on which nothing has been said.
pub(crate) struct Raw {
    /// Held open for the connection.
    _endpoint: Endpoint,
    pub(crate) connection: Connection,
}

impl Raw {
    /// The network of tests: loopback alone.
    pub(crate) fn network() -> Network {
        let bind = Bind(vec![([127, 0, 0, 1], 0).into()]);
        Network { relay: Relay::None, dns: NameService::None, bind, ..Network::default() }
    }

    pub(crate) async fn connect(host: &Host) -> Self {
        Self::connect_to(EndpointTicket::from_str(&host.ticket()).expect("a ticket").into()).await
    }

    pub(crate) async fn connect_to(addr: EndpointAddr) -> Self {
        let endpoint = bind_client(&Self::network()).await.expect("an endpoint");
        let connection = timeout(PATIENCE, endpoint.connect(addr, ALPN)).await.expect("in time");
        Self { _endpoint: endpoint, connection: connection.expect("a connection") }
    }

    /// A true `Hello` of an identity on this connection.
    pub(crate) fn hello(&self, identity: &SecretKey) -> Hello {
        let public = *identity.public().as_bytes();
        let mut exported = [0; EXPORTER_LENGTH];
        let export = self.connection.export_keying_material(&mut exported, EXPORTER_LABEL, &public);
        assert!(export.is_ok(), "keying material");
        Hello::new(public, identity.sign(&proof_message(&exported)).to_bytes(), None, Instance::generate())
    }

    /// Says bytes as the first ones of a new stream.
    pub(crate) async fn say(&self, bytes: &[u8]) -> (SendStream, RecvStream) {
        let opened = timeout(PATIENCE, self.connection.open_bi()).await.expect("a stream in time");
        let (mut send, recv) = opened.expect("a stream");
        // The host may have hung up on us already.
        let _ = send.write_all(bytes).await;
        (send, recv)
    }

    /// Says `Hello` and reads the answer.
    pub(crate) async fn greet(&self, identity: &SecretKey) -> (Frame, SendStream, RecvStream) {
        let (send, mut recv) = self.say(&Frame::Hello(self.hello(identity).into()).encode()).await;
        let frame = timeout(PATIENCE, read_frame(&mut recv, MAX_CONTROL_FRAME)).await.expect("in time");
        (Frame::decode(&frame.expect("an answer")).expect("a frame"), send, recv)
    }

    /// Waits for the host to close the connection; returns the code it gives.
    pub(crate) async fn closed(&self) -> u64 {
        match timeout(PATIENCE, self.connection.closed()).await.expect("the host closes in time") {
            ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
            other => panic!("not closed by the host: {other}"),
        }
    }
}
