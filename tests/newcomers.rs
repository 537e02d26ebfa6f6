//! Those on their way in, who come from addresses of their own: a host and its peers in network namespaces.

#![cfg(target_os = "linux")]

mod harness;
#[path = "lab/mod.rs"]
mod lab;

use std::{
    collections::HashSet,
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use harness::{Client, HostSetup, Server, folder, number, raw_runtime, skip, succeed};
use iroh::{EndpointAddr, SecretKey};
use irosh::{
    proxy::{Dialer, SessionError},
    transport::{ALPN, Bind, KeyFile, NameService, Network, Relay, Target, bind_client},
};
use lab::{
    Lab,
    spec::{LinkSpec, Side},
};

/// Another address on the clients' side.
const OTHER: &str = "10.77.0.33";

/// A host on one side of a link, and those who may and may not come in on the other.
struct Street {
    lab: Lab,
    target: Target,
    _host: harness::Host,
    known: SecretKey,
    _folder: tempfile::TempDir,
}

impl Street {
    /// None where this machine or user can have no namespaces.
    fn new() -> Option<Self> {
        let lab = Lab::new(&LinkSpec::default()).map_err(|why| skip(&why.to_string())).ok()?;
        let other = format!("{OTHER}/24");
        succeed(lab.command(Side::B, "ip").args(["address", "add", &other, "dev", "lab0"]));
        let folder = folder();
        let server = Server::new(folder.path());
        let client = Client::new(folder.path(), "client", &server);
        let bind = format!("IROSH_BIND={}:0", Side::A.address());
        let [enter, namespace] = lab.prefix(Side::A);
        let setup = HostSetup::new(&folder.path().join("host"), &format!("exec:{}", server.command()));
        let host = setup.under(&[&enter, &namespace, "env", &bind]).start();
        host.allow(&client.identity);
        let known =
            KeyFile::load(&client.home().join("identity")).expect("the client's key").secret().clone();
        let target = host.ticket().parse().expect("a ticket");
        Some(Self { lab, target, _host: host, known, _folder: folder })
    }

    /// Dials from an address and hears the host's answer; returns how long that took.
    fn dial(&self, from: &str, identity: &SecretKey) -> (Duration, Result<(), String>) {
        let (network, target) = (network(from), &self.target);
        let work = || {
            raw_runtime().block_on(async {
                let started = Instant::now();
                let dialer = Dialer::bind(network, identity.clone()).await.expect("an endpoint");
                let answer = match dialer.dial(target).await {
                    Ok(host) => host.welcome().await.map(|_| ()).map_err(|error| match &*error {
                        SessionError::Refused(refusal) => refusal.sentence.clone(),
                        other => other.to_string(),
                    }),
                    Err(error) => Err(error.to_string()),
                };
                (started.elapsed(), answer)
            })
        };
        self.lab.within(Side::B, work).expect("entered")
    }
}

fn network(from: &str) -> Network {
    let bind = Bind(vec![format!("{from}:0").parse().expect("an address")]);
    Network { relay: Relay::None, dns: NameService::None, bind, ..Network::default() }
}

/// Lets first packets and answers to Retry through to the host and nothing back but Retry (RFC 9000 section
/// 17.2), so that no handshake is ever finished.
fn stand_between(front: &UdpSocket, back: &UdpSocket, passed: &AtomicUsize, over: &AtomicBool) {
    let (mut packet, mut seen, mut client) = ([0; 2048], HashSet::new(), None::<SocketAddr>);
    for socket in [front, back] {
        socket.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
    }
    while !over.load(Ordering::Relaxed) {
        while let Ok((length, from)) = front.recv_from(&mut packet) {
            client = Some(from);
            let packet = &packet[..length];
            if packet[0] & 0xf0 == 0xc0 && seen.insert(ids_and_token(packet)) {
                let _ = back.send(packet);
                passed.fetch_add(1, Ordering::Relaxed);
            }
        }
        while let Ok(length) = back.recv(&mut packet) {
            if let (0xf0, Some(client)) = (packet[0] & 0xf0, client) {
                let _ = front.send_to(&packet[..length], client);
            }
        }
    }
}

/// The sender's connection id of an Initial packet, and whether there is a token in it.
fn ids_and_token(packet: &[u8]) -> (Vec<u8>, bool) {
    let source = 6 + usize::from(packet[5]);
    let token = source + 1 + usize::from(packet[source]);
    (packet[source..token].to_vec(), packet[token] != 0)
}

/// Begins so many handshakes a second from the side's own address, and finishes none.
fn attack(target: &Target, rate: u32, passed: &AtomicUsize, over: &AtomicBool) {
    let front = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let back = UdpSocket::bind((Side::B.address(), 0)).expect("a socket");
    back.connect(target.addr().ip_addrs().next().expect("an address")).expect("an address");
    let addr = EndpointAddr::new(target.addr().id).with_ip_addr(front.local_addr().expect("an address"));
    thread::scope(|scope| {
        scope.spawn(|| stand_between(&front, &back, passed, over));
        raw_runtime().block_on(async {
            let endpoint = bind_client(&network("127.0.0.1")).await.expect("an endpoint");
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
            while !over.load(Ordering::Relaxed) {
                ticks.tick().await;
                let (endpoint, addr) = (endpoint.clone(), addr.clone());
                let connecting = async move { endpoint.connect(addr, ALPN).await.map(|_| ()) };
                tokio::spawn(tokio::time::timeout(Duration::from_secs(1), connecting));
            }
        });
    });
}

#[test]
fn an_address_that_never_finishes_a_handshake_keeps_nobody_else_out() {
    const RATE: u32 = 400;
    let Some(street) = Street::new() else { return };
    let (_, answer) = street.dial(OTHER, &street.known);
    answer.expect("welcome");
    let lasts = Duration::from_secs(number("IROSH_TEST_SECONDS", 4) as u64);
    let dials = number("IROSH_TEST_DIALS", 10);
    let (passed, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| street.lab.within(Side::B, || attack(&street.target, RATE, &passed, &over)));
        let started = Instant::now();
        let pause = lasts / u32::try_from(dials + 1).expect("a count");
        let slowest = (1..).take(dials).map(|turn| {
            // The dials are spread over the attack.
            thread::sleep((started + pause * turn).saturating_duration_since(Instant::now()));
            let (took, answer) = street.dial(OTHER, &street.known);
            (answer.expect("welcome"), took).1
        });
        let slowest = slowest.collect::<Vec<_>>();
        over.store(true, Ordering::Relaxed);
        let slowest = slowest.into_iter().max();
        assert!(slowest < Some(Duration::from_secs(2)), "{slowest:?}");
    });
    let begun = passed.load(Ordering::Relaxed);
    assert!(begun > RATE as usize * lasts.as_secs() as usize / 2, "{begun} handshakes");
}

#[test]
fn who_is_known_gets_in_from_an_address_that_others_have_failed_from() {
    let Some(street) = Street::new() else { return };
    let own = Side::B.address().to_string();
    for _ in 0..6 {
        let (_, answer) = street.dial(&own, &SecretKey::generate());
        answer.expect_err("refused");
    }
    let (took, answer) = street.dial(&own, &street.known);
    answer.expect("welcome");
    assert!(took < Duration::from_secs(5), "{took:?}");
}
