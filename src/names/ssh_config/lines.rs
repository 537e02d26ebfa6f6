//! The lines themselves.

use std::path::Path;

use super::version::SshVersion;
use crate::{
    files::Paths,
    names::{Aliases, is_name},
};

/// How ssh comes to run `irosh-proxy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy<'a> {
    /// By its full path, whatever PATH is: programs with windows and cron have a short one.
    At(&'a str),
    /// By its name.
    OnPath,
}

/// What our lines depend on.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    /// What ssh runs.
    pub proxy: Proxy<'a>,
    /// The ssh that reads them.
    pub version: SshVersion,
    /// Whether this processor has instructions for AES, with which AES-GCM is faster than what ssh would choose.
    pub aes: bool,
}

impl Lines<'_> {
    /// Our lines: for the aliases, each on its own, so that whoever lists the hosts of a configuration lists them; for
    /// `*.irosh`; and for tickets, invites and endpoint ids.
    #[must_use]
    pub fn render(&self, paths: &Paths, aliases: &Aliases) -> String {
        let aliases: String = aliases
            .hosts
            .keys()
            .filter(|name| is_name(name))
            .map(|name| {
                let id = aliases.resolve(name).ok().map(|target| target.addr().id);
                let file = id.and_then(|id| for_ssh(paths.announced_keys(&id.to_string()).to_str()?));
                format!("Host {}\n{}", as_typed(name), self.settings(file.as_deref()))
            })
            .collect();
        let settings = self.settings(None);
        format!(
            "# Written by `irosh ssh-config install`, and again when hosts are added or removed.\n\
             {aliases}Host *.irosh *.IROSH {NO_QUOTES}\n{settings}Host {} {NO_QUOTES} !*.*\n{settings}",
            words()
        )
    }

    /// What holds for each of our hosts, whatever the user's own `Host *` says: the first value counts. A session
    /// outlives the network, so ssh is not to end it because nothing is heard. Without a file that has the host's keys,
    /// ssh asks for them.
    fn settings(&self, keys: Option<&str>) -> String {
        let (connect, ask) = self.proxy.commands();
        let ask = if keys.is_some() { "none".to_owned() } else { ask };
        let lines = [
            Some("HostName %h".to_owned()),
            Some(format!("ProxyCommand {connect}")),
            Some("ProxyUseFdpass no".to_owned()),
            keys.map(|file| format!("GlobalKnownHostsFile {file} {SYSTEM_FILES}")),
            self.version.has_known_hosts_command().then(|| format!("KnownHostsCommand {ask}")),
            (self.aes && self.version.puts_algorithms_first()).then(|| AES_FIRST.to_owned()),
        ];
        let lines = lines.into_iter().flatten().chain(ALWAYS.map(str::to_owned));
        lines.map(|line| format!("    {line}\n")).collect()
    }
}

/// A name as people type it: ssh looks at case here.
fn as_typed(name: &str) -> String {
    let mut typed = vec![name.to_owned(), format!("{name}.irosh")];
    for name in [name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
        if !typed.contains(&name) {
            typed.push(name);
        }
    }
    typed.join(" ")
}

/// What `contrib/ssh_config/irosh.conf` is: the same for everybody, whatever their aliases are.
#[must_use]
pub fn shared() -> String {
    let lines = Lines { proxy: Proxy::OnPath, version: SshVersion::NEWEST, aes: false };
    let lines = lines.settings(None);
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

/// What ssh reads unless it is told of other files.
const SYSTEM_FILES: &str = "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2";

const AES_FIRST: &str = "Ciphers ^aes128-gcm@openssh.com,aes256-gcm@openssh.com";

const ALWAYS: [&str; 4] =
    ["CanonicalizeHostname no", "CheckHostIP no", "ControlPath ~/.ssh/irosh-%C", "ServerAliveInterval 0"];

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

impl Proxy<'_> {
    /// The ProxyCommand, and the KnownHostsCommand.
    fn commands(self) -> (String, String) {
        match self {
            Proxy::At(path) => (
                format!("{} -- '%h'", for_shell(&path.replace('%', "%%"))),
                format!("{} --known-hosts=%H -- %h", command_for_ssh(path)),
            ),
            // ssh wants a full path, and passes `$1` and `$2` on as they are.
            Proxy::OnPath => (
                "irosh-proxy -- '%h'".to_owned(),
                "/bin/sh -c 'exec irosh-proxy --known-hosts=\"$1\" -- \"$2\"' sh %H %h".to_owned(),
            ),
        }
    }
}

fn is_plain(path: &str) -> bool {
    path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@%".contains(c))
}

/// A word for the user's shell, to which ssh hands a ProxyCommand as it stands.
fn for_shell(path: &str) -> String {
    if is_plain(path) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// The first word of a KnownHostsCommand, which ssh splits itself; `%` and `$` are nothing special there.
fn command_for_ssh(path: &str) -> String {
    if is_plain(path) {
        path.to_owned()
    } else {
        format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// A file that ssh reads, whose name it takes as it stands; not every version can be told of every name.
fn for_ssh(path: &str) -> Option<String> {
    let can_be_told =
        Path::new(path).is_absolute() && !path.contains(|c: char| c.is_control() || "\"\\".contains(c));
    can_be_told.then(|| if is_plain(path) { path.to_owned() } else { format!("\"{path}\"") })
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, fs, process::Command};

    use super::*;

    const ON_PATH: Lines<'_> = Lines { proxy: Proxy::OnPath, version: SshVersion::NEWEST, aes: true };

    fn aliases() -> Aliases {
        let id = iroh::SecretKey::from_bytes(&[3; 32]).public().to_string();
        let damaged = "endpointaaaa".to_owned();
        let hosts = [("box", id.clone()), ("Den", id.clone()), ("torn", damaged), ("a b\nUser c", id)];
        let hosts = hosts.map(|(name, target)| (name.to_owned(), target)).into();
        Aliases { hosts, ..Aliases::default() }
    }

    fn paths() -> Paths {
        Paths::under(Path::new("/home/a"))
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
        let lines = Lines { proxy: Proxy::At("/opt/irosh proxy/irosh-proxy"), ..ON_PATH };
        let text = lines.render(&paths(), &aliases());
        let names = ["box", "BOX", "Den", "den", "torn", "den.irosh", "any.irosh"].map(str::to_owned);
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
    fn each_alias_has_a_host_line_of_its_own_for_those_who_list_hosts() {
        let text = ON_PATH.render(&paths(), &aliases());
        let lines: Vec<_> =
            text.lines().filter(|line| line.starts_with("Host ") && !line.contains('*')).collect();
        let expected = ["Host Den Den.irosh den DEN", "Host box box.irosh BOX", "Host torn torn.irosh TORN"];
        assert_eq!(lines, expected);
        assert!(!text.contains("User c"), "a name that was written by hand became a line");
    }

    #[test]
    fn ssh_looks_for_the_keys_of_an_alias_in_a_file_and_asks_for_those_of_others() {
        let id = iroh::SecretKey::from_bytes(&[3; 32]).public();
        for home in ["/home/a", "/home/a b%h'#~"] {
            let text = ON_PATH.render(&Paths::under(Path::new(home)), &aliases());
            for name in ["box", "BOX", "box.irosh", "den"] {
                let settings = settings_of(&text, name);
                let expected = format!("{home}/announced_keys/{id} {SYSTEM_FILES}");
                assert_eq!(settings["globalknownhostsfile"], expected, "{name}");
                assert_eq!(settings.get("knownhostscommand"), None, "{name}");
            }
        }
        let asks = |text: &str, name: &str| {
            let settings = settings_of(text, name);
            assert!(settings["knownhostscommand"].contains("irosh-proxy --known-hosts"), "{name}");
            assert_eq!(settings["globalknownhostsfile"], SYSTEM_FILES, "{name}");
        };
        let text = ON_PATH.render(&paths(), &aliases());
        for name in targets().into_iter().chain(["torn", "any.irosh"].map(str::to_owned)) {
            asks(&text, &name);
        }
        // What not every ssh can be told of.
        for home in ["/home/\"a\"", "/home/a\\b", "/home/a\nb", "a"] {
            let text = ON_PATH.render(&Paths::under(Path::new(home)), &aliases());
            asks(&text, "box");
        }
    }

    #[test]
    fn a_name_with_a_quote_reaches_no_shell() {
        for text in [ON_PATH.render(&paths(), &aliases()), shared()] {
            let settings = settings_of(&text, "x'$(touch there)'.irosh");
            assert_eq!(settings.get("proxycommand"), None);
        }
    }

    #[test]
    fn what_the_user_sets_for_all_hosts_does_not_reach_ours() {
        let users = "Host *\n  HostName %h.corp.example.com\n  ProxyUseFdpass yes\n  CheckHostIP yes\n  ServerAliveInterval 15\n  \
                     ControlPath ~/.ssh/cm-%r@%h:%p\n  CanonicalizeHostname always\n  ProxyJump jump.example.com\n  \
                     ProxyCommand nc %h %p\n  GlobalKnownHostsFile /dev/null\n  KnownHostsCommand /bin/false\n  \
                     HostKeyAlias other\n";
        let names = ["box.irosh", "box", "any.irosh"].map(str::to_owned);
        let ours = ON_PATH.render(&paths(), &aliases());
        for name in targets().into_iter().chain(names) {
            let settings = settings_of(&(ours.clone() + users), &name);
            assert_eq!(settings["hostname"], name);
            assert_eq!(settings["proxyusefdpass"], "no");
            assert_eq!(settings["serveraliveinterval"], "0");
            assert_eq!(settings["proxycommand"], "irosh-proxy -- '%h'");
            assert_eq!(settings.get("proxyjump"), None);
            assert_ne!(settings.get("knownhostscommand").map(String::as_str), Some("/bin/false"));
            assert!(settings["controlpath"].len() < 90, "{}", settings["controlpath"]);
        }
        assert_eq!(settings_of(&(ours + users), "other")["hostname"], "other.corp.example.com");
        for name in targets().into_iter().chain(["box.irosh".to_owned()]) {
            assert_eq!(settings_of(&(shared() + users), &name)["hostname"], name);
        }
    }

    #[test]
    fn aes_is_first_where_the_processor_has_it_and_the_ssh_can_be_told() {
        const USERS: &str = "Host *\n  Ciphers aes256-ctr\n";
        let ciphers = |lines: Lines<'_>, name| {
            let text = lines.render(&paths(), &aliases()) + USERS;
            settings_of(&text, name)["ciphers"].clone()
        };
        for name in ["box", "any.irosh"] {
            let aes = ciphers(ON_PATH, name);
            assert!(aes.starts_with("aes128-gcm@openssh.com,aes256-gcm@openssh.com,"), "{aes}");
            assert!(aes.contains(",chacha20-poly1305@openssh.com"), "others are left out: {aes}");
            assert_eq!(ciphers(Lines { aes: false, ..ON_PATH }, name), "aes256-ctr");
            let old = SshVersion::read("OpenSSH_8.0p1");
            assert_eq!(ciphers(Lines { version: old, ..ON_PATH }, name), "aes256-ctr");
        }
    }

    #[test]
    fn an_ssh_that_does_not_know_a_keyword_is_not_given_it() {
        let old = Lines { version: SshVersion::read("OpenSSH_8.4p1"), ..ON_PATH };
        let text = old.render(&paths(), &aliases());
        assert!(!text.contains("KnownHostsCommand") && text.contains("GlobalKnownHostsFile"), "{text}");
    }

    #[test]
    fn the_file_in_contrib_has_these_lines() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/ssh_config/irosh.conf");
        assert_eq!(fs::read_to_string(file).expect("read"), shared());
    }
}
