//! Which service manager a machine has.

use std::path::Path;

use anyhow::bail;

use super::{
    super::programs,
    launchd::Launchd,
    manager::{Kind, Manager},
    openrc::OpenRc,
    plan::{Whose, shell_quoted},
    systemd::Systemd,
    tool,
};

/// The one of this machine, unless another one is meant.
pub(super) fn find(whose: Whose, meant: Option<Kind>) -> anyhow::Result<Box<dyn Manager>> {
    Ok(match meant.or_else(Kind::of_this_machine) {
        Some(Kind::Systemd) => Box::new(Systemd::new(whose)?),
        Some(Kind::Launchd) => Box::new(Launchd::new(whose)?),
        Some(Kind::OpenRc) if whose == Whose::System => Box::new(OpenRc),
        Some(Kind::OpenRc) => bail!(
            "OpenRC starts services of the system, and none of users\n{}\nor have root install the system's: sudo irosh \
             service install --system",
            by_hand(whose)
        ),
        None => {
            let first = std::fs::read_to_string("/proc/1/comm").unwrap_or_default();
            bail!(
                "process 1 of this machine is `{}`, and no service manager that irosh knows (systemd, OpenRC, launchd)\n{}",
                first.trim(),
                by_hand(whose)
            )
        }
    })
}

/// How the host runs without a service manager.
fn by_hand(whose: Whose) -> String {
    let program = programs::this_one().unwrap_or_else(|_| "irosh".into());
    let program = shell_quoted(&program.to_string_lossy());
    let host = if whose == Whose::System { "--system host" } else { "host" };
    let mut ways = Vec::new();
    if ["/.dockerenv", "/run/.containerenv"].into_iter().any(|sign| Path::new(sign).exists()) {
        ways.push(format!(
            "in a container, let the host be process 1: ENTRYPOINT [\"irosh\", {}]",
            entry(host)
        ));
    }
    if tool::find("crontab").is_some() {
        ways.push(format!(
            "have cron start it with the machine: (crontab -l; echo '@reboot {program} {host}') | crontab -"
        ));
    }
    ways.push(format!("start it yourself: setsid -f {program} {host} </dev/null >irosh-host.log 2>&1"));
    ways.join("\n")
}

fn entry(words: &str) -> String {
    words.split(' ').map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

impl Kind {
    fn of_this_machine() -> Option<Self> {
        if cfg!(target_os = "macos") {
            return Some(Self::Launchd);
        }
        // sd_booted(3), and what OpenRC's own scripts look at.
        let signs = [("/run/systemd/system", Self::Systemd), ("/run/openrc/softlevel", Self::OpenRc)];
        signs.into_iter().find(|(sign, _)| Path::new(sign).exists()).map(|(_, kind)| kind)
    }
}
