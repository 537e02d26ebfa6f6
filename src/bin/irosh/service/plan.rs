//! What the service is to run, and as whom.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use irosh::{
    files::Paths,
    host::{Backend, BackendChoice, HostSettings, load_settings},
    log::say,
};

use super::{
    super::programs,
    tool::{self, Tool},
    user::user,
};

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The user's who types.
    User,
    /// The machine's.
    System,
}

/// As whom the host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// The user who types.
    Own,
    /// A user of the system's service, who owns its files and nothing else.
    Irosh,
    /// Root, for the built-in server, which has to become whoever logs in.
    Root,
}

/// What the service is to run, and as whom.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) account: Account,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(&'static str, String)>,
}

/// Variables that say where a user's files are.
const OF_FILES: [&str; 2] = ["IROSH_HOME", "XDG_CONFIG_HOME"];

/// Variables that say how the network is reached.
const OF_NETWORK: [&str; 14] = [
    "IROSH_RELAY",
    "IROSH_DNS",
    "IROSH_BIND",
    "IROSH_CA",
    "IROSH_LAN",
    "IROSH_PORTMAP",
    "https_proxy",
    "HTTPS_PROXY",
    "http_proxy",
    "HTTP_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// Folders that the system's service does not see: its own /tmp is another, and home directories are hidden from it.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

impl Whose {
    /// The files of this one's host.
    pub(super) fn paths(self) -> anyhow::Result<Paths> {
        Ok(match self {
            Self::User => Paths::of_user()?,
            Self::System => Paths::of_system(),
        })
    }

    /// The flag that names it.
    pub(super) fn flag(self) -> &'static str {
        match self {
            Self::User => "--user",
            Self::System => "--system",
        }
    }

    /// `irosh`, as it is typed for the host of this one.
    pub(super) fn irosh(self) -> &'static str {
        match self {
            Self::User => "irosh",
            Self::System => "sudo irosh --system",
        }
    }
}

impl Plan {
    /// What `irosh host` is told: the backend that was asked for, or else the one that there is by now. At the start of
    /// the machine, `auto` would depend on who is first.
    pub(super) fn new(
        whose: Whose,
        wanted: Option<BackendChoice>,
        options: Vec<String>,
    ) -> anyhow::Result<Self> {
        let program = programs::this_one().context("cannot find this program")?;
        ensure!(program.to_str().is_some(), "the path of this program is no text: {}", program.display());
        let backend = match whose {
            Whose::User => backend_of_user(wanted)?,
            Whose::System => Some(BackendChoice::Fixed(backend_of_system(wanted)?)),
        };
        let account = match (whose, &backend) {
            (Whose::User, _) => Account::Own,
            (Whose::System, Some(BackendChoice::Fixed(Backend::Builtin))) => Account::Root,
            (Whose::System, _) => Account::Irosh,
        };
        if whose == Whose::System {
            refuse_what_others_change(&program)?;
        }
        let mut arguments: Vec<String> = Vec::new();
        arguments.extend((whose == Whose::System).then(|| "--system".to_owned()));
        arguments.push("host".to_owned());
        if let Some(backend) = backend {
            arguments.extend(["--backend".to_owned(), words_of(&backend)]);
        }
        arguments.extend(options);
        let environment = environment(whose)?;
        let mut words = arguments.iter().chain(environment.iter().map(|(_, value)| value));
        if let Some(word) = words.find(|word| word.contains(char::is_control)) {
            bail!("{word:?} cannot stand in the definition of a service, which is lines of text");
        }
        Ok(Self { account, program, arguments, environment })
    }

    /// Has the program say whether the host could be started so. As whoever is to run it: root could be led astray by what
    /// is in the folders of another user.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let mut checking = Tool::new(&self.program.to_string_lossy());
        if self.account == Account::Irosh {
            checking = checking.on_behalf_of(&user()?);
        }
        let checked = checking.args(self.arguments.iter().cloned()).args(["--check"]).run();
        let said = |error: tool::ToolError| anyhow::anyhow!("{}", error.said().trim_start_matches("irosh: "));
        checked.map(drop).map_err(said).context("the host could not be started so")
    }

    /// The command line, for people.
    pub(super) fn line(&self) -> String {
        let words = self.arguments.iter().map(|word| shell_quoted(word));
        std::iter::once(self.program.display().to_string()).chain(words).collect::<Vec<_>>().join(" ")
    }

    /// The backend, where the command line has one.
    pub(super) fn backend(&self) -> Option<&str> {
        let at = self.arguments.iter().position(|word| word == "--backend")?;
        self.arguments.get(at + 1).map(String::as_str)
    }
}

fn words_of(backend: &BackendChoice) -> String {
    match backend {
        BackendChoice::Auto => "auto".to_owned(),
        BackendChoice::Fixed(backend) => backend.to_string(),
    }
}

/// Nothing, where the settings say it.
fn backend_of_user(wanted: Option<BackendChoice>) -> anyhow::Result<Option<BackendChoice>> {
    let paths = Paths::of_user()?;
    let settings: HostSettings = load_settings(&paths.host_settings())?;
    match (wanted, settings.backend) {
        (Some(wanted), _) => Ok(Some(wanted)),
        (None, Some(_)) => Ok(None),
        (None, None) => {
            let settled = tool::wait(BackendChoice::Auto.settle(&paths))??;
            Ok(Some(BackendChoice::Fixed(settled)))
        }
    }
}

/// Its user may not become those who log in: that takes an sshd, or root, who is asked for.
fn backend_of_system(wanted: Option<BackendChoice>) -> anyhow::Result<Backend> {
    match wanted {
        Some(BackendChoice::Fixed(backend)) => Ok(backend),
        Some(BackendChoice::Auto) | None => {
            let found = tool::wait(BackendChoice::Auto.settle(&Paths::of_system()))?;
            match found {
                Ok(found @ Backend::Tcp(_)) => Ok(found),
                _ => bail!(
                    "no sshd answers at 127.0.0.1:22, to which the system's service would lead\n\
                     start sshd first, say where it is (--backend tcp:ADDRESS:PORT), or let irosh's own server run as \
                     root in its place: --backend builtin"
                ),
            }
        }
    }
}

/// What this environment says, the service is to know as well.
fn environment(whose: Whose) -> anyhow::Result<Vec<(&'static str, String)>> {
    let files = OF_FILES.into_iter().filter(|_| whose == Whose::User);
    let mut known = Vec::new();
    for name in files.chain(OF_NETWORK) {
        let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else { continue };
        let Ok(value) = value.into_string() else { bail!("{name} is no text") };
        if value.contains('@') && name.to_lowercase().ends_with("_proxy") {
            // Others could read it: what a service is started with is no secret.
            say(&format!("irosh: the service does not get {name}, which has a password in it\n"));
            continue;
        }
        known.push((name, value));
    }
    if std::env::var_os("IROSH_RELAY_TOKEN").is_some() {
        let settings = whose.paths()?.host_settings();
        say(&format!(
            "irosh: the service does not get IROSH_RELAY_TOKEN, which is a secret\n\
             irosh: put it into {}: relay-token = \"...\"\n",
            settings.display()
        ));
    }
    Ok(known)
}

/// What root starts, nobody else may change; and the service's user has to reach it.
fn refuse_what_others_change(program: &Path) -> anyhow::Result<()> {
    let real = program.canonicalize().context("cannot find this program")?;
    let hidden = HIDDEN.iter().find(|folder| real.starts_with(folder));
    let why = match hidden {
        Some(folder) => Some(format!("is in {folder}, where that service does not look")),
        None => program.ancestors().chain(real.ancestors()).find_map(|path| {
            let found = path.metadata().ok()?;
            let is_open = found.uid() != 0 || found.mode() & 0o022 != 0;
            if is_open {
                return Some(format!("others than root can change (by {})", path.display()));
            }
            (found.mode() & 0o001 == 0)
                .then(|| format!("others than root cannot reach (by {})", path.display()))
        }),
    };
    let Some(why) = why else { return Ok(()) };
    let beside = real.with_file_name("irosh-sshd");
    let beside = if beside.exists() { format!("{} ", beside.display()) } else { String::new() };
    bail!(
        "the system's service cannot run {real}, which {why}\n\
         copy it, and install it from there: sudo install -m 755 {real} {beside}/usr/local/bin/ && \
         sudo /usr/local/bin/irosh service install --system",
        real = real.display()
    )
}

/// A word of a shell's line.
pub(super) fn shell_quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@,+%".contains(&byte);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_shell_stay_one_word() {
        for (word, quoted) in [
            ("tcp:127.0.0.1:22", "tcp:127.0.0.1:22"),
            ("", "''"),
            ("it's $HOME", r"'it'\''s $HOME'"),
            ("~", "'~'"),
        ] {
            assert_eq!(shell_quoted(word), quoted);
        }
    }

    #[test]
    fn the_systems_service_runs_nothing_that_others_can_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("irosh");
        std::fs::write(&program, "").expect("written");
        let refusal = refuse_what_others_change(&program).expect_err("refused").to_string();
        assert!(refusal.contains("sudo install -m 755"), "{refusal}");
        refuse_what_others_change(Path::new("/usr/bin/env")).expect("as any program of the system");
    }
}
