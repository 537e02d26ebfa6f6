//! Names: aliases, ssh_config, and the host keys that come with a name.

mod harness;

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown, symlink},
        process::CommandExt as _,
    },
    path::Path,
};

use harness::{
    Client, HostSetup, IROSH, IROSH_PROXY, Line, Route, Said, Server, folder, over, program, run, subfolder,
    succeed,
};
use nix::unistd::geteuid;

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
    let is_of_box = |line: &str| line.starts_with("box ") || line.starts_with("[box]:* ");
    assert!(lines.lines().all(is_of_box), "{lines}");
}

#[test]
fn who_has_no_home_in_the_environment_has_that_of_the_account() {
    let line = Line::new(Route::Exec);
    let config = subfolder(line.folder.path(), "config/irosh");
    fs::copy(line.client.home().join("hosts.toml"), config.join("hosts.toml")).expect("copied");
    let mut irosh = line.client.irosh(&["hosts", "list"]);
    irosh.env_remove("HOME").env_remove("IROSH_HOME").env_remove("XDG_RUNTIME_DIR");
    let listed = succeed(irosh.env("XDG_CONFIG_HOME", config.parent().expect("a folder")));
    assert!(listed.starts_with("box  "), "{listed}");
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

/// A configuration of ours, as `irosh ssh-config` prints it, before more lines of the user's.
fn printed(client: &Client, irosh: &mut std::process::Command, more: &str) -> std::path::PathBuf {
    let path = client.home().join("printed_config");
    let users = fs::read_to_string(client.config()).expect("read");
    fs::write(&path, succeed(irosh.args(["ssh-config", "print"])) + more + &users).expect("written");
    path
}

/// Goes to a host by this configuration, with no host key known but by what our lines say.
#[track_caller]
fn goes_in(client: &Client, config: &Path, options: &[&str], name: &str) {
    let output = run(client.command("ssh").arg("-F").arg(config).args(options).args([name, "echo in"]));
    assert_eq!(output.stdout.said(), "in\n", "{name}: {}", output.stderr.said());
}

#[test]
fn what_the_user_sets_for_all_hosts_keeps_nobody_from_ours() {
    let line = Line::new(Route::Exec);
    let (client, _) = newcomer(&line);
    succeed(&mut client.irosh(&["hosts", "add", "den", &line.host().ticket()]));
    let more = "Host *\n  HostName %h.corp.example.com\n  ProxyUseFdpass yes\n  CheckHostIP yes\n  \
                ControlMaster auto\n  ControlPath ~/.ssh/cm-%r@%h:%p\n";
    let config = printed(&client, &mut client.irosh(&[]), more);
    for name in ["den", "DEN", "den.irosh", &line.host().ticket(), &line.host().invite(&[])] {
        // The master would outlive the test.
        goes_in(&client, &config, &["-o", "ControlMaster=no"], name);
    }
    let config = printed(&client, &mut client.irosh(&[]), "Host *\n  HostKeyAlias Foo\n  Port 2222\n");
    goes_in(&client, &config, &[], "den");
}

#[test]
fn an_alias_is_known_by_what_its_host_announced_without_a_process_that_says_so() {
    let mut line = Line::new(Route::Exec);
    let (client, _) = newcomer(&line);
    let home = subfolder(client.home(), "a %h's home~");
    fs::rename(client.home().join("identity"), home.join("identity")).expect("moved");
    let at_home = |mut command: std::process::Command| {
        command.env("IROSH_HOME", &home);
        command
    };
    succeed(&mut at_home(client.irosh(&["hosts", "add", "den", &line.host().ticket()])));
    let config = printed(&client, &mut at_home(client.irosh(&[])), "");
    let text = fs::read_to_string(&config).expect("read");
    let block = text.split("Host ").find(|block| block.starts_with("den den.irosh DEN\n")).expect("a block");
    assert!(block.contains("KnownHostsCommand none"), "{block}");
    let ssh = |options: &[&str]| {
        let mut ssh = at_home(client.command("ssh"));
        let output = run(ssh.arg("-F").arg(&config).args(options).arg("echo in"));
        // As when the machine is started again.
        let _ = fs::remove_dir_all(home.join("run"));
        (output.stdout.said(), output.stderr.said())
    };
    let options: [&[&str]; 6] = [
        &["den"],
        &["den.irosh"],
        &["-p", "2222", "den"],
        &["-o", "HostKeyAlias=Foo", "den"],
        &["-o", "CheckHostIP=yes", "den"],
        &["-o", "UpdateHostKeys=yes", "-o", "HashKnownHosts=yes", "den"],
    ];
    for options in options {
        assert_eq!(ssh(options), ("in\n".to_owned(), String::new()), "{options:?}");
    }
    assert!(!client.home().join("known_hosts").exists(), "ssh has made entries of its own");
    line.server.change_host_key();
    let (came_in, said) = ssh(&["den"]);
    assert!(came_in.is_empty() && said.contains("HOST IDENTIFICATION HAS CHANGED"), "{said}");
}

#[test]
fn keys_that_cannot_be_kept_for_ssh_are_said_not_to_be() {
    let line = Line::new(Route::Exec);
    let (client, _) = newcomer(&line);
    succeed(&mut client.irosh(&["hosts", "add", "den", &line.host().ticket()]));
    let config = printed(&client, &mut client.irosh(&[]), "");
    fs::write(client.home().join("announced_keys"), "").expect("a file in the folder's place");
    let mut ssh = client.command("ssh");
    let output = run(ssh.env("IROSH_AGENT", "off").arg("-F").arg(config).args(["den", "echo in"]));
    let said = output.stderr.said();
    assert!(output.stdout.is_empty() && said.contains("Host key verification failed"), "{said}");
    assert!(said.contains("the host's keys, which cannot be kept"), "{said}");
}

#[test]
fn ssh_finds_the_program_whatever_its_path_is_and_after_an_upgrade_has_moved_it() {
    let line = Line::new(Route::Exec);
    let (client, _) = newcomer(&line);
    succeed(&mut client.irosh(&["hosts", "add", "den", &line.host().ticket()]));
    let odd = subfolder(line.folder.path(), "a b'c\"$(touch pwned)`touch pwned`%h\\$HOME;#é");
    let version = |name: &str| {
        let folder = subfolder(line.folder.path(), name);
        for program in [IROSH, IROSH_PROXY] {
            let program = Path::new(program);
            let copy = folder.join(program.file_name().expect("a name"));
            fs::hard_link(program, &copy).or_else(|_| fs::copy(program, &copy).map(drop)).expect("a copy");
        }
        folder
    };
    let lead_to = |version: &Path| {
        for program in ["irosh", "irosh-proxy"] {
            let _ = fs::remove_file(odd.join(program));
            symlink(version.join(program), odd.join(program)).expect("a link");
        }
    };
    let old = version("1.0");
    lead_to(&old);
    let path = std::env::join_paths([odd.as_path(), "/usr/bin".as_ref(), "/bin".as_ref()]);
    let mut irosh = client.command(odd.join("irosh"));
    let by_path = printed(&client, &mut irosh, "");
    goes_in(&client, &by_path, &[], "den");
    let mut irosh = std::process::Command::new("env");
    irosh.env("PATH", path.expect("a PATH")).env("IROSH_HOME", client.home()).arg("irosh");
    let on_path = printed(&client, &mut irosh, "");
    goes_in(&client, &on_path, &[], "den");
    lead_to(&version("1.1"));
    fs::remove_dir_all(old).expect("removed");
    goes_in(&client, &on_path, &[], "den");
    assert!(!Path::new("pwned").exists(), "a shell has read the path");
}

#[test]
fn the_shared_file_works_wherever_the_program_is_on_path() {
    let line = Line::new(Route::Exec);
    let (client, _) = newcomer(&line);
    succeed(&mut client.irosh(&["hosts", "add", "den", &line.host().ticket()]));
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/ssh_config/irosh.conf");
    let config = client.home().join("shared_config");
    let text = fs::read_to_string(shared).expect("read");
    fs::write(&config, text + &fs::read_to_string(client.config()).expect("read")).expect("written");
    let folder = Path::new(IROSH_PROXY).parent().expect("a folder");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("a PATH"));
    for name in ["den.irosh", &line.host().ticket()] {
        let mut ssh = client.command("ssh");
        let output = run(ssh.env("PATH", &path).arg("-F").arg(&config).args([name, "echo in"]));
        assert_eq!(output.stdout.said(), "in\n", "{name}: {}", output.stderr.said());
    }
}

#[test]
fn an_old_ssh_is_told_nothing_that_it_does_not_know() {
    let line = Line::new(Route::Exec);
    let (client, home) = newcomer(&line);
    succeed(&mut client.irosh(&["hosts", "add", "den", &line.host().ticket()]));
    // OpenSSH 8.4 in what counts here: it refuses the keyword wherever it stands.
    let programs = subfolder(line.folder.path(), "old");
    let config = client.home().join("printed_config");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = -V ] && {{ echo 'OpenSSH_8.4p1 Debian-5, OpenSSL 1.1.1' >&2; exit; }}\n\
         grep -i knownhostscommand '{}' && {{ echo 'Bad configuration option: knownhostscommand' >&2; exit 255; }}\n\
         exec /usr/bin/ssh \"$@\"\n",
        config.display()
    );
    fs::write(programs.join("ssh"), script).expect("written");
    fs::set_permissions(programs.join("ssh"), PermissionsExt::from_mode(0o755)).expect("a mode");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a PATH"));
    let with_path = |mut command: std::process::Command| {
        command.env("PATH", &path).env("HOME", &home);
        command
    };
    printed(&client, &mut with_path(client.irosh(&[])), "");
    let mut ssh = with_path(client.command("ssh"));
    ssh.args(["-o", "StrictHostKeyChecking=accept-new", "-F"]).arg(&config).args(["den", "echo in"]);
    let output = run(&mut ssh);
    assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
    let mut exec = with_path(client.irosh(&["exec", "-F"]));
    let output = run(exec.arg(&config).args(["den", "echo in"]));
    assert_eq!(output.stdout.said(), "in\n", "{}", output.stderr.said());
}

#[test]
fn a_config_that_is_read_only_stays_as_it_is() {
    // Root may write whatever it likes.
    if !geteuid().is_root() {
        return;
    }
    let folder = folder();
    let ssh = subfolder(folder.path(), ".ssh");
    let config = ssh.join("config");
    fs::write(&config, "Host a\n").expect("written");
    for path in [folder.path(), &ssh, &config] {
        chown(path, Some(4711), Some(4711)).expect("another owner");
    }
    fs::set_permissions(&config, PermissionsExt::from_mode(0o400)).expect("a mode");
    let irosh = |arguments: &[&str]| {
        let mut irosh = program(IROSH, folder.path());
        run(irosh.args(arguments).current_dir("/").uid(4711).gid(4711))
    };
    let said = irosh(&["ssh-config", "install"]).stderr.said();
    assert!(said.contains(&format!("cannot change {}: Permission denied", config.display())), "{said}");
    assert_eq!(fs::read_dir(&ssh).expect("read").count(), 1, "half a change is left");
    fs::set_permissions(&config, PermissionsExt::from_mode(0o600)).expect("a mode");
    assert!(irosh(&["ssh-config", "install"]).status.success());
    fs::set_permissions(&config, PermissionsExt::from_mode(0o400)).expect("a mode");
    assert!(!irosh(&["ssh-config", "remove"]).status.success());
    assert_eq!(fs::read_to_string(&config).expect("read"), "Include irosh_config\nHost a\n");
    assert!(ssh.join("irosh_config").exists(), "half of it is removed");
}

#[test]
fn a_config_that_cannot_be_changed_is_named_with_the_line_to_write() {
    let line = Line::new(Route::Exec);
    let (client, home) = newcomer(&line);
    let ssh = subfolder(&home, ".ssh");
    symlink("/nonexistent/config", ssh.join("config")).expect("a link");
    let output = run(client.irosh(&["ssh-config", "install"]).env("HOME", &home));
    let said = output.stderr.said();
    assert!(!output.status.success() && said.lines().count() == 3, "{said}");
    assert!(said.contains("Include irosh_config") && said.matches("it is a link to").count() == 1, "{said}");
    assert_eq!(fs::read_dir(&ssh).expect("read").count(), 1, "half a change is left");
}
