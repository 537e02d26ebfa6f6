//! `irosh-proxy` on a network that is cut again and again: `CUT_PROXY_MS` says how often, in milliseconds.
//!
//! A cut ends the connection for both ends, and loses what is on its way. Where `LAB_CONTROL` is that of a lab, the link
//! is down meanwhile: the host hears nothing of it, and is asked to resume a session that it still holds to be attached.

use std::{env, fs::OpenOptions, io::Write, process::ExitCode, str::FromStr, time::Duration};

use anyhow::Context;
use irosh::{
    files::Paths,
    log,
    names::Aliases,
    protocol::CloseCode,
    proxy::{ClientSession, Dialer, SessionStatus, State, stdio},
    session::Ended,
    settings::NetworkChoice,
    signals::interrupted,
    transport::{KeyFile, Network},
};
use tokio::{
    runtime::Builder,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

/// How long the link is down at a cut.
const DOWN: Duration = Duration::from_millis(20);

/// What `irosh-proxy` gives a session that ssh has left.
const LAST_WORDS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    log::start("warn");
    let result = Builder::new_current_thread().enable_all().build().map_err(Into::into).and_then(|runtime| {
        let result = runtime.block_on(run());
        runtime.shutdown_background();
        result
    });
    if let Err(error) = &result {
        log::complain_of("cut-proxy", &**error);
    }
    log::flush();
    result.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

async fn run() -> anyhow::Result<()> {
    let interrupted = interrupted()?;
    let name = env::args().next_back().context("no target")?;
    let paths = Paths::of_owner(Paths::of_user)?;
    let target = Aliases::load(&paths.aliases())?.resolve(&name)?;
    let identity = KeyFile::load_or_create(&paths.identity(), &log::who())?;
    let dialer = Dialer::bind(network()?, identity.secret().clone()).await?.noted(&paths);
    let host = dialer.dial(&target).await?;
    let (session, status) = ClientSession::open(&dialer, &target, host, stdio()?).await?;
    let session = session.run();
    tokio::pin!(session);
    let outcome = tokio::select! {
        outcome = &mut session => outcome,
        never = cut_again_and_again(&status) => never?,
        _ = interrupted => match timeout(LAST_WORDS, &mut session).await {
            Ok(outcome) => outcome,
            Err(_) => {
                status.close(CloseCode::Interrupted).await;
                session.await
            }
        },
    };
    dialer.close().await;
    match outcome?.ended {
        Ended::Failed(_, error) => Err(error.into()),
        _ => Ok(()),
    }
}

fn network() -> anyhow::Result<Network> {
    let choice = NetworkChoice {
        relay: variable("IROSH_RELAY")?,
        dns: variable("IROSH_DNS")?,
        bind: variable("IROSH_BIND")?,
        lan: variable("IROSH_LAN")?,
        ..NetworkChoice::default()
    };
    Ok(choice.or(NetworkChoice::default()))
}

fn variable<T: FromStr<Err: std::fmt::Display>>(name: &str) -> anyhow::Result<Option<T>> {
    let Ok(text) = env::var(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|error| anyhow::anyhow!("{name}: {error}"))
}

/// Ends whatever connection the session is on, even one that is not greeted yet.
async fn cut_again_and_again<T>(status: &SessionStatus) -> anyhow::Result<T> {
    let often = Duration::from_millis(variable("CUT_PROXY_MS")?.unwrap_or(200));
    let link = env::var_os("LAB_CONTROL");
    let mut ticks = interval(often);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Before it is opened, there is no session that could go on.
    status.opened().await;
    ticks.reset();
    loop {
        let Some(link) = &link else {
            ticks.tick().await;
            status.host().close(CloseCode::Detached);
            continue;
        };
        // A dial whose first packet is lost takes a second: that one is not cut as well.
        let _ = status.state().wait_for(|state| *state == State::Attached).await;
        sleep(often).await;
        let mut link = OpenOptions::new().write(true).open(link)?;
        link.write_all(b"down\n")?;
        sleep(DOWN / 2).await;
        status.host().close(CloseCode::Detached);
        sleep(DOWN / 2).await;
        link.write_all(b"up\n")?;
    }
}
