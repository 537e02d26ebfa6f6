//! The system's service.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::Command,
    thread,
};

use nix::unistd::User;

use super::{
    harness::{self, Chat, IROSH, Said, run, subfolder, succeed},
    stage::{System, Visitor},
};

fn owner(path: &str) -> String {
    let uid = fs::symlink_metadata(path).expect(path).uid();
    User::from_uid(uid.into()).expect("the list of users").map_or_else(|| uid.to_string(), |user| user.name)
}

#[test]
fn the_system_s_service_leads_to_sshd_as_a_user_of_its_own() {
    let Some(System { stage, .. }) = System::new() else { return };
    // What answers at port 22 decides.
    let said = stage.fails("systemd", &["install", "--system"]);
    assert!(said.contains("no sshd answers") && said.contains("--backend builtin"), "{said}");
    let listener = TcpListener::bind("127.0.0.1:22").expect("a port");
    thread::spawn(move || {
        listener.incoming().flatten().for_each(|mut caller| drop(caller.write_all(b"SSH-2.0-stand-in\r\n")));
    });
    let said = stage.succeeds("systemd", &["install", "--system"]);
    assert!(
        said.contains("--backend tcp:127.0.0.1:22") && said.contains("sudo irosh --system pair"),
        "{said}"
    );
    for folder in ["/var/lib/irosh", "/etc/irosh", "/var/lib/irosh/host_key"] {
        assert_eq!(owner(folder), "irosh", "{folder}");
    }
    let visitor = Visitor::new(&stage);
    stage.succeeds("systemd", &["install", "--system", "--backend", &visitor.sshd.backend()]);
    let chat = visitor.enter(&stage, &["--system"]);
    stage.succeeds("systemd", &["restart", "--system"]);
    chat.flows();
    let (_, status) = stage.status("--system");
    let pid = status["host"]["pid"].as_u64().expect("a process");
    let process = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let has = |line: &str| assert!(process.lines().any(|found| found == line), "{line}: {process}");
    has("CapEff:\t0000000000000000");
    has("CapBnd:\t0000000000000000");
    has("NoNewPrivs:\t1");
    assert_ne!(fs::metadata(format!("/proc/{pid}")).expect("a process").uid(), 0);
    drop(chat.ends());
    let calls = stage.calls();
    assert!(calls.contains(&"systemctl enable irosh-host.service".to_owned()), "{calls:?}");
    // Keys and lists outlive it, and their user with them.
    stage.succeeds("systemd", &["uninstall", "--system"]);
    assert!(!Path::new("/etc/systemd/system/irosh-host.service").exists());
    assert_eq!(owner("/var/lib/irosh/host_key"), "irosh");
    stage.succeeds("systemd", &["uninstall", "--system", "--purge"]);
    for path in ["/etc/irosh", "/var/lib/irosh", "/run/irosh"] {
        assert!(!Path::new(path).exists(), "{path}");
    }
    assert_eq!(User::from_name("irosh").expect("the list of users"), None);
}

#[test]
fn the_system_s_service_is_root_s_only_where_its_own_server_is_asked_for() {
    let Some(system) = System::new() else { return };
    let stage = &system.stage;
    let visitor = Visitor::new(stage);
    stage.succeeds("systemd", &["install", "--system", "--backend", &visitor.sshd.backend()]);
    succeed(&mut stage.irosh(&["--system", "invite"]));
    assert!(system.unit().contains("User=irosh") && system.unit().contains("NoNewPrivileges=yes"));
    let output = stage.service("systemd", &["install", "--system", "--backend", "builtin"]);
    assert!(output.status.success(), "{}", output.stderr.said());
    assert!(output.stderr.said().contains("runs as root"), "{}", output.stderr.said());
    assert!(!system.unit().contains("User=") && !system.unit().contains("NoNewPrivileges"));
    // What was the user's is root's, who would not use it otherwise.
    for path in ["/etc/irosh", "/var/lib/irosh", "/var/lib/irosh/host_key", "/var/lib/irosh/invites.toml"] {
        assert_eq!(owner(path), "root", "{path}");
    }
    let login = format!("login=\"{}\" {}", harness::login(), visitor.client.identity);
    succeed(stage.irosh(&["--system", "peers", "allow"]).arg(login));
    visitor.client.add_host("box", succeed(&mut stage.irosh(&["--system", "ticket"])).trim());
    let chat = Chat::by(&mut visitor.client.ssh());
    chat.flows();
    stage.succeeds("systemd", &["restart", "--system"]);
    chat.flows();
    drop(chat.ends());
    // And back.
    stage.succeeds("systemd", &["install", "--system", "--backend", &visitor.sshd.backend()]);
    assert_eq!(owner("/var/lib/irosh/host_key"), "irosh");
    assert_eq!(stage.status("--system").0, Some(0));
}

#[test]
fn a_package_s_unit_is_used_and_changed_by_a_file_beside_it() {
    let Some(system) = System::new() else { return };
    let stage = &system.stage;
    let of_package = "/usr/local/lib/systemd/system/irosh-host.service";
    let unit = include_str!("../../contrib/systemd/irosh-host.service")
        .replace("/usr/bin/irosh", "/usr/local/bin/irosh");
    fs::write(of_package, &unit).expect("a unit");
    stage.succeeds("systemd", &["install", "--system", "--backend", "tcp:127.0.0.1:2222"]);
    assert_eq!(system.unit(), "", "the package's is the one");
    let drop_in = "/etc/systemd/system/irosh-host.service.d/irosh-service.conf";
    let text = fs::read_to_string(drop_in).expect("a drop-in");
    assert!(
        text.contains(
            "ExecStart=\nExecStart=/usr/local/bin/irosh --system host --backend tcp:127.0.0.1:2222"
        ),
        "{text}"
    );
    assert_eq!(stage.status("--system").1["host"]["backend"], "tcp:127.0.0.1:2222");
    let said = stage.succeeds("systemd", &["uninstall", "--system"]);
    assert!(said.contains("is a package's"), "{said}");
    assert!(!Path::new(drop_in).exists() && Path::new(of_package).exists());
    assert_eq!(stage.status("--system").0, Some(3));
}

#[test]
fn the_system_s_service_runs_no_program_that_others_can_change() {
    let Some(System { mut stage, .. }) = System::new() else { return };
    let install = ["install", "--system", "--backend", "tcp:127.0.0.1:1"];
    let folder = subfolder(Path::new("/usr/local/lib"), "open");
    let copy = folder.join("irosh");
    fs::copy(IROSH, &copy).expect("a copy");
    stage.irosh = copy.clone();
    chown(&folder, Some(4711), None).expect("chown");
    let said = stage.fails("systemd", &install);
    assert!(said.contains("others than root can change") && said.contains("sudo install -m 755"), "{said}");
    chown(&folder, Some(0), None).expect("chown");
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).expect("a mode");
    let said = stage.fails("systemd", &install);
    assert!(said.contains("others than root cannot reach"), "{said}");
    assert!(!Path::new("/etc/systemd/system/irosh-host.service").exists());
    assert_eq!(User::from_name("irosh").expect("the list of users"), None, "nothing was done");
}

#[test]
fn a_user_of_that_name_who_is_somebody_else_is_not_the_service_s() {
    let Some(System { stage, .. }) = System::new() else { return };
    let mut passwd = fs::read_to_string("/etc/passwd").expect("the list of users");
    passwd += "irosh:x:4711:4711:Irosh:/home/irosh:/bin/sh\n";
    fs::write("/etc/passwd", passwd).expect("written");
    let said = stage.fails("systemd", &["install", "--system", "--backend", "tcp:127.0.0.1:1"]);
    assert!(said.contains("there is a user irosh already"), "{said}");
}

#[test]
fn who_is_not_root_is_told_to_use_sudo() {
    let Some(System { stage, .. }) = System::new() else { return };
    let mut command = stage.irosh(&["service", "--manager", "systemd", "install", "--system"]);
    std::os::unix::process::CommandExt::uid(&mut command, 65534);
    let output = run(&mut command);
    let said = output.stderr.said();
    assert!(said.contains("root's to change") && said.contains("sudo"), "{said}");
    assert_eq!(stage.calls(), Vec::<String>::new());
}

#[test]
fn openrc_is_told_what_the_plan_is() {
    let Some(System { stage, .. }) = System::new() else { return };
    stage.succeeds("openrc", &["install", "--system", "--backend", "tcp:127.0.0.1:1"]);
    let script = fs::read_to_string("/etc/init.d/irosh-host").expect("a script");
    assert!(script.contains("command=/usr/local/bin/irosh\n"), "{script}");
    assert!(script.contains("command_args='--system host --backend tcp:127.0.0.1:1'"), "{script}");
    assert!(script.contains("command_user=\"irosh:irosh\""), "{script}");
    succeed(Command::new("sh").args(["-n", "/etc/init.d/irosh-host"]));
    assert_eq!(fs::metadata("/etc/init.d/irosh-host").expect("a script").mode() & 0o777, 0o755);
    assert_eq!(stage.calls(), ["rc-update add irosh-host default", "rc-service irosh-host start"]);
    stage.succeeds("openrc", &["restart", "--system"]);
    assert_eq!(stage.calls(), ["rc-service irosh-host upgrade"]);
    stage.succeeds("openrc", &["install", "--system", "--backend", "builtin"]);
    assert_eq!(stage.calls().last().map(String::as_str), Some("rc-service irosh-host restart"));
    let output = stage.service("openrc", &["status", "--system"]);
    assert_eq!(output.status.code(), Some(0), "{}", output.stderr.said());
    stage.succeeds("openrc", &["uninstall", "--system"]);
    assert_eq!(stage.calls(), ["rc-service irosh-host stop", "rc-update del irosh-host default"]);
    assert!(!Path::new("/etc/init.d/irosh-host").exists());
    let said = stage.fails("openrc", &["install", "--user"]);
    assert!(said.contains("--system") && said.contains("setsid"), "{said}");
}
