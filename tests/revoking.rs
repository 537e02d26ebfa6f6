//! What becomes of those who are here when lists change: peers and invites that are taken back.

mod harness;

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use harness::{Echo, Line, Route, Said, is_in, is_refused, ssh_to, stranger};
use serde_json::Value;

/// How soon a change has to reach who is here.
const SOON: Duration = Duration::from_secs(15);

/// A line whose host lets everybody in.
fn open_line() -> Line {
    Line::with_settings(Route::Exec, "access = \"open\"\n")
}

/// Has the host's list be this.
fn write_list(line: &Line, text: &str) {
    let path = line.host().home().join("authorized_peers");
    let scratch = path.with_extension("new");
    fs::write(&scratch, text).expect("written");
    fs::set_permissions(&scratch, PermissionsExt::from_mode(0o600)).expect("a mode");
    fs::rename(scratch, path).expect("renamed");
}

#[test]
fn where_everybody_may_come_in_a_revoked_peer_is_thrown_out_and_kept_out() {
    let line = open_line();
    let echo = Echo::start(&line.client);
    assert!(line.host().irosh(&["peers", "revoke", "test"]).status.success());
    assert!(echo.ended(SOON).contains("the host has revoked this identity"));
    is_refused(&ssh_to(&line.client, "box"), "this host has taken back your admission");
    let listed = line.host().json(&["peers", "list"]);
    assert_eq!((&listed[0]["revoked"], &listed[0]["name"]), (&Value::Bool(true), &Value::from("test")));
    // Until it is allowed again.
    line.host().allow(&line.client.identity);
    is_in(&ssh_to(&line.client, "box"));
}

#[test]
fn where_everybody_may_come_in_a_stranger_is_thrown_out_by_its_fingerprint() {
    let line = open_line();
    let client = stranger(&line, "stranger");
    let echo = Echo::start(&client);
    let started = line.host().wait_event(|event| event["event"] == "session_started");
    let fingerprint = started["peer"].as_str().expect("a fingerprint");
    let output = line.host().irosh(&["peers", "revoke", fingerprint]);
    assert!(output.stdout.said().contains("kept out"), "{}", output.stdout.said());
    echo.ended(SOON);
    is_refused(&ssh_to(&client, "box"), "this host has taken back your admission");
    is_in(&ssh_to(&line.client, "box"));
}

#[test]
fn where_everybody_may_come_in_a_line_that_goes_takes_its_sessions_along() {
    let line = open_line();
    let echo = Echo::start(&line.client);
    write_list(&line, "");
    echo.ended(SOON);
    // Now it is a stranger like any other.
    is_in(&ssh_to(&line.client, "box"));
}

#[test]
fn a_changed_line_reaches_those_who_are_here() {
    let line = Line::new(Route::Exec);
    let key = &line.client.identity;
    for changed in ["no-resume", "backend=\"exec:/bin/false\"", "login=\"somebody\""] {
        write_list(&line, &format!("{key}\n"));
        let echo = Echo::start(&line.client);
        write_list(&line, &format!("{changed} {key}\n"));
        let said = echo.ended(SOON);
        assert!(said.contains("the host has changed what this identity may do"), "{changed}: {said}");
    }
    line.host().daemon.stderr.wait_for("connection closed: what it may do has changed");
}

#[test]
fn a_new_name_or_a_later_end_does_not_end_a_session() {
    let line = Line::new(Route::Exec);
    let other = stranger(&line, "other");
    let (key, other_key) = (&line.client.identity, &other.identity);
    write_list(&line, &format!("{key}\n{other_key}\n"));
    let (mut staying, leaving) = (Echo::start(&line.client), Echo::start(&other));
    // The other one says when the list has been looked at.
    write_list(&line, &format!("expiry-time=\"20400101\" {key} renamed\n"));
    leaving.ended(SOON);
    staying.answers();
    is_in(&ssh_to(&line.client, "box"));
}

#[test]
fn while_the_list_cannot_be_read_sessions_go_on_and_the_log_says_so_once() {
    let line = Line::new(Route::Exec);
    let mut echo = Echo::start(&line.client);
    let list = line.host().home().join("authorized_peers");
    fs::set_permissions(&list, PermissionsExt::from_mode(0o666)).expect("a mode");
    let complaint = "nobody new comes in, and nobody is thrown out";
    line.host().daemon.stderr.wait_for(complaint);
    for _ in 0..3 {
        is_refused(&ssh_to(&line.client, "box"), "the host cannot read its list of peers");
    }
    echo.answers();
    fs::set_permissions(&list, PermissionsExt::from_mode(0o600)).expect("a mode");
    line.host().daemon.stderr.wait_for("can be read again");
    is_in(&ssh_to(&line.client, "box"));
    assert_eq!(line.host().log().matches(complaint).count(), 1, "{}", line.host().log());
}

#[test]
fn an_invite_that_is_taken_back_admits_nobody() {
    let line = Line::new(Route::Exec);
    let (one, two) = (line.host().invite(&["--uses", "3"]), line.host().invite(&["--login", "root"]));
    let open = || line.host().json(&["invite", "list"]);
    let listed = open();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["uses"], &listed[1]["login"]), (&Value::from(3), &Value::from("root")));
    // By its id, or by the word itself.
    let id = listed[0]["id"].as_str().expect("an id");
    let shown = line.host().irosh(&["invite", "list"]).stdout.said();
    assert!(shown.contains(&format!("{id}  3 left  until ")) && !shown.contains(&one), "{shown}");
    for which in [id, &two] {
        assert!(line.host().irosh(&["invite", "revoke", which]).status.success(), "{which}");
    }
    assert_eq!(open(), [] as [Value; 0]);
    for invite in [one, two] {
        is_refused(&ssh_to(&stranger(&line, &invite[6..14]), &invite), "this invite was taken back");
    }
    let again = line.host().irosh(&["invite", "revoke", id]);
    assert!(again.stderr.said().contains("no invite that can still be used"), "{}", again.stderr.said());
}

#[test]
fn an_invite_ends_with_the_peer_that_it_has_brought() {
    let line = Line::new(Route::Exec);
    let invite = line.host().invite(&["--uses", "3"]);
    is_in(&ssh_to(&stranger(&line, "guest"), &invite));
    let listed = line.host().json(&["peers", "list"]);
    let guest = listed.iter().find(|peer| peer["name"] != "test").expect("the guest");
    let output = line.host().irosh(&["peers", "revoke", guest["peer"].as_str().expect("a fingerprint")]);
    assert!(output.stderr.said().contains("brought it and has ended too"), "{}", output.stderr.said());
    // Whoever it is by another key.
    is_refused(&ssh_to(&stranger(&line, "again"), &invite), "this invite was taken back");
}
