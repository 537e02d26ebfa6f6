//! The hosts and the link as programs see them. Skipped where there can be no lab.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::Lab;
use crate::lab::link::Counters;
use crate::lab::spec::{Change, LinkSpec, Loss, Nat, Outage, Rate, RouterChange, RouterSpec, Side};

/// How long anything may take that should happen.
const DEADLINE: Duration = Duration::from_secs(10);

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// `None`, and a line that says why, where there can be no lab.
fn lab(spec: &LinkSpec) -> Option<Lab> {
    Lab::new(spec).inspect_err(|why| eprintln!("skipped: {why}")).ok()
}

/// A socket on A that sends to one on B.
struct Pair {
    a: UdpSocket,
    b: UdpSocket,
}

impl Pair {
    fn new(lab: &Lab) -> Self {
        Self::between(lab, Side::A.address().into(), Side::B.address().into())
    }

    fn between(lab: &Lab, a: IpAddr, b: IpAddr) -> Self {
        let [a, b] = [(Side::A, a), (Side::B, b)].map(|(side, address)| {
            let bound = lab.within(side, || UdpSocket::bind((address, 0)));
            bound.expect("the namespace can be entered").expect("the address is the host's")
        });
        a.connect(address(&b)).expect("the network is reachable");
        b.connect(address(&a)).expect("the network is reachable");
        b.set_read_timeout(Some(DEADLINE)).expect("it is no zero");
        Self { a, b }
    }

    fn send(&self) {
        self.a.send(b"packet").expect("the network is reachable");
    }

    fn receive(&self) {
        self.b.recv(&mut [0; 16]).expect("a packet arrives");
    }
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("it is bound")
}

/// The counters of what A sends, once they are like this.
fn counted(lab: &Lab, enough: impl Fn(&Counters) -> bool) -> Counters {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let counters = lab.counters(Side::A);
        if enough(&counters) {
            return counters;
        }
        assert!(Instant::now() < deadline, "{counters:?}");
        thread::yield_now();
    }
}

#[test]
fn a_packet_takes_the_delay() {
    let Some(lab) = lab(&LinkSpec { delay: ms(30), ..LinkSpec::default() }) else {
        return;
    };
    let pair = Pair::new(&lab);
    let start = Instant::now();
    pair.send();
    pair.receive();
    assert!(start.elapsed() >= ms(30), "{:?}", start.elapsed());
}

#[test]
fn a_packet_waits_for_those_before_it() {
    let rate = Rate::mbit(1);
    let Some(lab) = lab(&LinkSpec { rate, ..LinkSpec::default() }) else {
        return;
    };
    let pair = Pair::new(&lab);
    let start = Instant::now();
    for _ in 0..10 {
        // With the headers of UDP and IP, 10 ms at the rate.
        pair.a.send(&[0; 1222]).expect("the network is reachable");
    }
    for _ in 0..10 {
        pair.receive();
    }
    assert!(start.elapsed() >= ms(100), "{:?}", start.elapsed());
}

#[test]
fn the_hosts_reach_each_other_over_ipv6() {
    let Some(lab) = lab(&LinkSpec::default()) else {
        return;
    };
    if lab.within(Side::A, || UdpSocket::bind("[::1]:0")).is_ok_and(|bound| bound.is_err()) {
        eprintln!("skipped: this kernel has no IPv6");
        return;
    }
    let pair = Pair::between(&lab, Side::A.address_v6().into(), Side::B.address_v6().into());
    pair.send();
    pair.receive();
}

#[test]
fn packets_are_lost_on_the_way() {
    let spec = LinkSpec { loss: Loss::of(0.1), seed: 1, ..LinkSpec::default() };
    let Some(lab) = lab(&spec) else { return };
    let pair = Pair::new(&lab);
    for _ in 0..5_000 {
        pair.send();
    }
    let counters = counted(&lab, |counters| counters.delivered + counters.lost == 5_000);
    // Five standard deviations of 21.
    assert!((395..=605).contains(&counters.lost), "{counters:?}");
}

#[test]
fn nothing_passes_while_the_link_is_down() {
    let Some(lab) = lab(&LinkSpec::default()) else {
        return;
    };
    let pair = Pair::new(&lab);
    lab.set_from(Side::A, Change::Down);
    pair.send();
    counted(&lab, |counters| counters.cut == 1);
    lab.set(Change::Up);
    pair.send();
    pair.receive();
    assert_eq!(lab.counters(Side::A).delivered, 1);
}

#[test]
fn a_change_holds_for_the_next_packet() {
    let Some(lab) = lab(&LinkSpec { delay: ms(60_000), ..LinkSpec::default() }) else {
        return;
    };
    lab.set(Change::Delay(ms(1)));
    let pair = Pair::new(&lab);
    pair.send();
    pair.receive();
}

#[test]
fn an_outage_begins_with_the_lab() {
    let outages = vec![Outage { start: ms(0), length: ms(60_000) }];
    let Some(lab) = lab(&LinkSpec { outages, ..LinkSpec::default() }) else {
        return;
    };
    Pair::new(&lab).send();
    counted(&lab, |counters| counters.cut == 1);
}

#[test]
fn labs_do_not_meet() {
    let spec = LinkSpec::default();
    let (Some(first), Some(second)) = (lab(&spec), lab(&spec)) else {
        return;
    };
    let pairs = [Pair::new(&first), Pair::new(&second)];
    for pair in &pairs {
        pair.send();
        pair.receive();
    }
    for lab in [&first, &second] {
        assert_eq!(lab.counters(Side::A).delivered, 1);
    }
}

#[test]
fn a_command_sees_the_host_alone() {
    let Some(lab) = lab(&LinkSpec::default()) else {
        return;
    };
    let shown = lab.command(Side::B, "ip").args(["-oneline", "-4", "address"]).output();
    let shown = String::from_utf8(shown.expect("ip runs").stdout).expect("it writes text");
    let devices: Vec<_> = shown.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(devices, ["lo", "lab0"]);
    assert!(shown.contains(" 10.77.0.2/24 "), "{shown}");
}

#[test]
fn processes_end_with_the_lab() {
    let Some(lab) = lab(&LinkSpec::default()) else {
        return;
    };
    let shell = ["-c", "trap '' TERM HUP; sleep 600 & echo; wait"];
    let mut command = lab.command(Side::A, "sh");
    let mut child = command.args(shell).stdout(Stdio::piped()).spawn().expect("sh runs");
    let mut output = child.stdout.take().expect("it is piped");
    std::io::Read::read_exact(&mut output, &mut [0]).expect("the shell speaks");
    drop(lab);
    assert_eq!(child.wait().expect("it is a child").signal(), Some(9));
    // The pipe ends when its last holder, the shell's own child, is gone too.
    std::io::Read::read_to_end(&mut output, &mut Vec::new()).expect("it is a pipe");
}

#[test]
fn hosts_behind_routers_meet_where_each_is_expected() {
    let routers = [Nat::Easy; 2].map(RouterSpec::of);
    let Some(lab) = lab(&LinkSpec { routers, ..LinkSpec::default() }) else {
        return;
    };
    let bind = |side: Side, address: Ipv4Addr| {
        let bound = lab.within(side, || UdpSocket::bind((address, 4433)));
        let socket = bound.expect("the namespace can be entered").expect("the address is the host's");
        socket.set_read_timeout(Some(DEADLINE)).expect("it is no zero");
        socket
    };
    let server = bind(Side::Net, Side::Net.address());
    let [a, b] = Side::BOTH.map(|side| bind(side, side.inside()));
    // The server tells each where the other is seen.
    let [seen_a, seen_b] = [&a, &b].map(|socket| {
        socket.send_to(b"packet", (Side::Net.address(), 4433)).expect("the network is reachable");
        server.recv_from(&mut [0; 16]).expect("a packet arrives").1
    });
    assert_eq!([seen_a.ip(), seen_b.ip()], Side::BOTH.map(|side| IpAddr::from(side.address())));
    a.send_to(b"packet", seen_b).expect("the network is reachable");
    counted(&lab, |counters| counters.delivered == 2);
    assert_eq!(lab.carried(Side::A, Side::B), 0, "nobody has asked for it");
    b.send_to(b"packet", seen_a).expect("the network is reachable");
    assert_eq!(a.recv_from(&mut [0; 16]).expect("a packet arrives").1, seen_b);
    lab.set_router(Side::A, RouterChange::Flush);
    b.send_to(b"packet", seen_a).expect("the network is reachable");
    a.send_to(b"packet", (Side::Net.address(), 4433)).expect("the network is reachable");
    assert_ne!(server.recv_from(&mut [0; 16]).expect("a packet arrives").1, seen_a);
    assert_eq!(lab.carried(Side::B, Side::A), 1, "who it was for is forgotten");
}
