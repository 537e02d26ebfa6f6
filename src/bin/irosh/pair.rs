//! `irosh pair`.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use iroh_tickets::endpoint::EndpointTicket;
use irosh::{
    files::Paths,
    host::{
        Admin, AllowedPeer, Edit, HostSettings, ListedPeer, Peer, PeerOptions, Presence, Status, can_vouch,
        kept_keys, load_settings, running,
    },
    log::{complain, machine_name, printable, say},
    pairing::{AboutClient, AboutHost, Code, MetClient, Options, PairingError, Showing, join_client},
    settings::NetworkChoice,
    signals::Interrupts,
    transport::Network,
};
use jiff::{Timestamp, tz::TimeZone};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use serde_json::json;

use super::{
    code_prompt,
    comparing::{Compared, compare},
    ended, invites,
    network::NetworkArguments,
};

/// The longest time for which a code may be typed: it is for now, and an invite for later.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Show a code that lets another machine in, once it is typed there with `irosh join`
///
/// Whoever types it in time is let in, as by `irosh peers allow`, and hears where this host is. One wrong guess, by
/// anybody, and the code is dead. The two machines find each other on one network by themselves, and elsewhere by the
/// name service.
#[derive(clap::Args)]
pub(super) struct PairArguments {
    /// The login that the peer needs no further proof for at the built-in server
    #[arg(long, value_name = "USER")]
    login: Option<String>,
    /// How long the code can be typed, such as 90s or 10m
    #[arg(long, default_value = "10m", value_parser = ttl)]
    ttl: Duration,
    /// Have people compare what both machines show before anything is changed
    #[arg(long)]
    verify: bool,
    /// Show none, and take the code that `irosh join --show` shows there; asked for where it is left out, and `-` reads
    /// it from stdin
    #[arg(long, value_name = "CODE", num_args = 0..=1, default_missing_value = "")]
    code: Option<String>,
    #[command(flatten)]
    network: NetworkArguments,
    /// Print a JSON object a line: the code, and then the peer
    #[arg(long)]
    json: bool,
}

/// How long a code may be typed.
pub(super) fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = invites::duration(text)?;
    if ttl <= LONGEST {
        Ok(ttl)
    } else {
        Err("a code is for a day at the most: see `irosh invite`".to_owned())
    }
}

pub(super) async fn run(paths: Paths, arguments: PairArguments) -> anyhow::Result<ExitCode> {
    let PairArguments { login, ttl, verify, code, network, json } = arguments;
    if let Some(login) = &login {
        can_vouch(&paths.authorized_peers(), login)?;
    }
    let settings: HostSettings = load_settings(&paths.host_settings())?;
    let network = network_of(network, &settings);
    // What is wrong here is said before a code is.
    invites::own_id(&paths)?;
    Admin::of(paths.clone())?;
    let host = Arc::new(Pairing { paths, name: settings.name, login, json });
    let code = match code {
        Some(given) => match typed(&given).await? {
            Some(code) => Some(code),
            None => return Ok(interrupted()),
        },
        None => None,
    };
    let forewarning = Arc::clone(&host);
    tokio::task::spawn_blocking(move || forewarning.forewarn()).await??;
    let mut interrupts = Interrupts::listen()?;
    let met = match code {
        Some(code) => tokio::select! {
            met = join_client(&network, &code, verify) => met?,
            _ = interrupts.next() => return Ok(interrupted()),
        },
        None => match shown(&network, ttl, verify, json, &mut interrupts).await? {
            Some(met) => met,
            None => return Ok(interrupted()),
        },
    };
    host.finish(met, &mut interrupts).await
}

/// As the host does, but for the ports, which are its own.
fn network_of(arguments: NetworkArguments, settings: &HostSettings) -> Network {
    let HostSettings { relay, dns, bind, ca, relay_token, lan, .. } = settings.clone();
    NetworkChoice::from(arguments).or(NetworkChoice { relay, dns, bind, ca, relay_token, lan })
}

/// The code of an argument, of stdin, or of a person.
async fn typed(given: &str) -> anyhow::Result<Option<Code>> {
    match given {
        "" => code_prompt::ask("the code that the other machine shows: ", |line| Ok(line.parse()?)).await,
        "-" => Ok(Some(code_prompt::read_line()?.parse()?)),
        code => Ok(Some(code.parse()?)),
    }
}

/// Shows a code, and waits until it is typed. Nothing where it is given up.
async fn shown(
    network: &Network,
    ttl: Duration,
    verify: bool,
    json: bool,
    interrupts: &mut Interrupts,
) -> anyhow::Result<Option<MetClient>> {
    let mut showing = tokio::select! {
        showing = Showing::begin(network, Options { ttl, nameplate: None }) => showing?,
        _ = interrupts.next() => return Ok(None),
    };
    show(&showing, json, "irosh join");
    tokio::select! {
        met = showing.client(verify) => return Ok(Some(met?)),
        _ = interrupts.next() => {}
    }
    showing.withdraw().await;
    Ok(None)
}

/// Shows a code, which is to be typed into a command there.
pub(super) fn show(showing: &Showing, json: bool, there: &str) {
    let code = showing.code().to_string();
    if json {
        let line = json!({ "event": "code", "code": code, "expires": showing.expires() });
        super::print::print(&line.to_string());
    } else {
        super::print::print(&code);
        if io::stdout().is_terminal() {
            super::print::print(&qr(&code).unwrap_or_default());
        }
        let until = showing.expires().to_zoned(TimeZone::system()).strftime("%H:%M").to_string();
        say(&format!(
            "on the other machine, type:  {there} {code}\nit waits for that until {until}, or Ctrl-C\n"
        ));
    }
    if let Some(why) = showing.only_here() {
        complain("irosh", &format!("the code is found on this network alone: {why}"));
    }
    irosh::log::flush();
}

/// A code for a camera, black on white whatever the terminal's own colours are.
fn qr(code: &str) -> Option<String> {
    let qr = QrCode::with_error_correction_level(code, EcLevel::L).ok()?;
    let drawn = qr.render::<Dense1x2>().dark_color(Dense1x2::Dark).light_color(Dense1x2::Light).build();
    let line = |line: &str| format!("\x1b[30;107m{line}\x1b[0m\n");
    Some(drawn.lines().map(line).collect())
}

fn interrupted() -> ExitCode {
    ExitCode::from(130)
}

const NO_HOST: &str =
    "no host runs here yet\nstart it with `irosh host`, or have the system do so: irosh service install";

/// The side of the host.
struct Pairing {
    paths: Paths,
    /// What the settings call it.
    name: Option<String>,
    login: Option<String>,
    json: bool,
}

impl Pairing {
    /// Says what will be in the way of who comes in, while no code is used up yet. Blocks.
    fn forewarn(&self) -> anyhow::Result<()> {
        if Presence::of_running(&self.paths)?.is_none() {
            complain("irosh", &NO_HOST);
            return Ok(());
        }
        let status = running(&self.paths).and_then(|running| running.status);
        if self.login.is_none() && status.is_some_and(|status| status.backend == "builtin") {
            let login = own_login().unwrap_or_else(|| "USER".to_owned());
            say(&format!(
                "irosh: the other machine will log in by a key of ~/.ssh/authorized_keys here or a password (irosh passwd)\n\
                 irosh: to let it in with no further proof: irosh pair --login {login}\n"
            ));
        }
        Ok(())
    }

    /// Lets in whom it has met.
    async fn finish(
        self: Arc<Self>,
        mut met: MetClient,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<ExitCode> {
        let verifier = met.verifier();
        match compare(&verifier, met.is_to_be_compared(), interrupts).await {
            Compared::Same => {}
            Compared::Differs => {
                met.differs().await;
                return Err(PairingError::Differs { here: true }.into());
            }
            Compared::GivenUp => {
                met.give_up().await;
                bail!("nothing was compared, and nobody was let in\nto try again, run: irosh pair");
            }
            Compared::Nobody => {
                met.give_up().await;
                return Err(PairingError::NobodyCompares.into());
            }
        }
        let client = tokio::select! {
            client = met.introduction() => Some(client?),
            _ = interrupts.next() => None,
        };
        let Some(client) = client else {
            met.give_up().await;
            return Ok(interrupted());
        };
        let host = Arc::clone(&self);
        let (allowed, about) = match tokio::task::spawn_blocking(move || host.let_in(&client)).await? {
            Ok(done) => done,
            Err(error) => {
                met.refuse("it could not let you in: see what it says there").await;
                return Err(error);
            }
        };
        met.admit(&about).await.with_context(|| {
            format!("{} may come in now, but may not have heard of it", printable(&allowed.peer.name))
        })?;
        self.tell(&allowed, &verifier.to_string(), about.running);
        Ok(ExitCode::SUCCESS)
    }

    /// Has the client let in, and says what it is told of the host. Blocks.
    fn let_in(&self, client: &AboutClient) -> anyhow::Result<(AllowedPeer, AboutHost)> {
        let status = running(&self.paths).and_then(|running| running.status);
        let about = self.about(status.as_ref())?;
        Ok((self.admit(client)?, about))
    }

    /// What a client is told.
    fn about(&self, status: Option<&Status>) -> anyhow::Result<AboutHost> {
        let addr = Presence::of_running(&self.paths)?;
        let running = addr.is_some();
        let addr = match addr {
            Some(addr) => addr,
            None => invites::own_id(&self.paths)?.into(),
        };
        let name = status.map(|status| status.name.clone()).or_else(|| self.name.clone());
        let keys = kept_keys(&self.paths.kept_host_keys()).context("the ssh host keys cannot be read")?;
        let of_backend = keys.iter().find(|kept| status.is_some_and(|status| status.backend == kept.backend));
        let only = keys.first().filter(|_| keys.len() == 1 && status.is_none());
        let announced = of_backend.or(only).map(|kept| &kept.announced);
        Ok(AboutHost {
            target: EndpointTicket::new(addr).to_string().parse()?,
            name: name.unwrap_or_else(machine_name),
            login: self.login.clone().or_else(own_login),
            vouched: self.login.is_some(),
            running,
            host_keys: announced.into_iter().flatten().map(|key| key.blob()).collect(),
        })
    }

    /// Puts the client on the list of peers, as `irosh peers allow` does.
    fn admit(&self, client: &AboutClient) -> anyhow::Result<AllowedPeer> {
        let name = match client.name.trim() {
            "" => format!("paired {}", Timestamp::now().to_zoned(TimeZone::system()).strftime("%Y-%m-%d")),
            name => name.to_owned(),
        };
        let options = PeerOptions { login: self.login.clone(), ..PeerOptions::default() };
        let peer = Peer { identity: client.identity, name, options };
        Admin::of(self.paths.clone())?.allow(&peer, Edit::Change).context("nobody was let in")
    }

    fn tell(&self, allowed: &AllowedPeer, verifier: &str, running: bool) {
        let AllowedPeer { peer, ended, .. } = allowed;
        let ListedPeer { peer: fingerprint, name, login, .. } = peer;
        if self.json {
            let line = json!({
                "event": "paired", "name": name, "peer": fingerprint, "login": login,
                "verifier": verifier, "running": running,
            });
            super::print::print(&line.to_string());
        } else {
            let login = login.as_ref().map(|login| format!("  login={login}")).unwrap_or_default();
            super::print::print(&printable(&format!("{fingerprint}  {name}{login}")));
            say(&printable(&format!("{name} may come in\n")));
        }
        ended.iter().for_each(ended::tell_ended);
        if !running {
            complain("irosh", &NO_HOST);
        }
    }
}

/// Who is at this terminal, whom the other machine may want to log in as: root by sudo is somebody else.
fn own_login() -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|name| !name.is_empty());
    let login = variable("SUDO_USER").or_else(|| variable("LOGNAME")).or_else(|| variable("USER"))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (login.bytes().all(plain) && !login.starts_with('-')).then_some(login)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_for_a_day_at_the_most() {
        assert_eq!(ttl("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(ttl("24h"), Ok(LONGEST));
        assert!(ttl("2d").is_err() && ttl("0s").is_err());
    }

    #[test]
    fn a_camera_is_shown_the_longest_code_in_few_lines() {
        let drawn = qr("9999-chirping-woodwork").expect("a code");
        assert!(drawn.lines().count() <= 17, "{drawn}");
        assert!(drawn.lines().all(|line| line.starts_with("\x1b[30;107m") && line.ends_with("\x1b[0m")));
    }
}
