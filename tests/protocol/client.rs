//! The script as a client of a host.

use std::path::{Path, PathBuf};

use irosh::{host::Identity, transport::Application};

use crate::{
    can_run,
    harness::{Authority, Carrier, DEADLINE, Host, HostSetup, Line, Route, folder, new_key, poll},
    in_time, runtime, script,
};

/// A script's scenario against a host with this backend and these settings; `look` has what the script asks the test
/// to wait for.
fn speaks(scenario: &str, backend: &str, settings: &str, look: impl Fn(&Host)) {
    if !can_run() {
        return;
    }
    let folder = folder();
    let identity = folder.path().join("identity");
    let public = new_key(&identity);
    let host = HostSetup::new(&folder.path().join("host"), backend).settings(settings).start();
    host.allow(&public);
    says(&host, &[scenario, &identity.display().to_string()], || look(&host));
}

/// Runs the script against a host.
fn says(host: &Host, arguments: &[&str], look: impl Fn()) {
    runtime().block_on(in_time(async {
        let mut carrier = Carrier::start(script("client.py", arguments), Some(host));
        while carrier.asks().await.is_some() {
            tokio::task::block_in_place(&look);
            carrier.seen();
        }
        carrier.ends().await;
    }));
}

/// A backend that sends back what it is sent.
fn echoes(scenario: &str) {
    speaks(scenario, "exec:cat", "", |_| panic!("nothing is asked for"));
}

/// Scenarios of the script against [`echoes`].
macro_rules! scenarios {
    ($($name:ident,)*) => { $(
        #[test]
        fn $name() {
            echoes(stringify!($name));
        }
    )* };
}

scenarios! {
    a_session_from_hello_to_the_echo_of_closed,
    what_a_client_of_the_future_says_is_passed_over,
    another_version_is_refused_and_costs_nothing,
    a_proof_that_does_not_hold_is_refused,
    a_proof_may_be_an_sshsig,
    nothing_is_lost_with_a_connection,
    nothing_is_lost_with_a_leg,
    nothing_is_lost_where_the_old_connection_lives,
    an_end_of_file_under_way_at_the_cut_arrives,
    an_end_of_file_that_was_not_seen_is_sent_again,
    a_session_is_closed_while_it_is_detached,
}

#[test]
fn a_server_is_heard_from_its_banner_on() {
    if can_run() {
        let line = Line::new(Route::Exec);
        let identity = line.client.home().join("identity").display().to_string();
        says(line.host(), &["a_server_is_heard_from_its_banner_on", &identity, &line.server.host_key], || ());
    }
}

#[test]
fn both_tails_are_full_at_the_cut() {
    // A small window.
    speaks("both_tails_are_full_at_the_cut", "exec:cat", "[limits]\nmax-unread = 1\n", |_| ());
}

/// A script's scenario against a host that lets in what `allowed` makes of its key; the script is told this file as well.
fn introduces_itself(scenario: &str, allowed: impl Fn(&Path) -> (String, PathBuf)) {
    if !can_run() {
        return;
    }
    let folder = folder();
    let identity = folder.path().join("identity");
    let host = HostSetup::new(&folder.path().join("host"), "exec:cat").start();
    new_key(&identity);
    let (line, file) = allowed(&identity);
    host.allow(&line);
    let (identity, file) = (identity.display().to_string(), file.display().to_string());
    says(&host, &[scenario, &identity, &file], || panic!("nothing is asked for"));
}

#[test]
fn a_fido_key_proves_what_its_bytes_alone_do_not() {
    introduces_itself("a_fido_key_proves_what_its_bytes_alone_do_not", |key| {
        let public = std::fs::read_to_string(key.with_extension("pub")).expect("a key");
        let public = Identity::from_openssh(&public).expect("an identity");
        let application = Application::new("ssh:").expect("an application");
        (Identity::security_key(*public.key(), application).openssh(), PathBuf::new())
    });
}

#[test]
fn a_certificate_lets_in_who_is_on_no_list() {
    introduces_itself("a_certificate_lets_in_who_is_on_no_list", |key| {
        let authority = Authority::new(key.parent().expect("a folder"), "team");
        authority.sign(&key.with_extension("pub"), &[]);
        (format!("cert-authority {}", authority.public), key.with_file_name("identity-cert.pub"))
    });
}

#[test]
fn sessions_of_an_instance_that_is_gone_are_ended() {
    speaks("sessions_of_an_instance_that_is_gone_are_ended", "exec:cat", "", |host| {
        let ended = host.wait_event(|event| event["event"] == "session_ended");
        assert_eq!(ended["reason"], "the client's process was gone");
    });
}

#[test]
fn a_server_that_ends_while_nobody_is_there_is_heard_to_the_last_byte() {
    let folder = folder();
    let gone = folder.path().join("gone");
    let ends = folder.path().join("server");
    let text = format!("read go\nhead -c 300000 /dev/zero | tr '\\0' x\ntouch {}\n", gone.display());
    std::fs::write(&ends, text).expect("a script");
    let backend = format!("exec:sh {}", ends.display());
    let name = "a_server_that_ends_while_nobody_is_there_is_heard_to_the_last_byte";
    speaks(name, &backend, "", |_| poll("the server's end", DEADLINE, || gone.exists().then_some(())));
}
