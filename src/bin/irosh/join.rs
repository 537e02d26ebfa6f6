//! `irosh join`.

use std::{
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use iroh::EndpointAddr;
use iroh_tickets::endpoint::EndpointTicket;
use irosh::{
    files::Paths,
    host::load_settings,
    log::{complain, one_line, say},
    names::{Aliases, Listens},
    pairing::{AboutHost, Code, MetHost, Options, PairingError, Showing, Verifier, join_host},
    protocol::CloseCode,
    proxy::{Credentials, Dialer, Link, load_host_keys, save_host_keys},
    settings::{ClientSettings, NetworkChoice},
    signals::Interrupts,
    transport::{Network, Target, TargetError},
};
use serde_json::json;

use super::{
    code_prompt,
    comparing::{Compared, compare},
    completion,
    network::NetworkArguments,
    pair, ssh_config,
};

/// Get to know a host that lets this machine in: by a code that `irosh pair` shows there, or an invite
///
/// Its name, its address and the keys of its SSH server are kept, and ssh is told of it, so that `ssh NAME` is all that
/// is to be typed from then on.
#[derive(clap::Args)]
#[command(arg = super::network::no_system())]
pub(super) struct JoinArguments {
    /// A code such as 7-velvet-otter, or an invite; `-` reads it from stdin. It is asked for where it is left out, which
    /// keeps it out of the list of processes and the shell's history
    #[arg(value_name = "CODE|INVITE|-", add = completion::codes())]
    what: Option<String>,
    /// What to call the host, in place of its own name
    name: Option<String>,
    /// Show a code instead, to be typed on the host: irosh pair --code
    #[arg(long)]
    show: bool,
    /// How long that can be typed, such as 90s or 10m
    #[arg(long, default_value = "10m", value_parser = pair::ttl, requires = "show")]
    ttl: Duration,
    /// Have people compare what both machines show before anything is changed
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    network: NetworkArguments,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// What a host is got to know by.
enum Given {
    Code(Code),
    /// An invite, or a ticket of a host that lets us in already.
    Target(Target),
}

/// A host that lets us in.
struct Joined {
    addr: EndpointAddr,
    /// What it calls itself.
    name: String,
    login: Option<String>,
    vouched: bool,
    running: bool,
    host_keys: Vec<Vec<u8>>,
    verifier: Option<Verifier>,
}

pub(super) async fn run(paths: Paths, arguments: JoinArguments) -> anyhow::Result<ExitCode> {
    let JoinArguments { what, name, show, ttl, verify, network, json } = arguments;
    let settings: ClientSettings = load_settings(&paths.client_settings())?;
    // What is wrong here is said before a code is used up.
    let credentials = Credentials::load(&paths, settings.identity.as_deref())?;
    credentials.check().await?;
    Aliases::load(&paths.aliases())?;
    // With --show no code is given, so what is first is the name.
    let is_odd = show && (name.is_some() || what.as_deref().is_some_and(Code::is_meant));
    anyhow::ensure!(!is_odd, "with --show no code is given\nrun: irosh join --show [NAME]");
    let (what, name) = if show { (None, what) } else { (what, name) };
    if let Some(name) = &name {
        Aliases::check_name(name)?;
    }
    let network = NetworkChoice::from(network).or(settings.into());
    let client = Joining { paths, credentials, network, verify };
    let joined = if show {
        client.by_shown_code(ttl, json, &mut Interrupts::listen()?).await?
    } else {
        let Some(given) = given(what.as_deref()).await? else { return Ok(interrupted()) };
        client.by(given, &mut Interrupts::listen()?).await?
    };
    let Some(joined) = joined else { return Ok(interrupted()) };
    client.keep(&joined, name.as_deref(), json).await?;
    Ok(ExitCode::SUCCESS)
}

fn interrupted() -> ExitCode {
    ExitCode::from(130)
}

/// What is given as an argument, on stdin, or by a person.
async fn given(what: Option<&str>) -> anyhow::Result<Option<Given>> {
    match what {
        None => code_prompt::ask("the code that the host shows, or an invite: ", read).await,
        Some("-") => read(&code_prompt::read_line()?).map(Some),
        Some(what) => read(what).map(Some),
    }
}

fn read(text: &str) -> anyhow::Result<Given> {
    if Code::is_meant(text) {
        return Ok(Given::Code(text.parse()?));
    }
    match text.parse::<Target>() {
        Ok(target) => Ok(Given::Target(target)),
        // Without what was typed, which may be most of a secret.
        Err(TargetError::Unknown { .. }) => bail!(
            "this is neither a code nor an invite\na code is a number and two words, such as 7-velvet-otter: run `irosh pair` on the host"
        ),
        Err(error) => Err(error.into()),
    }
}

/// The side of the client.
struct Joining {
    paths: Paths,
    credentials: Credentials,
    network: Network,
    verify: bool,
}

impl Joining {
    /// Nothing where it is given up, as in all that follow.
    async fn by(&self, given: Given, interrupts: &mut Interrupts) -> anyhow::Result<Option<Joined>> {
        let met = match given {
            Given::Code(code) => tokio::select! {
                met = join_host(&self.network, &code, self.verify) => met?,
                _ = interrupts.next() => return Ok(None),
            },
            Given::Target(target) => tokio::select! {
                joined = self.connect(&target) => return joined.map(Some),
                _ = interrupts.next() => return Ok(None),
            },
        };
        self.meet(met, interrupts).await
    }

    /// Shows a code, and waits until it is typed.
    async fn by_shown_code(
        &self,
        ttl: Duration,
        json: bool,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<Option<Joined>> {
        let mut showing = tokio::select! {
            showing = Showing::begin(&self.network, Options { ttl, nameplate: None }) => showing?,
            _ = interrupts.next() => return Ok(None),
        };
        pair::show(&showing, json, "irosh pair --code");
        let met = tokio::select! {
            met = showing.host(self.verify) => Some(met?),
            _ = interrupts.next() => None,
        };
        match met {
            Some(met) => self.meet(met, interrupts).await,
            None => {
                showing.withdraw().await;
                Ok(None)
            }
        }
    }

    /// Says who this is to a host that knows the code.
    async fn meet(&self, mut met: MetHost, interrupts: &mut Interrupts) -> anyhow::Result<Option<Joined>> {
        let verifier = met.verifier();
        match compare(&verifier, met.is_to_be_compared(), interrupts).await {
            Compared::Same => {}
            Compared::Differs => {
                met.differs().await;
                return Err(PairingError::Differs { here: true }.into());
            }
            Compared::GivenUp => {
                met.give_up().await;
                bail!("nothing was compared, and nothing was changed\nto try again, have a new code shown");
            }
            Compared::Nobody => {
                met.give_up().await;
                return Err(PairingError::NobodyCompares.into());
            }
        }
        if self.credentials.identity().application().is_some() {
            say("irosh: your security key may have to be touched\n");
        }
        let who = irosh::log::who();
        let told = tokio::select! {
            told = met.introduce(&self.credentials, &who) => Some(told?),
            _ = interrupts.next() => None,
        };
        let Some(host) = told else {
            met.give_up().await;
            return Ok(None);
        };
        let AboutHost { target, name, login, vouched, running, host_keys } = host;
        let (addr, verifier) = (target.addr().clone(), Some(verifier));
        Ok(Some(Joined { addr, name, login, vouched, running, host_keys, verifier }))
    }

    /// Connects to a host once, which lets us in by what is shown.
    async fn connect(&self, target: &Target) -> anyhow::Result<Joined> {
        let dialer = Dialer::bind(self.network.clone(), self.credentials.clone()).await?;
        let dialer = dialer.noted(&self.paths);
        let link = Link::new(&dialer, target);
        let welcomed = async {
            let welcome = link.reach().await?.welcome().await?;
            anyhow::Ok((welcome.host_name.clone(), welcome.host_keys.clone()))
        }
        .await;
        link.close(CloseCode::Done);
        dialer.close().await;
        let (name, host_keys) = welcomed?;
        let addr = target.addr().clone();
        let (login, vouched, running, verifier) = (None, false, true, None);
        Ok(Joined { addr, name, login, vouched, running, host_keys, verifier })
    }

    /// Gives the host a name here, and has ssh know it.
    async fn keep(&self, joined: &Joined, wanted: Option<&str>, json: bool) -> anyhow::Result<()> {
        let (paths, id) = (&self.paths, joined.addr.id);
        let name = match wanted {
            Some(name) => name.to_owned(),
            None => self.own_name(joined)?,
        };
        let leads_elsewhere = wanted.is_some() && is_of_ssh(&name);
        let ticket = EndpointTicket::new(joined.addr.clone()).to_string();
        let before = Aliases::load(&paths.aliases())?.resolve(&name).ok();
        Aliases::add(&paths.aliases(), &name, &ticket, Listens::AsBefore).map_err(|error| {
            let no_name = "the host lets this machine in, but gets no name here";
            anyhow::anyhow!("{no_name}: {error}\nonce that is mended, run: irosh join {ticket} {name}")
        })?;
        if before.is_some_and(|before| before.addr().id != id) {
            complain("irosh", &format!("{name} stood for another host until now"));
        } else if leads_elsewhere {
            complain(
                "irosh",
                &format!("ssh's own configuration has a {name}, too: from now on it is this host"),
            );
        }
        // By a code it is the host's word alone that this id is its own: what was heard from there goes before.
        let are_known = joined.verifier.is_some() && !load_host_keys(paths, id).is_empty();
        if !are_known && let Err(error) = save_host_keys(paths, id, &joined.host_keys) {
            complain(
                "irosh",
                &format!("the keys of its ssh server are not kept until it is reached: {error}"),
            );
        }
        let installed = ssh_config::install(paths);
        let ssh = ssh_command(joined, &name);
        if json {
            let line = json!({
                "name": name, "endpoint_id": id.to_string(), "target": ticket, "host_name": joined.name,
                "login": joined.login, "vouched": joined.vouched, "running": joined.running, "ssh": ssh,
                "verifier": joined.verifier.map(|verifier| verifier.to_string()),
            });
            super::print::print(&line.to_string());
        } else {
            for done in installed.iter().flatten() {
                say(&format!("{done}\n"));
            }
            super::print::print(&format!("{name} lets this machine in; type:  {ssh}"));
        }
        if !joined.running {
            complain("irosh", &"no host runs there yet: it is reached once one does");
        }
        installed.context("ssh was not told of it")?;
        Ok(())
    }

    /// A name that the host's own makes, and that leads nowhere else yet.
    fn own_name(&self, joined: &Joined) -> anyhow::Result<String> {
        let aliases = Aliases::load(&self.paths.aliases())?;
        let fit = fit(&joined.name);
        let is_free = |name: &String| match aliases.resolve(name) {
            Ok(target) => target.addr().id == joined.addr.id,
            Err(_) => !is_of_ssh(name),
        };
        let mut names = std::iter::once(fit.clone()).chain((2..100).map(|number| format!("{fit}-{number}")));
        let name = names.find(is_free).unwrap_or_else(|| joined.addr.id.fmt_short().to_string());
        if name != fit {
            complain("irosh", &format!("{fit} leads somewhere else already, so this host is {name}"));
        }
        Ok(name)
    }
}

/// What is left of a host's own name that ssh takes for one: no more than its first label.
fn fit(own: &str) -> String {
    let label = own.split('.').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let name: String = label.chars().map(plain).take(40).collect();
    let name = name.trim_matches('-');
    let is_name = !name.is_empty() && matches!(name.parse::<Target>(), Err(TargetError::Unknown { .. }));
    if is_name { name.to_owned() } else { "host".to_owned() }
}

/// Whether ssh is told by its own configuration where a name leads, and not by ours.
fn is_of_ssh(name: &str) -> bool {
    let asked =
        Command::new("ssh").args(["-G", "--", name]).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let Ok(asked) = asked else { return false };
    let said = String::from_utf8_lossy(&asked.stdout).to_lowercase();
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let ours = value("proxycommand ").is_some_and(|command| command.contains("irosh-proxy"));
    let led = value("hostname ").is_some_and(|host| host != name.to_lowercase())
        || value("proxycommand ").is_some_and(|command| command != "none")
        || value("proxyjump ").is_some();
    led && !ours
}

/// What is to be typed. A login is named where ssh would not come to it by itself.
fn ssh_command(joined: &Joined, name: &str) -> String {
    let here = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    // It is another machine's word, on a line that people copy.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_plain = |login: &&String| !login.starts_with('-') && login.bytes().all(plain);
    match joined.login.as_ref().filter(is_plain).filter(|login| **login != here) {
        Some(login) => format!("ssh {}@{name}", one_line(login)),
        None => format!("ssh {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_own_name_is_made_fit() {
        for (own, name) in [
            ("box", "box"),
            ("Box.example.org", "box"),
            ("my box; rm -rf ~", "my-box--rm--rf"),
            ("-x", "x"),
            ("日本", "host"),
            ("", "host"),
            (&"a".repeat(60), &"a".repeat(40)),
            // What would be taken for something else.
            (&"endpoint".repeat(5), "host"),
        ] {
            assert_eq!(fit(own), name, "{own}");
        }
    }

    #[test]
    fn a_login_is_named_where_it_is_another_and_can_be_typed() {
        let joined = |login: Option<&str>| Joined {
            addr: iroh::SecretKey::from_bytes(&[1; 32]).public().into(),
            name: String::new(),
            login: login.map(str::to_owned),
            vouched: false,
            running: true,
            host_keys: Vec::new(),
            verifier: None,
        };
        assert_eq!(ssh_command(&joined(Some("not_here")), "box"), "ssh not_here@box");
        for login in [None, Some("-oProxyCommand=x"), Some("a b"), Some("a;b")] {
            assert_eq!(ssh_command(&joined(login), "box"), "ssh box", "{login:?}");
        }
    }

    #[test]
    fn what_is_given_is_a_code_or_an_invite_and_never_repeated() {
        assert!(matches!(read("7 velvet otter"), Ok(Given::Code(_))));
        let ticket = EndpointTicket::new(iroh::SecretKey::from_bytes(&[1; 32]).public().into()).to_string();
        assert!(matches!(read(&ticket), Ok(Given::Target(_))));
        for wrong in ["badger", "7-velvet-hexadecimal", &ticket[..40], "box"] {
            let error = read(wrong).err().expect("an error").to_string();
            assert!(!error.contains(wrong) && !error.contains("hexa"), "{error}");
        }
    }
}
