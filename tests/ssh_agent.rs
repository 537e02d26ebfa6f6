//! Identities whose private half is in an ssh-agent, or on a FIDO key.

mod harness;

use std::{fs, os::unix::net::UnixListener};

use harness::{
    Authority, Client, DEADLINE, Line, Mode, Route, Running, Said, SshAgent, have_fido_key, is_in,
    is_refused, login, new_fido_key, poll, run, ssh_to, succeed,
};

const MODES: [Mode; 3] = [Mode::Alone, Mode::Agent, Mode::Fdpass];

/// A client whose identity is named by the public key alone, and the ssh-agent that has it.
fn held(line: &Line, agent: SshAgent) -> (Client, SshAgent) {
    held_as(line, agent, &[])
}

/// The same with further words for ssh-add.
fn held_as(line: &Line, agent: SshAgent, words: &[&str]) -> (Client, SshAgent) {
    let mut client = line.stranger("held");
    let key = client.home().join("identity");
    agent.add_as(&key, words);
    fs::rename(key.with_extension("pub"), client.home().join("work.pub")).expect("renamed");
    fs::remove_file(&key).expect("removed");
    client.use_identity(&client.home().join("work.pub"));
    client.use_ssh_agent(&agent.socket());
    line.host().allow(&client.identity);
    (client, agent)
}

#[test]
fn an_identity_in_an_ssh_agent_is_let_in() {
    let line = Line::new(Route::Exec);
    let (mut client, agent) = held(&line, SshAgent::start(line.folder.path()));
    for mode in MODES {
        client.use_mode(mode);
        is_in(&ssh_to(&client, "box"));
    }
    assert_eq!(agent.signed(), 2, "once alone, and once for both ways by the agent");
    let output = run(client.native("exec").args(["--no-agent", "box", "echo in"]));
    is_in(&output);
    // No key was made in its place.
    assert!(!client.home().join("identity").exists());
}

#[test]
fn an_agent_that_signs_nothing_that_is_not_of_ssh_will_do() {
    let line = Line::new(Route::Exec);
    let (client, agent) = held(&line, SshAgent::start_strict(line.folder.path()));
    is_in(&ssh_to(&client, "box"));
    assert_eq!(agent.signed(), 1);
}

#[test]
fn what_is_wrong_with_an_ssh_agent_is_said_with_what_to_do() {
    let line = Line::new(Route::Exec);
    let mut client = line.stranger("laptop");
    client.use_identity(&client.home().join("identity.pub"));
    for mode in MODES {
        client.use_mode(mode);
        let said = ssh_to(&client, "box").stderr.said();
        assert!(said.contains("irosh-proxy: the private half of ") && said.contains("ssh-add "), "{said}");
    }
    let agent = SshAgent::start(line.folder.path());
    agent.add(&line.client.home().join("identity"));
    client.use_ssh_agent(&agent.socket());
    for mode in MODES {
        client.use_mode(mode);
        let said = ssh_to(&client, "box").stderr.said();
        assert!(said.contains("does not have the key SHA256:"), "{said}");
        assert!(
            said.contains(&format!("run: ssh-add {}", client.home().join("identity").display())),
            "{said}"
        );
    }
    client.use_identity(&client.home().join("nothing.pub"));
    let said = ssh_to(&client, "box").stderr.said();
    assert!(said.contains("nothing.pub does not exist"), "{said}");
}

#[track_caller]
fn fails_in_every_mode(client: &mut Client, words: &str) {
    for mode in MODES {
        client.use_mode(mode);
        is_refused(&ssh_to(client, "box"), words);
    }
}

#[test]
fn an_ssh_agent_that_is_locked_or_gone_is_told_of() {
    let line = Line::new(Route::Exec);
    let (mut client, agent) = held(&line, SshAgent::start(line.folder.path()));
    is_in(&ssh_to(&client, "box"));
    agent.lock();
    fails_in_every_mode(&mut client, "run: ssh-add -X if you have locked it, or else: ssh-add ");
    let socket = agent.socket();
    // Whoever listens there still answers nothing.
    drop(agent);
    fails_in_every_mode(&mut client, " does not answer: ");
    fs::remove_file(&socket).expect("removed");
    fails_in_every_mode(&mut client, " does not answer: No such file or directory");
    let said = ssh_to(&client, "box").stderr.said();
    assert!(said.contains("start another one, and there: ssh-add "), "{said}");
}

#[test]
fn an_ssh_agent_that_says_nothing_is_not_waited_for() {
    let line = Line::new(Route::Exec);
    let (mut client, _agent) = held(&line, SshAgent::start(line.folder.path()));
    let socket = line.folder.path().join("mute");
    let _mute = UnixListener::bind(&socket).expect("a socket");
    client.use_ssh_agent(&socket);
    is_refused(&ssh_to(&client, "box"), "does not answer: it has said nothing for 10 s");
}

#[test]
fn an_ssh_agent_that_loses_its_key_when_it_is_to_sign_is_told_of() {
    let line = Line::new(Route::Exec);
    let (client, agent) = held(&line, SshAgent::start_forgetful(line.folder.path()));
    is_refused(&ssh_to(&client, "box"), "shows no keys: it is locked, or has none");
    // It has another one by then.
    let other = client.home().join("other");
    harness::new_key(&other);
    agent.add(&other);
    is_refused(&ssh_to(&client, "box"), "does not have the key SHA256:");
    assert_eq!(agent.signed(), 0);
}

#[test]
fn a_key_that_somebody_has_to_confirm_is_used_once_they_have() {
    let line = Line::new(Route::Exec);
    let (yes, asked) = (line.folder.path().join("yes"), line.folder.path().join("asked"));
    let script = format!("echo \"$1\" >> '{}'; test -e '{}'", asked.display(), yes.display());
    let (client, agent) = held_as(&line, SshAgent::start_asking(line.folder.path(), &script), &["-c"]);
    is_refused(&ssh_to(&client, "box"), "the ssh-agent does not sign with SHA256:");
    assert_eq!(agent.signed(), 0);
    fs::write(&yes, "").expect("a file");
    is_in(&ssh_to(&client, "box"));
    let asked = fs::read_to_string(&asked).expect("what was asked");
    assert!(asked.starts_with("Allow use of key "), "{asked}");
}

#[test]
fn who_confirms_a_key_too_late_is_told_what_to_do() {
    let line = Line::with_settings(Route::Exec, "[limits]\nlogin-grace-time = 3\n");
    let script = "exec tail -f /dev/null";
    let (client, _agent) = held_as(&line, SshAgent::start_asking(line.folder.path(), script), &["-c"]);
    let output = ssh_to(&client, "box");
    is_refused(&output, "your ssh-agent has not signed the proof of your identity in time");
    assert!(output.stderr.said().contains("touch or confirm your key sooner"), "{}", output.stderr.said());
}

#[test]
fn the_ssh_agent_of_who_calls_is_asked_and_not_that_of_who_has_started_the_agent() {
    let line = Line::new(Route::Exec);
    let (mut client, agent) = held(&line, SshAgent::start(line.folder.path()));
    client.use_mode(Mode::Agent);
    succeed(client.irosh(&["agent", "start"]).env_remove("SSH_AUTH_SOCK"));
    is_in(&ssh_to(&client, "box"));
    assert_eq!(agent.signed(), 1);
    assert_eq!(client.agent().expect("the agent")["hosts"][0]["name"], "box");
}

#[test]
fn a_key_under_a_passphrase_is_used_where_an_ssh_agent_has_it() {
    let line = Line::new(Route::Exec);
    let (client, agent) = held(&line, SshAgent::start(line.folder.path()));
    let locked = client.home().join("locked");
    harness::new_key(&locked);
    let public = fs::read_to_string(locked.with_extension("pub")).expect("a key");
    line.host().allow(public.trim());
    agent.add(&locked);
    let mut lock = std::process::Command::new("ssh-keygen");
    succeed(lock.args(["-q", "-p", "-P", "", "-N", "secret", "-f"]).arg(&locked));
    client.use_identity(&locked);
    is_in(&ssh_to(&client, "box"));
    assert_eq!(agent.signed(), 1);
}

#[test]
fn another_key_of_the_users_may_be_the_identity() {
    let line = Line::new(Route::Exec);
    let mut client = line.stranger("laptop");
    let key = client.home().join("work/id_ed25519");
    fs::create_dir(client.home().join("work")).expect("a folder");
    line.host().allow(&harness::new_key(&key));
    // Beside the settings.
    client.use_identity("work/id_ed25519".as_ref());
    for mode in MODES {
        client.use_mode(mode);
        is_in(&ssh_to(&client, "box"));
    }
    // The agent may read no key that is elsewhere: whoever has called does without it.
    let elsewhere = line.folder.path().join("id_ed25519");
    line.host().allow(&harness::new_key(&elsewhere));
    client.use_identity(&elsewhere);
    is_in(&ssh_to(&client, "box"));
}

#[test]
fn a_certificate_in_the_ssh_agent_or_beside_the_key_is_shown() {
    let line = Line::new(Route::Exec);
    let authority = Authority::new(line.folder.path(), "team");
    line.host().allow(&format!("cert-authority {}", authority.public));
    let mut client = line.stranger("laptop");
    let key = client.home().join("identity");
    authority.sign(&key.with_extension("pub"), &["-n", &login()]);
    let agent = SshAgent::start(line.folder.path());
    agent.add(&key);
    client.use_ssh_agent(&agent.socket());
    client.use_identity(&key.with_extension("pub"));
    let (beside, kept) = (client.home().join("identity-cert.pub"), client.home().join("kept"));
    fs::rename(&beside, &kept).expect("renamed");
    for mode in MODES {
        client.use_mode(mode);
        is_in(&ssh_to(&client, "box"));
    }
    // One that has the key alone.
    let other = SshAgent::start(&harness::subfolder(line.folder.path(), "other"));
    other.add(&key);
    let ssh = || run(client.ssh().env("SSH_AUTH_SOCK", other.socket()).args(["box", "echo in"]));
    succeed(&mut client.irosh(&["agent", "stop"]));
    is_refused(&ssh(), "this host does not know you");
    fs::rename(&kept, &beside).expect("renamed");
    is_in(&ssh());
}

/// A client whose identity is on a FIDO key.
fn with_fido_key(line: &Line, arguments: &[&str]) -> (Client, SshAgent, String) {
    let mut client = line.stranger("fido");
    let key = client.home().join("id_ed25519_sk");
    let public = new_fido_key(&key, arguments);
    let agent = SshAgent::start(line.folder.path());
    agent.add(&key);
    client.use_ssh_agent(&agent.socket());
    client.use_identity(&key);
    (client, agent, public)
}

#[test]
fn an_identity_on_a_fido_key_is_let_in() {
    if !have_fido_key() {
        return;
    }
    let line = Line::new(Route::Exec);
    let (mut client, agent, public) = with_fido_key(&line, &[]);
    let output = ssh_to(&client, "box");
    // It is told the line that admits it.
    let key = public.trim_end_matches(" test");
    is_refused(&output, "this host does not know you");
    assert!(output.stderr.said().contains(&format!("irosh peers allow '{key}'")), "{}", output.stderr.said());
    line.host().allow(&public);
    for mode in MODES {
        client.use_mode(mode);
        is_in(&ssh_to(&client, "box"));
    }
    let before = agent.signed();
    // A touch is asked for once a connection, and not once a session.
    for _ in 0..3 {
        is_in(&ssh_to(&client, "box"));
    }
    assert_eq!(agent.signed(), before);
}

#[test]
fn a_fido_key_that_was_not_touched_is_refused_unless_its_line_says_otherwise() {
    if !have_fido_key() {
        return;
    }
    let line = Line::new(Route::Exec);
    let (client, _agent, public) = with_fido_key(&line, &["-O", "no-touch-required"]);
    line.host().allow(&public);
    is_refused(&ssh_to(&client, "box"), "your security key was not touched, which this host wants");
    line.host().allow(&format!("no-touch-required {public}"));
    is_in(&ssh_to(&client, "box"));
    line.host().allow(&format!("verify-required {public}"));
    is_refused(&ssh_to(&client, "box"), "your security key has asked for no PIN or finger");
}

#[test]
fn a_fido_key_need_not_be_touched_where_its_certificate_and_its_authoritys_line_say_so() {
    if !have_fido_key() {
        return;
    }
    let line = Line::new(Route::Exec);
    let (client, _agent, _) = with_fido_key(&line, &["-O", "no-touch-required"]);
    let authority = Authority::new(line.folder.path(), "team");
    let sign = |words: &[&str]| authority.sign(&client.home().join("id_ed25519_sk.pub"), words);
    let is_untouched = || is_refused(&ssh_to(&client, "box"), "your security key was not touched");
    line.host().allow(&format!("cert-authority {}", authority.public));
    sign(&["-O", "no-touch-required"]);
    is_untouched();
    line.host().allow(&format!("cert-authority,no-touch-required {}", authority.public));
    is_in(&ssh_to(&client, "box"));
    sign(&[]);
    is_untouched();
    sign(&["-O", "no-touch-required", "-O", "verify-required"]);
    is_refused(&ssh_to(&client, "box"), "your security key has asked for no PIN or finger");
}

#[test]
fn a_fido_key_comes_in_by_an_invite_and_by_a_certificate() {
    if !have_fido_key() {
        return;
    }
    let line = Line::new(Route::Exec);
    let (client, _agent, public) = with_fido_key(&line, &[]);
    client.add_proxied("invite*");
    is_in(&ssh_to(&client, &line.host().invite(&[])));
    let list = fs::read_to_string(line.host().home().join("authorized_peers")).expect("the list");
    assert!(list.contains(public.trim_end_matches(" test")), "{list}");
    let authority = Authority::new(line.folder.path(), "team");
    authority.sign(&client.home().join("id_ed25519_sk.pub"), &[]);
    let listed = line.host().irosh(&["peers", "revoke", public.trim_end_matches(" test")]);
    assert!(listed.status.success(), "{}", listed.stderr.said());
    is_refused(&ssh_to(&client, "box"), "this host does not know its authority");
    line.host().allow(&format!("cert-authority {}", authority.public));
    is_in(&ssh_to(&client, "box"));
}

#[test]
fn a_session_that_has_lost_its_network_has_the_ssh_agent_sign_again() {
    let line = Line::new(Route::Exec);
    let (mut client, agent) = held(&line, SshAgent::start(line.folder.path()));
    client.use_mode(Mode::Agent);
    let mut ssh = Running::waiting(&mut client.ssh());
    assert_eq!(agent.signed(), 1);
    // The host starts anew, and its connections end.
    line.host().daemon.signal(nix::sys::signal::Signal::SIGUSR2);
    poll("another connection", DEADLINE, || (agent.signed() > 1).then_some(()));
    drop(ssh.stdin());
    assert!(ssh.wait(DEADLINE).success());
}

#[test]
fn doctor_says_whether_the_ssh_agent_has_the_key() {
    let line = Line::new(Route::Exec);
    let (client, _agent) = held(&line, SshAgent::start(line.folder.path()));
    let said = run(&mut client.irosh(&["doctor"])).stdout.said();
    let found = said.lines().find(|line| line.contains("  key: ")).expect("a key");
    assert!(found.starts_with("ok") && found.contains(" in the ssh-agent at "), "{said}");
    let other = SshAgent::start(&harness::subfolder(line.folder.path(), "other"));
    let said = run(client.irosh(&["doctor"]).env("SSH_AUTH_SOCK", other.socket())).stdout.said();
    let found = said.lines().find(|line| line.contains("  key: ")).expect("a key");
    assert!(
        found.starts_with("failed") && found.contains("shows no keys: it is locked, or has none"),
        "{said}"
    );
}
