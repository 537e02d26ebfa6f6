//! Names: aliases, ssh_config, and the host keys that come with a name.

mod harness;

use std::fs;

use harness::{
    Client, HostSetup, IROSH_PROXY, Line, Route, Said, Server, folder, over, run, subfolder, succeed,
};

#[test]
fn a_name_needs_no_first_use_question_and_no_known_hosts() {
    over(&[Route::Exec, Route::Tcp, Route::Relayed], |line| {
        let output = run(line.client.ssh().args(["-o", "BatchMode=no", "box", "echo in"]));
        assert_eq!(output.stdout.said(), "in\n");
        assert_eq!(output.stderr.said(), "");
        assert!(!line.client.home().join("known_hosts").exists());
    });
}

#[test]
fn a_host_key_that_is_not_the_announced_one_is_refused_loudly() {
    let mut line = Line::new(Route::Exec);
    assert!(line.client.exec("true").status.success());
    line.server.change_host_key();
    let output = line.client.exec("echo in");
    assert_eq!((output.status.code(), output.stdout.said().as_str()), (Some(255), ""));
    let said = output.stderr.said();
    assert!(said.contains("HOST IDENTIFICATION HAS CHANGED"), "{said}");
}

#[test]
fn known_hosts_lines_are_printed_for_a_host_that_was_never_reached() {
    let line = Line::new(Route::Exec);
    let lines = succeed(line.client.command(IROSH_PROXY).args(["--known-hosts", "box"]));
    let key: Vec<_> = line.server.host_key.split(' ').take(2).collect();
    assert!(lines.contains(&key.join(" ")), "{lines}");
    assert!(lines.lines().all(|line| line.starts_with("box")), "{lines}");
}

#[test]
fn a_misspelt_name_is_answered_with_the_nearest() {
    let line = Line::new(Route::Exec);
    line.client.add_host("workstation", &line.host().ticket());
    line.client.add_proxied("wrokstation");
    let output = run(line.client.ssh().args(["wrokstation", "true"]));
    let said = output.stderr.said();
    assert!(said.contains("no host is called `wrokstation`"), "{said}");
    assert!(said.contains("did you mean `workstation`?"), "{said}");
}

#[test]
fn names_are_listed_shown_and_removed() {
    let line = Line::new(Route::Exec);
    let irosh = |arguments: &[&str]| run(&mut line.client.irosh(arguments));
    assert!(irosh(&["hosts", "list"]).stdout.said().starts_with("box  endpoint"));
    assert!(irosh(&["hosts", "show", "box"]).stdout.said().contains("127.0.0.1:"));
    assert!(irosh(&["hosts", "remove", "box"]).status.success());
    assert_eq!(irosh(&["hosts", "list"]).stdout.said(), "");
    let output = irosh(&["hosts", "remove", "box"]);
    assert!(!output.status.success() && output.stderr.said().contains("no host is called `box`"));
}

/// A client with a home that nothing was ever written to.
fn newcomer(line: &Line) -> (Client, std::path::PathBuf) {
    let client = Client::new(line.folder.path(), "newcomer", &line.server);
    line.host().allow(&client.identity);
    let home = subfolder(line.folder.path(), "empty home");
    (client, home)
}

#[test]
fn ssh_config_is_installed_into_an_empty_home_and_plain_ssh_finds_a_name() {
    let line = Line::new(Route::Exec);
    let (client, home) = newcomer(&line);
    let irosh = |arguments: &[&str]| succeed(client.irosh(arguments).env("HOME", &home));
    irosh(&["ssh-config", "install"]);
    irosh(&["hosts", "add", "den", &line.host().ticket()]);
    // ssh resolves `Include` against the home of the password database, so it is told in full here.
    let own = home.join(".ssh/irosh_config");
    let config = home.join(".ssh/config");
    assert_eq!(fs::read_to_string(&config).expect("a config"), "Include irosh_config\n");
    fs::write(&config, format!("Include \"{}\"\n", own.display())).expect("written");
    for name in ["den", "den.irosh", &line.host().ticket()] {
        let mut ssh = client.command("ssh");
        ssh.arg("-F").arg(&config).arg("-i").arg(line.server.user_key());
        ssh.args([
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "BatchMode=yes",
        ]);
        let output = run(ssh.args([name, "echo in"]));
        assert_eq!(output.stdout.said(), "in\n", "{name}: {}", output.stderr.said());
    }
    // A host without our help is left alone.
    assert!(
        !succeed(client.command("ssh").arg("-F").arg(&config).args(["-G", "example.com"])).contains("irosh")
    );
}

#[test]
fn a_name_with_capitals_is_found_as_it_was_typed() {
    let line = Line::new(Route::Exec);
    let (client, _) = newcomer(&line);
    succeed(&mut client.irosh(&["hosts", "add", "Den", &line.host().ticket()]));
    let own = client.home().join("own_config");
    fs::write(&own, succeed(&mut client.irosh(&["ssh-config", "print"]))).expect("written");
    let settings = succeed(client.command("ssh").arg("-F").arg(&own).args(["-G", "Den"]));
    assert!(settings.contains("irosh-proxy"), "no proxy for Den");
}

#[test]
fn a_name_given_to_an_invite_admits_at_the_first_connection() {
    let line = Line::new(Route::Exec);
    let (client, _) = newcomer(&line);
    let invite = line.host().invite(&[]);
    succeed(&mut client.irosh(&["hosts", "add", "box", &invite]));
    let listed = succeed(&mut client.irosh(&["hosts", "list"]));
    assert!(listed.starts_with("box  endpoint"), "the secret is shown: {listed}");
    client.add_proxied("box");
    assert!(run(client.ssh().args(["box", "true"])).status.success());
}

#[test]
fn names_are_a_users_own() {
    let line = Line::new(Route::Exec);
    let output = run(&mut line.client.irosh(&["--system", "hosts", "list"]));
    assert!(!output.status.success() && output.stderr.said().contains("leave out --system"));
}

#[test]
fn installing_and_removing_leaves_the_users_lines_as_they_were() {
    let line = Line::new(Route::Exec);
    let (client, home) = newcomer(&line);
    let config = subfolder(&home, ".ssh").join("config");
    let own = "Host a\n  Port 3\n# last";
    fs::write(&config, own).expect("written");
    let irosh = |arguments: &[&str]| succeed(client.irosh(arguments).env("HOME", &home));
    irosh(&["ssh-config", "install"]);
    irosh(&["ssh-config", "install"]);
    assert_eq!(fs::read_to_string(&config).expect("read"), format!("Include irosh_config\n{own}"));
    irosh(&["ssh-config", "remove"]);
    assert_eq!(fs::read_to_string(&config).expect("read"), own);
}

#[test]
fn a_target_that_is_cut_off_is_said_to_be() {
    let line = Line::new(Route::Exec);
    let ticket = line.host().ticket();
    let output = run(&mut line.client.proxy(&ticket[..ticket.len() - 4]));
    let said = output.stderr.said();
    assert!(!output.status.success() && said.contains("this ticket is damaged or cut off"), "{said}");
}

#[test]
fn the_endpoint_id_alone_says_why_it_does_not_do() {
    let folder = folder();
    let server = Server::new(folder.path());
    let client = Client::new(folder.path(), "client", &server);
    let host = HostSetup::new(&folder.path().join("host"), "exec:cat").start();
    let ticket: serde_json::Value =
        serde_json::from_slice(&host.irosh(&["ticket", "--json"]).stdout).expect("JSON");
    let output = run(&mut client.proxy(ticket["endpoint_id"].as_str().expect("an id")));
    let said = output.stderr.said();
    assert!(said.contains("no address is known") && said.contains("use a ticket"), "{said}");
}
