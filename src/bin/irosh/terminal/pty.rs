//! A pseudo-terminal for tests.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags},
    pty::OpenptFlags,
    termios::Winsize,
};

/// Both sides of a pseudo-terminal of 80 columns and 24 rows.
pub(crate) struct Pty {
    master: File,
    slave: File,
    output: Option<Receiver<Vec<u8>>>,
    seen: String,
}

impl Pty {
    pub(crate) fn open() -> Self {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a master");
        rustix::pty::unlockpt(&master).expect("unlocked");
        let name = rustix::pty::ptsname(&master, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name, flags, Mode::empty()).expect("a slave");
        let pty = Self { master: master.into(), slave: slave.into(), output: None, seen: String::new() };
        pty.resize(80, 24);
        pty
    }

    pub(crate) fn slave(&self) -> &File {
        &self.slave
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 640, ws_ypixel: 480 };
        rustix::termios::tcsetwinsize(&self.master, size).expect("resized");
    }

    pub(crate) fn type_in(&self, bytes: &[u8]) {
        (&self.master).write_all(bytes).expect("typed");
    }

    /// Runs a program that has this as its controlling terminal.
    pub(crate) fn run(&mut self, program: &str, arguments: &[&str]) -> Child {
        let stdio = || Stdio::from(self.slave.try_clone().expect("duplicated"));
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", program])
            .args(arguments)
            .env("TERM", "xterm")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .expect("setsid is installed");
        let mut master = self.master.try_clone().expect("duplicated");
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = master.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        self.output = Some(receiver);
        child
    }

    /// Waits until this was printed, and returns what came before it. What comes behind is for the
    /// next wait.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some((before, rest)) = self.seen.split_once(text) {
                let before = before.to_owned();
                self.seen = rest.to_owned();
                return before;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.as_ref().expect("a program runs").recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{text:?} was not printed, but {:?}", self.seen),
            }
        }
    }
}
