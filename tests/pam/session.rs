//! Sessions: what PAM's modules see and set up, and that they are closed.

use irosh::server::pam::{PamError, PamProcess, PamStep, Proof, Refusal};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::machine::{Machine, all_but, in_time, start, step};

async fn granted(machine: &Machine, service: &str, proof: Proof) -> PamProcess {
    let mut pam = start(machine.request(service, "alice", proof));
    let decided = step(&mut pam).await.expect("decided");
    assert!(matches!(decided, PamStep::Granted(_)), "{decided:?}");
    pam
}

#[tokio::test]
async fn a_session_has_pams_environment_and_modules_see_the_connection() {
    let Some(machine) = Machine::new() else { return };
    let file = machine.path("environment");
    std::fs::write(&file, "COLOUR=\"dark red\"\nLANG=C.UTF-8\n").expect("a file");
    let script = machine.script("seen", "env | grep -E '^(PAM|SSH)_' | sort >seen.was");
    machine.service(
        "environment",
        &(format!(
            "session required pam_env.so conffile=/dev/null envfile={}\nsession required pam_exec.so {script}\n",
            file.display()
        ) + &all_but("session")),
    );
    let mut pam = granted(&machine, "environment", Proof::Elsewhere).await;
    let session = in_time(pam.open_session("ssh", "publickey ssh-ed25519 AAAA\n")).await.expect("a session");
    let variable = |name: &str| {
        let found = session.environment.iter().find(|(known, _)| known == name.as_bytes());
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    assert_eq!(variable("COLOUR").as_deref(), Some("dark red"));
    assert_eq!(variable("LANG").as_deref(), Some("C.UTF-8"));
    let expected = "PAM_RHOST=192.0.2.1\nPAM_SERVICE=environment\nPAM_TTY=ssh\nPAM_TYPE=open_session\n\
                    PAM_USER=alice\nSSH_AUTH_INFO_0=publickey ssh-ed25519 AAAA\n\
                    SSH_CONNECTION=192.0.2.1 40000 192.0.2.2 22\n";
    assert_eq!(machine.read("seen.was"), expected);
    // A second one is not opened.
    assert!(matches!(in_time(pam.open_session("ssh", "")).await, Err(PamError::NotAsked)));
}

/// A service whose sessions are written down.
fn write_down(machine: &Machine) {
    let script = machine.script("log", "echo $PAM_TYPE $PAM_USER $(id -u) >>log.was");
    machine.service("log", &(format!("session required pam_exec.so {script}\n") + &all_but("session")));
}

#[tokio::test]
async fn a_session_is_closed_when_the_socket_is() {
    let Some(machine) = Machine::new() else { return };
    write_down(&machine);
    let mut pam = granted(&machine, "log", Proof::Elsewhere).await;
    in_time(pam.open_session("ssh", "")).await.expect("a session");
    assert_eq!(machine.read("log.was"), "open_session alice 0\n");
    assert!(in_time(pam.end()).await.expect("ended").success());
    assert_eq!(machine.read("log.was"), "open_session alice 0\nclose_session alice 0\n");
}

#[tokio::test]
async fn a_session_that_was_not_opened_is_not_closed() {
    let Some(machine) = Machine::new() else { return };
    write_down(&machine);
    let pam = granted(&machine, "log", Proof::Elsewhere).await;
    assert!(in_time(pam.end()).await.expect("ended").success());
    assert_eq!(machine.read("log.was"), "");
}

#[tokio::test]
async fn a_process_that_is_asked_to_end_closes_the_session() {
    let Some(machine) = Machine::new() else { return };
    write_down(&machine);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut pam = granted(&machine, "log", Proof::Elsewhere).await;
        in_time(pam.open_session("ssh", "")).await.expect("a session");
        let id = pam.id().and_then(|id| id.try_into().ok()).expect("a number");
        kill(Pid::from_raw(id), signal).expect("asked");
        let status = in_time(pam.ended()).await.expect("ended");
        assert!(status.success(), "{signal}: {status}");
    }
    assert_eq!(machine.read("log.was"), "open_session alice 0\nclose_session alice 0\n".repeat(3));
}

#[tokio::test]
async fn a_session_that_fails_says_why() {
    let Some(machine) = Machine::new() else { return };
    machine.service("full", &("session required $ask err=full fail\n".to_owned() + &all_but("session")));
    let mut pam = granted(&machine, "full", Proof::Elsewhere).await;
    match in_time(pam.open_session("ssh", "")).await {
        Err(PamError::NoSession(denied)) => {
            assert_eq!((denied.refusal, denied.messages.as_str()), (Refusal::Session, "full\n"));
        }
        other => panic!("{other:?}"),
    }
    assert!(in_time(pam.end()).await.expect("ended").success());
}

#[tokio::test]
async fn credentials_count_where_pam_had_the_proof() {
    let Some(machine) = Machine::new() else { return };
    // A module that lets in, and then has no credentials.
    machine.service("none", &("auth required $ask nocred\n".to_owned() + &all_but("auth")));
    let mut pam = granted(&machine, "none", Proof::Answers).await;
    assert!(matches!(in_time(pam.open_session("ssh", "")).await, Err(PamError::NoSession(_))));
    let mut pam = granted(&machine, "none", Proof::Elsewhere).await;
    in_time(pam.open_session("ssh", "")).await.expect("as in sshd, a key needs no credentials of PAM's");
}

#[tokio::test]
async fn what_modules_leave_to_the_process_is_told() {
    let Some(machine) = Machine::new() else { return };
    let limits = machine.path("limits");
    std::fs::write(&limits, "alice hard nofile 777\nalice soft nofile 555\nalice - priority 5\n")
        .expect("limits");
    machine.service(
        "legacy",
        &(format!(
            "session required pam_umask.so umask=0027\nsession required pam_limits.so conf={}\n",
            limits.display()
        ) + &all_but("session")),
    );
    std::fs::write("/etc/security/group.conf", "*;*;alice;Al0000-2400;games\n").expect("groups");
    let service = machine.read("services/legacy");
    machine.service("legacy", &format!("auth optional pam_group.so\n{service}"));
    let mut pam = granted(&machine, "legacy", Proof::Elsewhere).await;
    let session = in_time(pam.open_session("ssh", "")).await.expect("a session");
    assert_eq!((session.legacy.umask, session.legacy.nice), (0o027, 5));
    let games = nix::unistd::Group::from_name("games").expect("asked").expect("a group");
    let mut groups = session.legacy.groups.clone();
    groups.sort_unstable();
    assert_eq!(groups, [games.gid.as_raw(), 41001]);
    let files = nix::libc::RLIMIT_NOFILE;
    assert!(session.legacy.limits.contains(&(files, 555, 777)), "{:?}", session.legacy);
}
