//! Relays: several, gone ones, such as want a certificate, a token or a proxy; and what is said of them.

mod harness;

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    process::Command,
    str::FromStr,
    thread,
};

use harness::{Client, Host, HostSetup, Relay, Said, Server, folder, run};
use iroh::{EndpointAddr, SecretKey};
use iroh_tickets::endpoint::EndpointTicket;

/// A client that reaches a host by relays alone, and the host.
struct Relayed {
    client: Client,
    host: Host,
    _folder: tempfile::TempDir,
}

impl Relayed {
    /// Both use these relays; `change` has the last word about the host.
    fn new(relays: &str, change: impl FnOnce(HostSetup) -> HostSetup) -> Self {
        let folder = folder();
        let server = Server::new(folder.path());
        let mut client = Client::new(folder.path(), "client", &server);
        client.use_relay(relays);
        let setup = HostSetup::new(&folder.path().join("host"), &format!("exec:{}", server.command()));
        let host = change(setup.relay(relays)).start();
        host.allow(&client.identity);
        Self { client, host, _folder: folder }
    }

    /// Has the client know the host by its relays.
    fn know(&self) {
        self.host.daemon.stderr.wait_for("the relay is");
        self.client.add_host("box", &self.host.relay_ticket());
    }

    #[track_caller]
    fn logs_in(&self, mut change: impl FnMut(&mut Command)) {
        let mut ssh = self.client.ssh();
        change(ssh.args(["box", "echo in"]));
        let output = run(&mut ssh);
        assert_eq!(output.stdout.said(), "in\n", "{}\n{}", output.stderr.said(), self.host.log());
    }
}

/// A ticket of a host that nobody is.
fn ticket_of(addr: impl FnOnce(EndpointAddr) -> EndpointAddr) -> String {
    EndpointTicket::new(addr(SecretKey::from_bytes(&[3; 32]).public().into())).to_string()
}

/// A URL at which there is no relay any more.
fn gone() -> String {
    Relay::start().url().to_owned()
}

#[test]
fn a_host_whose_relay_is_gone_moves_to_another_where_old_tickets_find_it() {
    let relays = [Relay::start(), Relay::start()];
    let urls = relays.iter().map(Relay::url).collect::<Vec<_>>().join(",");
    let relayed = Relayed::new(&urls, |setup| setup);
    let log = &relayed.host.daemon.stderr;
    log.wait_for("the relay is");
    let ticket: EndpointAddr =
        EndpointTicket::from_str(&relayed.host.relay_ticket()).expect("a ticket").into();
    assert_eq!(ticket.relay_urls().count(), 2, "{ticket:?}");
    let [first, second] = relays;
    let (home, other) =
        if log.wait_for("the relay is").contains(first.url()) { (first, second) } else { (second, first) };
    // As one of before, which knows of one relay alone.
    let old = EndpointAddr::new(ticket.id).with_relay_url(home.url().parse().expect("a URL"));
    relayed.client.add_host("box", &EndpointTicket::new(old).to_string());
    relayed.logs_in(|_| {});
    drop(home);
    log.wait_for(&format!("the relay is {} now", other.url()));
    relayed.logs_in(|_| {});
}

#[test]
fn a_host_that_reaches_no_relay_says_so_and_why() {
    let folder = folder();
    let url = gone();
    let host = HostSetup::new(&folder.path().join("host"), "exec:true").relay(&url).start();
    let said = host.daemon.stderr.wait_for("cannot be used");
    assert!(said.contains(&url) && said.contains("refused"), "{said}");
}

#[test]
fn what_is_in_the_way_is_named() {
    let folder = folder();
    let server = Server::new(folder.path());
    let mut client = Client::new(folder.path(), "client", &server);
    let url = gone();
    client.use_relay(&url);
    client.bind("127.0.0.1:0");
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket").local_addr().expect("an address");
    let mute = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let ticket = ticket_of(|addr| {
        let addr = addr.with_relay_url(url.parse().expect("a URL")).with_ip_addr(silent);
        addr.with_ip_addr(mute.local_addr().expect("an address"))
    });
    let said = run(&mut client.proxy(&ticket)).stderr.said();
    assert!(said.contains(&format!("the relay {url} cannot be used: ")), "{said}");
    assert!(said.contains("nothing comes back over UDP"), "{said}");
    assert!(said.contains(&format!("nothing listens at {silent}")), "{said}");
    assert!(said.contains("check this network"), "{said}");
}

#[test]
fn a_name_service_that_cannot_be_asked_is_not_the_hosts_fault() {
    let folder = folder();
    let server = Server::new(folder.path());
    let client = Client::new(folder.path(), "client", &server);
    let port = harness::free_port();
    let id = SecretKey::from_bytes(&[3; 32]).public().to_string();
    let mut command = client.proxy(&id);
    command.env("IROSH_DNS", format!("http://127.0.0.1:{port}/pkarr,dns.invalid,127.0.0.1:{port}"));
    let said = run(&mut command).stderr.said();
    assert!(said.contains(&format!("the name service at 127.0.0.1:{port} cannot be asked")), "{said}");
    assert!(!said.contains("irosh host"), "{said}");
}

#[test]
fn a_relay_of_a_private_authority_is_used_where_that_is_named() {
    let folder = folder();
    let authority = folder.path().join("authority.pem");
    let relay = Relay::with_certificate(&authority, "localhost", 2999);
    let settings = format!("ca = {authority:?}\n");
    let relayed = Relayed::new(relay.url(), |setup| setup.settings(&settings));
    relayed.know();
    let said = run(&mut relayed.client.proxy("box")).stderr.said();
    assert!(said.contains("its certificate is of an authority that is not known here"), "{said}");
    relayed.logs_in(|ssh| _ = ssh.env("IROSH_CA", &authority));
}

#[test]
fn a_certificate_that_is_not_good_is_named() {
    let folder = folder();
    let authority = folder.path().join("authority.pem");
    for (name, until, fault) in [
        ("localhost", 2020, "its certificate has expired"),
        ("relay.example", 2999, "its certificate is of another name"),
    ] {
        let relay = Relay::with_certificate(&authority, name, until);
        let home = folder.path().join(name);
        let setup = HostSetup::new(&home, "exec:true").settings(&format!("ca = {authority:?}\n"));
        setup.relay(relay.url()).start().daemon.stderr.wait_for(fault);
    }
}

#[test]
fn a_relay_that_wants_a_token_gets_it() {
    let relay = Relay::with_token("a secret");
    let relayed = Relayed::new(relay.url(), |setup| setup.settings("relay-token = \"a secret\"\n"));
    relayed.know();
    let said = run(&mut relayed.client.proxy("box")).stderr.said();
    assert!(said.contains(&format!("the relay {} cannot be used", relay.url())), "{said}");
    relayed.logs_in(|ssh| _ = ssh.env("IROSH_RELAY_TOKEN", "a secret"));
    assert!(!relayed.host.log().contains("a secret"));
}

/// The URL of an HTTP proxy, and where it listens.
fn proxy() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    (format!("http://{}", listener.local_addr().expect("an address")), listener)
}

/// Leads to a port of this machine, whatever is asked for.
fn tunnel(client: TcpStream, port: u16) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    let server = TcpStream::connect(("127.0.0.1", port))?;
    if head.starts_with("CONNECT ") {
        (&client).write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    } else {
        (&server).write_all(head.as_bytes())?;
    }
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || std::io::copy(&mut from, &mut to));
    std::io::copy(&mut reader, &mut &server)?;
    Ok(())
}

#[test]
fn a_relay_is_reached_by_the_proxy_of_the_environment() {
    let relay = Relay::start();
    let port = relay
        .url()
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    let (proxy, listener) = proxy();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || tunnel(client, port));
        }
    });
    // A name that the proxy alone knows.
    let url = format!("http://relay.invalid:{port}/");
    let relayed = Relayed::new(&url, |setup| setup.variable("http_proxy", &proxy));
    relayed.know();
    relayed.logs_in(|ssh| _ = ssh.env("http_proxy", &proxy));
    let mut direct = relayed.client.proxy("box");
    let said = run(direct.env("http_proxy", &proxy).env("no_proxy", "relay.invalid")).stderr.said();
    assert!(said.contains(&format!("the relay {url} cannot be used")), "{said}");
}
