//! What the tests are made of: an SSH server, a host in front of it, a client, and the routes
//! between them.
//!
//! Everything lives in a temporary folder and on loopback, ports are free ones, and whatever was
//! started is killed when its value is dropped, also by a panic. A scenario is a function of a
//! [`Line`] and runs over several [`Route`]s, of which [`Route::Direct`] is plain ssh to plain sshd:
//! what holds there has to hold everywhere.

#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

mod authority;
mod carrier;
mod chat;
mod client;
mod echo;
mod entry;
mod host;
mod master;
mod meeting;
mod names;
mod port;
mod process;
mod random;
mod raw;
mod relay;
mod route;
mod server;
mod ssh_agent;
mod system;
mod terminal;
mod tree;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

pub(crate) use authority::Authority;
pub(crate) use carrier::Carrier;
pub(crate) use chat::Chat;
pub(crate) use client::{Client, Mode};
pub(crate) use echo::Echo;
pub(crate) use entry::{is_in, is_refused, ssh_to, stranger};
pub(crate) use host::{Host, HostSetup};
pub(crate) use master::Master;
pub(crate) use meeting::{Meeting, Shown, installed_ssh};
pub(crate) use names::NameServer;
pub(crate) use port::Port;
pub(crate) use process::{
    DEADLINE, Daemon, Running, Said, descendants, fails, feed, feed_within, json_lines, run, small_pipe,
    succeed, under,
};
pub(crate) use random::{Random, digest, hash_reader};
pub(crate) use raw::{Raw, RawHost, raw_runtime};
pub(crate) use relay::{Certificate, Relay};
pub(crate) use route::{Line, Route, over};
pub(crate) use server::{Server, Sshd, login};
pub(crate) use ssh_agent::{SshAgent, have_fido_key, new_fido_key};
pub(crate) use system::{NOBODY, System};
pub(crate) use terminal::{on_a_terminal, on_a_terminal_for};
pub(crate) use tree::{odd_tree, same_tree};

/// The program that people type.
pub(crate) const IROSH: &str = env!("CARGO_BIN_EXE_irosh");

/// The program that ssh runs.
pub(crate) const IROSH_PROXY: &str = env!("CARGO_BIN_EXE_irosh-proxy");

/// A program of tests/programs.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    test.ancestors().nth(2).expect("the target folder").join("examples").join(name)
}

/// A folder that goes with its value.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("irosh-").tempdir().expect("a temporary folder");
    share(folder.path());
    folder
}

/// Makes a folder in a folder.
pub(crate) fn subfolder(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(&path).expect("a subfolder");
    share(&path);
    path
}

/// Lets everybody in, where somebody else logs in (see [`login`]).
fn share(folder: &Path) {
    if std::env::var_os("IROSH_TEST_LOGIN").is_some() {
        // As /tmp: nobody replaces what is another's.
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
        std::fs::set_permissions(folder, everybody).expect("a mode");
    }
}

/// Makes what a test has prepared on the server's side the own of who logs in there.
pub(crate) fn give(path: &Path) {
    if std::env::var_os("IROSH_TEST_LOGIN").is_some() {
        succeed(Command::new("chown").arg("-R").arg(login()).arg(path));
    }
}

/// One of our programs with its files under `home`, without relays or name service, on loopback.
pub(crate) fn program(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("IROSH_HOME", home)
        .env("HOME", home)
        .env("IROSH_RELAY", "none")
        .env("IROSH_DNS", "none")
        .env("IROSH_BIND", "127.0.0.1:0")
        .env("IROSH_LAN", "false")
        .env("IROSH_AGENT", "off")
        .env_remove("IROSH_LOG")
        .env_remove("SSH_AUTH_SOCK")
        .env_remove("DISPLAY");
    command
}

/// Makes an ed25519 key with ssh-keygen; returns its public line.
pub(crate) fn new_key(path: &Path) -> String {
    succeed(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(path));
    std::fs::read_to_string(path.with_extension("pub")).expect("a public key").trim().to_owned()
}

/// Whether the programs are installed; says so if not, for a test that is then skipped.
pub(crate) fn have(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<_> = programs
        .iter()
        .filter(|program| !std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
        .collect();
    if !missing.is_empty() {
        skip(&format!("not installed: {missing:?}"));
    }
    missing.is_empty()
}

/// Says that a test is skipped.
pub(crate) fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// Looks again and again at something that does not tell when it changes, such as `/proc`.
pub(crate) fn poll<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A number from the environment, for runs by hand that are longer than those of the suite.
pub(crate) fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A TCP port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
