//! What the host asks systemd, where it is a service of its.

use std::{process::Stdio, time::Duration};

use irosh::host::Stop;
use tokio::{process::Command, time::timeout};

/// How long systemd may take to say what it is about.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// How many descriptors systemd keeps for the next process of this service, where it stops this one to start it anew.
/// Nothing where it does not: sessions are to end then, and not to wait.
pub(crate) async fn room_for_sessions(stop: &Stop) -> Option<usize> {
    let most = std::env::var("FDSTORE").ok()?.parse().ok().filter(|most| *most > 0)?;
    let goes_on = !stop.drain.is_cancelled() && !is_stopped_for_good().await;
    goes_on.then_some(most)
}

/// Whether systemd has a job to stop this service, and not one to start it anew. Where that cannot be known, it has
/// none: it drops what it keeps of a service that stays stopped.
async fn is_stopped_for_good() -> bool {
    let Some(unit) = unit() else { return false };
    let mut asking = Command::new("systemctl");
    // systemd.exec(5): what a user's manager runs, and nothing else, is told its number.
    if std::env::var_os("MANAGERPID").is_some() {
        asking.arg("--user");
    }
    asking.args(["list-jobs", "--plain", "--no-legend", "--no-pager", &unit]);
    asking.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let Ok(Ok(answer)) = timeout(ANSWER_WAIT, asking.output()).await else { return false };
    is_stop_job(&String::from_utf8_lossy(&answer.stdout), &unit)
}

/// A line for each job: its number, its unit, its type and its state.
fn is_stop_job(jobs: &str, unit: &str) -> bool {
    jobs.lines().any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        matches!(*words, [_, of, "stop", ..] if of == unit)
    })
}

/// This process's unit.
fn unit() -> Option<String> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    unit_of(groups.lines().find_map(|line| line.strip_prefix("0::"))?)
}

fn unit_of(group: &str) -> Option<String> {
    group.rsplit('/').find(|name| name.ends_with(".service")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_known_by_its_control_group() {
        for (group, unit) in [
            ("/system.slice/irosh-host.service", Some("irosh-host.service")),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/irosh-host-user.service",
                Some("irosh-host-user.service"),
            ),
            ("/user.slice/user-1000.slice/session-1.scope", None),
            ("/", None),
        ] {
            assert_eq!(unit_of(group).as_deref(), unit, "{group}");
        }
    }

    #[test]
    fn a_job_to_stop_is_told_from_one_to_start_anew() {
        let unit = "irosh-host.service";
        assert!(is_stop_job("1234 irosh-host.service stop running\n", unit));
        assert!(is_stop_job("7 other.service restart waiting\n8 irosh-host.service stop waiting\n", unit));
        assert!(!is_stop_job("1234 irosh-host.service restart running\n", unit));
        assert!(!is_stop_job("8 other.service stop waiting\n", unit));
        assert!(!is_stop_job("", unit));
    }
}
