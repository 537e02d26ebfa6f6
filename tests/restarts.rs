//! The host starts anew, and sessions go on: by exec(2), when it is told to, and by systemd's store of descriptors, when
//! its service is restarted.

#![cfg(target_os = "linux")]

mod harness;

use std::{fs, io, process::Stdio, thread, time::Duration};

use harness::{
    Chat, Client, DEADLINE, Host, HostSetup, Line, Random, Route, Running, Server, descendants, folder,
    hash_reader, number, poll,
};
use nix::sys::signal::Signal;

const MIB: usize = 1 << 20;

/// What stands in for systemd where it does not run.
const SERVICE_MANAGER: [&str; 2] =
    ["python3", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/service_manager.py")];

/// How a host is started anew.
#[derive(Debug, Clone, Copy)]
enum Way {
    Exec,
    Store,
}

impl Way {
    /// Has it start anew and waits until it has.
    fn restarts(self, host: &Host) {
        let ready = host.count("ready");
        host.daemon.signal(match self {
            Self::Exec => Signal::SIGUSR2,
            Self::Store => Signal::SIGUSR1,
        });
        poll("a host that is ready again", DEADLINE, || (host.count("ready") > ready).then_some(()));
    }
}

/// Plain ssh to a host that may be a service, which has a store then.
struct Place {
    client: Client,
    host: Host,
    _sshd: Option<harness::Sshd>,
    _server: Server,
    folder: tempfile::TempDir,
}

impl Place {
    fn new(way: Way, route: Route) -> Self {
        let folder = folder();
        let server = Server::new(folder.path());
        let client = Client::new(folder.path(), "client", &server);
        let sshd = (route == Route::Tcp).then(|| server.listen());
        let backend = match (&sshd, route) {
            (Some(sshd), _) => sshd.backend(),
            (None, Route::Builtin) => format!("exec:{}", server.builtin_command()),
            (None, _) => format!("exec:{}", server.command()),
        };
        let setup = HostSetup::new(&folder.path().join("host"), &backend);
        let setup = match way {
            Way::Exec => setup,
            Way::Store => setup.under(&SERVICE_MANAGER),
        };
        let host = setup.start();
        host.allow(&client.identity);
        client.add_host("box", &host.ticket());
        Self { client, host, _sshd: sshd, _server: server, folder }
    }

    fn chat(&self) -> Chat {
        let mut ssh = self.client.ssh();
        Chat::by(&mut ssh)
    }
}

fn goes_on(way: Way) {
    for route in [Route::Exec, Route::Tcp, Route::Builtin] {
        eprintln!("{way:?} {route:?}");
        let place = Place::new(way, route);
        let (first, second) = (place.chat(), place.chat());
        first.flows();
        second.flows();
        way.restarts(&place.host);
        let took = first.flows().max(second.flows());
        eprintln!("lines flow after {took:?}");
        // What was there before and what has come since live through another one.
        let third = place.chat();
        third.flows();
        way.restarts(&place.host);
        let ended = [first, second, third].map(|chat| {
            chat.flows();
            chat.ends()
        });
        assert_eq!(place.host.wait_ended(3).len(), 3);
        poll("nothing of the sessions", DEADLINE, || {
            let left = descendants(place.host.pid());
            let most = match way {
                Way::Exec => 0,
                Way::Store => 1,
            };
            (left.len() <= most).then_some(())
        });
        drop(ended);
    }
}

#[test]
fn sessions_go_on_when_the_host_is_told_to_start_anew() {
    goes_on(Way::Exec);
}

#[test]
fn sessions_go_on_when_the_service_is_restarted() {
    goes_on(Way::Store);
}

/// Bytes both ways at once, while the host is started anew again and again.
fn bulk(way: Way) {
    let (mib, restarts) = (number("IROSH_TEST_BULK_MIB", 64), number("IROSH_TEST_RESTARTS", 5));
    for route in [Route::Tcp, Route::Builtin] {
        eprintln!("{way:?} {route:?}");
        let place = Place::new(way, route);
        let length = mib * MIB;
        let mut ssh = place.client.ssh();
        ssh.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running::start(&mut ssh);
        let mut stdin = running.stdin();
        let stdout = running.stdout();
        let sending = thread::spawn(move || {
            let mut random = Random::new(7, length);
            let result = io::copy(&mut random, &mut stdin);
            drop(stdin);
            result
        });
        let back = thread::spawn(move || hash_reader(stdout));
        for _ in 0..restarts {
            thread::sleep(Duration::from_secs(1));
            way.restarts(&place.host);
        }
        sending.join().expect("no panic").expect("sent");
        assert_eq!(back.join().expect("no panic"), hash_reader(Random::new(7, length)));
        assert!(running.wait(DEADLINE).success());
    }
}

#[test]
fn no_byte_is_lost_or_doubled_however_often_the_host_is_told_to_start_anew() {
    bulk(Way::Exec);
}

#[test]
fn no_byte_is_lost_or_doubled_however_often_the_service_is_restarted() {
    bulk(Way::Store);
}

#[test]
fn who_connects_while_the_host_starts_anew_gets_in() {
    let place = Place::new(Way::Exec, Route::Tcp);
    let mut connecting = Vec::new();
    for _ in 0..4 {
        let ready = place.host.count("ready");
        let connect = || {
            let mut ssh = place.client.ssh();
            Running::start(ssh.args(["box", "true"]).stdin(Stdio::null()))
        };
        connecting.push(connect());
        place.host.daemon.signal(Signal::SIGUSR2);
        connecting.push(connect());
        poll("a host that is ready again", DEADLINE, || (place.host.count("ready") > ready).then_some(()));
    }
    for mut ssh in connecting {
        assert!(ssh.wait(DEADLINE).success());
    }
}

#[test]
fn a_service_that_is_stopped_for_good_ends_its_sessions() {
    let mut place = Place::new(Way::Store, Route::Tcp);
    let chat = place.chat();
    chat.flows();
    place.host.daemon.signal(Signal::SIGTERM);
    place.host.daemon.wait(DEADLINE);
    // sshd has lost its client by then: whoever comes next finds nothing to go on with.
    let host = HostSetup::new(&place.folder.path().join("host"), "tcp:127.0.0.1:1").start();
    chat.expect_cut_off();
    drop(host);
}

#[test]
fn a_host_that_could_not_be_started_anew_goes_on_as_it_is() {
    let place = Place::new(Way::Exec, Route::Tcp);
    let chat = place.chat();
    chat.flows();
    let settings = place.host.home().join("host.toml");
    fs::write(&settings, "acess = \"open\"\n").expect("settings");
    place.host.daemon.signal(Signal::SIGUSR2);
    place.host.daemon.stderr.wait_for("goes on as it is");
    place.host.daemon.stderr.wait_for("unknown field `acess`");
    chat.flows();
    fs::remove_file(&settings).expect("removed");
    Way::Exec.restarts(&place.host);
    chat.flows();
    drop(chat.ends());
}

#[test]
fn who_is_no_longer_admitted_does_not_go_on() {
    let place = Place::new(Way::Exec, Route::Tcp);
    let chat = place.chat();
    chat.flows();
    let list = place.host.home().join("authorized_peers");
    let all = fs::read_to_string(&list).expect("a list");
    fs::write(&list, all.replace("ssh-ed25519", "revoked ssh-ed25519")).expect("written");
    Way::Exec.restarts(&place.host);
    chat.expect_cut_off();
}

#[test]
fn what_the_sessions_complain_of_is_logged_by_the_host_that_follows() {
    let line = Line::with_settings(Route::Exec, "");
    let host = line.host();
    let mut ssh = line.client.ssh();
    let chat = Chat::by(&mut ssh);
    chat.flows();
    Way::Exec.restarts(host);
    chat.flows();
    let _ssh = chat.ends();
    host.wait_ended(1);
    // sshd says by its stderr that the client has gone, and was started by the host before.
    poll("sshd's last words", DEADLINE, || {
        let log = host.log();
        (log.contains("Disconnected from") || log.contains("Closing connection")).then_some(())
    });
}
