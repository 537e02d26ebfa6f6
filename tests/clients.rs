//! SSH clients that are not this system's ssh: each runs a proxy if it can, or is given a port.

mod harness;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use harness::{IROSH_PROXY, Line, Mode, Port, Random, Route, Said, feed, have, login, run, skip, succeed};
use nix::unistd::geteuid;

/// What a client is told to come to the host.
struct Way<'a> {
    line: &'a Line,
    host: String,
    port: u16,
    /// The command that it runs to get there, where that is its way.
    proxy: Option<String>,
    /// Lines of known_hosts for the host and port.
    known_hosts: String,
}

impl<'a> Way<'a> {
    fn proxy(line: &'a Line) -> Self {
        let known_hosts = succeed(line.client.command(IROSH_PROXY).args(["--known-hosts", "box"]));
        let proxy = Some(format!("{IROSH_PROXY} box"));
        Self { line, host: "box".to_owned(), port: 22, proxy, known_hosts }
    }

    fn port(line: &'a Line, port: &Port) -> Self {
        let (host, known_hosts) = (port.address.ip().to_string(), port.known_hosts.join("\n") + "\n");
        Self { line, host, port: port.address.port(), proxy: None, known_hosts }
    }

    /// The same, where another key is known for the host.
    fn with_another_key(&self) -> Self {
        let another = self.line.client.identity.split(' ').nth(1).expect("a key");
        let known_hosts = self.known_hosts.replace(self.key(), another);
        Self { host: self.host.clone(), proxy: self.proxy.clone(), known_hosts, ..*self }
    }

    /// The host's key, in base64.
    fn key(&self) -> &str {
        self.known_hosts.split_whitespace().nth(2).expect("a key")
    }

    /// A file with the lines of known_hosts, where one in the home directory is all that a client looks at.
    fn known_hosts_file(&self) -> PathBuf {
        let file = self.line.client.home().join(".ssh/known_hosts");
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(&file, &self.known_hosts).expect("known_hosts");
        file
    }
}

/// Has a client run commands at the host by its own proxy, with an agent and without, and by a port.
fn reaches(client: impl Fn(&Way<'_>, &str) -> Command) {
    reaches_by_proxy(&client);
    reaches_by_port(&client);
}

fn reaches_by_proxy(client: impl Fn(&Way<'_>, &str) -> Command) {
    for mode in [Mode::Alone, Mode::Agent] {
        let mut line = Line::new(Route::Tcp);
        line.client.use_mode(mode);
        eprintln!("by irosh-proxy: {mode:?}");
        runs_commands(&Way::proxy(&line), &client);
    }
}

fn reaches_by_port(client: impl Fn(&Way<'_>, &str) -> Command) {
    let line = Line::new(Route::Tcp);
    let port = Port::open(&line, &["--known-hosts"]);
    eprintln!("by irosh listen");
    runs_commands(&Way::port(&line, &port), &client);
}

fn runs_commands(way: &Way<'_>, client: &impl Fn(&Way<'_>, &str) -> Command) {
    let bytes = Random::bytes(1, 1_000_000);
    let output = feed(&mut client(way, "cat"), bytes.clone());
    assert!(output.status.success(), "{}", output.stderr.said());
    assert!(output.stdout == bytes, "{} bytes", output.stdout.len());
    let output = run(&mut client(way, "echo out; exit 7"));
    assert_eq!((output.stdout.said(), output.status.code()), ("out\n".to_owned(), Some(7)));
    let refused = run(&mut client(&way.with_another_key(), "echo out"));
    assert!(!refused.status.success() && refused.stdout.is_empty(), "the host's key is not looked at");
    // asyncssh kills its proxy, of which the host is told by the next one.
    assert!(way.line.client.exec("true").status.success());
    way.line.host().wait_ended(4);
}

/// A script of tests/clients, with a Python that has what it imports.
fn script(python: &Path, name: &str, way: &Way<'_>, command: &str) -> Command {
    let mut script = way.line.client.command(python);
    script.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name));
    script.args([&way.host, &way.port.to_string(), way.proxy.as_deref().unwrap_or_default(), &login()]);
    script.arg(way.line.server.user_key()).arg(way.known_hosts_file()).arg(command);
    script
}

/// The system's Python, or another one on PATH, if it can do that.
fn python_that(does: &str) -> Option<PathBuf> {
    let can = |python: &&str| {
        Command::new(python).args(["-c", does]).output().is_ok_and(|ran| ran.status.success())
    };
    let python = ["python3", "/usr/bin/python3"].into_iter().find(can);
    if python.is_none() {
        skip(&format!("no python3 does: {does}"));
    }
    python.map(PathBuf::from)
}

#[test]
fn plink_reaches_a_host() {
    if !have(&["plink", "puttygen"]) {
        return;
    }
    reaches(|way, command| {
        let key = way.line.client.home().join("user_key.ppk");
        let mut puttygen = way.line.client.command("puttygen");
        succeed(puttygen.arg(way.line.server.user_key()).args(["-O", "private", "-o"]).arg(&key));
        let mut plink = way.line.client.command("plink");
        plink
            .args(["-ssh", "-batch", "-noagent", "-P", &way.port.to_string(), "-l", &login(), "-i"])
            .arg(key);
        plink.args(["-hostkey", way.key()]);
        if let Some(proxy) = &way.proxy {
            plink.args(["-proxycmd", &proxy.replace("box", "%host")]);
        }
        plink.args([&way.host, command]);
        plink
    });
}

#[test]
fn dbclient_reaches_a_host() {
    if !have(&["dbclient", "dropbearconvert"]) {
        return;
    }
    reaches(|way, command| {
        let key = way.line.client.home().join("user_key.dropbear");
        let mut convert = Command::new("dropbearconvert");
        succeed(convert.args(["openssh", "dropbear"]).arg(way.line.server.user_key()).arg(&key));
        // It knows hosts by their names alone, whatever the port.
        let is_it = |line: &&str| line.starts_with(&format!("{} ", way.host)) || way.proxy.is_none();
        let line = way.known_hosts.lines().find(is_it).expect("a line");
        let known_hosts = line.split_once(' ').map(|(_, key)| format!("{} {key}\n", way.host));
        fs::write(way.known_hosts_file(), known_hosts.expect("a key")).expect("known_hosts");
        let mut dbclient = way.line.client.command("dbclient");
        dbclient.args(["-T", "-p", &way.port.to_string(), "-l", &login(), "-i"]).arg(key);
        if let Some(proxy) = &way.proxy {
            dbclient.args(["-J", &format!("&{proxy}")]);
        }
        dbclient.args([&way.host, command]);
        dbclient
    });
}

#[test]
fn paramiko_reaches_a_host() {
    let Some(python) = python_that("import paramiko") else { return };
    reaches(|way, command| script(&python, "by_paramiko.py", way, command));
}

#[test]
fn asyncssh_reaches_a_host() {
    let Some(python) = python_that("import asyncssh") else { return };
    reaches(|way, command| script(&python, "by_asyncssh.py", way, command));
}

#[test]
fn libssh_reaches_a_host() {
    let Some(python) = python_that("import ctypes; ctypes.CDLL('libssh.so.4')") else { return };
    reaches(|way, command| script(&python, "by_libssh.py", way, command));
}

/// curl with what it needs to log in: its SFTP and SCP are libssh2's in Debian.
fn curl(way: &Way<'_>) -> Command {
    way.known_hosts_file();
    let mut curl = way.line.client.command("curl");
    let key = way.line.server.user_key();
    curl.args(["-sS", "-u", &format!("{}:", login()), "--key"]).arg(&key);
    curl.arg("--pubkey").arg(key.with_extension("pub"));
    curl
}

#[test]
fn libssh2_reaches_a_host() {
    let has_it = |curl: &str| curl.contains("libssh2") && curl.contains("sftp") && curl.contains("scp");
    if !have(&["curl"]) || !has_it(&succeed(Command::new("curl").arg("-V"))) {
        return skip("no curl with libssh2");
    }
    let line = Line::new(Route::Tcp);
    let port = Port::open(&line, &["--known-hosts"]);
    let way = Way::port(&line, &port);
    let (here, there) = (line.folder.path().join("here"), line.folder.path().join("there"));
    let bytes = Random::bytes(2, 1_000_000);
    fs::write(&here, &bytes).expect("a file");
    for scheme in ["sftp", "scp"] {
        let url = |path: &Path| format!("{scheme}://{}{}", port.address, path.display());
        assert!(run(curl(&way).arg(url(&here))).stdout == bytes, "{scheme}");
        succeed(curl(&way).arg("-T").arg(&here).arg(url(&there)));
        assert!(fs::read(&there).expect("a file") == bytes, "{scheme}");
        fs::remove_file(&there).expect("removed");
        let refused = run(curl(&way.with_another_key()).arg(url(&here)));
        assert_eq!(refused.status.code(), Some(60), "{}", refused.stderr.said());
    }
}

#[test]
fn who_reads_the_configuration_of_ssh_finds_the_proxy_there() {
    const BY_PARAMIKO: &str = "
import paramiko, subprocess, sys
proxy = paramiko.SSHConfig.from_path(sys.argv[1]).lookup('box')['proxycommand']
print(subprocess.run(proxy, shell=True, stdin=subprocess.DEVNULL, capture_output=True).stdout[:8].decode())
";
    const BY_ASYNCSSH: &str = "
import asyncio, asyncssh, sys
config, user, key, known_hosts = sys.argv[1:]
async def main():
    options = dict(config=[config], username=user, client_keys=[key], known_hosts=known_hosts, agent_path=None)
    async with asyncssh.connect('box', **options) as connection:
        print((await connection.run('printf SSH-2.0-')).stdout)
asyncio.run(main())
";
    let line = Line::new(Route::Tcp);
    let config = line.client.home().join("printed");
    fs::write(&config, succeed(&mut line.client.irosh(&["ssh-config", "print"]))).expect("written");
    let known_hosts = Way::proxy(&line).known_hosts_file();
    for (library, script) in [("paramiko", BY_PARAMIKO), ("asyncssh", BY_ASYNCSSH)] {
        let Some(python) = python_that(&format!("import {library}")) else { continue };
        let mut command = line.client.command(python);
        command.args(["-c", script]).arg(&config);
        if library == "asyncssh" {
            command.arg(login()).arg(line.server.user_key()).arg(&known_hosts);
        }
        assert_eq!(succeed(&mut command), "SSH-2.0-\n", "{library}");
    }
}

/// In the root of another system, which nobody else sees change: an empty home, and our programs at /mnt.
const IN_ANOTHER_ROOT: &str = r#"
set -e
mount -t tmpfs none "$ROOT/root"
mount --bind "$PROGRAMS" "$ROOT/mnt"
mount --rbind /dev "$ROOT/dev"
mount --rbind /proc "$ROOT/proc"
exec chroot "$ROOT" env HOME=/root PATH=/mnt:/usr/bin:/bin sh -ec '
mkdir -m 700 ~/.ssh
(umask 077; printf "%s" "$KEY" > ~/.ssh/id_ed25519)
irosh hosts add box "$INVITE"
irosh ssh-config install > /dev/null
if [ -n "$FDPASS" ]; then
    sed -i "s/irosh-proxy -- /irosh-proxy --fdpass -- /; s/ProxyUseFdpass no/ProxyUseFdpass yes/" ~/.ssh/irosh_config
fi
setsid ssh "$LOGIN@box.irosh" "echo by name"
setsid ssh "$LOGIN@box" "echo again"
irosh agent stop > /dev/null
'"#;

#[test]
fn the_ssh_of_another_system_asks_nothing_the_first_time() {
    let Some(root) = std::env::var_os("IROSH_TEST_ROOT").filter(|_| geteuid().is_root()) else {
        return skip(
            "IROSH_TEST_ROOT names no root of another system, as debootstrap makes it, or not for root",
        );
    };
    for (agent, fdpass) in [("auto", ""), ("auto", "yes"), ("off", ""), ("off", "yes")] {
        let line = Line::new(Route::Tcp);
        let mut sh = line.client.command("unshare");
        sh.args(["-m", "sh", "-c", IN_ANOTHER_ROOT]).env_remove("IROSH_HOME").env("IROSH_AGENT", agent);
        sh.env("ROOT", &root).env("PROGRAMS", Path::new(IROSH_PROXY).parent().expect("a folder"));
        sh.env("KEY", fs::read_to_string(line.server.user_key()).expect("a key"));
        sh.env("INVITE", line.host().invite(&[])).env("LOGIN", login()).env("FDPASS", fdpass);
        let output = run(&mut sh);
        let said = (output.stdout.said(), output.stderr.said(), output.status.code());
        assert_eq!(said, ("by name\nagain\n".to_owned(), String::new(), Some(0)), "{agent} {fdpass}");
    }
}
