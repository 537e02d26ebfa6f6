//! `irosh service`: the host as a service, with stand-ins for the programs of service managers (tests/programs/
//! service_tools.py), of which the one for systemctl runs what the unit says.

#![cfg(target_os = "linux")]

#[path = "../harness/mod.rs"]
mod harness;
mod stage;
mod system;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use harness::{DEADLINE, HostSetup, IROSH, Said, have, new_key, poll, run, skip, succeed};
use nix::unistd::{User, geteuid};
use serde_json::Value;
use stage::{Stage, Visitor, files};

#[test]
fn sessions_go_on_when_the_service_of_a_user_is_restarted() {
    let stage = Stage::new();
    let visitor = Visitor::new(&stage);
    let said = stage.succeeds("systemd", &["install", "--user", "--backend", &visitor.sshd.backend()]);
    assert!(said.contains("irosh pair") && said.contains("irosh join CODE"), "{said}");
    let chat = visitor.enter(&stage, &[]);
    stage.calls();
    stage.succeeds("systemd", &["restart", "--user"]);
    assert!(stage.calls().contains(&"systemctl --user restart irosh-host-user.service".to_owned()));
    chat.flows();
    drop(chat.ends());
}

#[test]
fn who_installs_twice_changes_nothing_and_other_options_are_taken_up() {
    let stage = Stage::new();
    let visitor = Visitor::new(&stage);
    let backend = visitor.sshd.backend();
    let install = ["install", "--user", "--backend", &backend, "--json"];
    let first: Value = serde_json::from_str(&stage.succeeds("systemd", &install)).expect("JSON");
    assert_eq!((&first["changed"], &first["manager"]), (&true.into(), &"systemd".into()));
    let text = fs::read_to_string(stage.unit()).expect("a unit");
    stage.calls();
    let second: Value = serde_json::from_str(&stage.succeeds("systemd", &install)).expect("JSON");
    assert_eq!(second["changed"], false);
    assert_eq!(fs::read_to_string(stage.unit()).expect("a unit"), text);
    let calls = stage.calls();
    assert!(!calls.iter().any(|call| call.contains(" restart ") || call.contains(" stop ")), "{calls:?}");
    // With sessions, which go on.
    let chat = visitor.enter(&stage, &[]);
    stage.succeeds("systemd", &["install", "--user", "--backend", &backend, "--", "--name", "a box"]);
    chat.flows();
    drop(chat.ends());
    let status: Value =
        serde_json::from_str(&succeed(&mut stage.irosh(&["status", "--json"]))).expect("JSON");
    assert_eq!(status["hosts"][0]["name"], "a box");
}

#[test]
fn uninstalling_leaves_keys_and_lists_and_purging_leaves_nothing() {
    let stage = Stage::new();
    let visitor = Visitor::new(&stage);
    stage.succeeds("systemd", &["install", "--user", "--backend", &visitor.sshd.backend()]);
    drop(visitor.enter(&stage, &[]).ends());
    succeed(&mut stage.irosh(&["invite"]));
    // The client of the same user.
    new_key(&stage.path("home/identity"));
    assert_eq!(stage.status("--user").0, Some(0));
    let said = stage.succeeds("systemd", &["uninstall", "--user"]);
    assert!(said.contains("removed") && said.contains("--purge"), "{said}");
    assert_eq!(stage.status("--user").0, Some(4));
    assert!(!stage.path("home/.config").exists(), "{:?}", files(&stage.path("home")));
    let kept = files(&stage.path("home"));
    for name in ["authorized_peers", "host_key", "identity", "invites.toml"] {
        assert!(kept.contains(&name.to_owned()), "{name}: {kept:?}");
    }
    assert!(stage.calls().contains(&format!("loginctl --no-ask-password disable-linger {}", user())));
    let said = stage.succeeds("systemd", &["uninstall", "--user", "--purge", "--json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let key = stage.path("home/host_key").display().to_string();
    assert!(said["removed"].as_array().is_some_and(|removed| removed.contains(&key.into())), "{said}");
    assert_eq!(said["kept"], serde_json::json!([]));
    assert_eq!(files(&stage.path("home")), ["identity", "identity.pub"]);
    let said = stage.succeeds("systemd", &["uninstall", "--user"]);
    assert!(said.contains("nothing was installed"), "{said}");
}

#[test]
fn lingering_that_others_need_stays() {
    let stage = Stage::new();
    let install = ["install", "--user", "--backend", "tcp:127.0.0.1:1"];
    stage.succeeds("systemd", &install);
    let wants = stage.path("home/.config/systemd/user/default.target.wants");
    symlink("/nonexistent", wants.join("other.service")).expect("a link");
    stage.succeeds("systemd", &["uninstall", "--user"]);
    assert!(stage.path("state/linger").exists());
    // It was there before, whoever has begun it.
    fs::remove_file(wants.join("other.service")).expect("removed");
    stage.succeeds("systemd", &install);
    stage.succeeds("systemd", &["uninstall", "--user"]);
    assert!(stage.path("state/linger").exists());
}

fn user() -> String {
    User::from_uid(geteuid()).expect("the list of users").expect("an account").name
}

#[test]
fn where_lingering_is_not_allowed_the_host_runs_and_it_is_said_what_to_do() {
    let stage = Stage::new();
    stage.sign("refuses");
    let output = stage.service("systemd", &["install", "--user", "--backend", "tcp:127.0.0.1:1"]);
    assert!(output.status.success(), "{}", output.stderr.said());
    let said = output.stderr.said();
    assert!(said.contains("Access denied") && said.contains("sudo loginctl enable-linger"), "{said}");
    let (code, status) = stage.status("--user");
    assert_eq!((code, &status["running"]), (Some(0), &true.into()));
    assert!(status["ends_at_logout"].as_str().is_some_and(|what| what.contains("enable-linger")), "{status}");
}

#[test]
fn a_user_without_a_session_has_one_by_lingering() {
    let stage = Stage::new();
    fs::remove_dir_all(stage.path("run/systemd")).expect("removed");
    stage.sign("no-session");
    stage.succeeds("systemd", &["install", "--user", "--backend", "tcp:127.0.0.1:1"]);
    assert_eq!(stage.status("--user").0, Some(0));
}

#[test]
fn where_a_user_has_no_systemd_it_is_said_what_to_do() {
    let stage = Stage::new();
    fs::remove_dir_all(stage.path("run/systemd")).expect("removed");
    stage.sign("refuses");
    let said = stage.fails("systemd", &["install", "--user", "--backend", "tcp:127.0.0.1:1"]);
    assert!(
        said.contains("no systemd of this user's runs") && said.contains("loginctl enable-linger"),
        "{said}"
    );
    assert!(!stage.unit().exists());
}

#[test]
fn without_a_service_manager_it_is_said_what_is_missing_and_what_can_be_done() {
    if Path::new("/run/systemd/system").exists() || Path::new("/run/openrc").exists() {
        return skip("this machine has a service manager");
    }
    let stage = Stage::new();
    for command in ["install", "start", "stop", "status", "logs", "restart"] {
        let output = run(&mut stage.irosh(&["service", command, "--user"]));
        assert_eq!(output.status.code(), Some(1));
        let said = output.stderr.said();
        let mut lines = said.lines();
        assert!(
            lines.next().is_some_and(|line| line.contains("process 1") && line.contains("systemd")),
            "{said}"
        );
        assert!(lines.any(|line| line.contains("setsid -f") && line.contains(" host ")), "{said}");
    }
    assert_eq!(stage.calls(), Vec::<String>::new());
}

#[test]
fn a_host_that_does_not_start_is_quoted() {
    let stage = Stage::new();
    fs::write(stage.path("home/host.toml"), "acess = \"open\"\n").expect("settings");
    let said = stage.fails("systemd", &["install", "--user"]);
    assert!(said.contains("unknown field `acess`"), "{said}");
    assert!(!stage.unit().exists());
    fs::remove_file(stage.path("home/host.toml")).expect("removed");
    let said = stage.fails("systemd", &["install", "--user", "--", "--nmae", "box"]);
    assert!(said.contains("--nmae"), "{said}");
    assert!(!stage.unit().exists());
    // What is found out when it starts.
    stage.succeeds("systemd", &["install", "--user", "--backend", "tcp:127.0.0.1:1"]);
    stage.succeeds("systemd", &["stop", "--user"]);
    assert_eq!(stage.status("--user").0, Some(3));
    fs::set_permissions(stage.path("home/host_key"), PermissionsExt::from_mode(0o644)).expect("a mode");
    let said = stage.fails("systemd", &["start", "--user"]);
    assert!(said.contains("host_key") && said.contains("chmod 600"), "{said}");
}

#[test]
fn a_host_that_runs_by_hand_is_not_doubled_and_starts_anew_by_the_same_command() {
    let stage = Stage::new();
    let visitor = Visitor::new(&stage);
    let host = HostSetup::new(&stage.path("home"), &visitor.sshd.backend());
    let host = host.start();
    let said = stage.fails("systemd", &["install", "--user", "--backend", "tcp:127.0.0.1:1"]);
    assert!(said.contains(&format!("kill {}", host.pid())), "{said}");
    assert!(!stage.unit().exists());
    let chat = visitor.enter(&stage, &[]);
    stage.succeeds("systemd", &["restart", "--user"]);
    poll("a host that is ready again", DEADLINE, || (host.count("ready") == 2).then_some(()));
    chat.flows();
    drop(chat.ends());
}

#[test]
fn a_unit_of_somebody_elses_is_left_alone() {
    let stage = Stage::new();
    fs::create_dir_all(stage.unit().parent().expect("a folder")).expect("a folder");
    fs::write(stage.unit(), "[Service]\nExecStart=/bin/true\n").expect("written");
    for command in ["install", "uninstall"] {
        let said = stage.fails("systemd", &[command, "--user"]);
        assert!(said.contains("was not written by this command"), "{said}");
    }
    assert_eq!(fs::read_to_string(stage.unit()).expect("a unit"), "[Service]\nExecStart=/bin/true\n");
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    if !have(&["systemd-analyze"]) {
        return;
    }
    let stage = Stage::new();
    let backend = "exec:sh -c 'echo \"$HOME\" 100%; exec /usr/sbin/sshd -i'";
    stage.succeeds("systemd", &["install", "--user", "--backend", backend]);
    let output = run(Command::new("systemd-analyze").args(["--user", "verify"]).arg(stage.unit()));
    let said = output.stderr.said();
    assert!(!said.contains("irosh-host-user.service"), "{said}");
    // What it makes of the command line is what was meant.
    let unit = fs::read_to_string(stage.unit()).expect("a unit");
    assert!(unit.contains("\"exec:sh -c 'echo \\\"$$HOME\\\" 100%%; exec /usr/sbin/sshd -i'\""), "{unit}");
    let (_, status) = stage.status("--user");
    assert_eq!(status["host"]["backend"], backend);
}

#[test]
fn launchd_is_told_what_the_plan_is() {
    let stage = Stage::new();
    stage.succeeds("launchd", &["install", "--user", "--backend", "exec:a <b>"]);
    let plist = stage.path("home/Library/LaunchAgents/io.github.irosh.host.plist");
    let read = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let read = succeed(Command::new("python3").args(["-c", read]).arg(&plist));
    let read: Value = serde_json::from_str(&read).expect("JSON");
    assert_eq!(read["ProgramArguments"], serde_json::json!([IROSH, "host", "--backend", "exec:a <b>"]));
    assert_eq!(read["EnvironmentVariables"]["IROSH_RELAY"], "none");
    assert_eq!(read["KeepAlive"]["SuccessfulExit"], false);
    let uid = geteuid();
    let target = format!("user/{uid}/io.github.irosh.host");
    let calls = [
        format!("launchctl enable {target}"),
        format!("launchctl bootstrap user/{uid} {}", plist.display()),
        format!("launchctl kickstart {target}"),
    ];
    assert_eq!(stage.calls(), calls);
    stage.succeeds("launchd", &["restart", "--user"]);
    assert_eq!(stage.calls(), [format!("launchctl kickstart -k {target}")]);
    // The one before is still going when the other definition is loaded.
    stage.succeeds("launchd", &["install", "--user", "--backend", "tcp:127.0.0.1:1"]);
    let calls = stage.calls();
    assert_eq!(calls.iter().filter(|call| call.contains("bootstrap")).count(), 2, "{calls:?}");
    assert_eq!(stage.service("launchd", &["status", "--user"]).status.code(), Some(0));
    stage.succeeds("launchd", &["uninstall", "--user"]);
    assert!(!plist.exists());
    assert_eq!(stage.service("launchd", &["status", "--user"]).status.code(), Some(4));
}
