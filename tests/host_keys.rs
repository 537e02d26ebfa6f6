//! The SSH host keys that a host announces, and those that it does not.

mod harness;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Output},
};

use harness::{
    Client, DEADLINE, Host, HostSetup, IROSH_PROXY, Line, Route, Said, Server, Sshd, folder, have, new_key,
    poll, run, skip, succeed,
};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};

/// A server, a client that may log in there, and where both are.
struct Place {
    client: Client,
    server: Server,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = folder();
        let server = Server::new(folder.path());
        Self { client: Client::new(folder.path(), "client", &server), server, folder }
    }

    fn setup(&self, backend: &str) -> HostSetup {
        HostSetup::new(&self.folder.path().join("host"), backend)
    }

    /// Lets the client in, with `box` as its name for the host.
    fn admit(&self, host: &Host) {
        host.allow(&self.client.identity);
        self.client.add_host("box", &host.ticket());
    }

    /// A host in front of an sshd, and the client admitted.
    fn serve(&self, sshd: &Sshd) -> Host {
        let host = self.setup(&sshd.backend()).start();
        self.admit(&host);
        host
    }

    /// The known_hosts lines that the client gets for `box` at its usual port.
    fn announced(&self) -> String {
        let lines = succeed(self.client.command(IROSH_PROXY).args(["--known-hosts", "box"]));
        lines.split_inclusive('\n').filter(|line| line.starts_with("box ")).collect()
    }
}

/// The type and the key of a public key line.
fn bare(line: &str) -> String {
    line.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn is_in(output: &Output) -> bool {
    output.stdout.said() == "in\n"
}

/// Puts this thread, and what it starts, into a network of their own with one more address; false where it cannot.
fn own_network() -> bool {
    if !have(&["ip"]) || !geteuid().is_root() || unshare(CloneFlags::CLONE_NEWNET).is_err() {
        skip("no network namespace");
        return false;
    }
    succeed(Command::new("ip").args(["link", "set", "lo", "up"]));
    succeed(Command::new("ip").args(["addr", "add", "192.0.2.7/32", "dev", "lo"]));
    true
}

#[test]
fn a_changed_host_key_is_refused_until_it_is_accepted() {
    let mut place = Place::new();
    let first = place.server.listen();
    let mut host = place.serve(&first);
    assert!(is_in(&place.client.exec("echo in")));
    let port = first.port;
    drop(first);
    place.server.change_host_key();
    let _second = poll("the port", DEADLINE, || place.server.listen_on(port));
    // Also a host that has just started knows the key of old.
    for _ in 0..2 {
        let output = place.client.exec("echo in");
        let said = output.stderr.said();
        assert_eq!((output.status.code(), output.stdout.said().as_str()), (Some(255), ""), "{said}");
        assert!(
            said.contains("has another host key") && said.contains("run: irosh host-keys accept"),
            "{said}"
        );
        let event = host.wait_event(|event| event["event"] == "host_keys_changed");
        assert!(event["keys"][0].as_str().is_some_and(|key| key.starts_with("SHA256:")), "{event}");
        assert_eq!(host.log().matches("it has another host key").count(), 1, "{}", host.log());
        host = host.restart();
        place.client.add_host("box", &host.ticket());
    }
    let listed = host.irosh(&["host-keys", "list"]).stdout.said();
    assert!(listed.contains("announced, not seen") && listed.contains("seen, not announced"), "{listed}");
    let accepted = host.irosh(&["host-keys", "accept", "--json"]);
    assert!(accepted.status.success(), "{accepted:?}");
    let line: serde_json::Value = serde_json::from_slice(&accepted.stdout).expect("a line");
    assert_eq!(line["key"], bare(&place.server.host_key));
    assert_eq!((&line["announced"], &line["basis"]), (&true.into(), &"kept".into()));
    assert!(is_in(&place.client.exec("echo in")), "{}", host.log());
    let again = host.irosh(&["host-keys", "accept"]);
    assert!(again.status.success() && again.stderr.said().contains("nothing to accept"), "{again:?}");
}

#[test]
fn a_change_behind_a_command_is_not_announced_by_a_host_that_is_started_again() {
    let mut line = Line::new(Route::Exec);
    assert!(line.client.exec("true").status.success());
    line.server.change_host_key();
    line.host = line.host.take().map(Host::restart);
    let said = line.client.exec("echo in").stderr.said();
    assert!(said.contains("run: irosh host-keys accept"), "{said}");
    assert!(line.host().irosh(&["host-keys", "accept"]).status.success());
    assert!(is_in(&line.client.exec("echo in")), "{}", line.host().log());
}

#[test]
fn a_further_key_of_a_server_that_holds_a_kept_one_is_announced() {
    let place = Place::new();
    let first = place.server.listen();
    let _host = place.serve(&first);
    assert!(!place.announced().contains("ssh-rsa"));
    let rsa = place.folder.path().join("rsa");
    succeed(Command::new("ssh-keygen").args(["-q", "-t", "rsa", "-N", "", "-f"]).arg(&rsa));
    place.server.configure(&format!("HostKey {}", rsa.display()));
    let port = first.port;
    drop(first);
    let _second = poll("the port", DEADLINE, || place.server.listen_on(port));
    let announced = poll("the further key", DEADLINE, || {
        assert!(is_in(&place.client.exec("echo in")));
        Some(place.announced()).filter(|announced| announced.contains("ssh-rsa"))
    });
    assert!(announced.contains(&bare(&place.server.host_key)), "{announced}");
}

#[test]
fn keys_of_every_type_are_found() {
    for kind in [&["-t", "rsa"][..], &["-t", "ecdsa", "-b", "384"], &["-t", "ecdsa", "-b", "521"]] {
        let mut place = Place::new();
        place.server.change_host_key_to(kind);
        let sshd = place.server.listen();
        let _host = place.serve(&sshd);
        let output = place.client.exec("echo in");
        assert!(is_in(&output), "{kind:?}: {}", output.stderr.said());
        let native = run(place.client.native("exec").args(["box", "echo in"]));
        assert!(is_in(&native), "{kind:?}: {}", native.stderr.said());
    }
}

#[test]
fn a_server_with_few_algorithms_is_asked_for_its_keys_too() {
    for lines in [
        "KexAlgorithms ecdh-sha2-nistp521",
        "KexAlgorithms diffie-hellman-group14-sha1",
        "Ciphers aes128-gcm@openssh.com",
        "Ciphers aes256-cbc",
        "MACs umac-64-etm@openssh.com",
        "MACs hmac-sha1",
    ] {
        let place = Place::new();
        place.server.configure(lines);
        let sshd = place.server.listen();
        let host = place.serve(&sshd);
        assert!(place.announced().contains(&bare(&place.server.host_key)), "{lines}: {}", host.log());
    }
    let mut place = Place::new();
    place.server.change_host_key_to(&["-t", "rsa"]);
    place.server.configure("HostKeyAlgorithms rsa-sha2-512");
    let sshd = place.server.listen();
    let _host = place.serve(&sshd);
    assert!(is_in(&place.client.exec("echo in")));
}

#[test]
fn what_is_missing_is_said_where_a_server_cannot_be_asked() {
    for (lines, what) in [
        ("KexAlgorithms sntrup761x25519-sha512@openssh.com", "key exchange"),
        ("Ciphers aes128-ctr\nMACs umac-64-etm@openssh.com", "MAC"),
    ] {
        let place = Place::new();
        place.server.configure(lines);
        let sshd = place.server.listen();
        // The keys of this machine are not this server's.
        let empty = place.folder.path().join("empty");
        fs::create_dir(&empty).expect("a folder");
        let Some(wrapper) = in_place_of_etc_ssh(&empty) else { return };
        let wrapper: Vec<_> = wrapper.iter().map(String::as_str).collect();
        let host = place.setup(&sshd.backend()).under(&wrapper).start();
        assert!(host.problem().contains(&format!("no {what} algorithm")), "{}", host.problem());
        assert!(host.problem().contains("host-keys = "), "{}", host.problem());
    }
}

/// Runs a command with this folder as /etc/ssh.
fn in_place_of_etc_ssh(folder: &Path) -> Option<Vec<String>> {
    if !have(&["unshare", "mount"]) || !geteuid().is_root() {
        skip("no mount namespace");
        return None;
    }
    let script = "mount --bind \"$0\" /etc/ssh && exec \"$@\"";
    let words = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, folder.to_str()?];
    Some(words.map(str::to_owned).to_vec())
}

#[test]
fn where_no_key_can_be_proved_the_machines_own_files_are_announced() {
    let place = Place::new();
    place.server.configure("KexAlgorithms sntrup761x25519-sha512@openssh.com");
    let sshd = place.server.listen();
    let own = place.folder.path().join("etc");
    fs::create_dir(&own).expect("a folder");
    fs::write(own.join("ssh_host_ed25519_key.pub"), &place.server.host_key).expect("a key");
    let Some(wrapper) = in_place_of_etc_ssh(&own) else { return };
    let wrapper: Vec<_> = wrapper.iter().map(String::as_str).collect();
    let host = place.setup(&sshd.backend()).under(&wrapper).start();
    place.admit(&host);
    assert_eq!(host.problem(), "");
    let output = place.client.exec("echo in");
    assert!(is_in(&output), "{}", output.stderr.said());
}

#[test]
fn the_machines_own_files_give_way_where_a_server_proves_another_key_at_last() {
    let place = Place::new();
    place.server.configure("KexAlgorithms sntrup761x25519-sha512@openssh.com");
    let first = place.server.listen();
    let own = place.folder.path().join("etc");
    fs::create_dir(&own).expect("a folder");
    let other = place.folder.path().join("other");
    succeed(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&other));
    fs::copy(other.with_extension("pub"), own.join("ssh_host_ed25519_key.pub")).expect("a key");
    let Some(wrapper) = in_place_of_etc_ssh(&own) else { return };
    let wrapper: Vec<_> = wrapper.iter().map(String::as_str).collect();
    let host = place.setup(&first.backend()).under(&wrapper).start();
    place.admit(&host);
    assert!(!is_in(&place.client.exec("echo in")), "it is not the machine's server");
    let port = first.port;
    drop(first);
    place.server.configure("KexAlgorithms curve25519-sha256");
    let _second = poll("the port", DEADLINE, || place.server.listen_on(port));
    poll("the key that is proved", DEADLINE, || is_in(&place.client.exec("echo in")).then_some(()));
    assert_eq!(host.problem(), "");
}

#[test]
fn a_key_that_changes_together_with_the_machines_file_is_announced() {
    let mut place = Place::new();
    let own = place.folder.path().join("etc");
    fs::create_dir(&own).expect("a folder");
    let Some(wrapper) = in_place_of_etc_ssh(&own) else { return };
    let wrapper: Vec<_> = wrapper.iter().map(String::as_str).collect();
    let first = place.server.listen();
    let host = place.setup(&first.backend()).under(&wrapper).start();
    place.admit(&host);
    assert!(is_in(&place.client.exec("echo in")));
    let port = first.port;
    drop(first);
    place.server.change_host_key();
    fs::write(own.join("ssh_host_ed25519_key.pub"), &place.server.host_key).expect("a key");
    let _second = poll("the port", DEADLINE, || place.server.listen_on(port));
    let output = place.client.exec("echo in");
    assert!(is_in(&output), "{}", output.stderr.said());
}

#[test]
fn one_line_in_sshds_log_is_what_the_question_for_the_machines_keys_costs() {
    let place = Place::new();
    let own = place.folder.path().join("etc");
    fs::create_dir(&own).expect("a folder");
    let mut public = vec![place.server.host_key.clone()];
    for kind in ["rsa", "ecdsa"] {
        let path = place.folder.path().join(kind);
        succeed(Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f"]).arg(&path));
        place.server.configure(&format!("HostKey {}", path.display()));
        public.push(fs::read_to_string(path.with_extension("pub")).expect("a key"));
    }
    for (index, line) in public.iter().enumerate() {
        fs::write(own.join(format!("ssh_host_{index}_key.pub")), line).expect("a key");
    }
    let Some(wrapper) = in_place_of_etc_ssh(&own) else { return };
    let wrapper: Vec<_> = wrapper.iter().map(String::as_str).collect();
    place.server.configure("LogLevel INFO");
    let sshd = place.server.listen();
    let host = place.setup(&sshd.backend()).under(&wrapper).start();
    place.admit(&host);
    assert_eq!(place.announced().lines().count(), 3);
    let lines = sshd.daemon.stderr.all();
    let probes: Vec<_> = lines.iter().filter(|line| !line.contains("Server listening")).collect();
    assert_eq!(probes.len(), 1, "{lines:?}");
    assert_eq!(host.log().matches("ERROR").count() + host.log().matches("WARN").count(), 0, "{}", host.log());
}

#[test]
fn a_server_on_another_machine_is_vouched_for_by_configured_keys_alone() {
    if !own_network() {
        return;
    }
    let place = Place::new();
    let address: SocketAddr = "192.0.2.7:2222".parse().expect("an address");
    let _sshd = place.server.listen_as(&[], address).expect("sshd");
    let host = place.setup(&format!("tcp:{address}")).start();
    place.admit(&host);
    assert_eq!(place.announced(), "");
    assert!(host.log().contains("it is on another machine") && host.log().contains("host-keys = "));
    assert!(!place.client.exec("echo in").status.success());
    let accepted = host.irosh(&["host-keys", "accept"]);
    assert_eq!(accepted.stdout.said(), "");
    drop(host);

    let file = place.folder.path().join("key.pub");
    fs::write(&file, format!("# the server's\n{}\n", place.server.host_key)).expect("a key");
    for named in [file.display().to_string(), place.server.host_key.clone()] {
        let host =
            place.setup(&format!("tcp:{address}")).settings(&format!("host-keys = [\"{named}\"]\n")).start();
        place.client.add_host("box", &host.ticket());
        let output = place.client.exec("echo in");
        assert!(is_in(&output), "{}", output.stderr.said());
    }
    let failed = place.setup("builtin").settings("host-keys = [\"nonsense\"]\n").fail();
    assert!(failed.stderr.said().contains("`nonsense` is not an SSH public key"), "{failed:?}");
}

#[test]
fn a_port_that_another_user_listens_on_is_not_sshds() {
    if !have(&["setpriv"]) || !own_network() {
        return;
    }
    let place = Place::new();
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--ambient-caps=+net_bind_service",
        "--inh-caps=+net_bind_service",
    ];
    let open = |path: &Path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    };
    open(place.folder.path());
    succeed(Command::new("chown").args(["-R", "65534"]).arg(place.folder.path().join("server")));
    let address: SocketAddr = "127.0.0.1:22".parse().expect("an address");
    let _sshd = place.server.listen_as(&nobody, address).expect("sshd of another user");
    let host = place.setup(&format!("tcp:{address}")).start();
    place.admit(&host);
    assert!(host.problem().contains("user 65534's"), "{}", host.problem());
    assert_eq!(place.announced(), "");
    let said = place.client.exec("echo in").stderr.said();
    assert!(said.contains("is not root's, and not the host's own"), "{said}");
    drop(host);
    let auto = place.setup("auto").start();
    assert!(auto.log().contains("user 65534's, and not sshd"), "{}", auto.log());
    let events = auto.daemon.stdout.all().join("\n");
    assert!(events.contains("\"backend\":\"builtin\""), "{events}");
}

#[test]
fn auto_does_not_spare_peers_a_proof_because_sshd_is_down() {
    if !own_network() {
        return;
    }
    let place = Place::new();
    let sshd = place.server.listen_on(22).expect("sshd");
    let host = place.setup("auto").start();
    fs::write(host.home().join("authorized_peers"), format!("login=\"root\" {}\n", place.client.identity))
        .expect("authorized_peers");
    drop((host, sshd));
    let failed = place.setup("auto").fail();
    let said = failed.stderr.said();
    assert!(
        said.contains("sshd does not answer at 127.0.0.1:22") && said.contains("--backend builtin"),
        "{said}"
    );
    // Who says what is meant gets it.
    let _host = place.setup("builtin").start();
}

#[test]
fn a_peers_own_backend_has_keys_of_its_own() {
    let place = Place::new();
    let other = Server::new(&harness::subfolder(place.folder.path(), "other"));
    let host = place.setup(&format!("exec:{}", place.server.command())).start();
    let line = format!("backend=\"exec:{}\" {}\n", other.command(), place.client.identity);
    fs::write(host.home().join("authorized_peers"), line).expect("authorized_peers");
    place.client.add_host("box", &host.ticket());
    assert_eq!(place.announced().lines().filter(|line| line.contains(&bare(&other.host_key))).count(), 1);
    assert!(!place.announced().contains(&bare(&place.server.host_key)));
}

#[test]
fn a_host_whose_server_cannot_start_says_so_when_it_is_ready() {
    let folder = folder();
    let home = folder.path().join("host");
    let setup = HostSetup::new(&home, "builtin");
    new_key(&home.join("ssh_host_ed25519_key"));
    fs::write(home.join("ssh_host_ed25519_key"), "damaged").expect("written");
    let host = setup.start();
    assert!(host.problem().contains("ssh_host_ed25519_key"), "{}", host.problem());
    assert!(host.log().contains("ssh_host_ed25519_key"), "{}", host.log());
}

#[test]
fn what_a_command_complains_of_is_in_the_hosts_log_and_the_client_is_sent_there() {
    let place = Place::new();
    let host = place.setup("exec:sh -c 'printf \"unknown option \\033[2J\\n\" >&2; exit 1'").start();
    place.admit(&host);
    assert!(host.problem().contains("unknown option"), "{}", host.problem());
    let said = place.client.exec("true").stderr.said();
    assert!(said.contains("look at its log"), "{said}");
    host.wait_ended(1);
    let logged = poll("the complaint", DEADLINE, || {
        let log = host.log();
        log.lines().any(|line| line.starts_with("unknown option \\u{1b}")).then_some(log)
    });
    assert!(!logged.contains('\u{1b}'), "{logged}");
}

#[test]
fn a_host_with_the_built_in_server_starts_without_a_word_about_its_own_questions() {
    let folder = folder();
    let host = HostSetup::new(&folder.path().join("host"), "builtin").start();
    assert_eq!(host.problem(), "");
    assert!(host.log() == "", "{}", host.log());
    let listed = host.irosh(&["host-keys", "--json"]).stdout.said();
    assert!(listed.contains("\"basis\":\"builtin\"") && listed.contains("\"announced\":true"), "{listed}");
}

#[test]
fn a_damaged_file_of_kept_keys_is_not_replaced_by_what_is_seen() {
    let place = Place::new();
    let setup = place.setup(&format!("exec:{}", place.server.command()));
    let file = place.folder.path().join("host/ssh_host_keys.toml");
    fs::write(&file, "[[server]]\nbackend = ").expect("written");
    let host = setup.start();
    place.admit(&host);
    assert!(host.problem().contains("ssh_host_keys.toml"), "{}", host.problem());
    assert_eq!(place.announced(), "");
    assert_eq!(fs::read_to_string(&file).expect("read"), "[[server]]\nbackend = ");
}
