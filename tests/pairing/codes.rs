//! `irosh pair` and `irosh join`, as they are typed.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    AT_ONCE,
    harness::{DEADLINE, Meeting, Said, Shown, System, login, program, run, succeed},
    is_withdrawn,
};

/// How long it may take from a code that is seen to a command that has run there.
const SOON: Duration = Duration::from_secs(5);

/// ssh to a name, with what was installed.
fn gets_in(meeting: &Meeting, name: &str) {
    let output = run(meeting.ssh().args([name, "echo in"]));
    assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
}

#[test]
fn a_code_is_all_that_is_typed_before_ssh() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    let begun = Instant::now();
    let joined = run(&mut meeting.at_client(&["join", "--json", &shown.code, "box"]));
    assert!(joined.status.success(), "{}", joined.stderr.said());
    gets_in(&meeting, "box");
    let took = begun.elapsed();
    assert!(took < SOON, "{took:?}");
    let joined: Value = serde_json::from_str(joined.stdout.said().trim()).expect("a result");
    assert_eq!((&joined["name"], &joined["ssh"]), (&"box".into(), &"ssh hostuser@box".into()));
    assert_eq!((&joined["running"], &joined["host_name"]), (&true.into(), &"testhost".into()));
    let paired = shown.event("paired");
    assert_eq!(paired["verifier"], joined["verifier"]);
    assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
    // Under the name that the client gives itself.
    let name = paired["name"].as_str().expect("a name");
    let line = meeting.client.identity.split(' ').nth(1).expect("a key");
    let list = fs::read_to_string(meeting.host().home().join("authorized_peers")).expect("a list");
    assert_eq!(list, format!("ssh-ed25519 {line} {name}\n"));
    is_withdrawn(&meeting, &shown.code);
    // What the host announces was told, and need not be asked for.
    let key = meeting.server.host_key.split(' ').nth(1).expect("a key");
    let shown = succeed(&mut meeting.at_client(&["hosts", "show", "box"]));
    assert!(shown.contains(key), "{shown}");
}

#[test]
fn the_code_goes_the_other_way_too() {
    let meeting = Meeting::new();
    let mut shown = Shown::start(meeting.at_client(&["join", "--json", "--show"]));
    let paired = run(&mut meeting.at_host(&["pair", "--json", "--code", &shown.code]));
    assert!(paired.status.success(), "{}", paired.stderr.said());
    let joined = shown.event("joined");
    // The host's own name, for want of another.
    assert_eq!(joined["name"], "testhost");
    assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
    let paired: Value = serde_json::from_str(paired.stdout.said().trim()).expect("an event");
    assert_eq!(paired["verifier"], joined["verifier"]);
    gets_in(&meeting, "testhost");
    is_withdrawn(&meeting, &shown.code);
}

#[test]
fn a_login_that_is_given_needs_no_proof() {
    let meeting = Meeting::with_backend(|server| format!("exec:{}", server.builtin_command()));
    let me = login();
    let mut shown = meeting.pair(&["--login", &me]);
    let joined = run(&mut meeting.at_client(&["join", "--json", &shown.code, "box"]));
    let joined: Value = serde_json::from_str(joined.stdout.said().trim()).expect("a result");
    assert_eq!((&joined["login"], &joined["vouched"]), (&me.clone().into(), &true.into()));
    assert_eq!(shown.event("paired")["login"], me.as_str());
    assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
    let list = fs::read_to_string(meeting.host().home().join("authorized_peers")).expect("a list");
    assert!(list.starts_with(&format!("login=\"{me}\" ssh-ed25519 ")), "{list}");
}

#[test]
fn a_wrong_word_kills_the_code_and_both_sides_say_so_at_once() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    let begun = Instant::now();
    let joined = run(&mut meeting.at_client(&["join", &shown.wrong(), "box"]));
    let took = begun.elapsed();
    assert_eq!(joined.status.code(), Some(1));
    let said = joined.stderr.said();
    assert!(said.contains("irosh: these are not the words of the code: it is dead now"), "{said}");
    assert_eq!(shown.ends(AT_ONCE), Some(1));
    assert!(begun.elapsed() < AT_ONCE, "{took:?} on the client, {:?} on both", begun.elapsed());
    assert!(shown.said().contains("irosh: somebody typed other words than these: the code is dead"));
    is_withdrawn(&meeting, &shown.code);
    // The right one comes too late.
    let late = run(&mut meeting.at_client(&["join", &shown.code, "box"]));
    assert_eq!(late.status.code(), Some(1));
    assert_eq!(
        (meeting.peers(), run(&mut meeting.at_client(&["hosts", "list"])).stdout.said()),
        Default::default()
    );
}

#[test]
fn a_word_that_is_none_is_said_so_and_costs_nothing() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    let misspelt = format!("{}q", shown.code);
    let joined = run(&mut meeting.at_client(&["join", &misspelt, "box"]));
    let said = joined.stderr.said();
    assert!(said.contains("the second word of this code is none") && said.contains("did you mean"), "{said}");
    assert!(run(&mut meeting.at_client(&["join", &shown.code, "box"])).status.success());
    assert_eq!(shown.ends(AT_ONCE), Some(0));
}

#[test]
fn a_code_has_its_time() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&["--ttl", "1s"]);
    assert_eq!(shown.ends(DEADLINE), Some(1));
    assert!(shown.said().contains("nobody has typed the code in time"), "{}", shown.said());
    is_withdrawn(&meeting, &shown.code);
}

#[test]
fn ctrl_c_takes_a_code_back() {
    let meeting = Meeting::new();
    let at_client = || meeting.at_client(&["join", "--json", "--show"]);
    for mut shown in [meeting.pair(&[]), Shown::start(at_client())] {
        shown.daemon.signal(Signal::SIGINT);
        assert_eq!(shown.ends(AT_ONCE), Some(130), "{}", shown.said());
        is_withdrawn(&meeting, &shown.code);
    }
}

#[test]
fn a_nameplate_that_is_in_use_gives_another() {
    let meeting = Meeting::new();
    let mut all: Vec<Shown> = Vec::new();
    for _ in 0..12 {
        all.push(meeting.pair(&[]));
    }
    let mut nameplates: Vec<_> = all.iter().map(|shown| shown.code.split('-').next()).collect();
    nameplates.sort_unstable();
    nameplates.dedup();
    assert_eq!(nameplates.len(), 12);
    for shown in &mut all {
        shown.daemon.signal(Signal::SIGTERM);
        shown.ends(DEADLINE);
    }
}

#[test]
fn a_host_that_does_not_run_yet_is_reached_once_it_does() {
    let mut meeting = Meeting::without_a_host(|server| format!("exec:{}", server.command()));
    let mut shown = meeting.pair(&[]);
    let joined = run(&mut meeting.at_client(&["join", "--json", &shown.code, "box"]));
    assert!(joined.stderr.said().contains("no host runs there yet"), "{}", joined.stderr.said());
    assert_eq!(shown.ends(AT_ONCE), Some(0));
    let said = shown.said();
    assert!(said.contains("no host runs here yet") && said.contains("irosh service install"), "{said}");
    meeting.start_host();
    // Its ticket had no addresses, so that it is looked up.
    let output = run(meeting.ssh().env("IROSH_DNS", meeting.names.setting()).args(["box", "echo in"]));
    assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
}

#[test]
fn a_code_that_nobody_shows_is_not_found() {
    let meeting = Meeting::new();
    let output = run(&mut meeting.at_client(&["join", "9999-velvet-otter"]));
    assert_eq!(output.status.code(), Some(1));
    let said = output.stderr.said();
    assert!(said.contains("irosh: no machine is found that shows a code with the number 9999"), "{said}");
    assert!(!said.contains("otter"), "{said}");
    let mut alone = meeting.at_client(&["join", "9999-velvet-otter"]);
    let begun = Instant::now();
    assert_eq!(run(alone.env("IROSH_DNS", "none")).status.code(), Some(1));
    // On loopback alone, with no name service, there is no way to look.
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_code_that_nobody_could_find_is_not_shown() {
    let meeting = Meeting::new();
    // It is bound to loopback alone.
    for (lan, why) in [("true", "cannot be asked"), ("false", "is not asked (lan = false)")] {
        let output = run(meeting.at_host(&["pair"]).env("IROSH_DNS", "none").env("IROSH_LAN", lan));
        assert_eq!((output.status.code(), output.stdout.said().as_str()), (Some(1), ""));
        let said = output.stderr.said();
        let why = format!("the local network {why}, and no name service is set (dns)\n");
        assert!(said.contains(&format!("no code can be found or shown from here: {why}")), "{said}");
    }
}

#[test]
fn a_name_that_stands_for_another_host_is_not_taken_silently() {
    let meeting = Meeting::new();
    let other = iroh::SecretKey::from_bytes(&[9; 32]).public().to_string();
    succeed(&mut meeting.at_client(&["hosts", "add", "testhost", &other]));
    let shown = meeting.pair(&[]);
    let joined = run(&mut meeting.at_client(&["join", "--json", &shown.code]));
    let said = joined.stderr.said();
    assert!(said.contains("testhost leads somewhere else already, so this host is testhost-2"), "{said}");
    gets_in(&meeting, "testhost-2");
    // A name that is asked for is given, and it is said what it was.
    let shown = meeting.pair(&[]);
    let joined = run(&mut meeting.at_client(&["join", &shown.code, "testhost"]));
    assert!(joined.stderr.said().contains("testhost stood for another host until now"));
    gets_in(&meeting, "testhost");
    // Again by its own name, it is the same.
    let shown = meeting.pair(&[]);
    let joined = run(&mut meeting.at_client(&["join", &shown.code]));
    assert_eq!(joined.stdout.said(), "testhost lets this machine in; type:  ssh hostuser@testhost\n");
}

#[test]
fn a_new_machine_has_an_identity_from_then_on() {
    let meeting = Meeting::new();
    let home = meeting.folder.path().join("new");
    fs::create_dir(&home).expect("a home");
    let shown = meeting.pair(&[]);
    let mut join = program(crate::harness::IROSH, &home);
    join.env("IROSH_RELAY", meeting.relay.url()).env("IROSH_DNS", meeting.names.setting());
    let output = run(join.args(["join", &shown.code]));
    assert!(output.status.success(), "{}", output.stderr.said());
    let public = fs::read_to_string(home.join("identity.pub")).expect("an identity");
    let key = public.split(' ').nth(1).expect("a key");
    let list = fs::read_to_string(meeting.host().home().join("authorized_peers")).expect("a list");
    assert!(list.contains(key), "{list}");
}

#[test]
fn a_host_that_runs_lets_in_by_itself() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    succeed(&mut meeting.at_client(&["join", &shown.code, "box"]));
    assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
    let fingerprint = shown.event("paired")["peer"].as_str().expect("a fingerprint").to_owned();
    let logged = meeting.host().daemon.stderr.wait_for("allowed");
    assert!(logged.contains(&fingerprint), "{logged}");
}

#[test]
fn a_host_that_stops_while_a_code_is_shown_is_reached_once_it_runs_again() {
    let mut meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    meeting.host = None;
    let joined = run(&mut meeting.at_client(&["join", &shown.code, "box"]));
    assert!(joined.status.success(), "{}", joined.stderr.said());
    assert!(joined.stderr.said().contains("no host runs there yet"), "{}", joined.stderr.said());
    assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
    assert!(shown.said().contains("no host runs here yet"), "{}", shown.said());
    meeting.start_host();
    let output = run(meeting.ssh().env("IROSH_DNS", meeting.names.setting()).args(["box", "echo in"]));
    assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
}

#[test]
fn a_code_that_was_used_is_of_no_use_to_another() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    succeed(&mut meeting.at_client(&["join", &shown.code, "box"]));
    assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
    let again = run(&mut meeting.at_client(&["join", &shown.code, "den"]));
    assert_eq!(again.status.code(), Some(1));
    assert!(again.stderr.said().contains("no machine is found that shows a code"), "{}", again.stderr.said());
    assert_eq!(meeting.peers().lines().count(), 1);
}

#[test]
fn root_has_the_systems_service_let_somebody_in() {
    let Some(system) = System::new() else { return };
    let meeting = Meeting::new();
    let host = system.start();
    // It is the one that runs, also where nobody says so.
    for (arguments, name) in [(&["--system", "pair", "--json"][..], "box"), (&["pair", "--json"], "den")] {
        let mut shown = Shown::start(meeting.on_the_network(system.irosh(arguments)));
        succeed(&mut meeting.at_client(&["join", &shown.code, name]));
        assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
        shown.daemon.stdout.wait_for("\"running\":true");
    }
    host.stderr.wait_for("allowed");
    let [(_, settings), ..] = system.folders();
    let list = settings.join("authorized_peers");
    assert_eq!(fs::read_to_string(&list).expect("a list").lines().count(), 1);
    assert_ne!(fs::metadata(&list).expect("a list").uid(), 0);
}

#[test]
fn what_is_no_name_is_said_before_a_code_is_spent() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    for (arguments, said) in [
        (["join", shown.code.as_str(), "a box"], "`a box` cannot be a name"),
        (["join", "--show", shown.code.as_str()], "with --show no code is given"),
    ] {
        let output = run(&mut meeting.at_client(&arguments));
        assert_eq!((output.status.code(), output.stdout.said().as_str()), (Some(1), ""));
        assert!(output.stderr.said().contains(said), "{}", output.stderr.said());
    }
    succeed(&mut meeting.at_client(&["join", &shown.code, "box"]));
    assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
}

/// Somebody who shows a code may say that it is a host which is known already.
#[test]
fn what_a_known_host_has_said_of_its_server_is_not_changed_by_a_code() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    succeed(&mut meeting.at_client(&["join", &shown.code, "box"]));
    assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
    let announced = meeting.client.home().join("announced_keys");
    let file = fs::read_dir(&announced).expect("a folder").next().expect("a file").expect("a file").path();
    let other = crate::harness::new_key(&meeting.folder.path().join("other"));
    fs::write(&file, format!("* {other}\n")).expect("written");
    let mut shown = meeting.pair(&[]);
    succeed(&mut meeting.at_client(&["join", &shown.code, "box"]));
    assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
    assert_eq!(fs::read_to_string(&file).expect("read"), format!("* {other}\n"));
    // The host itself is believed.
    gets_in(&meeting, "box");
    assert!(!fs::read_to_string(&file).expect("read").contains(&other));
}
