//! The built-in server run by root: whoever logs in gets what is theirs, and nothing more.
//!
//! Runs in a mount namespace with users of its own, so only as root.

mod harness;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use harness::{DEADLINE, IROSH, Running, Said, feed, folder, free_port, new_key, poll, run, skip, succeed};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};

/// Users who are nowhere but here: name, id, shell, password field, day of expiry.
const USERS: [(&str, u32, &str, &str, &str); 6] = [
    ("alice", 41001, "/bin/sh", "*", ""),
    ("bob", 41002, "/bin/sh", "*", ""),
    ("locked", 41003, "/bin/sh", "!$6$x", ""),
    ("expired", 41004, "/bin/sh", "*", "1"),
    ("shellless", 41005, "/does/not/exist", "*", ""),
    ("noway", 41006, "/usr/sbin/nologin", "*", ""),
];

/// A machine with these users, and a server that root runs.
struct Machine {
    folder: tempfile::TempDir,
    host_key: String,
}

impl Machine {
    /// Where this is not root, there is none.
    fn new() -> Option<Self> {
        if !geteuid().is_root() || unshare(CloneFlags::CLONE_NEWNS).is_err() {
            skip("not root");
            return None;
        }
        succeed(Command::new("mount").args(["--make-rprivate", "/"]));
        let folder = folder();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        let host_key = new_key(&folder.path().join("host_key"));
        let machine = Self { folder, host_key };
        let (mut passwd, mut shadow, mut group) = (String::new(), String::new(), String::new());
        for (name, id, shell, password, expires) in USERS {
            let home = machine.home(name);
            passwd += &format!("{name}:x:{id}:{id}::{}:{shell}\n", home.display());
            shadow += &format!("{name}:{password}:19000:0:99999:7::{expires}:\n");
            group += &format!("{name}:x:{id}:\n");
            fs::create_dir_all(home.join(".ssh")).expect("a home");
            let key = new_key(&machine.key(name));
            fs::write(home.join(".ssh/authorized_keys"), key).expect("authorized_keys");
            fs::write(home.join("secret"), format!("of {name}\n")).expect("a secret");
            for (path, mode) in
                [("", 0o700), (".ssh", 0o700), (".ssh/authorized_keys", 0o600), ("secret", 0o600)]
            {
                let path = home.join(path);
                chown(&path, Some(id), Some(id)).expect("an owner");
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            }
        }
        group += "team:x:41100:alice\n";
        for (name, lines) in [("passwd", passwd), ("shadow", shadow), ("group", group)] {
            let (place, own) = (Path::new("/etc").join(name), machine.path(name));
            let old = fs::read_to_string(&place).unwrap_or_default();
            // The first of a name counts: the machine may have an alice of its own.
            fs::write(&own, lines + &old).expect("a list");
            let mode = if name == "shadow" { 0o600 } else { 0o644 };
            fs::set_permissions(&own, fs::Permissions::from_mode(mode)).expect("a mode");
            succeed(Command::new("mount").arg("--bind").arg(&own).arg(&place));
        }
        machine.configure("");
        fs::write(machine.path("known_hosts"), format!("box {}\n", machine.host_key)).expect("known_hosts");
        Some(machine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn home(&self, user: &str) -> PathBuf {
        self.folder.path().join("home").join(user)
    }

    fn key(&self, user: &str) -> PathBuf {
        self.path(&format!("key_{user}"))
    }

    fn configure(&self, lines: &str) {
        let text =
            format!("{lines}\nHostKey {}\nUsePAM no\nLogLevel VERBOSE\n", self.path("host_key").display());
        fs::write(self.path("sshd_config"), text + "Subsystem sftp internal-sftp\n").expect("sshd_config");
        let text = format!(
            "Host box\n  ProxyCommand {IROSH} sshd -i -f {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
             BatchMode yes\n  UserKnownHostsFile {}\n  HostKeyAlias box\n",
            self.path("sshd_config").display(),
            self.path("known_hosts").display(),
        );
        fs::write(self.path("ssh_config"), text).expect("ssh_config");
    }

    /// A program of OpenSSH's as one user.
    fn program(&self, program: &str, user: &str) -> Command {
        let mut command = harness::program(program, self.folder.path());
        command
            .arg("-F")
            .arg(self.path("ssh_config"))
            .args(["-o", &format!("IdentityFile={}", self.key(user).display())]);
        command.args(["-o", &format!("User={user}")]);
        command
    }

    fn ssh(&self, user: &str, words: &str) -> Output {
        run(self.program("ssh", user).args(["box", words]))
    }

    fn sftp(&self, user: &str, batch: &str) -> Output {
        feed(self.program("sftp", user).args(["-b", "-", "box"]), batch.as_bytes().to_vec())
    }

    /// A forward of a port to a socket of the server's, by one user; whether its far end says `hello`.
    fn reaches_socket(&self, user: &str, socket: &Path) -> bool {
        let port = free_port();
        let mut ssh = self.program("ssh", user);
        ssh.args(["-N", "-L", &format!("127.0.0.1:{port}:{}", socket.display()), "box"]);
        let _running = Running::start(ssh.stdin(Stdio::null()).stderr(Stdio::null()));
        let mut stream = poll("a forwarded port", DEADLINE, || TcpStream::connect(("127.0.0.1", port)).ok());
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        said == "hello"
    }
}

/// Says hello to everybody at a socket that is one user's alone.
fn greeter(path: &Path, owner: u32) {
    let listener = UnixListener::bind(path).expect("a socket");
    chown(path, Some(owner), Some(owner)).expect("an owner");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|mut stream| drop(stream.write_all(b"hello")));
    });
}

/// What a process says of its owner: all four user ids, all four group ids, and its groups.
const WHO: &str = "/^Uid|^Gid|^Groups/";

fn who(id: u32, groups: &str) -> String {
    format!("Uid:\t{id}\t{id}\t{id}\t{id}\nGid:\t{id}\t{id}\t{id}\t{id}\nGroups:\t{groups} \n")
}

#[test]
fn the_process_is_the_users_and_there_is_no_way_back() {
    let Some(machine) = Machine::new() else { return };
    for (user, id, groups) in [("alice", 41001, "41001 41100"), ("bob", 41002, "41002")] {
        // The command, the server that started it, and the server while it serves files.
        let asked = format!("awk '{WHO}' /proc/self/status; awk '{WHO}' /proc/$PPID/status");
        let output = machine.ssh(user, &asked);
        assert_eq!(output.stdout.said(), who(id, groups).repeat(2), "{}", output.stderr.said());
        let terminal = run(machine.program("ssh", user).args(["-tt", "box", &asked]));
        assert_eq!(terminal.stdout.said().replace('\r', ""), who(id, groups).repeat(2));
        let local = machine.path("status");
        let output = machine.sftp(user, &format!("get /proc/self/status {}\n", local.display()));
        assert!(output.status.success(), "{}", output.stderr.said());
        let status = fs::read_to_string(&local).expect("a status");
        let lines: Vec<_> =
            status.lines().filter(|line| ["Uid", "Gid", "Gro"].contains(&&line[..3])).collect();
        assert_eq!(lines.join("\n") + "\n", who(id, groups));
        let back = "python3 -c 'import os; os.setuid(0)' 2>/dev/null || echo no";
        assert_eq!(machine.ssh(user, back).stdout.said(), "no\n");
        let home = machine.home(user);
        assert_eq!(
            machine.ssh(user, "pwd; echo $USER").stdout.said(),
            format!("{}\n{user}\n", home.display())
        );
    }
}

#[test]
fn files_are_made_by_their_owner_and_closed_to_others() {
    let Some(machine) = Machine::new() else { return };
    let secret = machine.home("alice").join("secret");
    let local = machine.path("got");
    let get = format!("get {} {}\n", secret.display(), local.display());
    assert!(machine.sftp("alice", &get).status.success());
    assert_eq!(fs::read_to_string(&local).expect("a file"), "of alice\n");
    fs::remove_file(&local).expect("removed");
    let refused = machine.sftp("bob", &get);
    assert!(!refused.status.success() && !local.exists());
    // sftp looks for the file first, in a folder that is closed to it.
    assert!(refused.stderr.said().contains("not found"), "{}", refused.stderr.said());
    let read = machine.ssh("bob", &format!("cat {}", secret.display()));
    assert!(!read.status.success() && read.stdout.is_empty());
    // Neither what root reads, nor the server's own memory.
    for path in [machine.path("host_key"), PathBuf::from("/etc/shadow"), PathBuf::from("/proc/self/mem")] {
        let output = machine.sftp("bob", &format!("get {} {}\n", path.display(), local.display()));
        assert!(!output.status.success() && fs::read(&local).unwrap_or_default().is_empty(), "{path:?}");
    }
    let up = machine.path("up");
    fs::write(&up, "x").expect("a file");
    assert!(machine.sftp("bob", &format!("put {} up\nmkdir made\n", up.display())).status.success());
    for name in ["up", "made"] {
        let made = machine.home("bob").join(name).metadata().expect("made");
        assert_eq!((made.uid(), made.gid()), (41002, 41002), "{name}");
    }
}

#[test]
fn sockets_of_one_user_are_closed_to_another() {
    let Some(machine) = Machine::new() else { return };
    let socket = machine.path("greeter");
    greeter(&socket, 41001);
    assert!(machine.reaches_socket("alice", &socket));
    assert!(!machine.reaches_socket("bob", &socket));
    // A socket that the server makes for a user is that user's.
    let made = machine.home("alice").join("made");
    let mut ssh = machine.program("ssh", "alice");
    ssh.args(["-N", "-R", &format!("{}:127.0.0.1:9", made.display()), "box"]);
    let _running = Running::start(ssh.stdin(Stdio::null()));
    let found = poll("a forwarded socket", DEADLINE, || made.symlink_metadata().ok());
    assert_eq!((found.uid(), found.mode() & 0o777), (41001, 0o600));
}

#[test]
fn an_agents_socket_is_closed_to_another() {
    let Some(machine) = Machine::new() else { return };
    let agent = machine.path("agent");
    let _agent =
        Running::start(Command::new("ssh-agent").arg("-D").arg("-a").arg(&agent).stdout(Stdio::null()));
    poll("an agent", DEADLINE, || agent.exists().then_some(()));
    let mut ssh = machine.program("ssh", "alice");
    let config = fs::read_to_string(machine.path("ssh_config")).expect("ssh_config");
    let with_agent = config.replace("IdentityAgent none", &format!("IdentityAgent {}", agent.display()));
    fs::write(machine.path("ssh_config"), with_agent).expect("ssh_config");
    ssh.args(["-A", "box", "echo $SSH_AUTH_SOCK; cat"]);
    let mut running = Running::start(ssh.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(running.stdout());
    std::io::BufRead::read_line(&mut stdout, &mut line).expect("a line");
    let socket = Path::new(line.trim());
    let list = format!("SSH_AUTH_SOCK={} ssh-add -l", socket.display());
    let output = machine.ssh("alice", &list);
    assert_eq!(output.status.code(), Some(1), "an agent without keys: {line}{}", output.stderr.said());
    assert_eq!(machine.ssh("bob", &list).status.code(), Some(2), "no agent");
    let folder = socket.parent().expect("a folder").metadata().expect("a folder");
    assert_eq!((folder.uid(), folder.mode() & 0o777), (41001, 0o700));
}

#[test]
fn accounts_that_are_closed_stay_closed() {
    let Some(machine) = Machine::new() else { return };
    // A password that is locked, as where none was ever set, keeps no key out.
    for (user, code) in [("alice", 0), ("locked", 0), ("expired", 255), ("shellless", 255)] {
        let output = machine.ssh(user, "true");
        assert_eq!(output.status.code(), Some(code), "{user}: {}", output.stderr.said());
    }
    assert_eq!(machine.ssh("noway", "echo in").status.code(), Some(1), "its shell says no");
    // Another's key is nobody's here.
    fs::copy(machine.key("bob"), machine.key("alice")).expect("a key");
    assert_eq!(machine.ssh("alice", "true").status.code(), Some(255));
    // A home that others can write to is not believed.
    fs::set_permissions(machine.home("bob"), fs::Permissions::from_mode(0o777)).expect("a mode");
    assert_eq!(machine.ssh("bob", "true").status.code(), Some(255));
}

#[test]
fn a_chroot_holds_its_user() {
    let Some(machine) = Machine::new() else { return };
    // Every folder on the way there has to be root's alone, which those in /tmp are not.
    let root = Path::new("/mnt");
    succeed(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "none", "/mnt"]));
    for (name, text) in [("below/inner", "in"), ("outer", "out")] {
        fs::create_dir_all(root.join(name).parent().expect("a folder")).expect("a folder");
        fs::write(root.join(name), text).expect("a file");
    }
    machine
        .configure("Match User alice\n  ChrootDirectory /mnt/below\n  ForceCommand internal-sftp\nMatch all");
    let output = machine.sftp("alice", "ls -1 /\n");
    assert_eq!(output.stdout.said(), "sftp> ls -1 /\n/inner\n", "{}", output.stderr.said());
    let local = machine.path("got");
    for path in ["/outer", "/../outer", "/mnt/outer"] {
        let output = machine.sftp("alice", &format!("get {path} {}\n", local.display()));
        assert!(!output.status.success() && !local.exists());
    }
    assert_eq!(machine.ssh("bob", "cat /mnt/outer").stdout.said(), "out");
}

#[test]
fn ports_of_the_system_are_for_root_alone() {
    let Some(machine) = Machine::new() else { return };
    let first: u16 = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .map_or(1024, |text| text.trim().parse().expect("a port"));
    let Some(port) = (1..first).rev().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) else {
        return skip("no port is the system's");
    };
    let mut ssh = machine.program("ssh", "alice");
    ssh.args(["-o", "ExitOnForwardFailure=yes", "-R", &format!("{port}:127.0.0.1:9"), "box", "true"]);
    let output = run(&mut ssh);
    assert!(output.stderr.said().contains("remote port forwarding failed"), "{}", output.stderr.said());
}

/// What a host says of its peer.
const PEER: [(&str, &str); 3] =
    [("IROSH_PEER", "SHA256:peer"), ("IROSH_PEER_NAME", "laptop"), ("IROSH_PEER_ADDRESS", "127.9.8.7")];

impl Machine {
    /// Who came in by this login, and who did not, by the log of a server that is told this of its peer.
    fn logged(&self, user: &str, peer: &[(&str, &str)]) -> Vec<String> {
        let log = self.path("log");
        let _ = fs::remove_file(&log);
        let server =
            format!("{IROSH} sshd -i -f {} -E {}", self.path("sshd_config").display(), log.display());
        let mut ssh = self.program("ssh", user);
        ssh.envs(peer.iter().copied()).args(["-o", &format!("ProxyCommand={server}"), "box", "true"]);
        run(&mut ssh);
        let said = fs::read_to_string(log).expect("a log");
        // Without the time.
        let lines = said.lines().filter_map(|line| line.split_once("INFO ").map(|(_, text)| text.to_owned()));
        lines
            .filter(|line| ["accepted ", "failed ", "refused "].iter().any(|word| line.starts_with(word)))
            .collect()
    }
}

#[test]
fn the_log_has_a_line_for_each_login_and_each_failure() {
    let Some(machine) = Machine::new() else { return };
    let key = |user: &str| {
        let line = succeed(Command::new("ssh-keygen").arg("-lf").arg(machine.key(user)));
        format!("ssh-ed25519 {}", line.split(' ').nth(1).expect("a fingerprint"))
    };
    let log = |user: &str| machine.logged(user, &PEER);
    machine.configure("LogLevel INFO");
    let from = "from laptop SHA256:peer 127.9.8.7";
    assert_eq!(log("alice"), [format!("accepted publickey for alice {from}: {}", key("alice"))]);
    let with_bobs_key = |user: &str| {
        let [from, to] = ["bob", user].map(|user| machine.key(user));
        fs::copy(&from, &to).expect("a key");
        fs::copy(from.with_extension("pub"), to.with_extension("pub")).expect("a key");
    };
    with_bobs_key("shellless");
    with_bobs_key("bob,x");
    let refused = "the shell /does/not/exist does not exist or cannot be run";
    assert_eq!(
        log("shellless"),
        [
            format!("refused login for shellless {from}: {refused}"),
            format!("failed publickey for invalid user shellless {from}: {}", key("bob")),
        ]
    );
    assert_eq!(log("expired")[0], format!("refused login for expired {from}: the account has expired"));
    assert_eq!(log("bob,x")[0], format!("refused login for \"bob,x\" {from}: no such user here"));
    with_bobs_key("alice");
    assert_eq!(log("alice"), [format!("failed publickey for alice {from}: {}", key("bob"))]);
    let nowhere = machine.logged("bob", &[]);
    assert_eq!(nowhere, [format!("accepted publickey for bob from UNKNOWN: {}", key("bob"))]);
    machine.configure("LogLevel QUIET");
    assert_eq!(log("alice"), [""; 0]);
}

#[test]
fn rules_about_addresses_go_by_that_of_the_peer() {
    let Some(machine) = Machine::new() else { return };
    let vain = "no rule of the configuration that is about addresses";
    let ssh = |user: &str, address: Option<&str>| {
        let mut ssh = machine.program("ssh", user);
        ssh.envs(address.map(|address| ("IROSH_PEER_ADDRESS", address)));
        run(ssh.args(["box", "echo asked; echo $SSH_CLIENT"]))
    };
    machine.configure("Match Address 127.9.8.0/24\n  ForceCommand echo matched\nMatch all");
    assert_eq!(ssh("alice", Some("127.9.8.7")).stdout.said(), "matched\n");
    let other = ssh("alice", Some("127.9.9.7"));
    assert_eq!(other.stdout.said(), "asked\n127.9.9.7 65535 65535\n");
    assert!(!other.stderr.said().contains(vain));
    assert!(ssh("alice", None).stderr.said().contains(vain));
    machine.configure("");
    assert!(!ssh("alice", None).stderr.said().contains(vain));
    let keys = machine.home("bob").join(".ssh/authorized_keys");
    let key = fs::read_to_string(&keys).expect("a key");
    fs::write(&keys, format!("from=\"127.9.8.7\" {key}")).expect("a key");
    assert!(ssh("bob", Some("127.9.8.7")).status.success());
    assert!(!ssh("bob", Some("127.9.9.7")).status.success());
}

#[test]
fn groups_are_looked_up_for_rules_about_groups_alone() {
    let Some(machine) = Machine::new() else { return };
    // More than the system's own functions want to read.
    let members: Vec<_> = (0..200_000).map(|number| format!("member{number}")).collect();
    let group = format!("bob:x:41002:{}\n", members.join(","));
    let old = fs::read_to_string(machine.path("group")).expect("groups");
    fs::write(machine.path("group"), old.replace("bob:x:41002:\n", "") + &group).expect("groups");
    let output = machine.ssh("bob", "echo in");
    assert_eq!(output.stdout.said(), "in\n", "{output:?}");
    machine.configure("LogLevel INFO\nDenyGroups nobodys");
    let logged = machine.logged("bob", &[]);
    assert!(logged[0].starts_with("refused login for bob from UNKNOWN: its groups cannot"), "{logged:?}");
    assert_eq!(machine.ssh("alice", "echo in").stdout.said(), "in\n");
}

#[test]
fn what_sessions_make_is_never_open_to_the_writing_of_others() {
    let Some(machine) = Machine::new() else { return };
    for (inherited, expected) in [("000", "0022\n"), ("027", "0027\n"), ("002", "0022\n")] {
        let server =
            format!("umask {inherited}; exec {IROSH} sshd -i -f {}", machine.path("sshd_config").display());
        let mut ssh = machine.program("ssh", "alice");
        ssh.args(["-o", &format!("ProxyCommand=sh -c '{server}'"), "box", "umask"]);
        assert_eq!(run(&mut ssh).stdout.said(), expected, "{inherited}");
    }
}

/// `fs.suid_dumpable`, as it was before.
struct Dumpable(String);

const DUMPABLE: &str = "/proc/sys/fs/suid_dumpable";

impl Dumpable {
    fn set(value: &str) -> Option<Self> {
        let before = Self(fs::read_to_string(DUMPABLE).ok()?);
        fs::write(DUMPABLE, value).ok()?;
        Some(before)
    }
}

impl Drop for Dumpable {
    fn drop(&mut self) {
        let _ = fs::write(DUMPABLE, &self.0);
    }
}

#[test]
fn the_server_of_a_login_is_closed_to_its_user_whatever_the_system_dumps() {
    let Some(machine) = Machine::new() else { return };
    let Some(_before) = Dumpable::set("1") else { return skip("fs.suid_dumpable cannot be changed") };
    let output = machine.ssh("alice", "ls /proc/$PPID/fd >/dev/null 2>&1 && echo open || echo closed");
    assert_eq!(output.stdout.said(), "closed\n", "{}", output.stderr.said());
}

#[test]
fn a_number_without_an_account_serves_its_own_user() {
    let Some(machine) = Machine::new() else { return };
    let home = machine.home("54321");
    fs::create_dir_all(home.join(".ssh")).expect("a home");
    fs::write(home.join(".ssh/authorized_keys"), new_key(&machine.key("54321"))).expect("a key");
    fs::copy(machine.path("host_key"), home.join("host_key")).expect("a key");
    succeed(Command::new("chown").args(["-R", "54321:54321"]).arg(&home));
    fs::write(machine.path("numbered"), format!("HostKey {}\n", home.join("host_key").display()))
        .expect("a file");
    let ssh = |environment: &str, login: &str| {
        let server = format!(
            "exec setpriv --reuid 54321 --regid 54321 --clear-groups env -i PATH=$PATH {environment} {IROSH} sshd -i -f {}",
            machine.path("numbered").display()
        );
        if login != "54321" {
            fs::copy(machine.key("54321"), machine.key(login)).expect("a key");
        }
        let mut ssh = machine.program("ssh", login);
        run(ssh.args([
            "-o",
            &format!("ProxyCommand=sh -c '{server}'"),
            "box",
            "id -u; echo $USER $SHELL; pwd",
        ]))
    };
    let set = format!("HOME={} IROSH_HOME={} USER=someone", home.display(), home.display());
    for login in ["54321", "someone"] {
        let output = ssh(&set, login);
        let expected = format!("54321\n{login} /bin/sh\n{}\n", home.display());
        assert_eq!(output.stdout.said(), expected, "{}", output.stderr.said());
    }
    assert_eq!(ssh(&set, "alice").status.code(), Some(255), "an account of another");
    assert_eq!(ssh(&set, "12345").status.code(), Some(255), "a number of another");
    assert_eq!(
        ssh(&set.replace("someone", "alice"), "alice").status.code(),
        Some(255),
        "a name that is taken"
    );
}
