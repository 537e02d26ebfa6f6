//! Key files that are not as they should be, and hosts that want the same key.

mod harness;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Output};

use harness::{HostSetup, Line, Route, Said, folder, new_key, run};

/// Spoils a key file in every way; each time the run has to fail with these words and the next step.
fn spoil(path: &Path, run: impl Fn() -> Output) {
    let ways: [(&str, u32, &str, &str); 4] = [
        ("", 0o600, "is empty", "remove it"),
        ("not a key\n", 0o600, "is not an OpenSSH private key", "ssh-keygen -t ed25519"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", 0o600, "is not an OpenSSH private key", "ssh-keygen"),
        ("whatever", 0o644, "can be read by others (mode 0644)", "chmod 600"),
    ];
    for (text, mode, words, next) in ways {
        fs::write(path, text).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
        let output = run();
        let said = output.stderr.said();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words) && said.contains(next), "not `{words}`: {said}");
        assert!(said.contains(&path.display().to_string()), "{said}");
        assert_eq!(fs::read_to_string(path).expect("kept"), text, "the file was changed");
    }
}

#[test]
fn a_host_says_what_is_wrong_with_its_key_file() {
    let folder = folder();
    let setup = HostSetup::new(&folder.path().join("host"), "exec:true");
    spoil(&folder.path().join("host").join("host_key"), || setup.fail());
}

#[test]
fn a_client_says_what_is_wrong_with_its_identity() {
    let line = Line::new(Route::Exec);
    spoil(&line.client.home().join("identity"), || run(&mut line.client.proxy("box")));
}

#[test]
fn a_key_of_another_kind_or_with_a_passphrase_is_refused() {
    let line = Line::new(Route::Exec);
    let path = line.client.home().join("identity");
    for (options, words) in [
        (["-t", "ecdsa", "-N", ""], "only ed25519 will do"),
        (["-t", "ed25519", "-N", "secret"], "has a passphrase"),
    ] {
        fs::remove_file(&path).expect("removed");
        let _ = fs::remove_file(path.with_extension("pub"));
        let mut keygen = line.client.command("ssh-keygen");
        assert!(run(keygen.arg("-q").args(options).arg("-f").arg(&path)).status.success());
        let said = run(&mut line.client.proxy("box")).stderr.said();
        assert!(said.contains(words), "not `{words}`: {said}");
    }
}

#[test]
fn two_hosts_on_one_key_do_not_run() {
    let folder = folder();
    let home = folder.path().join("host");
    let _first = HostSetup::new(&home, "exec:true").start();
    let said = HostSetup::new(&home, "exec:true").fail().stderr.said();
    assert!(said.contains("another host is running on the key") && said.contains("IROSH_HOME"), "{said}");
}

#[test]
fn a_host_that_was_killed_leaves_its_place_free() {
    let folder = folder();
    let home = folder.path().join("host");
    let mut first = HostSetup::new(&home, "exec:true").start();
    first.kill();
    let second = HostSetup::new(&home, "exec:true").start();
    assert_eq!(second.ticket(), first.ticket());
}

#[test]
fn a_host_uses_a_key_that_ssh_keygen_made() {
    let folder = folder();
    let home = folder.path().join("host");
    fs::create_dir(&home).expect("a folder");
    let public = new_key(&home.join("host_key"));
    let host = HostSetup::new(&home, "exec:true").start();
    let id = irosh::host::Identity::from_openssh(&public).expect("a key");
    assert!(
        host.ticket().parse::<irosh::transport::Target>().expect("a ticket").addr().id.as_bytes() == id.key()
    );
}

#[test]
fn wrong_settings_name_file_and_key() {
    let folder = folder();
    let setup = HostSetup::new(&folder.path().join("host"), "exec:true").settings("[limits]\nmax-foo = 1\n");
    let said = setup.fail().stderr.said();
    assert!(said.contains("host.toml") && said.contains("max-foo"), "{said}");
}
