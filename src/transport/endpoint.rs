//! The one place that builds endpoints.

use std::{
    net::{Ipv4Addr, Ipv6Addr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use super::{
    congestion::PatientBbr,
    crypto,
    settings::{Authorities, Bind, NameService, Network},
};
use iroh::{
    Endpoint, SecretKey,
    address_lookup::{DnsAddressLookup, PkarrPublisher, PkarrResolver},
    dns::{DnsResolver, FallbackMode, NameserverConfig},
    endpoint::{
        AckFrequencyConfig, BindError, Builder, Connection, PortmapperConfig, QuicTransportConfig,
        QuicTransportConfigBuilder, VarInt,
    },
    tls::CaTlsConfig,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// The protocol's name in the TLS handshake.
pub const ALPN: &[u8] = b"irosh/1";

/// The same of what two machines speak that a code brings together.
pub const PAIRING_ALPN: &[u8] = b"irosh-pair/1";

/// Bytes of one stream that may be on their way or unread.
///
/// OpenSSH's own channel window is 2 MiB. A stream's has to be more than that, since its credit is renewed in parts: with
/// 2 MiB, it is what limits a session over a long path.
pub const STREAM_WINDOW: u32 = 4 << 20;

/// Bytes of one of the client's connections that may be on their way or unread, all streams together.
///
/// Far more than a stream's, so that sessions whose reader stands still cannot take the credit of
/// the others. What bounds memory is the number of sessions times [`STREAM_WINDOW`].
const CONNECTION_WINDOW: u32 = 1 << 30;

/// Bytes written that the peer has not acknowledged, all streams together.
///
/// Several streams' windows, so that one session that fills its own leaves room for others.
const SEND_WINDOW: u64 = 32 << 20;

/// The same for a host, which has many peers, any of whom may stop to acknowledge.
const HOST_SEND_WINDOW: u64 = 8 << 20;

/// What a stranger may have on its way before it is admitted: its `Hello`, a few leg headers, and
/// the first bytes of ssh on each.
const STRANGER_WINDOW: u32 = 64 << 10;

/// Streams that a stranger may open before it is admitted: control and its first sessions.
const STRANGER_STREAMS: u32 = 8;

/// The sessions that somebody who is on no list may have at once on a connection: one stream is the control stream.
pub const STRANGER_SESSIONS: u32 = STRANGER_STREAMS - 1;

/// What a round trip is taken for that was not measured yet, where a host is reached again: what is said first is said
/// again after 0.3 and 0.9 s. By QUIC's own 333 ms (RFC 9002 section 6.2.2) it would be after 1 and 3 s.
const RTT_AGAIN: Duration = Duration::from_millis(100);

/// An endpoint could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindFailed {
    /// The address to bind is taken or not ours.
    #[error("cannot bind {addr}: {reason}\nchoose another with --bind or IROSH_BIND")]
    Address {
        /// What was asked for.
        addr: Bind,
        /// What the system said.
        reason: String,
    },
    /// The certificates of the setting `ca` cannot be used.
    #[error(
        "cannot use the authorities of {ca}: {reason}\nthe setting `ca` is `system` or a PEM file with certificates"
    )]
    Authorities {
        /// The setting.
        ca: Authorities,
        /// What is wrong.
        reason: String,
    },
    /// Anything else.
    #[error("cannot open a network socket: {0}")]
    Other(String),
}

/// Binds an endpoint that dials, under a key of its own that nobody has seen before.
///
/// A relay server serves one live connection an endpoint id, so two processes that shared a key
/// would cut each other off; who the client is, its identity says.
///
/// # Errors
///
/// [`BindFailed`] when no socket could be opened.
pub async fn bind_client(network: &Network) -> Result<Endpoint, BindFailed> {
    bind_dialer(network, quic).await
}

/// The same, to reach hosts again where no packet may arrive for now: a handshake's first word is said again sooner.
///
/// # Errors
///
/// [`BindFailed`] when no socket could be opened.
pub async fn bind_client_again(network: &Network) -> Result<Endpoint, BindFailed> {
    bind_dialer(network, || quic().initial_rtt(RTT_AGAIN)).await
}

async fn bind_dialer(
    network: &Network,
    quic: impl Fn() -> QuicTransportConfigBuilder,
) -> Result<Endpoint, BindFailed> {
    let builder = || {
        let quic =
            quic().receive_window(CONNECTION_WINDOW.into()).max_concurrent_bidi_streams(VarInt::from_u32(0));
        let builder = builder(network, quic)?
            .crypto_provider(crypto::client_provider())
            // A mapping takes longer to get than an ssh session needs to start.
            .portmapper_config(PortmapperConfig::Disabled);
        Ok(resolvers(builder, network))
    };
    bind(builder, network).await
}

/// Binds an endpoint that accepts connections to the key's endpoint id.
///
/// Each connection starts with what a stranger is allowed; [`admit`] lifts that. With `portmap`, the router is
/// asked for a port by which peers come in, once there are relays: by UPnP, since iroh looks for no other way.
///
/// # Errors
///
/// [`BindFailed`] when an address is taken or no socket could be opened.
pub async fn bind_host(network: &Network, key: SecretKey, portmap: bool) -> Result<Endpoint, BindFailed> {
    let builder = || {
        let quic = quic()
            .receive_window(STRANGER_WINDOW.into())
            .send_window(HOST_SEND_WINDOW)
            .max_concurrent_bidi_streams(STRANGER_STREAMS.into());
        let portmap = if portmap { PortmapperConfig::default() } else { PortmapperConfig::Disabled };
        let builder = builder(network, quic)?
            .portmapper_config(portmap)
            .crypto_provider(crypto::host_provider())
            .secret_key(key.clone())
            .alpns(vec![ALPN.to_vec()]);
        Ok(publisher(builder, network))
    };
    bind(builder, network).await
}

/// Binds an endpoint that accepts those who type a code, under a key of its own that nobody has seen before: it says
/// nothing of whose it is, and is gone with the code.
///
/// # Errors
///
/// [`BindFailed`] when no socket could be opened.
pub async fn bind_pairing(network: &Network) -> Result<Endpoint, BindFailed> {
    let builder = || {
        let quic = quic()
            .receive_window(STRANGER_WINDOW.into())
            .send_window(STRANGER_WINDOW.into())
            .max_concurrent_bidi_streams(VarInt::from_u32(1));
        let builder = builder(network, quic)?
            .portmapper_config(PortmapperConfig::Disabled)
            .crypto_provider(crypto::host_provider())
            .alpns(vec![PAIRING_ALPN.to_vec()]);
        // It looks up whether somebody else has its nameplate.
        Ok(resolvers(publisher(builder, network), network))
    };
    bind(builder, &network.on_any_port()).await
}

/// Lifts a connection from what nobody in particular is allowed to what a peer on the list is: so many
/// sessions, and bytes unread of all of them together.
pub fn admit(connection: &Connection, sessions: u32, window: u32) {
    set_window(connection, window);
    set_max_sessions(connection, sessions);
}

/// Lifts a connection to what somebody who is on no list is allowed where everybody may come in, and not
/// more than this.
pub fn admit_stranger(connection: &Connection, window: u32) {
    set_window(connection, window.min(STREAM_WINDOW));
}

/// Changes how many bytes a connection may have unread. Less than before holds from when the peer has used
/// what it was given.
pub fn set_window(connection: &Connection, window: u32) {
    connection.set_receive_window(window.into());
}

/// Has the peer know how many sessions it may have at once.
pub fn set_max_sessions(connection: &Connection, sessions: u32) {
    // One stream is the control stream.
    connection.set_max_concurrent_bi_streams(sessions.saturating_add(1).into());
}

/// Closes an endpoint without waiting for a peer that does not answer.
///
/// iroh waits up to 3 s on a bad path for its close to be acknowledged; who types `exit` should
/// not.
pub async fn close_quickly(endpoint: &Endpoint) {
    let _ = tokio::time::timeout(Duration::from_millis(250), endpoint.close()).await;
}

fn quic() -> QuicTransportConfigBuilder {
    QuicTransportConfig::builder()
        // At 100 Mbit/s, 50 ms and 1 % of loss, Cubic moves 3 Mbit/s and BBRv3 moves 52.
        .congestion_controller_factory(Arc::<PatientBbr>::default())
        .stream_receive_window(STREAM_WINDOW.into())
        .send_window(SEND_WINDOW)
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .ack_frequency_config(Some(patient_acks()))
}

/// Asks the peer to acknowledge every eleventh packet at once instead of every second.
///
/// The acknowledgement of a key press then travels with its echo, not in a packet of its own: two
/// packets for a key instead of three, and less work for bulk. A gap is still reported at once. What
/// is slow is acknowledged after 5 ms instead of 25: a wait looks like a queue to BBR.
fn patient_acks() -> AckFrequencyConfig {
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(10_u32.into()).max_ack_delay(Some(Duration::from_millis(5)));
    acks
}

fn builder(network: &Network, quic: QuicTransportConfigBuilder) -> Result<Builder, BindFailed> {
    let mut builder = Endpoint::builder(iroh::endpoint::presets::Empty)
        .relay_mode(network.relay.mode(network.relay_token.as_ref()))
        .transport_config(quic.build());
    if let Some(proxy) = network.web_proxy() {
        builder = builder.proxy_url(proxy);
    }
    if let Some(ca) = &network.ca {
        builder = builder.ca_tls_config(CaTlsConfig::embedded().with_extra_roots(certificates(ca)?));
    }
    // The default falls back to public resolvers. Who names a service of their own, or wants none,
    // has not asked to tell others what they look up.
    let own = || DnsResolver::builder().with_fallback_mode(FallbackMode::Never);
    match &network.dns {
        NameService::Default => {}
        NameService::None | NameService::Custom { nameserver: None, .. } => {
            builder = builder.dns_resolver(own().with_system_defaults().build());
        }
        NameService::Custom { nameserver: Some(server), .. } => {
            let server = NameserverConfig::udp(server.ip()).with_port(server.port());
            builder = builder.dns_resolver(own().add_nameserver_config(server).build());
        }
    }
    Ok(builder)
}

/// How a web server is spoken to that certificates vouch for, as relays are.
///
/// # Errors
///
/// [`BindFailed::Authorities`], and what the system says.
pub(crate) fn web_tls(ca: Option<&Authorities>) -> Result<rustls::ClientConfig, BindFailed> {
    let mut known = CaTlsConfig::embedded();
    if let Some(ca) = ca {
        known = known.with_extra_roots(certificates(ca)?);
    }
    known.client_config(crypto::client_provider()).map_err(|error| BindFailed::Other(error.to_string()))
}

/// The certificates of authorities.
fn certificates(ca: &Authorities) -> Result<Vec<CertificateDer<'static>>, BindFailed> {
    let failed = |reason: String| BindFailed::Authorities { ca: ca.clone(), reason };
    let certificates = match ca {
        Authorities::System => rustls_native_certs::load_native_certs().certs,
        Authorities::File(path) => {
            let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
            let read: Result<_, _> = CertificateDer::pem_slice_iter(&pem).collect();
            read.map_err(|error| failed(error.to_string()))?
        }
    };
    if certificates.is_empty() { Err(failed("there are none".to_owned())) } else { Ok(certificates) }
}

/// A client looks names up and publishes nothing: its key is nobody's business.
fn resolvers(builder: Builder, network: &Network) -> Builder {
    match &network.dns {
        NameService::None => builder,
        NameService::Default => {
            builder.address_lookup(PkarrResolver::n0_dns()).address_lookup(DnsAddressLookup::n0_dns())
        }
        NameService::Custom { pkarr, origin, .. } => builder
            .address_lookup(PkarrResolver::builder(pkarr.clone()))
            .address_lookup(DnsAddressLookup::builder(origin.clone())),
    }
}

/// A host publishes where it is and looks nobody up.
fn publisher(builder: Builder, network: &Network) -> Builder {
    match &network.dns {
        NameService::None => builder,
        NameService::Default => builder.address_lookup(PkarrPublisher::n0_dns()),
        NameService::Custom { pkarr, .. } => builder.address_lookup(PkarrPublisher::builder(pkarr.clone())),
    }
}

async fn bind(
    builder: impl Fn() -> Result<Builder, BindFailed>,
    network: &Network,
) -> Result<Endpoint, BindFailed> {
    if !network.bind.0.is_empty() {
        return bind_to(builder()?, &network.bind).await;
    }
    match builder()?.bind().await {
        // iroh can do without IPv6, but not without IPv4.
        Err(BindError::Sockets { .. }) if no_ipv4() => {
            bind_to(builder()?, &Bind(vec![(Ipv6Addr::UNSPECIFIED, 0).into()])).await
        }
        other => other.map_err(|error| BindFailed::Other(root_cause(&error))),
    }
}

async fn bind_to(builder: Builder, bind: &Bind) -> Result<Endpoint, BindFailed> {
    let failed = |error: &(dyn std::error::Error + 'static)| BindFailed::Address {
        addr: bind.clone(),
        reason: root_cause(error),
    };
    let mut builder = builder.clear_ip_transports();
    for addr in &bind.0 {
        builder = builder.bind_addr(*addr).map_err(|error| failed(&error))?;
    }
    builder.bind().await.map_err(|error| match error {
        BindError::Sockets { .. } => failed(&error),
        other => BindFailed::Other(root_cause(&other)),
    })
}

/// Whether there are no IPv4 sockets on this machine at all.
fn no_ipv4() -> bool {
    let error = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err();
    error.and_then(|error| error.raw_os_error()) == Some(libc::EAFNOSUPPORT)
}

/// The last error of a chain, which says what the system said.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
