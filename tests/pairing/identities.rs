//! Codes where the client's identity is in an ssh-agent, on a FIDO key, or a program's own.

use std::{fs, process::Stdio, thread};

use iroh::SecretKey;
use irosh::{
    client::ResolvedTarget,
    proxy::{Credentials, Dialer},
};
use nix::sys::signal::Signal;

use crate::{
    AT_ONCE,
    harness::{DEADLINE, Daemon, Meeting, Said, Shown, SshAgent, have_fido_key, new_fido_key, new_key, run},
};

/// A client that knows the public half of its identity alone, and the ssh-agent that has the other.
fn held(start: fn(&std::path::Path) -> SshAgent) -> (Meeting, SshAgent) {
    let mut meeting = Meeting::new();
    let agent = start(meeting.folder.path());
    let key = meeting.client.home().join("work");
    new_key(&key);
    agent.add(&key);
    fs::remove_file(&key).expect("removed");
    fs::remove_file(meeting.client.home().join("identity")).expect("removed");
    meeting.client.use_identity(&key.with_extension("pub"));
    meeting.client.use_ssh_agent(&agent.socket());
    (meeting, agent)
}

fn list(meeting: &Meeting) -> String {
    fs::read_to_string(meeting.host().home().join("authorized_peers")).unwrap_or_default()
}

/// Pairs and gets in, by an identity with this public key.
fn pairs(meeting: &Meeting, agent: &SshAgent, public: &str) {
    let mut shown = meeting.pair(&[]);
    let joined = run(&mut meeting.at_client(&["join", &shown.code, "box"]));
    assert!(joined.status.success(), "{}", joined.stderr.said());
    assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
    assert_eq!(agent.signed(), 1);
    let key: Vec<_> = public.split(' ').take(2).collect();
    assert!(list(meeting).starts_with(&key.join(" ")), "{}", list(meeting));
    assert!(!meeting.client.home().join("identity").exists(), "a key was made in its place");
    let output = run(meeting.ssh().args(["box", "echo in"]));
    assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
}

#[test]
fn an_identity_in_an_ssh_agent_pairs() {
    for start in [SshAgent::start, SshAgent::start_strict] {
        let (meeting, agent) = held(start);
        let public = fs::read_to_string(meeting.client.home().join("work.pub")).expect("a key");
        pairs(&meeting, &agent, &public);
    }
}

#[test]
fn an_identity_in_an_ssh_agent_pairs_the_other_way_too() {
    let (meeting, agent) = held(SshAgent::start);
    let mut shown = Shown::start(meeting.at_client(&["join", "--json", "--show", "box"]));
    let paired = run(&mut meeting.at_host(&["pair", "--code", &shown.code]));
    assert!(paired.status.success(), "{}", paired.stderr.said());
    assert_eq!((shown.ends(AT_ONCE), agent.signed()), (Some(0), 1), "{}", shown.said());
    assert_eq!(list(&meeting).lines().count(), 1);
}

#[test]
fn an_identity_on_a_fido_key_pairs() {
    if !have_fido_key() {
        return;
    }
    let (meeting, agent) = held(SshAgent::start);
    let key = meeting.client.home().join("token");
    let public = new_fido_key(&key, &[]);
    agent.add(&key);
    meeting.client.use_identity(&key);
    pairs(&meeting, &agent, &public);
}

#[test]
fn an_agent_without_the_key_is_said_before_a_code_is_spent() {
    let (mut meeting, agent) = held(SshAgent::start);
    let other = SshAgent::start(&crate::harness::subfolder(meeting.folder.path(), "other"));
    meeting.client.use_ssh_agent(&other.socket());
    let mut shown = meeting.pair(&[]);
    let joined = run(&mut meeting.at_client(&["join", &shown.code, "box"]));
    assert_eq!(joined.status.code(), Some(1));
    assert!(joined.stderr.said().contains("shows no keys"), "{}", joined.stderr.said());
    // The code can still be typed.
    let mut again = meeting.at_client(&["join", &shown.code, "box"]);
    let joined = run(again.env("SSH_AUTH_SOCK", agent.socket()));
    assert!(joined.status.success(), "{}", joined.stderr.said());
    assert_eq!(shown.ends(DEADLINE), Some(0), "{}", shown.said());
}

/// An agent that has the key and does not sign.
#[test]
fn who_cannot_prove_who_he_is_is_not_let_in_and_both_sides_say_so() {
    let (meeting, _agent) = held(|folder| SshAgent::start_which(folder, |_| false));
    let mut shown = meeting.pair(&[]);
    let joined = run(&mut meeting.at_client(&["join", &shown.code, "box"]));
    assert_eq!(joined.status.code(), Some(1));
    assert!(
        joined.stderr.said().contains("the ssh-agent does not sign with SHA256:"),
        "{}",
        joined.stderr.said()
    );
    assert_eq!(shown.ends(AT_ONCE), Some(1));
    assert!(shown.said().contains("the pairing was given up on the other machine"), "{}", shown.said());
    assert_eq!(list(&meeting), "");
}

/// A client that has met the host and waits for its agent, which says nothing.
fn waits_for_its_agent() -> (Meeting, SshAgent, Shown, Daemon) {
    let (meeting, agent) = held(|folder| {
        SshAgent::start_which(folder, |_| {
            loop {
                thread::park();
            }
        })
    });
    let shown = meeting.pair(&[]);
    let join = Daemon::start(meeting.at_client(&["join", &shown.code, "box"]).stdin(Stdio::null()));
    join.stderr.wait_for("both machines show:");
    (meeting, agent, shown, join)
}

#[test]
fn who_gives_up_on_either_side_is_heard_on_the_other_at_once() {
    let (meeting, _agent, mut shown, mut join) = waits_for_its_agent();
    join.signal(Signal::SIGINT);
    assert_eq!(join.wait(AT_ONCE).code(), Some(130));
    assert_eq!(shown.ends(AT_ONCE), Some(1));
    assert!(shown.said().contains("the pairing was given up on the other machine"), "{}", shown.said());
    assert_eq!(list(&meeting), "");
    let (meeting, _agent, mut shown, mut join) = waits_for_its_agent();
    shown.daemon.signal(Signal::SIGINT);
    assert_eq!(shown.ends(AT_ONCE), Some(130));
    assert_eq!(join.wait(AT_ONCE).code(), Some(1));
    join.stderr.wait_for("the pairing was given up on the other machine");
    assert_eq!(list(&meeting), "");
}

#[test]
fn a_program_pairs_by_a_code_and_is_let_in_from_then_on() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    let code = shown.code.parse().expect("a code");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (network, credentials) = (meeting.network(), Credentials::from(SecretKey::generate()));
        let target = ResolvedTarget::by_code(&code, &network, &credentials, "a program").await;
        let target = target.expect("a host");
        let dialer = Dialer::bind(network, credentials).await.expect("an endpoint");
        let host = dialer.dial(target.target()).await.expect("a connection");
        assert_eq!(host.welcome().await.expect("a welcome").host_name, "testhost");
        dialer.close().await;
    });
    assert_eq!(shown.event("paired")["name"], "a program");
    assert_eq!(shown.ends(AT_ONCE), Some(0), "{}", shown.said());
}
