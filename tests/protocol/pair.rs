//! The script as either side of a pairing, with the programs as the other one.

use std::{
    path::Path,
    process::{Command, Output},
};

use iroh::SecretKey;
use iroh_tickets::endpoint::EndpointTicket;
use serde_json::Value;
use tokio::process::Command as Program;

use crate::{
    can_run,
    harness::{Carrier, Meeting, Said, Shown, feed, new_key, run, skip},
    in_time, runtime,
};

/// A python that has PyPI's `spake2`.
fn python() -> Option<&'static str> {
    let can = |python: &&str| {
        let has = Command::new(python).args(["-c", "import spake2"]).output();
        has.is_ok_and(|output| output.status.success())
    };
    let python = ["python3", "/usr/bin/python3"].into_iter().find(can);
    if python.is_none() {
        skip("no python3 has spake2 (pip install spake2)");
    }
    python
}

/// The script's scenario with a code; it has a key of its own, and a ticket to tell as a host.
fn script(python: &str, meeting: &Meeting, scenario: &str, code: &str) -> Program {
    let key = meeting.folder.path().join("script_key");
    new_key(&key);
    let ticket = EndpointTicket::new(SecretKey::from_bytes(&[5; 32]).public().into()).to_string();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol/pair.py");
    let mut command = Program::new(python);
    command.arg("-B").arg(path).arg(scenario).arg(key).args([code, &ticket]);
    command
}

/// Runs the script to its end; `asked` has what it says beside of what carries it.
fn carries(meeting: &Meeting, script: Program, mut asked: impl FnMut(&str)) {
    runtime().block_on(in_time(async {
        let mut carrier = Carrier::start(script, None);
        while let Some(what) = carrier.asks_at(meeting).await {
            tokio::task::block_in_place(|| asked(&what));
            carrier.seen();
        }
        carrier.ends().await;
    }));
}

/// What the script says of a pairing: the verifier's words, and what it has heard last.
fn told(said: &str) -> (String, String) {
    let words: Vec<_> = said.splitn(4, ' ').collect();
    let ["verifier", bytes, _, heard] = words[..] else { panic!("{said}") };
    (bytes.to_owned(), heard.to_owned())
}

/// The words of a verifier, by the lists of the programs' own source.
fn words(verifier: &str) -> String {
    let source = include_str!("../../src/pairing/words.rs");
    let lists: Vec<Vec<&str>> = source
        .split("Words = Words([")
        .skip(1)
        .map(|list| list.split("]);").next().unwrap_or_default().split('"').skip(1).step_by(2).collect())
        .collect();
    assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [256, 256]);
    let bytes = hex::decode(verifier).expect("hex");
    let word = |(at, byte): (usize, &u8)| lists[at % 2][usize::from(*byte)];
    bytes.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_client_types_the_code_of_a_host() {
    let (true, Some(python)) = (can_run(), python()) else { return };
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    let mut heard = None;
    let script = script(python, &meeting, "a_client_types_the_code_of_a_host", &shown.code);
    carries(&meeting, script, |said| heard = Some(told(said)));
    let (verifier, ticket) = heard.expect("a pairing");
    assert_eq!(ticket, meeting.host().ticket());
    let paired = shown.event("paired");
    assert_eq!(paired["name"], "python@second");
    assert_eq!(paired["verifier"], words(&verifier));
    assert_eq!(shown.ends(crate::harness::DEADLINE), Some(0), "{}", shown.said());
    assert!(meeting.peers().contains("python@second"));
}

/// The script as a client that says who it is in its own way; with whom the host lets in, and what it says where that is
/// nobody.
fn introduces_itself(scenario: &str) -> Option<(String, String)> {
    let (true, Some(python)) = (can_run(), python()) else { return None };
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    carries(&meeting, script(python, &meeting, scenario, &shown.code), |said| panic!("{said}"));
    shown.ends(crate::harness::DEADLINE);
    let list = std::fs::read_to_string(meeting.host().home().join("authorized_peers"));
    Some((list.unwrap_or_default(), shown.said()))
}

#[test]
fn another_nonce_than_was_promised_is_no_guess() {
    let Some((list, said)) = introduces_itself("another_nonce_than_was_promised_is_no_guess") else { return };
    assert!(list.starts_with("ssh-ed25519 ") && list.ends_with(" python@second\n"), "{list}{said}");
}

#[test]
fn a_client_proves_itself_by_an_sshsig() {
    let Some((list, said)) = introduces_itself("a_client_proves_itself_by_an_sshsig") else { return };
    assert!(list.starts_with("ssh-ed25519 ") && list.ends_with(" python@second\n"), "{list}{said}");
}

#[test]
fn a_client_that_does_not_say_how_is_not_proved() {
    let Some((list, said)) = introduces_itself("a_client_that_does_not_say_how_is_not_proved") else {
        return;
    };
    assert!(list.is_empty() && said.contains("proof of its identity does not hold"), "{list}{said}");
}

#[test]
fn a_proof_of_irosh_is_none_of_a_pairing() {
    let Some((list, said)) = introduces_itself("a_proof_of_irosh_is_none_of_a_pairing") else { return };
    assert!(list.is_empty() && said.contains("proof of its identity does not hold"), "{list}{said}");
}

#[test]
fn a_fido_key_that_was_touched_is_let_in() {
    let Some((list, said)) = introduces_itself("a_fido_key_that_was_touched_is_let_in") else { return };
    assert!(list.starts_with("sk-ssh-ed25519@openssh.com "), "{list}{said}");
}

#[test]
fn a_fido_key_that_was_not_touched_is_not() {
    let Some((list, said)) = introduces_itself("a_fido_key_that_was_not_touched_is_not") else { return };
    assert!(list.is_empty() && said.contains("was not touched"), "{list}{said}");
}

#[test]
fn a_host_types_the_code_of_a_client() {
    let (true, Some(python)) = (can_run(), python()) else { return };
    let meeting = Meeting::new();
    let mut shown = Shown::start(meeting.at_client(&["join", "--json", "--show", "snake"]));
    let mut heard = None;
    let script = script(python, &meeting, "a_host_types_the_code_of_a_client", &shown.code);
    carries(&meeting, script, |said| heard = Some(told(said)));
    let (verifier, _) = heard.expect("a pairing");
    let joined = shown.event("joined");
    assert_eq!(joined["verifier"], words(&verifier));
    assert_eq!(joined["name"], "snake");
    assert_eq!((&joined["host_name"], &joined["ssh"]), (&"pythön".into(), &"ssh alice@snake".into()));
    assert_eq!(shown.ends(crate::harness::DEADLINE), Some(0), "{}", shown.said());
}

/// What a program makes of a code that the script shows.
fn typed(meeting: &Meeting, scenario: &str, program: &[&str]) -> Option<(Output, Option<(String, String)>)> {
    let (true, Some(python)) = (can_run(), python()) else { return None };
    let (mut running, mut heard) = (None, None);
    let script = script(python, meeting, scenario, "4242-velvet-otter");
    carries(meeting, script, |said| match said.strip_prefix("code ") {
        Some(code) => {
            let mut irosh =
                if program[0] == "join" { meeting.at_client(program) } else { meeting.at_host(program) };
            let code = format!("{code}\n").into_bytes();
            running = Some(std::thread::spawn(move || feed(&mut irosh, code)));
        }
        None => heard = Some(told(said)),
    });
    Some((running.expect("a program").join().expect("an end"), heard))
}

#[test]
fn a_client_shows_a_code_to_a_host() {
    let meeting = Meeting::new();
    let typed = typed(&meeting, "a_client_shows_a_code_to_a_host", &["pair", "--json", "--code", "-"]);
    let Some((output, heard)) = typed else { return };
    assert!(output.status.success(), "{}", output.stderr.said());
    let paired: Value = serde_json::from_str(output.stdout.said().trim()).expect("an event");
    let (verifier, ticket) = heard.expect("a pairing");
    assert_eq!((paired["verifier"].clone(), ticket), (words(&verifier).into(), meeting.host().ticket()));
    assert!(meeting.peers().contains("python@second"));
}

#[test]
fn a_host_shows_a_code_to_a_client() {
    let meeting = Meeting::new();
    let typed = typed(&meeting, "a_host_shows_a_code_to_a_client", &["join", "--json", "-", "snake"]);
    let Some((output, heard)) = typed else { return };
    assert!(output.status.success(), "{}", output.stderr.said());
    let joined: Value = serde_json::from_str(output.stdout.said().trim()).expect("a result");
    assert_eq!(joined["verifier"], words(&heard.expect("a pairing").0));
    let listed = run(&mut meeting.at_client(&["hosts", "list"])).stdout.said();
    assert!(listed.starts_with("snake  endpoint"), "{listed}");
}

#[test]
fn who_shows_other_words_is_not_believed() {
    let meeting = Meeting::new();
    let program = ["join", "--json", "4242-velvet-badger"];
    let Some((output, _)) = typed(&meeting, "who_shows_other_words_is_not_believed", &program) else {
        return;
    };
    assert_eq!(output.status.code(), Some(1));
    let said = output.stderr.said();
    assert!(said.contains("these are not the words of the code"), "{said}");
    assert_eq!(run(&mut meeting.at_client(&["hosts", "list"])).stdout.said(), "");
}

#[test]
fn a_wrong_word_is_refused_and_tells_nothing() {
    let (true, Some(python)) = (can_run(), python()) else { return };
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    let script = script(python, &meeting, "a_wrong_word_is_refused_and_tells_nothing", &shown.code);
    carries(&meeting, script, |said| panic!("{said}"));
    assert_eq!(shown.ends(crate::harness::DEADLINE), Some(1));
    assert!(shown.said().contains("somebody typed other words"), "{}", shown.said());
}

#[test]
fn two_of_the_same_role_are_told_so_and_it_is_no_guess() {
    let (true, Some(python)) = (can_run(), python()) else { return };
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    let script = script(python, &meeting, "two_of_the_same_role_are_told_so_and_it_is_no_guess", &shown.code);
    carries(&meeting, script, |said| panic!("{said}"));
    let output = run(&mut meeting.at_client(&["join", &shown.code, "box"]));
    assert!(output.status.success(), "{}", output.stderr.said());
    assert_eq!(shown.ends(crate::harness::DEADLINE), Some(0));
}
