//! The lines themselves.

use std::collections::{BTreeMap, BTreeSet};

/// How ssh comes to run `irosh-proxy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy<'a> {
    /// By its full path, whatever PATH is: programs with windows and cron have a short one.
    At(&'a str),
    /// By its name.
    OnPath,
}

/// Whether an ssh that says this of itself (`ssh -V`) has KnownHostsCommand, which came with OpenSSH 8.5; an
/// older one refuses a configuration in which it stands.
#[must_use]
pub fn has_known_hosts_command(version: &str) -> bool {
    let number = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse::<u32>().ok()
    };
    let version =
        version.split_once("OpenSSH_").map(|(_, version)| version.trim_start_matches("for_Windows_"));
    let numbers = version.and_then(|version| version.split_once('.'));
    match numbers.map(|(major, minor)| (number(major), number(minor))) {
        Some((Some(major), Some(minor))) => (major, minor) >= (8, 5),
        // A newer one, by another name.
        _ => true,
    }
}

/// Our lines: for `*.irosh`, for tickets, invites and endpoint ids, and for the aliases.
#[must_use]
pub fn render(proxy: Proxy<'_>, aliases: &BTreeMap<String, String>, known_hosts_command: bool) -> String {
    // ssh looks at case here: a name is found as it was given, and in lower and upper case.
    let lower = aliases.keys().map(|name| name.to_ascii_lowercase());
    let upper = aliases.keys().map(|name| name.to_ascii_uppercase());
    let names: BTreeSet<String> = aliases.keys().cloned().chain(lower).chain(upper).collect();
    let names: String = names.iter().map(|name| format!(" {name}")).collect();
    let lines = settings(proxy, known_hosts_command);
    format!(
        "# Written by `irosh ssh-config install`, and again when hosts are added or removed.\n\
         Host *.irosh *.IROSH{names} {NO_QUOTES}\n{lines}Host {} {NO_QUOTES} !*.*\n{lines}",
        words()
    )
}

/// What `contrib/ssh_config/irosh.conf` is: the same for everybody, whatever their aliases are.
#[must_use]
pub fn shared() -> String {
    let lines = settings(Proxy::OnPath, true);
    format!(
        "# The lines of `irosh ssh-config print` for every user of this machine: put this file into\n\
         # /etc/ssh/ssh_config.d/. Names of `irosh hosts` have to end in .irosh then.\n\
         #\n\
         # irosh-proxy is looked for on PATH. For programs with a short one, such as cron and those with\n\
         # windows, write its full path in place of its name, twice in each block.\n\
         #\n\
         # ssh before 8.5 does not know KnownHostsCommand: remove its lines there, and ssh asks about a\n\
         # host's key when it first sees it.\n\
         Host *.irosh *.IROSH {NO_QUOTES}\n{lines}\n\
         # Tickets, invites and endpoint ids.\n\
         Host {} {NO_QUOTES} !*.*\n{lines}",
        words()
    )
}

/// Not for a host with a quote in its name: the shell that runs ProxyCommand would take what follows for a
/// command, where ssh is older than 9.6 and lets such a name through, of a git submodule for example.
const NO_QUOTES: &str = "\"!*'*\"";

/// Patterns of what is no name that somebody chose.
fn words() -> String {
    // So much after the word is no such name; less may be a part that was cut off, which irosh-proxy says,
    // where ssh would tell the name service. A name with a dot in it is a host's, however long.
    let word = |word: &str| format!("{word}{}*", "?".repeat(24));
    let words = ["endpoint", "ENDPOINT", "invite", "INVITE"].map(word).join(" ");
    format!("{words} {}", "?".repeat(64))
}

/// What holds for each of our hosts, whatever the user's own `Host *` says: the first value counts. A session outlives
/// the network, so ssh is not to end it because nothing is heard.
fn settings(proxy: Proxy<'_>, known_hosts_command: bool) -> String {
    let (connect, ask) = match proxy {
        Proxy::At(path) => (
            format!("{} -- '%h'", for_shell(&path.replace('%', "%%"))),
            format!("{} --known-hosts=%H -- %h", for_ssh(path)),
        ),
        // ssh wants a full path, and passes `$1` and `$2` on as they are.
        Proxy::OnPath => (
            "irosh-proxy -- '%h'".to_owned(),
            "/bin/sh -c 'exec irosh-proxy --known-hosts=\"$1\" -- \"$2\"' sh %H %h".to_owned(),
        ),
    };
    let ask = if known_hosts_command { format!("    KnownHostsCommand {ask}\n") } else { String::new() };
    format!(
        "    HostName %h\n    ProxyCommand {connect}\n    ProxyUseFdpass no\n{ask}    CanonicalizeHostname no\n    \
         CheckHostIP no\n    ControlPath ~/.ssh/irosh-%C\n    ServerAliveInterval 0\n"
    )
}

fn is_plain(path: &str) -> bool {
    path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@%".contains(c))
}

/// A word for the user's shell, to which ssh hands a ProxyCommand as it stands.
fn for_shell(path: &str) -> String {
    if is_plain(path) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// The first word of a KnownHostsCommand, which ssh splits itself; `%` and `$` are nothing special there.
fn for_ssh(path: &str) -> String {
    if is_plain(path) {
        path.to_owned()
    } else {
        format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, fs, process::Command};

    use super::*;

    fn aliases() -> BTreeMap<String, String> {
        BTreeMap::from([("box".to_owned(), String::new()), ("Den".to_owned(), String::new())])
    }

    /// What ssh makes of a configuration, by keyword.
    fn settings_of(config: &str, name: &str) -> HashMap<String, String> {
        let folder = tempfile::tempdir().expect("a folder");
        // `Include` is relative to ~/.ssh, so that the test names the file in full.
        let path = folder.path().join("config");
        fs::write(&path, config).expect("write");
        let output = Command::new("ssh").arg("-F").arg(&path).args(["-G", name]).output().expect("ssh");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let words = text.lines().filter_map(|line| line.split_once(' '));
        words.map(|(keyword, value)| (keyword.to_owned(), value.to_owned())).collect()
    }

    fn targets() -> [String; 4] {
        let key = iroh::SecretKey::from_bytes(&[3; 32]).public();
        let ticket = iroh_tickets::endpoint::EndpointTicket::new(key.into()).to_string();
        let secret = crate::transport::InviteSecret([1; 16]);
        let invite = crate::transport::Invite { addr: key.into(), secret }.to_string();
        [ticket, invite[..60].to_owned(), invite, key.to_string()]
    }

    #[test]
    fn ssh_takes_our_names_to_our_proxy_and_no_others() {
        let text = render(Proxy::At("/opt/irosh proxy/irosh-proxy"), &aliases(), true);
        let names = ["box", "BOX", "Den", "den", "any.irosh"].map(str::to_owned);
        for name in names.into_iter().chain(targets()) {
            let expected = "'/opt/irosh proxy/irosh-proxy' -- '%h'";
            assert_eq!(settings_of(&text, &name)["proxycommand"], expected, "{name}");
        }
        for name in [
            "example.com",
            "endpoint.example.com",
            "endpoint-of-many-words.corp.example.com",
            "invites",
            &format!("{}.example.com", "a".repeat(52)),
        ] {
            assert_eq!(settings_of(&text, name).get("proxycommand"), None, "{name}");
        }
    }

    #[test]
    fn a_name_with_a_quote_reaches_no_shell() {
        for text in [render(Proxy::OnPath, &aliases(), true), shared()] {
            let settings = settings_of(&text, "x'$(touch there)'.irosh");
            assert_eq!(settings.get("proxycommand"), None);
        }
    }

    #[test]
    fn what_the_user_sets_for_all_hosts_does_not_reach_ours() {
        let users = "Host *\n  HostName %h.corp.example.com\n  ProxyUseFdpass yes\n  CheckHostIP yes\n  ServerAliveInterval 15\n  \
                     ControlPath ~/.ssh/cm-%r@%h:%p\n  CanonicalizeHostname always\n  ProxyCommand nc %h %p\n";
        for ours in [render(Proxy::OnPath, &aliases(), true), shared()] {
            for name in targets().into_iter().chain(["box.irosh".to_owned()]) {
                let settings = settings_of(&(ours.clone() + users), &name);
                assert_eq!(settings["hostname"], name);
                assert_eq!(settings["proxyusefdpass"], "no");
                assert_eq!(settings["serveraliveinterval"], "0");
                assert_eq!(settings["proxycommand"], "irosh-proxy -- '%h'");
                assert!(settings["controlpath"].len() < 90, "{}", settings["controlpath"]);
            }
            assert_eq!(settings_of(&(ours + users), "other")["hostname"], "other.corp.example.com");
        }
    }

    #[test]
    fn an_ssh_that_does_not_know_a_keyword_is_not_given_it() {
        assert!(has_known_hosts_command("OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.22"));
        assert!(has_known_hosts_command("OpenSSH_8.5p1, LibreSSL 2.9.0"));
        assert!(has_known_hosts_command("OpenSSH_10.0p2"));
        assert!(has_known_hosts_command("Something new"));
        assert!(!has_known_hosts_command("OpenSSH_8.4p1 Debian-5, OpenSSL 1.1.1"));
        assert!(!has_known_hosts_command("OpenSSH_7.4p1, OpenSSL 1.0.2k-fips"));
        assert!(!has_known_hosts_command("OpenSSH_for_Windows_8.1p1, LibreSSL 3.0.2"));
        assert!(!render(Proxy::OnPath, &aliases(), false).contains("KnownHostsCommand"));
    }

    #[test]
    fn the_file_in_contrib_has_these_lines() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/ssh_config/irosh.conf");
        assert_eq!(fs::read_to_string(file).expect("read"), shared());
    }
}
