//! The state machine of QUIC under whatever a network does: no pattern of loss and delay may end a process
//! that others rely on.
//!
//! Both ends are here, with the time of the test's own and no sockets, so thousands of connections take
//! seconds, and a seed that fails once fails always.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use noq_proto::{
    AckFrequencyConfig, ClientConfig, Connection, ConnectionError, ConnectionHandle, ConnectionId,
    ConnectionIdGenerator, DatagramEvent, Dir, Endpoint, EndpointConfig, Event, FourTuple, ServerConfig,
    Transmit, TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use proptest::test_runner::{RngAlgorithm, TestRng};
use rustls::{
    RootCertStore,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

const CLIENT: &str = "192.0.2.1:1000";
const SERVER: &str = "192.0.2.2:2000";
/// Datagrams that the kernel takes at a time.
const BATCH: NonZeroUsize = NonZeroUsize::new(10).unwrap();

/// What an endpoint has, and the datagrams on their way to it.
struct Side {
    endpoint: Endpoint,
    address: SocketAddr,
    connections: HashMap<ConnectionHandle, Connection>,
    coming: BTreeMap<(Instant, u64), BytesMut>,
    /// Why connections were lost, as their owners are told.
    lost: Vec<ConnectionError>,
    /// Whether who comes has to prove its address first (RFC 9000 section 8.1.2).
    retries: bool,
}

impl Side {
    fn new(address: &str, seed: u8, server: Option<ServerConfig>) -> Self {
        let mut config = EndpointConfig::default();
        config.rng_seed(Some([seed; 32]));
        Self::of(config, address, server)
    }

    fn of(config: EndpointConfig, address: &str, server: Option<ServerConfig>) -> Self {
        Self {
            endpoint: Endpoint::new(Arc::new(config), server.map(Arc::new), true),
            address: address.parse().expect("an address"),
            connections: HashMap::new(),
            coming: BTreeMap::new(),
            lost: Vec::new(),
            retries: false,
        }
    }

    /// When it has something to do next.
    fn wakes(&self) -> Option<Instant> {
        let timers = self.connections.values().filter_map(Connection::poll_timeout);
        timers.chain(self.coming.keys().next().map(|(at, _)| *at)).min()
    }

    /// Takes in what has come, and gives what is to be sent.
    fn turn(&mut self, now: Instant, from: SocketAddr) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while let Some(entry) = self.coming.first_entry()
            && entry.key().0 <= now
        {
            let mut answer = Vec::new();
            let path = FourTuple::from_remote(from);
            match self.endpoint.handle(now, path, None, entry.remove(), &mut answer) {
                Some(DatagramEvent::NewConnection(incoming)) => {
                    if self.retries && !incoming.remote_address_validated() {
                        let retry = self.endpoint.retry(incoming, &mut answer).expect("not retried yet");
                        datagrams(&retry, &answer, &mut sent);
                    } else if let Ok((handle, connection)) =
                        self.endpoint.accept(incoming, now, &mut answer, None)
                    {
                        self.connections.insert(handle, connection);
                    }
                }
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    if let Some(connection) = self.connections.get_mut(&handle) {
                        connection.handle_event(event);
                    }
                }
                Some(DatagramEvent::Response(response)) => datagrams(&response, &answer, &mut sent),
                None => {}
            }
        }
        for (handle, connection) in &mut self.connections {
            if connection.poll_timeout().is_some_and(|at| at <= now) {
                connection.handle_timeout(now);
            }
            while let Some(event) = connection.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(*handle, event) {
                    connection.handle_event(event);
                }
            }
            while let Some(event) = connection.poll() {
                if let Event::ConnectionLost { reason } = event {
                    self.lost.push(reason);
                }
            }
            let mut buffer = Vec::new();
            while let Some(transmit) = connection.poll_transmit(now, BATCH, &mut buffer) {
                datagrams(&transmit, &buffer, &mut sent);
                assert!(sent.len() < 10_000, "it sends without end");
                buffer.clear();
            }
        }
        self.connections.retain(|_, connection| !connection.is_drained());
        sent
    }
}

fn datagrams(transmit: &Transmit, buffer: &[u8], sent: &mut Vec<Vec<u8>>) {
    let whole = &buffer[..transmit.size];
    sent.extend(whole.chunks(transmit.segment_size.unwrap_or(whole.len()).max(1)).map(<[u8]>::to_vec));
}

/// As the programs set it.
fn transport() -> Arc<TransportConfig> {
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(10_u32.into()).max_ack_delay(Some(Duration::from_millis(5)));
    let mut config = TransportConfig::default();
    config
        .ack_frequency_config(Some(acks))
        .max_concurrent_multipath_paths(12)
        .send_observed_address_reports(true);
    config.max_idle_timeout(Some(Duration::from_secs(30).try_into().expect("short")));
    Arc::new(config)
}

fn configs() -> (ClientConfig, ServerConfig) {
    let certified = rcgen::generate_simple_self_signed(["host".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = &[&rustls::version::TLS13];
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .expect("a certificate");
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client).expect("a suite")));
    client.transport_config(transport());
    let mut server =
        ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server).expect("a suite")));
    server.transport_config(transport());
    (client, server)
}

/// One connection from its beginning to its end over a network of this seed.
fn connection(seed: u32, client: &ClientConfig, server: &ServerConfig) {
    use proptest::prelude::Rng as _;

    let mut rng = TestRng::from_seed(RngAlgorithm::XorShift, &seed.to_be_bytes().repeat(4));
    let mut below = move |bound: u32| rng.next_u32() % bound;
    let loss = below(70);
    let slowest = 1 + below(400);
    let talkative = below(60);
    let begun = Instant::now();
    let mut now = begun;
    let mut client_side = Side::new(CLIENT, below(256) as u8, None);
    let mut server_side = Side::new(SERVER, below(256) as u8, Some(server.clone()));
    let (handle, connection) =
        client_side.endpoint.connect(now, client.clone(), server_side.address, "host").expect("a connection");
    client_side.connections.insert(handle, connection);
    let mut number = 0;
    for _ in 0..400 {
        for turn in 0..2 {
            let (ours, theirs) = match turn {
                0 => (&mut client_side, &mut server_side),
                _ => (&mut server_side, &mut client_side),
            };
            // Streams that open, say something and end, whenever they may.
            for connection in ours.connections.values_mut() {
                match below(200) {
                    0 => connection.close(now, below(9).into(), Bytes::from_static(b"the end")),
                    1..100 if below(60) < talkative => {
                        if let Some(stream) = connection.streams().open(Dir::Bi) {
                            let mut stream = connection.send_stream(stream);
                            let _ = stream.write(&vec![7; 1 + below(5000) as usize]);
                            if below(2) == 0 {
                                let _ = stream.finish();
                            }
                        }
                    }
                    100..110 => connection.ping(),
                    _ => {}
                }
            }
            for datagram in ours.turn(now, theirs.address) {
                if below(100) < loss {
                    continue;
                }
                number += 1;
                let delay = Duration::from_millis((1 + below(slowest)).into());
                theirs.coming.insert((now + delay, number), datagram.as_slice().into());
            }
        }
        match [client_side.wakes(), server_side.wakes()].into_iter().flatten().min() {
            // A machine that is busy is late.
            Some(next) if below(4) == 0 => now = next.max(now) + Duration::from_millis(below(300).into()),
            Some(next) => now = next.max(now + Duration::from_micros(1)),
            None => break,
        }
    }
}

#[test]
fn no_loss_and_no_delay_ends_the_process() {
    let seeds =
        std::env::var("IROSH_TEST_CONNECTIONS").map_or(2000, |seeds| seeds.parse().expect("a number"));
    let (client, server) = configs();
    for seed in 0..seeds {
        let run = std::panic::AssertUnwindSafe(|| connection(seed, &client, &server));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("the connection of seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Two sides with a connection between them, over a network that delays everything by a millisecond and loses what
/// `lost` says.
struct Pair {
    sides: [Side; 2],
    now: Instant,
    number: u64,
}

impl Pair {
    fn new(client: &ClientConfig, server: &ServerConfig) -> Self {
        let now = Instant::now();
        let sides = [Side::new(CLIENT, 1, None), Side::new(SERVER, 2, Some(server.clone()))];
        let mut pair = Self { sides, now, number: 0 };
        pair.connect(client);
        pair
    }

    /// Has the client connect, once more.
    fn connect(&mut self, client: &ClientConfig) {
        let to = self.sides[1].address;
        let (handle, connection) =
            self.sides[0].endpoint.connect(self.now, client.clone(), to, "host").expect("a connection");
        self.sides[0].connections.insert(handle, connection);
        (0..50).for_each(|_| self.turn(|_| false));
    }

    fn turn(&mut self, mut lost: impl FnMut(&[u8]) -> bool) {
        for turn in 0..2 {
            let from = self.sides[1 - turn].address;
            for datagram in self.sides[turn].turn(self.now, from) {
                if turn == 0 && lost(&datagram) {
                    continue;
                }
                self.number += 1;
                let at = self.now + Duration::from_millis(1);
                self.sides[1 - turn].coming.insert((at, self.number), datagram.as_slice().into());
            }
        }
        self.now += Duration::from_millis(1);
    }

    fn connection(&mut self, side: usize) -> &mut Connection {
        self.sides[side].connections.values_mut().next().expect("the connection lives")
    }
}

/// Says so many pieces, each in a packet of its own, to a side that takes none before they are all there.
fn nobody_reads(pieces: u32, piece: usize, lost: impl Fn(u32) -> bool) {
    const WINDOW: u32 = 16 << 20;
    let (mut client, mut server) = configs();
    let mut config = TransportConfig::default();
    config.stream_receive_window(WINDOW.into()).send_window(WINDOW.into());
    config.max_idle_timeout(Some(Duration::from_secs(30).try_into().expect("short")));
    let config = Arc::new(config);
    client.transport_config(config.clone());
    server.transport_config(config);
    let mut pair = Pair::new(&client, &server);
    let stream = pair.connection(0).streams().open(Dir::Bi).expect("a stream");
    for number in 0..pieces {
        let bytes: Vec<u8> = (0..piece).map(|at| (number as usize + at) as u8).collect();
        assert_eq!(pair.connection(0).send_stream(stream).write(&bytes).expect("written"), piece);
        pair.turn(|_| lost(number));
    }
    (0..3000).for_each(|_| pair.turn(|_| false));
    let mut read = Vec::new();
    let host = pair.connection(1);
    assert!(host.streams().accept(Dir::Bi).is_some());
    let mut incoming = host.recv_stream(stream);
    let mut chunks = incoming.read(true).expect("open");
    while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
        read.extend_from_slice(&chunk.bytes);
    }
    assert_eq!(read.len(), pieces as usize * piece);
    for (number, bytes) in read.chunks(piece).enumerate() {
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == (number + at) as u8), "piece {number}");
    }
}

#[test]
fn a_reader_that_stands_still_ends_no_connection() {
    nobody_reads(6000, 100, |_| false);
    nobody_reads(6000, 1150, |_| false);
}

/// What follows is unread then as well, however much it is.
#[test]
fn a_packet_that_is_lost_ends_no_connection() {
    nobody_reads(6000, 1150, |number| number == 3);
    nobody_reads(6000, 1150, |number| number % 50 == 3);
}

/// A client that has closed a connection forgets it soon, and answers with a reset what the host sends then.
#[test]
fn why_a_connection_was_closed_is_what_its_peer_said_first() {
    let (client, server) = configs();
    let mut pair = Pair::new(&client, &server);
    let now = pair.now;
    pair.connection(0).close(now, 7_u32.into(), Bytes::from_static(b"the end"));
    pair.turn(|_| false);
    // The host is late.
    pair.now += Duration::from_secs(5);
    (0..50).for_each(|_| pair.turn(|_| false));
    assert!(pair.sides.iter().all(|side| side.connections.is_empty()), "a connection is left");
    let [ConnectionError::ApplicationClosed(close)] = &pair.sides[1].lost[..] else {
        panic!("lost for {:?}", pair.sides[1].lost)
    };
    assert_eq!((u64::from(close.error_code), &close.reason[..]), (7, &b"the end"[..]));
}

/// Gives each id twice: random ones come twice as well, now and then, where there are many.
struct Twice(u64);

impl ConnectionIdGenerator for Twice {
    fn generate_cid(&mut self) -> ConnectionId {
        self.0 += 1;
        ConnectionId::new(&(self.0 / 2).to_be_bytes())
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// What it sends then is not to be taken for another connection's.
#[test]
fn a_client_that_has_to_prove_its_address_is_given_an_id_of_its_own_for_that() {
    let (client, server) = configs();
    let mut config = EndpointConfig::default();
    config.cid_generator(Arc::new(|| Box::new(Twice(0))));
    let mut host = Side::of(config, SERVER, Some(server));
    host.retries = true;
    let mut pair = Pair { sides: [Side::new(CLIENT, 1, None), host], now: Instant::now(), number: 0 };
    for connections in 1..=3 {
        pair.connect(&client);
        for side in &pair.sides {
            let established = side.connections.values().filter(|connection| !connection.is_handshaking());
            assert_eq!(established.count(), connections);
        }
    }
}
