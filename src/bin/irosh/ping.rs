//! `irosh ping`.

use std::{
    cell::Cell,
    process::ExitCode,
    time::{Duration, Instant},
};

use irosh::{
    files::Paths,
    host::load_settings,
    names::Aliases,
    protocol::CloseCode,
    proxy::{Credentials, Dialer, HostConnection, PathStatus, milliseconds},
    settings::{ClientSettings, NetworkChoice},
    signals::Interrupts,
    transport::{Network, Target},
};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{completion, network::NetworkArguments};

const STATUSES: &str = "Exit status:
    0  the host has answered; with --until-direct, it is reached directly
    1  it has not, or not in time; or something failed here
    2  the command line is wrong
    3  the host was not reached, or refused";

/// The pause between two questions.
const SECOND: Duration = Duration::from_secs(1);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a direct path may take to be found before it is said why there is none.
const SEARCH: Duration = Duration::from_secs(3);

/// How long it takes to reach a host and to hear from it, and by which path.
///
/// A question that the host answers at once goes out each second, over a connection as ssh would have one, until it is
/// interrupted.
#[derive(clap::Args)]
#[command(arg = super::network::no_system(), after_long_help = STATUSES)]
pub(super) struct PingArguments {
    #[command(flatten)]
    network: NetworkArguments,
    /// Stop after so many questions
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stop as soon as the host is reached directly
    #[arg(long)]
    until_direct: bool,
    /// Stop after so many seconds
    #[arg(short = 'w', long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    deadline: Option<u64>,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
    /// A name of `irosh hosts`, a ticket, an invite or an endpoint id
    #[arg(add = completion::targets(super::remote::known_names))]
    target: String,
}

pub(super) async fn run(paths: Paths, arguments: PingArguments) -> anyhow::Result<ExitCode> {
    let target = Aliases::load(&paths.aliases())?.resolve(&arguments.target)?;
    let settings: ClientSettings = load_settings(&paths.client_settings())?;
    let credentials = Credentials::load(&paths, settings.identity.as_deref())?;
    let network = NetworkChoice::from(arguments.network.clone()).or(settings.into());
    let dialer = Dialer::bind(network.clone(), credentials).await?;
    let deadline = arguments.deadline.map_or(Duration::MAX, Duration::from_secs);
    let mut interrupts = Interrupts::listen()?;
    let mut ping = Ping {
        arguments,
        network,
        target,
        dialer,
        heard: Vec::new(),
        asked: 0,
        path: None,
        unread: Cell::new(false),
    };
    let pinged = tokio::select! {
        pinged = timeout(deadline, ping.run()) => pinged.unwrap_or(Ok(())),
        _ = interrupts.next() => Ok(()),
    };
    ping.sum_up();
    ping.dialer.close().await;
    pinged?;
    let good = if ping.arguments.until_direct { ping.is_direct() } else { !ping.heard.is_empty() };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Ping {
    arguments: PingArguments,
    network: Network,
    target: Target,
    dialer: Dialer,
    asked: u64,
    /// How long each answer took.
    heard: Vec<Duration>,
    /// The path that was told last.
    path: Option<PathStatus>,
    /// Whether nobody reads any more what is said: `irosh ping box | head -1`.
    unread: Cell<bool>,
}

impl Ping {
    /// Does all that it was asked for. A host that was reached once is reached again when it is lost.
    async fn run(&mut self) -> anyhow::Result<()> {
        let mut host = self.connect().await?;
        loop {
            let done = self.ask(&host).await;
            host.close(CloseCode::Done);
            if done {
                return Ok(());
            }
            self.path = None;
            self.say("the connection was lost", json!({ "event": "lost" }));
            host = loop {
                sleep(SECOND).await;
                match self.connect().await {
                    Ok(host) => break host,
                    Err(error) => self.fails(&error),
                }
                if self.unread.get() {
                    return Ok(());
                }
            };
        }
    }

    async fn connect(&mut self) -> anyhow::Result<HostConnection> {
        let begun = Instant::now();
        let (host, _) = self.dialer.let_in(&self.target).await?;
        let took = milliseconds(begun.elapsed());
        self.path = host.path();
        let way = self.path.as_ref().map(|path| format!(", {path}")).unwrap_or_default();
        self.say(
            &format!("connected in {took:.1} ms{way}"),
            json!({ "event": "connected", "ms": took, "path": self.path }),
        );
        Ok(host)
    }

    /// Asks until nothing is left to do, which it says, or the connection is lost.
    async fn ask(&mut self, host: &HostConnection) -> bool {
        let (mut seconds, since) = (interval(SECOND), Instant::now());
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        loop {
            let wait = async {
                seconds.tick().await;
            };
            tokio::select! {
                biased;
                () = host.is_direct(), if !self.is_direct() => self.has_changed(host),
                () = wait => self.question(host).await,
            }
            if self.is_done() {
                return true;
            }
            if host.connection().close_reason().is_some() {
                return false;
            }
            if !self.is_direct() && since.elapsed() >= SEARCH {
                let why = host.why_relayed(&self.network).await;
                if why != told
                    && let Some(why) = why
                {
                    self.say(&format!("not direct: {why}"), json!({ "event": "not_direct", "why": why }));
                }
                told = why;
            }
        }
    }

    async fn question(&mut self, host: &HostConnection) {
        self.asked += 1;
        let number = self.asked;
        let Some(took) = host.round_trip(ANSWER).await else {
            return self.say(
                &format!("{number}: no answer within {} s", ANSWER.as_secs()),
                json!({ "event": "no_answer", "number": number }),
            );
        };
        self.heard.push(took);
        if host.path() != self.path {
            self.has_changed(host);
        }
        let way = self.path.as_ref().map(|path| format!(", {path}")).unwrap_or_default();
        let rtt = milliseconds(took);
        self.say(
            &format!("{number}: {rtt:.1} ms{way}"),
            json!({ "event": "answer", "number": number, "ms": rtt, "path": self.path }),
        );
    }

    /// Notes the path that is used now, and says so if it is direct, which it was not.
    fn has_changed(&mut self, host: &HostConnection) {
        let before = std::mem::replace(&mut self.path, host.path());
        if before.is_some_and(|before| before.relayed)
            && let Some(path) = self.path.as_ref().filter(|path| !path.relayed)
        {
            self.say(&format!("now {path}"), json!({ "event": "direct", "path": path }));
        }
    }

    fn is_direct(&self) -> bool {
        self.path.as_ref().is_some_and(|path| !path.relayed)
    }

    fn is_done(&self) -> bool {
        self.unread.get()
            || self.arguments.until_direct && self.is_direct()
            || self.arguments.count.is_some_and(|count| self.asked >= count)
    }

    fn sum_up(&self) {
        let times = || self.heard.iter().map(|took| milliseconds(*took));
        let (asked, heard) = (self.asked, self.heard.len());
        let (Some(least), Some(most)) = (times().reduce(f64::min), times().reduce(f64::max)) else { return };
        #[expect(clippy::cast_precision_loss, reason = "nobody asks so often")]
        let mean = times().sum::<f64>() / heard as f64;
        self.say(
            &format!("{heard} of {asked} answered, in {least:.1} to {most:.1} ms, {mean:.1} on average"),
            json!({ "event": "over", "asked": asked, "answered": heard, "min": least, "mean": mean, "max": most }),
        );
    }

    fn fails(&self, error: &anyhow::Error) {
        let said = error.to_string();
        self.say(&said.replace('\n', "\n  "), json!({ "event": "not_reached", "why": said }));
    }

    fn say(&self, text: &str, event: serde_json::Value) {
        let is_read = super::print::print_if_read(&if self.arguments.json {
            event.to_string()
        } else {
            format!("{}: {text}", self.target.short_name())
        });
        self.unread.set(!is_read);
    }
}
