//! `irosh put` and `irosh get` on bad days: killed on the way, a full disk, a host that goes, and file
//! servers that refuse, fail or say nothing. Against OpenSSH's server behind a host and the built-in one.

mod harness;

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::BuildHasher,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use harness::{
    DEADLINE, HostSetup, IROSH, Line, Random, Route, Running, Said, number, over, poll, run, subfolder,
    succeed,
};
use nix::sys::signal::Signal;

/// OpenSSH's server and ours.
const SERVERS: [Route; 2] = [Route::Tcp, Route::Builtin];

/// Which way files go, and so whose disk is written to.
const WAYS: [&str; 2] = ["put", "get"];

const MIB: u64 = 1 << 20;

/// A copy of `from` into a folder; both are on this machine, so the way does not matter for the paths.
fn copy(line: &Line, way: &str, options: &[&str], from: &Path, to: &Path) -> Command {
    let mut command = line.client.native(way);
    command.args(options).arg("box").arg(from).arg(to).stdin(Stdio::null());
    command
}

/// What is in a folder, with sizes.
fn entries(folder: &Path) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len()))).collect()
}

fn arrived(folder: &Path) -> u64 {
    entries(folder).iter().map(|(_, size)| size).sum()
}

/// Starts a copy and waits until so many bytes have arrived.
fn on_its_way(mut command: Command, folder: &Path, bytes: u64) -> Running {
    let running = Running::start(command.stdout(Stdio::null()).stderr(Stdio::piped()));
    poll("some bytes", DEADLINE, || (arrived(folder) > bytes).then_some(()));
    running
}

/// The status and the message of a command that has to fail.
fn failure(command: &mut Command) -> (Option<i32>, String) {
    let output = run(command);
    (output.status.code(), output.stderr.said())
}

/// `IROSH_TEST_KILLS=20` kills as often each way at each server.
#[test]
fn a_copy_that_is_killed_anywhere_goes_on_where_it_was() {
    let size = 200 * MIB;
    over(&SERVERS, |line| {
        let file = line.folder.path().join("file");
        let bytes = Random::bytes(3, size as usize);
        fs::write(&file, &bytes).expect("a file");
        for round in 0..number("IROSH_TEST_KILLS", 1) {
            for way in WAYS {
                let there = subfolder(line.folder.path(), &format!("{way}{round}"));
                let place = RandomState::new().hash_one(round) % (size * 3 / 4);
                let options = ["--resume", "--json"];
                let mut running = on_its_way(copy(line, way, &options, &file, &there), &there, place);
                running.signal(Signal::SIGKILL);
                running.wait(DEADLINE);
                poll("the end of the session", DEADLINE, || line.server.processes().is_empty().then_some(()));
                if there.join("file").exists() {
                    assert!(fs::read(there.join("file")).expect("a file") == bytes, "a part had the name");
                    fs::remove_dir_all(there).expect("removed");
                    continue;
                }
                let before = arrived(&there);
                let output = run(&mut copy(line, way, &options, &file, &there));
                assert!(output.status.success(), "{}", output.stderr.said());
                assert!(fs::read(there.join("file")).expect("a file") == bytes, "{way} {place}");
                let said: serde_json::Value = serde_json::from_str(&output.stdout.said()).expect("JSON");
                let sent = said["bytes"].as_u64().expect("a number");
                eprintln!("{way}: killed at {before} of {size}, {sent} sent then");
                assert!(sent <= size - before + MIB.min(before), "{way}: {sent} after {before}: {said}");
                assert_eq!(entries(&there).len(), 1, "nothing is left behind");
                fs::remove_dir_all(there).expect("removed");
            }
        }
    });
}

#[test]
fn a_host_that_was_killed_in_the_middle_of_a_put_ends_it_when_it_is_back() {
    // What was at the host can only be gone on with.
    host_goes("put");
}

#[test]
fn a_host_that_was_killed_in_the_middle_of_a_get_ends_it_when_it_is_back() {
    assert!(host_goes("get").is_empty(), "what this machine wrote is removed");
}

/// What is left in the folder.
fn host_goes(way: &str) -> Vec<(PathBuf, u64)> {
    let mut line = Line::new(Route::Builtin);
    let file = line.folder.path().join("file");
    fs::write(&file, Random::bytes(3, 300 << 20)).expect("a file");
    let there = subfolder(line.folder.path(), "there");
    let mut running = on_its_way(copy(&line, way, &[], &file, &there), &there, 10 * MIB);
    line.host.as_mut().expect("a host").kill();
    let backend = format!("exec:{}", line.server.builtin_command());
    let _again = HostSetup::new(&line.folder.path().join("host"), &backend).start();
    assert_eq!(running.wait(DEADLINE).code(), Some(6));
    assert!(!there.join("file").exists());
    entries(&there)
}

#[test]
fn an_interrupted_copy_leaves_nothing_behind() {
    over(&SERVERS, |line| {
        let file = line.folder.path().join("file");
        fs::write(&file, Random::bytes(3, 300 << 20)).expect("a file");
        for way in WAYS {
            let there = subfolder(line.folder.path(), way);
            let mut running = on_its_way(copy(line, way, &[], &file, &there), &there, 10 * MIB);
            running.signal(Signal::SIGINT);
            assert_eq!(running.wait(DEADLINE).code(), Some(130), "{way}");
            poll("an empty folder", DEADLINE, || entries(&there).is_empty().then_some(()));
        }
    });
}

#[test]
fn an_interrupted_get_of_many_small_files_leaves_no_part() {
    over(&SERVERS, |line| {
        let tree = subfolder(line.folder.path(), "tree");
        let bytes = Random::bytes(3, 20_000);
        for number in 0..5000 {
            fs::write(tree.join(number.to_string()), &bytes).expect("a file");
        }
        for round in 0..3 {
            let there = subfolder(line.folder.path(), &format!("get{round}"));
            let get = copy(line, "get", &[], &tree.join("."), &there);
            let mut running = on_its_way(get, &there, MIB);
            running.signal(Signal::SIGINT);
            assert_eq!(running.wait(DEADLINE).code(), Some(130));
            let left = entries(&there);
            assert!(left.len() < 5000, "it is not that fast");
            assert!(left.iter().all(|(_, size)| *size == 20_000), "{left:?}");
            assert!(left.iter().all(|(path, _)| path.extension().is_none()), "{left:?}");
        }
    });
}

#[test]
fn a_copy_whose_host_stops_answering_ends_at_the_first_signal() {
    for way in WAYS {
        let line = Line::new(Route::Builtin);
        let file = line.folder.path().join("file");
        fs::write(&file, Random::bytes(3, 300 << 20)).expect("a file");
        let there = subfolder(line.folder.path(), "there");
        let mut running = on_its_way(copy(&line, way, &[], &file, &there), &there, 10 * MIB);
        line.host().daemon.signal(Signal::SIGSTOP);
        running.signal(Signal::SIGINT);
        assert_eq!(running.wait(Duration::from_secs(3)).code(), Some(130), "{way}");
    }
}

#[test]
fn a_pipe_that_is_named_is_an_error_and_one_in_a_folder_is_left_out() {
    over(&SERVERS, |line| {
        let tree = subfolder(line.folder.path(), "tree");
        fs::write(tree.join("file"), "x").expect("a file");
        succeed(Command::new("mkfifo").arg(tree.join("pipe")));
        for way in WAYS {
            let there = subfolder(line.folder.path(), way);
            let (code, said) = failure(&mut copy(line, way, &[], &tree.join("pipe"), &there));
            assert!(code == Some(10) && said.contains("FIFO, socket or device"), "{way}: {code:?} {said}");
            let (code, said) = failure(&mut copy(line, way, &[], &tree, &there));
            assert!(code == Some(0) && said.contains("pipe: left out"), "{way}: {code:?} {said}");
            assert_eq!(entries(&there.join("tree")).len(), 1);
        }
        // As bash writes `<(command)`.
        let there = subfolder(line.folder.path(), "command");
        let (code, said) = failure(&mut copy(line, "put", &[], Path::new("/dev/stdin"), &there));
        assert!(code == Some(10) && said.contains("/dev/stdin: is a local FIFO"), "{code:?} {said}");
        assert!(entries(&there).is_empty());
    });
}

#[test]
fn a_limit_of_file_sizes_is_an_error_that_leaves_nothing() {
    let line = Line::new(Route::Builtin);
    let file = line.folder.path().join("file");
    fs::write(&file, Random::bytes(3, 8 << 20)).expect("a file");
    let there = subfolder(line.folder.path(), "there");
    let mut get = line.client.command("sh");
    get.args(["-c", "ulimit -f 4096; exec \"$@\"", "sh", IROSH, "get", "-F"]).arg(line.client.config());
    let (code, said) = failure(get.arg("box").arg(&file).arg(&there));
    assert!(code == Some(11) && said.contains("ulimit -f"), "{code:?} {said}");
    assert!(entries(&there).is_empty());
}

#[test]
fn a_failed_copy_tells_what_and_where_as_json() {
    over(&SERVERS, |line| {
        let tree = subfolder(line.folder.path(), "tree/inner");
        fs::write(tree.join("file"), "x").expect("a file");
        let missing = line.folder.path().join("missing");
        for way in WAYS {
            let there = subfolder(line.folder.path(), way);
            let mut command = line.client.native(way);
            command.args(["--json", "box"]).arg(tree.parent().expect("a tree")).arg(&missing).arg(&there);
            let output = run(&mut command);
            assert_eq!(output.status.code(), Some(8), "{}", output.stderr.said());
            let told: serde_json::Value = serde_json::from_str(&output.stdout.said()).expect("JSON");
            assert_eq!(
                (&told["ok"], &told["files"], &told["folders"]),
                (&false.into(), &1.into(), &2.into())
            );
            assert_eq!(told["errors_total"], 1);
            assert_eq!(told["errors"][0]["path"], missing.display().to_string());
            let message = told["errors"][0]["message"].as_str().expect("a message");
            assert!(message.contains("no such"), "{message}");
        }
        let mut nowhere = line.client.native("get");
        let output = run(nowhere.args(["--json", "bxo", "a", "b"]));
        let told: serde_json::Value = serde_json::from_str(&output.stdout.said()).expect("JSON");
        let message = told["errors"][0]["message"].as_str().expect("a message");
        assert!(told["ok"] == false && message.contains("did you mean `box`?"), "{told}");
    });
}

/// Says to a test that it runs where it may mount.
const MOUNTS: &str = "IROSH_TEST_MOUNTS";

#[test]
fn a_full_destination_is_told_and_left_as_it_was() {
    if std::env::var_os(MOUNTS).is_none() {
        if !nix::unistd::Uid::effective().is_root()
            || !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success())
        {
            return harness::skip("mounting is for root");
        }
        // Nobody else is to see what is mounted.
        let mut inside = Command::new("unshare");
        inside.arg("-m").arg(std::env::current_exe().expect("this test"));
        inside.args(["--exact", "a_full_destination_is_told_and_left_as_it_was"]).env(MOUNTS, "1");
        let said = succeed(&mut inside);
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    over(&SERVERS, |line| {
        let file = line.folder.path().join("file");
        fs::write(&file, Random::bytes(3, 8 << 20)).expect("a file");
        for way in WAYS {
            let small = subfolder(line.folder.path(), way);
            succeed(Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "none"]).arg(&small));
            let (code, said) = failure(&mut copy(line, way, &[], &file, &small));
            let side = if way == "put" { "remote" } else { "local" };
            assert!(
                code == Some(11) && said.contains(&format!("the {side} disk is full")),
                "{code:?} {said}"
            );
            poll("an empty folder", DEADLINE, || entries(&small).is_empty().then_some(()));
            succeed(Command::new("umount").arg(&small));
        }
    });
}

/// A line whose server serves files by this shell script.
fn with_file_server(route: Route, script: &str) -> Line {
    let line = Line::new(route);
    let path = line.folder.path().join("file-server");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    with_subsystem(line, &path.display().to_string())
}

fn with_subsystem(line: Line, command: &str) -> Line {
    line.server.serve_files_by(command);
    line
}

/// Where the server reads its configuration for each connection.
const FRESH: [Route; 2] = [Route::Exec, Route::Builtin];

#[test]
fn a_file_server_that_takes_nothing_is_a_refusal() {
    for route in FRESH {
        let line = with_subsystem(Line::new(route), "internal-sftp -R");
        let file = line.folder.path().join("file");
        fs::write(&file, "x").expect("a file");
        let there = subfolder(line.folder.path(), "there");
        let (code, said) = failure(&mut copy(&line, "put", &[], &file, &there));
        assert!(code == Some(9) && said.contains("permission denied on the remote side"), "{code:?} {said}");
        assert!(entries(&there).is_empty());
    }
}

#[test]
fn a_file_server_that_does_not_start_is_told() {
    for route in FRESH {
        let line = with_file_server(route, "exit 3");
        for way in WAYS {
            let (code, said) =
                failure(&mut copy(&line, way, &[], Path::new("/etc/hostname"), Path::new("/tmp")));
            assert!(code == Some(1) && said.contains("did not start: exit status 3"), "{code:?} {said}");
        }
    }
}

#[test]
fn a_file_server_that_says_nothing_can_be_interrupted() {
    for route in FRESH {
        let line = with_file_server(route, "touch ~/begun; exec sleep 1000");
        let begun = line.server.home().join("begun");
        let mut get = copy(&line, "get", &[], Path::new("/etc/hostname"), Path::new("/tmp"));
        let mut running = Running::start(get.stdout(Stdio::null()).stderr(Stdio::null()));
        poll("the file server", DEADLINE, || begun.exists().then_some(()));
        running.signal(Signal::SIGINT);
        assert_eq!(running.wait(DEADLINE).code(), Some(130));
    }
}
