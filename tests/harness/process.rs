//! Processes that are waited for under a deadline and killed when dropped.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill, killpg},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};

/// How long anything may take that has no deadline of its own.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How long a process that is no daemon may live, unless `IROSH_TEST_LIFE` says so many seconds.
fn life() -> Duration {
    Duration::from_secs(super::number("IROSH_TEST_LIFE", 150) as u64)
}

/// A process in a group of its own; the whole group is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    exited: mpsc::Receiver<()>,
    reaped: Option<ExitStatus>,
}

impl Running {
    /// Starts a process that is killed after [`life`], so that who reads its output is not stuck.
    pub(crate) fn start(command: &mut Command) -> Self {
        let (running, ended) = Self::spawn(command);
        let group = running.pid();
        thread::spawn(move || {
            if ended.recv_timeout(life()) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = killpg(group, Signal::SIGKILL);
            }
        });
        running
    }

    fn spawn(command: &mut Command) -> (Self, mpsc::Receiver<()>) {
        let child = command.process_group(0).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let ((tell, exited), (tell_too, ended)) = (mpsc::channel(), mpsc::channel());
        let pid = pid_of(&child);
        bequeath(pid);
        thread::spawn(move || {
            // Leaves the process unreaped, so that its id stays its own until `wait`.
            let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            let _ = (tell.send(()), tell_too.send(()));
        });
        (Self { child, exited, reaped: None }, ended)
    }

    pub(crate) fn pid(&self) -> Pid {
        pid_of(&self.child)
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("a piped stdin")
    }

    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("a piped stdout")
    }

    pub(crate) fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("a piped stderr")
    }

    /// An ssh to `box` that has said that it is ready, and waits for input.
    pub(crate) fn waiting(ssh: &mut Command) -> Self {
        ssh.args(["box", "echo ready; cat"]);
        let mut ssh = Self::start(ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        let mut stdout = ssh.stdout();
        stdout.read_exact(&mut [0; 6]).expect("it is ready");
        ssh.keep_stdout(stdout);
        ssh
    }

    /// Holds on to what [`Running::stdout`] has given.
    pub(crate) fn keep_stdout(&mut self, stdout: ChildStdout) {
        self.child.stdout = Some(stdout);
    }

    /// Sends a signal to the process, not to its group.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.reaped.is_none() {
            kill(self.pid(), signal).expect("a process of ours");
        }
    }

    /// Waits for its end, which has to come in time.
    pub(crate) fn wait(&mut self, within: Duration) -> ExitStatus {
        self.try_wait(within).unwrap_or_else(|| panic!("a process still runs after {within:?}"))
    }

    /// Waits for its end for so long.
    pub(crate) fn try_wait(&mut self, within: Duration) -> Option<ExitStatus> {
        if self.reaped.is_none() && self.exited.recv_timeout(within).is_ok() {
            self.reaped = Some(self.child.wait().expect("a child of ours"));
        }
        self.reaped
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Others of the group may have outlived it; process ids are not used again so soon.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        if self.reaped.is_none() {
            let _ = self.child.wait();
        }
    }
}

/// Has a group killed when this process is gone, also by a signal that leaves it no time to drop.
#[expect(clippy::zombie_processes, reason = "the shell outlives this process")]
fn bequeath(group: Pid) {
    static HEIR: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let heir = HEIR.get_or_init(|| {
        let script = "while read -r group; do groups=\"$groups -$group\"; done; kill -s KILL -- $groups";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // In a group of its own it outlives what ends this process.
        let mut child = shell.process_group(0).spawn().expect("a shell");
        Mutex::new(child.stdin.take().expect("a piped stdin"))
    });
    let mut heir = heir.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(heir, "{group}").expect("the shell reads");
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a process id"))
}

/// The same command under another, such as `nsenter`.
pub(crate) fn under(wrapper: &[impl AsRef<OsStr>], command: &Command) -> Command {
    let mut wrapped = Command::new(&wrapper[0]);
    wrapped.args(&wrapper[1..]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// Runs a command to its end without input.
pub(crate) fn run(command: &mut Command) -> Output {
    feed(command, Vec::new())
}

/// Runs a command that has to succeed; returns its stdout.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, output.stderr.said());
    output.stdout.said()
}

/// Runs a command to its end with this input.
pub(crate) fn feed(command: &mut Command, input: Vec<u8>) -> Output {
    feed_within(DEADLINE, command, input)
}

/// The same of a command that takes longer.
pub(crate) fn feed_within(deadline: Duration, command: &mut Command, input: Vec<u8>) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(command);
    let mut stdin = running.stdin();
    // A command may leave without reading all of it.
    thread::spawn(move || _ = stdin.write_all(&input));
    let stdout = collect(running.stdout());
    let stderr = collect(running.child.stderr.take().expect("a piped stderr"));
    let Some(status) = running.try_wait(deadline) else {
        panic!("still running after {deadline:?}: {command:?}\n{}", {
            drop(running);
            stderr.recv().unwrap_or_default().said()
        });
    };
    let rest = |receiver: mpsc::Receiver<Vec<u8>>| {
        let rest = receiver.recv_timeout(Duration::from_secs(10));
        rest.unwrap_or_else(|_| panic!("somebody holds the output of {command:?} open"))
    };
    Output { status, stdout: rest(stdout), stderr: rest(stderr) }
}

/// A pipe of 4 KiB, for output that nobody reads. The reader is held on to for as long as it stands still.
pub(crate) fn small_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).expect("a smaller pipe");
    (reader, writer)
}

fn collect(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (done, bytes) = mpsc::channel();
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        let _ = done.send(all);
    });
    bytes
}

/// Bytes that are text, for messages and comparisons.
pub(crate) trait Said {
    fn said(&self) -> String;
}

impl Said for Vec<u8> {
    fn said(&self) -> String {
        String::from_utf8_lossy(self).into_owned()
    }
}

/// A process in the background whose lines are collected.
pub(crate) struct Daemon {
    running: Running,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

impl Daemon {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let (mut running, _) = Running::spawn(command);
        let stdout = Lines::of(running.stdout());
        let stderr = Lines::of(running.child.stderr.take().expect("a piped stderr"));
        Self { running, stdout, stderr }
    }

    pub(crate) fn running(&mut self) -> &mut Running {
        &mut self.running
    }

    pub(crate) fn pid(&self) -> Pid {
        self.running.pid()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    pub(crate) fn wait(&mut self, within: Duration) -> ExitStatus {
        self.running.wait(within)
    }
}

/// Lines as they come from a process.
#[derive(Clone)]
pub(crate) struct Lines(Arc<(Mutex<Collected>, Condvar)>);

#[derive(Default)]
struct Collected {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn of(from: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let writer = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                writer.change(|read| read.lines.push(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            writer.change(|read| read.ended = true);
        });
        lines
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
    }

    /// The first line, of those that came or will come in time, that the function makes something
    /// of; `None` when the deadline or the stream's end comes first.
    pub(crate) fn find<T>(&self, within: Duration, mut pick: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + within;
        let (lock, changed) = &*self.0;
        let mut read = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = 0;
        loop {
            if let Some(found) = read.lines[seen..].iter().find_map(|line| pick(line)) {
                return Some(found);
            }
            seen = read.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if read.ended || left.is_zero() {
                return None;
            }
            read = changed.wait_timeout(read, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a line with these words in it.
    pub(crate) fn wait_for(&self, words: &str) -> String {
        let found = self.find(DEADLINE, |line| line.contains(words).then(|| line.to_owned()));
        found.unwrap_or_else(|| panic!("no line has `{words}` in it:\n{}", self.all().join("\n")))
    }

    fn change(&self, change: impl FnOnce(&mut Collected)) {
        change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
    }
}

/// The processes that come from this one, without those that have ended and wait to be reaped.
pub(crate) fn descendants(of: Pid) -> Vec<Pid> {
    let mut found = vec![of];
    let parents = parents();
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// Every living process with its parent.
fn parents() -> Vec<(Pid, Pid)> {
    let number = |text: &str| text.parse().ok().map(Pid::from_raw);
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter_map(|entry| {
            let pid = number(entry.file_name().to_str()?)?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name stands in brackets and may hold anything; state and parent follow it.
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            let state = fields.next()?;
            (state != "Z").then_some(())?;
            Some((pid, number(fields.next()?)?))
        })
        .collect()
}

/// The objects that a command prints with `--json`.
pub(crate) fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Asserts that a command of `irosh` has failed and said these words, and printed nothing.
#[track_caller]
pub(crate) fn fails(output: &Output, words: &str) {
    let said = output.stderr.said();
    assert_eq!((output.status.code(), output.stdout.said().as_str()), (Some(1), ""), "{said}");
    assert!(said.starts_with("irosh: ") && said.contains(words), "not `{words}`: {said}");
}
