//! The PAM process itself: what it has, when it ends, and what becomes of the rest when it does.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use irosh::server::pam::{PamError, PamStep, Proof};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::machine::{DEADLINE, IROSH, Machine, all, all_but, in_time, start, step};

fn kill_process(id: u32) {
    kill(Pid::from_raw(id.try_into().expect("a number")), Signal::SIGKILL).expect("killed");
}

#[tokio::test]
async fn a_process_that_dies_while_it_asks_denies() {
    let Some(machine) = Machine::new() else { return };
    let mut pam = machine.login("unix", "alice");
    assert!(matches!(step(&mut pam).await, Ok(PamStep::Ask(_))));
    kill_process(pam.id().expect("a number"));
    pam.answer(vec![crate::machine::secret("right")]).expect("not sent yet");
    assert!(matches!(step(&mut pam).await, Err(PamError::Ended)));
}

#[tokio::test]
async fn a_process_that_dies_after_it_granted_has_no_session() {
    let Some(machine) = Machine::new() else { return };
    machine.service("permit", &all("required pam_permit.so"));
    let mut pam = machine.login("permit", "alice");
    assert!(matches!(step(&mut pam).await, Ok(PamStep::Granted(_))));
    kill_process(pam.id().expect("a number"));
    assert!(matches!(in_time(pam.open_session("ssh", "")).await, Err(PamError::Ended)));
}

#[tokio::test]
async fn a_process_ends_when_the_server_goes_while_it_asks() {
    let Some(machine) = Machine::new() else { return };
    let mut pam = machine.login("unix", "alice");
    assert!(matches!(step(&mut pam).await, Ok(PamStep::Ask(_))));
    assert!(in_time(pam.end()).await.expect("ended").success(), "it leaves in good order");
}

#[tokio::test]
async fn waiting_for_a_step_can_be_given_up_and_taken_up_again() {
    let Some(machine) = Machine::new() else { return };
    let mut pam = machine.login("unix", "alice");
    let asked = loop {
        // The process takes longer than one poll to start.
        let once =
            tokio::select! { biased; step = pam.next() => Some(step), () = tokio::task::yield_now() => None };
        if let Some(step) = once {
            break step;
        }
    };
    assert!(matches!(asked, Ok(PamStep::Ask(_))));
}

#[tokio::test]
async fn a_process_has_its_socket_and_nothing_else() {
    let Some(machine) = Machine::new() else { return };
    // The shell reads its own status by itself: it blocks all signals while it starts a program.
    let script = machine.script(
        "open",
        "ls -l /proc/$$/fd >open.was; while read -r line; do echo $line; done </proc/$$/status >signals.was",
    );
    machine.service("open", &(format!("session required pam_exec.so {script}\n") + &all_but("session")));
    let mut pam = start(machine.request("open", "alice", Proof::Elsewhere));
    assert!(matches!(step(&mut pam).await, Ok(PamStep::Granted(_))));
    in_time(pam.open_session("ssh", "")).await.expect("a session");
    let id = pam.id().expect("a number");
    let mut open: Vec<_> = fs::read_dir(format!("/proc/{id}/fd"))
        .expect("a list")
        .map(|entry| {
            let path = entry.expect("a file").path();
            let target = fs::read_link(&path).expect("a target").display().to_string();
            (path.file_name().expect("a name").to_string_lossy().into_owned(), target)
        })
        .collect();
    open.sort();
    // The socket, after stdin, stdout and stderr.
    assert_eq!(open.len(), 4, "{open:?}");
    assert_eq!((open[0].1.as_str(), open[1].1.as_str()), ("/dev/null", "/dev/null"));
    assert!(open[3].1.starts_with("socket:"), "{open:?}");
    let of_script = machine.read("open.was");
    assert!(of_script.contains("0 -> ") && !of_script.contains("socket:"), "{of_script}");
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("a status");
    assert_eq!(signals(&status, "SigIgn"), 0);
    let of_script = machine.read("signals.was");
    assert_eq!((signals(&of_script, "SigIgn"), signals(&of_script, "SigBlk")), (0, 0));
}

/// One of the sets of signals in /proc/PID/status, without those that are glibc's own.
fn signals(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    let set = u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("a set");
    set & !(1 << 31 | 1 << 32)
}

#[test]
fn a_person_cannot_run_it() {
    let output = Command::new(IROSH).arg("pam").stdin(Stdio::null()).output().expect("it runs");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("stdin is not the server's socket"), "{said}");
}

/// A server that has become a user, and is killed: its session is closed by root all the same.
#[test]
fn a_session_is_closed_by_root_after_a_server_that_became_a_user_is_killed() {
    let Some(machine) = Machine::new() else { return };
    let fifo = machine.path("closed");
    crate::machine::succeed(Command::new("mkfifo").arg(&fifo));
    let script = machine.script("close", "test $PAM_TYPE = open_session || id -u >closed");
    let limits = machine.path("limits");
    fs::write(&limits, "alice hard nofile 777\nalice soft nofile 555\n").expect("limits");
    machine.service(
        "server",
        &(format!(
            "session required pam_umask.so umask=0027\nsession required pam_limits.so conf={}\n\
             session required pam_exec.so {script}\n",
            limits.display()
        ) + &all_but("session")),
    );
    let program = std::path::Path::new(IROSH).with_file_name("examples").join("pam_login");
    let mut server = Command::new(program)
        .args([IROSH, "server", "alice"])
        .arg(machine.path("services"))
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .expect("examples are built");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
    assert_eq!(line, "uid 41001 umask 0027 files 555 777\n");
    server.kill().expect("killed");
    server.wait().expect("ended");
    let (sender, closed) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(fs::read_to_string(fifo)));
    assert_eq!(closed.recv_timeout(DEADLINE).expect("closed in time").expect("a user"), "0\n");
}
