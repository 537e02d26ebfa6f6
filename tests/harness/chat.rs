//! Lines both ways through one session, told apart by their numbers.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{DEADLINE, Running, poll};

/// Numbered lines that ssh sends, and gets back from `cat` at the host.
pub(crate) struct Chat {
    pub(crate) ssh: Running,
    over: Arc<AtomicBool>,
    said: Arc<AtomicU64>,
    /// How many have come back, each in its turn, and what came instead if one has not.
    heard: Arc<AtomicU64>,
    wrong: Arc<Mutex<Option<String>>>,
    saying: JoinHandle<()>,
    hearing: JoinHandle<()>,
}

impl Chat {
    /// By a command that takes a host and what to run there.
    pub(crate) fn by(command: &mut Command) -> Self {
        command.args(["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ssh = Running::start(command);
        let over = Arc::new(AtomicBool::new(false));
        let [said, heard] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
        let wrong = Arc::new(Mutex::new(None));
        let (mut stdin, stdout) = (ssh.stdin(), BufReader::new(ssh.stdout()));
        let saying = {
            let (over, said) = (over.clone(), said.clone());
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let number = said.load(Ordering::Relaxed);
                    if writeln!(stdin, "line {number} {}", "x".repeat(number as usize % 300)).is_err() {
                        return;
                    }
                    said.store(number + 1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(5));
                }
            })
        };
        let hearing = {
            let (heard, wrong) = (heard.clone(), wrong.clone());
            thread::spawn(move || {
                for line in stdout.lines() {
                    let number = heard.load(Ordering::Relaxed);
                    let expected = format!("line {number} {}", "x".repeat(number as usize % 300));
                    match line {
                        Ok(line) if line == expected => heard.store(number + 1, Ordering::Relaxed),
                        other => {
                            *wrong.lock().expect("no panic") =
                                Some(format!("after {number} lines: {other:?}"));
                            return;
                        }
                    }
                }
            })
        };
        Self { ssh, over, said, heard, wrong, saying, hearing }
    }

    /// How many lines were said so far.
    pub(crate) fn said(&self) -> u64 {
        self.said.load(Ordering::Relaxed)
    }

    /// Waits until so many lines have come back, and one more; says how long that took.
    pub(crate) fn comes_back(&self, lines: u64) -> Duration {
        let begun = Instant::now();
        poll("lines that come back", Duration::from_secs(60), || {
            let wrong = self.wrong.lock().expect("no panic");
            assert!(wrong.is_none(), "{wrong:?}");
            (self.heard.load(Ordering::Relaxed) > lines).then_some(())
        });
        begun.elapsed()
    }

    /// Waits until a line comes back that is said from now on; says how long that took.
    pub(crate) fn flows(&self) -> Duration {
        self.comes_back(self.said())
    }

    /// Waits for ssh to find that the session is no more.
    pub(crate) fn expect_cut_off(mut self) {
        assert_eq!(self.ssh.wait(DEADLINE).code(), Some(255));
        self.saying.join().expect("said");
        self.hearing.join().expect("heard");
    }

    /// Waits for an ssh that was killed.
    pub(crate) fn expect_killed(mut self) {
        assert_eq!(self.ssh.wait(DEADLINE).code(), None);
        self.saying.join().expect("said");
        self.hearing.join().expect("heard");
    }

    /// Ends it in peace: every line has come back, and none twice. Whatever ssh has left behind lives as long as what
    /// this returns.
    pub(crate) fn ends(mut self) -> Running {
        self.over.store(true, Ordering::Relaxed);
        self.saying.join().expect("said");
        assert!(self.ssh.wait(DEADLINE).success());
        self.hearing.join().expect("heard");
        assert_eq!(*self.wrong.lock().expect("no panic"), None);
        assert_eq!(self.heard.load(Ordering::Relaxed), self.said.load(Ordering::Relaxed));
        self.ssh
    }
}
