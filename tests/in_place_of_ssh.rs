//! `irosh exec` where other programs expect ssh: git, rsync, scp and sftp run it, and its streams are whatever
//! they make them.

mod harness;

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use harness::{
    DEADLINE, IROSH, Line, Random, Route, Running, Said, folder, give, have, odd_tree, over, run, same_tree,
    subfolder, succeed,
};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::Signal,
};

/// OpenSSH's server and ours.
const SERVERS: [Route; 2] = [Route::Tcp, Route::Builtin];

fn exec(line: &Line, words: &[&str]) -> Command {
    let mut exec = line.client.native("exec");
    exec.arg("box").args(words);
    exec
}

/// The words that run it as others run ssh.
fn as_ssh(line: &Line) -> String {
    format!("{IROSH} exec -F {}", line.client.config().display())
}

/// A script that runs it, for who takes one word alone.
fn script(line: &Line) -> PathBuf {
    let path = line.client.home().join("ssh");
    fs::write(&path, format!("#!/bin/sh\nexec {} \"$@\"\n", as_ssh(line))).expect("a script");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a mode");
    path
}

fn same_content(one: &Path, other: &Path) -> bool {
    fs::read(one).expect("a file") == fs::read(other).expect("a file")
}

#[test]
fn git_takes_it_for_ssh() {
    if !have(&["git"]) {
        return;
    }
    over(&SERVERS, |line| {
        let bare = line.folder.path().join("bare");
        succeed(line.client.git().args(["init", "-q", "--bare", "-b", "main"]).arg(&bare));
        give(&bare);
        let work = line.client.home().join("work");
        let git = |arguments: &[&str]| {
            let mut git = line.client.git();
            git.env("GIT_SSH_COMMAND", as_ssh(line)).env("GIT_SSH_VARIANT", "ssh");
            // Its protocol is asked for by a variable, which it has ssh send by -o.
            succeed(git.args(["-c", "protocol.version=2"]).args(arguments))
        };
        let url = format!("ssh://box:22{}", bare.display());
        let at = work.display().to_string();
        git(&["clone", "-q", &url, &at]);
        fs::write(work.join("file"), Random::bytes(1, 300_000)).expect("a file");
        git(&["-C", &at, "add", "file"]);
        git(&["-C", &at, "commit", "-q", "-m", "a file"]);
        git(&["-C", &at, "push", "-q", "origin", "HEAD:main"]);
        let again = line.client.home().join("again");
        git(&["clone", "-q", &url, &again.display().to_string()]);
        assert!(same_content(&work.join("file"), &again.join("file")));
    });
}

#[test]
fn rsync_takes_it_for_ssh_and_its_sockets_do_not_wait() {
    if !have(&["rsync"]) {
        return;
    }
    over(&SERVERS, |line| {
        let from = subfolder(line.folder.path(), "from");
        odd_tree(&from, 300);
        fs::write(from.join("large"), Random::bytes(2, 9_000_000)).expect("a file");
        let rsync = |from: &str, to: &str| {
            succeed(line.client.command("rsync").args(["-a", "-e", &as_ssh(line), from, to]))
        };
        let there = subfolder(line.folder.path(), "there");
        rsync(&format!("{}/", from.display()), &format!("box:{}/", there.display()));
        assert!(same_tree(&from, &there));
        for time in 0..5 {
            let back = subfolder(line.folder.path(), &format!("back {time}"));
            rsync(&format!("box:{}/", there.display()), &format!("{}/", back.display()));
            assert!(same_tree(&from, &back));
        }
    });
}

#[test]
fn scp_and_sftp_take_it_for_ssh() {
    over(&SERVERS, |line| {
        let (file, there) = (line.client.home().join("file"), subfolder(line.folder.path(), "there"));
        fs::write(&file, Random::bytes(3, 2_000_000)).expect("a file");
        let user = harness::login();
        let copied = |name: &str, arguments: &[&str]| {
            let mut scp = line.client.command("scp");
            scp.arg("-S").arg(script(line)).args(arguments).arg(&file);
            succeed(scp.arg(format!("{user}@box:{}", there.join(name).display())));
            assert!(same_content(&file, &there.join(name)));
        };
        copied("sftp", &["-q", "-P", "22", "-4", "-o", "ServerAliveInterval=5"]);
        copied("rcp", &["-O", "-v", "-C"]);
        let mut sftp = line.client.command("sftp");
        sftp.arg("-S").arg(script(line)).args(["-P", "22", "-b", "-", "box"]);
        let back = line.client.home().join("back");
        let commands = format!("get {} {}\n", there.join("sftp").display(), back.display());
        let output = harness::feed(&mut sftp, commands.into_bytes());
        assert!(output.status.success(), "{}", output.stderr.said());
        assert!(same_content(&file, &back));
    });
}

#[test]
fn what_is_asked_of_ssh_in_vain_is_told() {
    let line = Line::new(Route::Tcp);
    let with = |arguments: &[&str]| run(line.client.native("exec").args(arguments).args(["box", "true"]));
    let output = with(&["-p", "2222", "-x", "-a", "-T", "-4"]);
    let said = output.stderr.said();
    assert!(output.status.success() && said.contains("-p 2222 changes nothing"), "{said}");
    let output = with(&["-q", "-p", "2222"]);
    assert_eq!((output.status.code(), output.stderr.said().as_str()), (Some(0), ""));
    let output = with(&["-o", "NoSuchOption=yes"]);
    let said = output.stderr.said();
    assert!(output.status.code() == Some(255) && said.contains("nosuchoption"), "{said}");
}

/// An end of a pipe that does not wait.
fn impatient(end: impl Into<OwnedFd>) -> OwnedFd {
    let end = end.into();
    fcntl(&end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("set");
    end
}

#[test]
fn a_stdin_that_does_not_wait_has_not_ended() {
    over(&SERVERS, |line| {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let mut exec = exec(line, &["echo ready; cat"]);
        exec.stdin(impatient(reader));
        let mut running = Running::start(exec.stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut stdout = running.stdout();
        stdout.read_exact(&mut [0; 6]).expect("it runs");
        writer.write_all(b"said late").expect("written");
        drop(writer);
        let mut said = String::new();
        stdout.read_to_string(&mut said).expect("read");
        assert_eq!((said.as_str(), running.wait(DEADLINE).code()), ("said late", Some(0)));
    });
}

#[test]
fn outputs_that_do_not_wait_lose_nothing() {
    over(&SERVERS, |line| {
        let [out, err] = [(); 2].map(|()| std::io::pipe().expect("a pipe"));
        let script = "head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait; exit 3";
        let mut exec = exec(line, &[script]);
        exec.stdin(Stdio::null()).stdout(impatient(out.1)).stderr(impatient(err.1));
        let mut running = Running::start(&mut exec);
        // Ours has the writing ends, too.
        drop(exec);
        let count = |mut reader: std::io::PipeReader| {
            thread::spawn(move || {
                let mut all = Vec::new();
                reader.read_to_end(&mut all).map(|_| all.len())
            })
        };
        let lengths =
            [count(out.0), count(err.0)].map(|reading| reading.join().expect("no panic").expect("read"));
        assert_eq!((lengths, running.wait(DEADLINE).code()), ([3_000_000; 2], Some(3)));
    });
}

#[test]
fn a_reader_that_leaves_is_no_news_as_with_ssh() {
    over(&SERVERS, |line| {
        let mut ssh = line.client.ssh();
        ssh.args(["box", "yes"]);
        let ended = [ssh, exec(line, &["yes"])].map(|mut command| {
            let mut running =
                Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
            let mut stdout = running.stdout();
            stdout.read_exact(&mut [0; 4]).expect("some lines");
            drop(stdout);
            let mut said = String::new();
            running.stderr().read_to_string(&mut said).expect("read");
            (running.wait(DEADLINE).code(), said)
        });
        assert_eq!(ended[0], ended[1]);
    });
}

#[test]
fn a_stderr_that_nobody_reads_keeps_nothing_from_stdout() {
    over(&SERVERS, |line| {
        let mut exec = exec(line, &["head -c 500000 /dev/zero >&2; echo out; exec sleep 60"]);
        let mut running =
            Running::start(exec.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        let _unread = running.stderr();
        let mut said = [0; 4];
        running.stdout().read_exact(&mut said).expect("what it says on stdout");
        assert_eq!(&said, b"out\n");
        running.signal(Signal::SIGTERM);
        assert_eq!(running.wait(DEADLINE).code(), Some(255));
    });
}

#[test]
fn words_may_be_any_bytes() {
    let odd = OsStr::from_bytes(b"caf\xe9");
    over(&SERVERS, |line| {
        let output = run(exec(line, &["printf", "%s"]).arg(odd));
        assert_eq!(output.stdout, odd.as_bytes(), "{}", output.stderr.said());
    });
}

#[test]
fn a_login_may_be_any_bytes() {
    over(&SERVERS, |line| {
        let output = run(line.client.native("exec").arg(OsStr::from_bytes(b"caf\xe9@box")).arg("true"));
        // Nobody has this one, which is all that is wrong with it.
        let said = output.stderr.said();
        assert!(output.status.code() == Some(255) && said.contains("permission denied for caf"), "{said}");
    });
}

#[test]
fn sockets_may_have_any_name() {
    over(&SERVERS, |line| {
        let target = line.folder.path().join(OsStr::from_bytes(b"caf\xe9"));
        let listener = UnixListener::bind(&target).expect("a socket");
        give(&target);
        thread::spawn(move || {
            listener.incoming().flatten().try_for_each(|mut stream| stream.write_all(b"hello"))
        });
        let near = line.client.home().join(OsStr::from_bytes(b"\xff"));
        let far = line.server.home().join(OsStr::from_bytes(b"\xfe"));
        let forward = |listen: &Path| [listen.as_os_str(), target.as_os_str()].join(OsStr::new(":"));
        let mut irosh = line.client.native("forward");
        irosh.arg("-L").arg(forward(&near)).arg("-R").arg(forward(&far)).arg("box");
        let mut running = Running::start(irosh.stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut lines = BufReader::new(running.stdout()).lines();
        for _ in [&near, &far] {
            lines.next().expect("a line").expect("text");
        }
        for listens in [near, far] {
            let mut said = String::new();
            let mut stream = UnixStream::connect(&listens).expect("a forwarded socket");
            stream.read_to_string(&mut said).expect("read");
            assert_eq!(said, "hello", "{}", listens.display());
        }
    });
}

#[test]
fn a_command_line_that_is_wrong_is_no_status_of_a_command() {
    let line = Line::new(Route::Builtin);
    let wrong: [&[&str]; 6] = [
        &["exec"],
        &["exec", "box"],
        &["exec", "--nonsense", "box", "true"],
        &["shell", "box", "true"],
        &["exec", "no such host", "true"],
        &["--system", "exec", "box", "true"],
    ];
    for words in wrong {
        let output = run(&mut line.client.irosh(words));
        assert_eq!(output.status.code(), Some(255), "{words:?}: {}", output.stderr.said());
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(run(&mut line.client.irosh(&["put", "--nonsense"])).status.code(), Some(2));
    assert_eq!(run(&mut line.client.irosh(&["exec", "--help"])).status.code(), Some(0));
}

/// A folder with an ssh that does nothing but fail, first in the PATH.
fn with_a_failing_ssh(line: &Line, command: &mut Command) {
    let folder = subfolder(line.client.home(), "programs");
    let says = "/etc/ssh/ssh_config: line 7: Bad configuration option: knownhostscommand";
    fs::write(folder.join("ssh"), format!("#!/bin/sh\nprintf '{says}\\r\\n' >&2\nexit 255\n"))
        .expect("a script");
    fs::set_permissions(folder.join("ssh"), PermissionsExt::from_mode(0o755)).expect("a mode");
    let path = std::env::var("PATH").expect("a PATH");
    command.env("PATH", format!("{}:{path}", folder.display()));
}

#[test]
fn an_ssh_that_fails_is_told_and_not_needed() {
    let line = Line::new(Route::Tcp);
    let mut exec = line.client.irosh(&["exec", "--batch", "-l", &harness::login(), "-i"]);
    exec.arg(line.server.user_key()).args(["box", "echo here"]);
    with_a_failing_ssh(&line, &mut exec);
    let output = run(&mut exec);
    let said = output.stderr.said();
    assert_eq!(output.stdout.said(), "here\n", "{said}");
    assert!(said.contains("going on without ssh_config") && said.contains("knownhostscommand"), "{said}");
    assert!(!said.contains("\\r") && !said.contains('\r'), "{said:?}");
    // What was asked for here is not left out.
    let mut exec = self::exec(&line, &["echo here"]);
    with_a_failing_ssh(&line, &mut exec);
    assert_eq!(run(&mut exec).status.code(), Some(255));
}

/// A user whom no file of accounts knows.
const NOBODY: u32 = 54_321;

#[test]
fn a_user_without_an_account_is_served() {
    if !nix::unistd::geteuid().is_root() {
        return harness::skip("only root becomes somebody else");
    }
    let line = Line::new(Route::Tcp);
    let home = line.client.home();
    fs::copy(line.server.user_key(), home.join("key")).expect("a key");
    let owner = format!("{NOBODY}:{NOBODY}");
    succeed(Command::new("chown").args(["-R", &owner]).arg(home));
    fs::set_permissions(line.folder.path(), PermissionsExt::from_mode(0o755)).expect("a mode");
    let program = home.join("irosh");
    fs::copy(IROSH, &program).expect("a program that it may run");
    let exec = line.client.native("exec");
    let mut setpriv = line.client.command("setpriv");
    setpriv.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups", "--"]);
    setpriv.arg(program).args(exec.get_args());
    setpriv.args(["--batch", "-l", &harness::login(), "-i"]).arg(home.join("key"));
    let output = run(setpriv.args(["box", "echo here"]));
    assert_eq!(output.stdout.said(), "here\n", "{}", output.stderr.said());
}

#[test]
fn a_tab_makes_no_identity() {
    let folder = folder();
    let mut irosh = harness::program(IROSH, folder.path());
    irosh.env("IROSH_COMPLETE", "fish").args(["--", "irosh", "put", &"0".repeat(64), "file", "there"]);
    let output = run(&mut irosh);
    assert!(output.status.success(), "{}", output.stderr.said());
    assert!(!folder.path().join("identity").exists());
}
