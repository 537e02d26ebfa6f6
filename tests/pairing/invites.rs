//! Invites: from stdin, once, and kept nowhere.

use std::{fs, str::FromStr};

use iroh::EndpointAddr;
use iroh_tickets::endpoint::EndpointTicket;
use irosh::transport::Target;

use crate::harness::{Line, Meeting, Mode, Route, Said, feed, installed_ssh, run, succeed};

/// What a client's list of hosts says.
fn hosts(line: &Line) -> String {
    fs::read_to_string(line.client.home().join("hosts.toml")).unwrap_or_default()
}

#[test]
fn an_invite_from_stdin_lets_in_and_is_kept_nowhere() {
    let line = Line::new(Route::Exec);
    let client = line.stranger("stranger");
    succeed(&mut client.irosh(&["hosts", "remove", "box"]));
    let invite = line.host().invite(&[]);
    let output = feed(&mut client.irosh(&["join", "-", "den"]), format!("{invite}\n").into_bytes());
    assert!(output.status.success(), "{}", output.stderr.said());
    assert!(
        output.stdout.said().starts_with("den lets this machine in; type:  ssh "),
        "{}",
        output.stdout.said()
    );
    let hosts = fs::read_to_string(client.home().join("hosts.toml")).expect("a list");
    assert!(hosts.contains("den = \"endpoint") && !hosts.contains("invite"), "{hosts}");
    let output = run(installed_ssh(&client, &line.server).args(["den", "echo in"]));
    assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
}

#[test]
fn an_invite_that_is_used_up_says_so_and_names_nothing() {
    let line = Line::new(Route::Exec);
    let (one, other) = (line.stranger("one"), line.stranger("other"));
    let invite = line.host().invite(&[]);
    succeed(&mut one.irosh(&["join", &invite, "den"]));
    let output = run(&mut other.irosh(&["join", &invite, "den"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.said().contains("the host says: this invite has been used already"));
    assert!(!fs::read_to_string(other.home().join("hosts.toml")).expect("a list").contains("den"));
}

#[test]
fn a_name_keeps_no_secret_once_it_was_used() {
    for mode in [Mode::Alone, Mode::Agent] {
        let mut line = Line::new(Route::Exec);
        line.client.use_mode(mode);
        line.host().irosh(&["peers", "revoke", "test"]);
        let host = line.host().irosh(&["peers", "list"]).stdout.said();
        assert_eq!(host, "", "nobody is let in any more");
        succeed(&mut line.client.irosh(&["hosts", "add", "box", &line.host().invite(&[])]));
        assert!(hosts(&line).contains("invite"));
        assert!(line.client.exec("true").status.success(), "{mode:?}");
        let kept = hosts(&line);
        assert!(kept.contains("box = \"endpoint") && !kept.contains("invite"), "{mode:?}: {kept}");
        assert!(line.client.exec("true").status.success(), "{mode:?}");
    }
}

#[test]
fn the_native_client_keeps_no_secret_either() {
    let line = Line::new(Route::Exec);
    line.host().irosh(&["peers", "revoke", "test"]);
    succeed(&mut line.client.irosh(&["hosts", "add", "box", &line.host().invite(&[])]));
    let output = run(line.client.native("exec").args(["box", "echo in"]));
    assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
    assert!(!hosts(&line).contains("invite"), "{}", hosts(&line));
}

#[test]
fn an_invite_that_is_refused_stays_for_another_try() {
    let line = Line::new(Route::Exec);
    let client = line.stranger("stranger");
    let invite = line.host().invite(&[]);
    let id = line.host().irosh(&["invite", "list"]).stdout.said();
    line.host().irosh(&["invite", "revoke", id.split(' ').next().expect("an id")]);
    succeed(&mut client.irosh(&["hosts", "add", "box", &invite]));
    assert!(!client.exec("true").status.success());
    assert!(fs::read_to_string(client.home().join("hosts.toml")).expect("a list").contains("invite"));
}

#[test]
fn what_is_neither_a_code_nor_an_invite_is_not_repeated() {
    let line = Line::new(Route::Exec);
    let invite = line.host().invite(&[]);
    let cut = &invite[..invite.len() - 7];
    for wrong in [cut, "velvet otter"] {
        let output = feed(&mut line.client.irosh(&["join", "-"]), wrong.as_bytes().to_vec());
        assert_eq!(output.status.code(), Some(1));
        let said = output.stderr.said();
        assert!(said.starts_with("irosh: this ") && !said.contains(wrong), "{said}");
    }
    let output = feed(&mut line.client.irosh(&["join"]), Vec::new());
    assert!(output.stderr.said().contains("nothing is on stdin"), "{}", output.stderr.said());
}

#[test]
fn a_short_ticket_has_the_id_and_one_relay() {
    let meeting = Meeting::new();
    let short = succeed(&mut meeting.at_host(&["ticket", "--short"]));
    let (short, long) = (short.trim(), meeting.host().ticket());
    assert!(short.len() < long.len(), "{short}");
    let addr: EndpointAddr = EndpointTicket::from_str(short).expect("a ticket").into();
    assert_eq!((addr.ip_addrs().count(), addr.relay_urls().count()), (0, 1));
    let target: Target = long.parse().expect("a ticket");
    assert_eq!(target.addr().id, addr.id);
    // It is enough to get in.
    meeting.host().allow(&meeting.client.identity);
    succeed(&mut meeting.at_client(&["join", short, "box"]));
    let output = run(meeting.ssh().args(["box", "echo in"]));
    assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
}
