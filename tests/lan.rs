//! Machines at one switch: they find each other with no server, whatever the Internet does and whoever lies.

#![cfg(target_os = "linux")]

mod harness;
#[path = "lab/mod.rs"]
mod lab;

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    process::{Command, Output},
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use harness::{
    Chat, Client, DEADLINE, Host, HostSetup, Mode, Said, Server, SshAgent, folder, poll, run, skip,
};
use iroh::{EndpointAddr, EndpointId, SecretKey};
use iroh_tickets::endpoint::EndpointTicket;
use lab::switch::{Family, Switch};
use serde_json::Value;
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, ResourceRecord,
    rdata::{A, RData, SRV, TXT},
};

/// Where all machines are spoken to.
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);

/// The machines at a switch: the host's, the client's, and another's.
const HOST: usize = 0;
const CLIENT: usize = 1;
const OTHER: usize = 2;

/// How long it may take to reach a host that is there, on a machine that is busy. It is some 40 ms, and what would hold it
/// up does so for 2 s or more: an address where nobody answers, or a name service.
const AT_ONCE: Duration = Duration::from_millis(1900);

/// How long a host is asked for on a network where it is not.
const NOBODY: Duration = Duration::from_millis(1500);

struct Place {
    switch: Switch,
    client: Client,
    host: Host,
    server: Server,
    folder: tempfile::TempDir,
}

impl Place {
    /// A host, and a client that knows its endpoint id alone. None where this machine or user can have no namespaces.
    fn new() -> Option<Self> {
        Self::of(Family::Both)
    }

    fn of(family: Family) -> Option<Self> {
        Self::with(family, |host| host)
    }

    fn with(family: Family, change: impl FnOnce(HostSetup) -> HostSetup) -> Option<Self> {
        let switch = Switch::new(3, family).map_err(|why| skip(&why.to_string())).ok()?;
        let folder = folder();
        let server = Server::new(folder.path());
        let mut client = Client::new(folder.path(), "client", &server);
        client.use_lan();
        let host = change(setup(&switch, HOST, &folder, "host", &server)).start();
        host.allow(&client.identity);
        let place = Self { switch, client, host, server, folder };
        place.client.add_host("box", &place.id().to_string());
        Some(place)
    }

    fn id(&self) -> EndpointId {
        id_of(&self.host)
    }

    fn run(&self, command: &mut Command) -> Output {
        self.switch.within(CLIENT, || run(command)).expect("entered")
    }

    /// Reaches the host; how long that took, and by which address.
    #[track_caller]
    fn ping(&self, change: impl FnOnce(&mut Command) -> &mut Command) -> (Duration, String) {
        let mut command = self.client.irosh(&["ping", "-c", "1", "--json", "box"]);
        let output = self.run(change(&mut command));
        let said = output.stdout.said();
        let events: Vec<Value> =
            said.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
        let connected = events.iter().find(|event| event["event"] == "connected");
        let connected = connected.unwrap_or_else(|| panic!("not reached: {said}{}", output.stderr.said()));
        let took = Duration::from_secs_f64(connected["ms"].as_f64().expect("a time") / 1e3);
        (took, connected["path"]["address"].as_str().expect("a path").to_owned())
    }

    /// Both machines get other addresses, so that neither knows where the other is.
    fn both_move(&self) {
        for (nth, last) in [(CLIENT, 52), (HOST, 51)] {
            self.switch.moves(nth, Switch::address(nth).into(), Ipv4Addr::new(10, 78, 0, last).into());
        }
    }

    /// Has the private half of the client's identity in an ssh-agent alone.
    fn holds_its_identity_in_an_agent(&mut self) -> SshAgent {
        let agent = SshAgent::start(self.folder.path());
        let key = self.client.home().join("identity");
        agent.add(&key);
        fs::remove_file(&key).expect("removed");
        self.client.use_identity(&key.with_extension("pub"));
        self.client.use_ssh_agent(&agent.socket());
        agent
    }

    fn chat(&self) -> Chat {
        let mut ssh = self.client.ssh();
        self.switch.within(CLIENT, || Chat::by(&mut ssh)).expect("entered")
    }
}

fn setup(switch: &Switch, nth: usize, folder: &tempfile::TempDir, name: &str, server: &Server) -> HostSetup {
    let [enter, namespace] = switch.prefix(nth);
    HostSetup::new(&folder.path().join(name), &format!("exec:{}", server.command()))
        .bind("")
        .variable("IROSH_LAN", "true")
        .under(&[&enter, &namespace])
}

fn id_of(host: &Host) -> EndpointId {
    let addr: EndpointAddr = EndpointTicket::from_str(&host.ticket()).expect("a ticket").into();
    addr.id
}

fn same(command: &mut Command) -> &mut Command {
    command
}

/// Packets, and who has said each.
type Heard = Arc<Mutex<Vec<(IpAddr, Vec<u8>)>>>;

/// Somebody on another machine who hears all that is said to all, and may say something to it.
struct Listener {
    heard: Heard,
    over: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Listener {
    fn new(switch: &Switch) -> Self {
        Self::answering(switch, |_, _| {})
    }

    /// Is called with each question for a host.
    fn answering(switch: &Switch, answer: impl Fn(&UdpSocket, &[u8]) + Send + 'static) -> Self {
        let socket = speaker(switch);
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let (heard, over) = (Heard::default(), Arc::new(AtomicBool::new(false)));
        let listening = {
            let (heard, over) = (heard.clone(), over.clone());
            thread::spawn(move || {
                let mut buffer = [0; 1500];
                while !over.load(Ordering::Relaxed) {
                    let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                    let packet = &buffer[..length];
                    if is_question(packet) {
                        answer(&socket, packet);
                    }
                    heard.lock().expect("no panic").push((from.ip(), packet.to_owned()));
                }
            })
        };
        Self { heard, over, listening: Some(listening) }
    }

    fn of(&self, from: Ipv4Addr) -> Vec<Vec<u8>> {
        let heard = self.heard.lock().expect("no panic");
        heard.iter().filter(|(of, _)| *of == from).map(|(_, packet)| packet.clone()).collect()
    }

    fn wait_for(&self, from: Ipv4Addr) {
        poll("something that is said", DEADLINE, || (!self.of(from).is_empty()).then_some(()));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(listening) = self.listening.take() {
            listening.join().expect("no panic");
        }
    }
}

/// A socket on the other machine by which all are heard and spoken to.
fn speaker(switch: &Switch) -> UdpSocket {
    let own = Switch::address(OTHER);
    let socket = switch.within(OTHER, || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from(GROUP).into())?;
        socket.join_multicast_v4(&GROUP.0, &own)?;
        socket.set_multicast_if_v4(&own)?;
        socket.set_multicast_loop_v4(false)?;
        Ok::<_, std::io::Error>(socket.into())
    });
    socket.expect("entered").expect("a socket")
}

fn is_question(packet: &[u8]) -> bool {
    simple_dns::header_buffer::has_flags(packet, PacketFlag::RESPONSE).is_ok_and(|answer| !answer)
}

/// Tells where a host is, as the host would.
fn announcement(id: EndpointId, at: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(at) = at else { panic!("IPv4") };
    let (name, text) = (format!("{:.16}._irosh._udp.local", id.to_string()), format!("id={id}"));
    let name = Name::new_unchecked(&name);
    let target = Name::new_unchecked("liar.local");
    let mut packet = Packet::new_reply(0);
    let own = |name: &Name<'static>, data| ResourceRecord::new(name.clone(), CLASS::IN, 120, data);
    let (name, target) = (name.into_owned(), target.into_owned());
    let service = SRV { priority: 0, weight: 0, port: at.port(), target: target.clone() };
    let text = TXT::new().with_string(&text).expect("a short text").into_owned();
    packet.answers.push(own(&name, RData::SRV(service)));
    packet.answers.push(own(&name, RData::TXT(text)));
    packet.additional_records.push(own(&target, RData::A(A { address: at.ip().to_bits() })));
    packet.build_bytes_vec().expect("a packet")
}

#[test]
fn a_host_is_reached_by_its_bare_endpoint_id_at_once() {
    let Some(place) = Place::new() else { return };
    let (took, address) = place.ping(same);
    assert!(address.starts_with("10.78.0.1:") || address.starts_with("[fd78::1]:"), "{address}");
    assert!(took < AT_ONCE, "{took:?}");
    eprintln!("reached after {took:?}");
    let output = place.run(place.client.ssh().args(["box", "echo hello"]));
    assert_eq!(output.stdout.said(), "hello\n", "{}", output.stderr.said());
}

#[test]
fn a_host_is_reached_where_there_is_ipv6_alone() {
    let Some(place) = Place::of(Family::V6) else { return };
    let (took, address) = place.ping(same);
    assert!(address.starts_with("[fd78::1]:") && took < AT_ONCE, "{address} {took:?}");
}

#[test]
fn an_agent_which_is_shut_in_finds_a_host_too() {
    let Some(mut place) = Place::new() else { return };
    for mode in [Mode::Agent, Mode::Fdpass] {
        place.client.use_mode(mode);
        let output = place.run(place.client.ssh().args(["box", "echo hello"]));
        assert_eq!(output.stdout.said(), "hello\n", "{}", output.stderr.said());
    }
    let status = place.client.agent().expect("an agent runs");
    let address = status["hosts"][0]["path"]["address"].as_str().expect("a path");
    assert!(address.starts_with("10.78.0.1:") || address.starts_with("[fd78::1]:"), "{status}");
}

#[test]
fn an_agent_finds_a_host_once_there_is_a_network() {
    let Some(mut place) = Place::of(Family::V4) else { return };
    place.switch.unplug(CLIENT);
    place.client.use_mode(Mode::Agent);
    let started = place.run(&mut place.client.irosh(&["agent", "start"]));
    assert!(started.status.success(), "{started:?}");
    let ssh = || place.run(place.client.ssh().args(["box", "echo hello"]));
    let said = ssh().stderr.said();
    assert!(said.contains("no address is known for box"), "{said}");
    place.switch.plug_in(CLIENT);
    let output = ssh();
    assert_eq!(output.stdout.said(), "hello\n", "{}", output.stderr.said());
    assert_eq!(place.client.agent().expect("the agent")["hosts"][0]["name"], "box");
}

#[test]
fn where_nobody_hears_what_is_said_to_all_tickets_lead_to_a_host() {
    let Some(place) = Place::of(Family::V4) else { return };
    place.switch.carries_nothing_to_all();
    let begun = Instant::now();
    let said = place.run(&mut place.client.proxy("box")).stderr.said();
    assert!(said.contains("nobody on this network says to be it"), "{said}");
    assert!(begun.elapsed() < NOBODY * 2, "{:?}", begun.elapsed());
    let found = place.run(&mut place.client.irosh(&["hosts", "discover"]));
    assert!(found.stderr.said().contains("no host announces itself on this network"), "{found:?}");
    place.client.add_host("box", &place.host.ticket());
    let (took, _) = place.ping(same);
    assert!(took < AT_ONCE, "{took:?}");
}

/// One of two connections would leave before it says who it is, which a host holds against where it comes from.
#[test]
fn a_host_of_two_addresses_is_dialled_once() {
    let Some(place) = Place::with(Family::Both, |host| host.log("irosh=debug")) else { return };
    for _ in 0..5 {
        place.ping(same);
    }
    place.run(&mut place.client.irosh(&["hosts", "discover"]));
    let log = place.host.log();
    assert_eq!(log.matches(" admitted ").count(), 6, "{log}");
    for other in ["left before it was let in", "handshake failed"] {
        assert!(!log.contains(other), "{log}");
    }
}

#[test]
fn an_old_ticket_reaches_a_host_that_has_another_address_by_now() {
    let Some(place) = Place::of(Family::V4) else { return };
    place.client.add_host("box", &place.host.ticket());
    let (took, address) = place.ping(same);
    assert!(address.starts_with("10.78.0.1:"), "{address}");
    eprintln!("by its ticket after {took:?}");
    let moved = Ipv4Addr::new(10, 78, 0, 51);
    place.switch.moves(HOST, Switch::address(HOST).into(), moved.into());
    let (took, address) = place.ping(same);
    eprintln!("by the same ticket after {took:?}");
    assert!(address.starts_with("10.78.0.51:"), "{address}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    // It has noticed by now.
    let (took, _) = place.ping(same);
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn a_session_goes_on_when_both_have_other_addresses_at_once() {
    let Some(place) = Place::of(Family::V4) else { return };
    let chat = place.chat();
    chat.flows();
    place.both_move();
    let took = chat.flows();
    eprintln!("lines flow after {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?} after both have moved");
    let _ssh = chat.ends();
    place.host.wait_ended(1);
}

/// Its sockets stand nowhere, and packets to it are lost without a word.
#[test]
fn a_name_service_that_does_not_answer_holds_nobody_up() {
    let Some(place) = Place::new() else { return };
    let service = "http://10.78.0.77:80/pkarr,dns.invalid,10.78.0.77:53";
    let (took, _) = place.ping(|command| command.env("IROSH_DNS", service));
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn a_client_without_a_network_is_not_kept_waiting() {
    let Some(place) = Place::new() else { return };
    let down = place.run(Command::new("ip").args(["link", "set", "dev", "eth0", "down"]));
    assert!(down.status.success(), "{down:?}");
    let begun = Instant::now();
    let output = place.run(&mut place.client.proxy("box"));
    let (took, said) = (begun.elapsed(), output.stderr.said());
    assert!(said.contains("no address is known for box"), "{said}");
    assert!(took < NOBODY, "{took:?}");
}

#[test]
fn a_host_that_is_not_there_is_said_to_be_nowhere_in_time() {
    let Some(place) = Place::new() else { return };
    place.client.add_host("box", &SecretKey::from_bytes(&[9; 32]).public().to_string());
    let begun = Instant::now();
    let output = place.run(&mut place.client.proxy("box"));
    let (took, said) = (begun.elapsed(), output.stderr.said());
    assert!(said.contains("no address is known for box, and nobody on this network says to be it"), "{said}");
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn a_host_that_has_it_turned_off_says_nothing_and_is_not_found() {
    let Some(switch) = Switch::new(3, Family::V4).map_err(|why| skip(&why.to_string())).ok() else { return };
    let folder = folder();
    let server = Server::new(folder.path());
    let listener = Listener::new(&switch);
    let off = setup(&switch, HOST, &folder, "host", &server).variable("IROSH_LAN", "false").start();
    let mut client = Client::new(folder.path(), "client", &server);
    client.use_lan();
    client.add_host("box", &id_of(&off).to_string());
    let output = switch.within(CLIENT, || run(&mut client.proxy("box"))).expect("entered");
    assert!(output.stderr.said().contains("nobody on this network"), "{}", output.stderr.said());
    listener.wait_for(Switch::address(CLIENT));
    assert_eq!(listener.of(Switch::address(HOST)), Vec::<Vec<u8>>::new());
}

#[test]
fn a_client_that_has_it_turned_off_asks_nobody() {
    let Some(place) = Place::of(Family::V4) else { return };
    let listener = Listener::new(&place.switch);
    fs::write(place.client.home().join("config.toml"), "lan = false\n").expect("settings");
    let without = |mut command: Command| {
        command.env_remove("IROSH_LAN");
        place.run(&mut command).stderr.said()
    };
    assert!(without(place.client.proxy("box")).contains("no address is known for box\n"));
    let said = without(place.client.irosh(&["hosts", "discover"]));
    assert!(said.contains("`lan` is false"), "{said}");
    // The command line goes before the file, and is heard.
    assert_eq!(listener.of(Switch::address(CLIENT)), Vec::<Vec<u8>>::new());
    let mut command = place.client.irosh(&["ping", "-c", "1", "--lan", "true", "box"]);
    assert!(place.run(command.env_remove("IROSH_LAN")).status.success());
    listener.wait_for(Switch::address(CLIENT));
}

#[test]
fn a_host_has_it_turned_off_by_its_settings() {
    let Some(switch) = Switch::new(3, Family::V4).map_err(|why| skip(&why.to_string())).ok() else { return };
    let folder = folder();
    let server = Server::new(folder.path());
    let listener = Listener::new(&switch);
    let start = |nth, name: &str, text: &str| {
        let [enter, namespace] = switch.prefix(nth);
        let wrapper = [enter.as_str(), &namespace, "env", "--unset=IROSH_LAN"];
        setup(&switch, nth, &folder, name, &server).settings(text).under(&wrapper).start()
    };
    let (_off, _on) = (start(HOST, "off", "lan = false\n"), start(CLIENT, "on", ""));
    listener.wait_for(Switch::address(CLIENT));
    assert_eq!(listener.of(Switch::address(HOST)), Vec::<Vec<u8>>::new());
}

/// Nobody learns from a question which host it is for, and a client tells nothing of itself.
#[test]
fn what_a_client_says_tells_nothing_of_whom_it_looks_for() {
    let Some(place) = Place::of(Family::V4) else { return };
    let listener = Listener::new(&place.switch);
    for _ in 0..2 {
        place.ping(same);
    }
    listener.wait_for(Switch::address(CLIENT));
    let said = listener.of(Switch::address(CLIENT));
    let id = place.id();
    let digits = id.to_string();
    for packet in &said {
        assert!(is_question(packet), "{packet:?}");
        for part in [id.as_bytes().as_slice(), &digits.as_bytes()[..16]] {
            assert!(!packet.windows(part.len()).any(|bytes| bytes == part), "{packet:?}");
        }
    }
    assert_eq!(said.iter().collect::<BTreeSet<_>>().len(), said.len(), "asked twice by one name: {said:?}");
    assert!(said.len() >= 2);
}

#[test]
fn who_lies_about_where_a_host_is_neither_breaks_nor_delays_anything() {
    let Some(place) = Place::of(Family::V4) else { return };
    // Where nobody is, and where somebody else answers.
    let other = setup(&place.switch, OTHER, &place.folder, "other", &place.server)
        .variable("IROSH_LAN", "false")
        .start();
    let ticket: EndpointAddr = EndpointTicket::from_str(&other.ticket()).expect("a ticket").into();
    let somebody = *ticket.ip_addrs().find(|addr| addr.is_ipv4()).expect("an address");
    let lies =
        [SocketAddr::from(([10, 78, 0, 99], 4433)), somebody, SocketAddr::from(([192, 0, 2, 1], 4433))];
    let lies = lies.map(|lie| announcement(place.id(), lie));
    let _liar = Listener::answering(&place.switch, move |socket, _| {
        for lie in &lies {
            let _ = socket.send_to(lie, GROUP);
        }
    });
    for _ in 0..3 {
        let (took, address) = place.ping(same);
        assert!(address.starts_with("10.78.0.1:") && took < AT_ONCE, "{address} {took:?}");
    }
    let chat = place.chat();
    chat.flows();
    let _ssh = chat.ends();
    place.client.add_host("box", &place.host.ticket());
    let (took, _) = place.ping(same);
    assert!(took < AT_ONCE, "{took:?}");
}

/// Bytes that a process has in memory.
fn resident(pid: nix::unistd::Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    let kib: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kib << 10
}

#[test]
fn a_thousand_announcers_and_bad_packets_fill_no_memory_and_hide_no_host() {
    let Some(place) = Place::of(Family::V4) else { return };
    let ids = (0..1000_u32).map(|number| {
        let mut seed = [7; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        SecretKey::from_bytes(&seed).public()
    });
    let mut packets: Vec<_> = ids.map(|id| announcement(id, ([10, 78, 0, 99], 4433).into())).collect();
    // Those that are cut off, those that say they have more, questions for all, and nonsense.
    packets.extend([vec![0; 12], vec![0xff; 1400], packets[0][..40].to_vec(), Vec::new()]);
    packets.push(b"\0\0\0\0\0\x01\0\0\0\0\0\0\x06_irosh\x04_udp\x05local\0\0\x0c\0\x01".to_vec());
    let socket = speaker(&place.switch);
    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let flood = {
        let (over, sent) = (over.clone(), sent.clone());
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                for packet in &packets {
                    sent.fetch_add(u64::from(socket.send_to(packet, GROUP).is_ok()), Ordering::Relaxed);
                }
                // Some 50,000 a second: more than a thousand machines say.
                thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let before = resident(place.host.pid());
    let chat = place.chat();
    chat.flows();
    poll("a flood", DEADLINE, || (sent.load(Ordering::Relaxed) > 100_000).then_some(()));
    let (took, _) = place.ping(same);
    eprintln!("reached after {took:?}, {} packets", sent.load(Ordering::Relaxed));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let begun = Instant::now();
    let discovered = place.run(&mut place.client.irosh(&["hosts", "discover"]));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(discovered.stderr.said().contains(" on this network did not answer"), "{discovered:?}");
    over.store(true, Ordering::Relaxed);
    flood.join().expect("no panic");
    let grown = resident(place.host.pid()).saturating_sub(before);
    assert!(grown < 16 << 20, "the host has {grown} bytes more");
    let _ssh = chat.ends();
}

#[test]
fn hosts_that_let_us_in_are_listed_by_name_and_those_that_do_not_are_counted() {
    let Some(place) = Place::of(Family::V4) else { return };
    let _other = setup(&place.switch, OTHER, &place.folder, "other", &place.server).start();
    let discover = |arguments: &[&str]| {
        let output = place.run(&mut place.client.irosh(&[&["hosts", "discover"], arguments].concat()));
        assert!(output.status.success(), "{}", output.stderr.said());
        output
    };
    let found = discover(&[]);
    let (said, id) = (found.stdout.said(), place.id());
    assert!(said.starts_with(&format!("testhost  {id}  10.78.0.1:")), "{said}");
    assert!(said.ends_with("  called box\n") && said.lines().count() == 1, "{said}");
    assert!(
        found.stderr.said().contains("1 more host on this network did not let us in"),
        "{}",
        found.stderr.said()
    );
    let found: Value = serde_json::from_str(&discover(&["--json"]).stdout.said()).expect("an object");
    assert_eq!(found["name"], "testhost");
    assert_eq!(found["endpoint_id"], id.to_string());
    assert_eq!(found["aliases"], serde_json::json!(["box"]));
    assert!(found["address"].as_str().is_some_and(|address| address.starts_with("10.78.0.1:")), "{found}");
}

#[test]
fn hosts_of_one_name_are_told_apart_by_their_ids() {
    let Some(place) = Place::of(Family::V4) else { return };
    let other = setup(&place.switch, OTHER, &place.folder, "other", &place.server).start();
    other.allow(&place.client.identity);
    let found = place.run(&mut place.client.irosh(&["hosts", "discover"]));
    let said = found.stdout.said();
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort_unstable_by_key(|line| !line.ends_with("  called box"));
    let [own, others] = lines[..] else { panic!("{said}") };
    assert!(own.starts_with(&format!("testhost  {}  10.78.0.1:", place.id())), "{said}");
    assert!(others.starts_with(&format!("testhost  {}  10.78.0.3:", id_of(&other))), "{said}");
    let next = found.stderr.said();
    assert!(next.contains("run: irosh hosts add NAME ENDPOINT_ID"), "{next}");
}

#[test]
fn a_host_with_a_name_that_would_steer_a_terminal_is_listed_without_harm() {
    let Some(place) = Place::of(Family::V4) else { return };
    let evil = "e\u{1b}[2Jv\u{202e}i\nl\u{9b}31m";
    let other = setup(&place.switch, OTHER, &place.folder, "other", &place.server).name(evil).start();
    other.allow(&place.client.identity);
    let found = place.run(&mut place.client.irosh(&["hosts", "discover"]));
    let said = found.stdout.said();
    assert_eq!(said.lines().count(), 2, "{said:?}");
    assert!(said.contains(&id_of(&other).to_string()), "{said:?}");
    assert!(!said.chars().any(|c| c != '\n' && irosh::log::steers(c)), "{said:?}");
}

/// A listing asks nobody to touch or confirm a key, unless it is told to.
#[test]
fn an_identity_in_an_ssh_agent_is_proved_to_those_that_are_listed_only_where_that_is_wanted() {
    let Some(mut place) = Place::of(Family::V4) else { return };
    let _other = setup(&place.switch, OTHER, &place.folder, "other", &place.server).start();
    let agent = place.holds_its_identity_in_an_agent();
    let discover = |arguments: &[&str]| {
        let output = place.run(&mut place.client.irosh(&[&["hosts", "discover"], arguments].concat()));
        assert!(output.status.success(), "{}", output.stderr.said());
        (output.stdout.said(), output.stderr.said())
    };
    let (listed, said) = discover(&[]);
    let line = |said: &str| {
        said.lines().find(|line| line.contains(&place.id().to_string())).expect("the host").to_owned()
    };
    assert_eq!(listed.lines().count(), 2, "{listed}{said}");
    assert!(line(&listed).starts_with("-  ") && line(&listed).ends_with("  called box"), "{listed}");
    assert!(said.contains("run `irosh hosts discover --prove`"), "{said}");
    assert_eq!(agent.signed(), 0);
    let (listed, said) = discover(&["--prove"]);
    assert!(line(&listed).starts_with("testhost  ") && listed.lines().count() == 1, "{listed}");
    assert_eq!(said, "irosh: 1 more host on this network did not let us in\n");
    assert_eq!(agent.signed(), 2, "once for each");
}

#[test]
fn a_session_of_an_identity_in_an_ssh_agent_goes_on_when_both_have_other_addresses_at_once() {
    let Some(mut place) = Place::of(Family::V4) else { return };
    let agent = place.holds_its_identity_in_an_agent();
    let chat = place.chat();
    chat.flows();
    place.both_move();
    let took = chat.flows();
    eprintln!("lines flow after {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?} after both have moved");
    assert_eq!(agent.signed(), 2, "once for each connection");
    let _ssh = chat.ends();
    place.host.wait_ended(1);
}

#[test]
fn the_doctor_says_whether_hosts_answer_on_this_network() {
    let Some(place) = Place::of(Family::V4) else { return };
    let found = |arguments: &[&str]| {
        let output = place.run(place.client.native("doctor").arg("--json").args(arguments));
        let said = output.stdout.said();
        let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object"));
        let found = lines.into_iter().find(|found| found["check"] == "local network").expect("a finding");
        assert_eq!(found["verdict"], "ok", "{found}");
        found["found"].as_str().expect("words").to_owned()
    };
    assert_eq!(found(&[]), "a host answers there: asked on eth0");
    assert!(found(&["box"]).starts_with("box says that it is at 10.78.0.1:"), "{}", found(&["box"]));
    assert!(found(&["--lan", "false"]).starts_with("turned off"));
    place.client.add_host("box", &SecretKey::from_bytes(&[9; 32]).public().to_string());
    assert_eq!(found(&["box"]), "box does not answer there: asked on eth0");
}

/// Who has looked for a router that gives ports (UPnP), as one machine hears it.
fn asked_for_a_port(switch: &Switch) -> Arc<Mutex<BTreeSet<IpAddr>>> {
    let group = (Ipv4Addr::new(239, 255, 255, 250), 1900);
    let own = Switch::address(OTHER);
    let socket = switch.within(OTHER, || {
        let socket = UdpSocket::bind(group)?;
        socket.join_multicast_v4(&group.0, &own)?;
        Ok::<_, std::io::Error>(socket)
    });
    let socket = socket.expect("entered").expect("a socket");
    let from: Arc<Mutex<BTreeSet<IpAddr>>> = Arc::default();
    let heard = from.clone();
    thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 1500]) {
            heard.lock().expect("no panic").insert(from.ip());
        }
    });
    from
}

#[test]
fn the_router_is_asked_for_a_port_where_that_is_wanted_and_nowhere_else() {
    let Some(switch) = Switch::new(3, Family::V4).map_err(|why| skip(&why.to_string())).ok() else { return };
    let folder = folder();
    let server = Server::new(folder.path());
    for nth in [HOST, CLIENT] {
        let route = format!("route add default via {}", Switch::address(OTHER));
        assert!(run(switch.command(nth, "ip").args(route.split(' '))).status.success());
    }
    let asked = asked_for_a_port(&switch);
    // Nobody is there, but a network with relays is one that leads somewhere.
    let relay = format!("https://{}:9/", Switch::address(OTHER));
    let start = |nth, name: &str, wanted: &str| {
        // The local network has its own part of the tests.
        let setup = setup(&switch, nth, &folder, name, &server).relay(&relay).variable("IROSH_LAN", "false");
        setup.variable("IROSH_PORTMAP", wanted).start()
    };
    let (_without, _with) = (start(HOST, "without", "false"), start(CLIENT, "with", "true"));
    let all = || asked.lock().expect("no panic").clone();
    poll("a request", DEADLINE, || all().contains(&Switch::address(CLIENT).into()).then_some(()));
    assert!(!all().contains(&Switch::address(HOST).into()));
}
