//! Output that nobody waits for: lines in a bounded queue, which a thread of its own writes.

use std::{
    collections::VecDeque,
    io::{self, Write},
    mem,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Bytes that may wait for a reader: some thousand lines.
const ROOM: usize = 1 << 20;

/// Stack of the thread that writes.
const STACK: usize = 64 << 10;

/// Where a program's lines go. Clones write to the same place.
///
/// A reader that stands still, has gone, or is a full disk costs lines and nothing else: whoever writes
/// never waits and hears of no error. Lines that were lost are counted, and told of where they are missing
/// once there is somebody to read it.
#[derive(Debug, Clone)]
pub struct Outlet(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    fd: BorrowedFd<'static>,
    notice: fn(u64) -> String,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Line>,
    /// Bytes of `lines`.
    held: usize,
    /// Lines that were dropped since the last of `lines`.
    dropped: u64,
    /// Whether the thread runs, and whether it has taken something that it has not written yet.
    running: bool,
    writing: bool,
}

/// What is written at once, after so many lines that are missing.
#[derive(Debug, Default)]
struct Line {
    missing: u64,
    text: Vec<u8>,
}

impl Outlet {
    /// Output to a descriptor that stays open for good, such as `rustix::stdio::stdout()`; `notice` makes
    /// the line that tells how many are missing. The thread starts with the first line.
    #[must_use]
    pub fn new(fd: BorrowedFd<'static>, notice: fn(u64) -> String) -> Self {
        Self(Arc::new(Shared { fd, notice, queue: Mutex::default(), changed: Condvar::new() }))
    }

    /// Has a line, or several with their ends, written in one piece; drops it where there is no room. Never
    /// blocks: for async tasks too.
    pub fn put(&self, text: impl Into<Vec<u8>>) {
        let text = text.into();
        let mut queue = self.0.lock();
        if queue.held + text.len() > ROOM || !self.start_writing(&mut queue) {
            queue.dropped += 1;
            return;
        }
        queue.held += text.len();
        let missing = mem::take(&mut queue.dropped);
        queue.lines.push_back(Line { missing, text });
        self.0.changed.notify_all();
    }

    /// Waits until all that was put is written, but no longer than this. For the end of a program, and for
    /// before a question: not for async tasks.
    pub fn flush(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut queue = self.0.lock();
        while queue.running && (queue.writing || !queue.is_empty()) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            queue = self.0.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn start_writing(&self, queue: &mut Queue) -> bool {
        if !queue.running {
            let shared = self.0.clone();
            let thread = thread::Builder::new().name("output".to_owned()).stack_size(STACK);
            queue.running = thread.spawn(move || shared.write_all()).is_ok();
        }
        queue.running
    }
}

/// Each write is a line, or several, of its own.
impl Write for &Outlet {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.put(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0
    }

    /// The next line; or none, with what is missing at the end.
    fn take(&mut self) -> Line {
        let end = || Line { missing: mem::take(&mut self.dropped), text: Vec::new() };
        let line = self.lines.pop_front().unwrap_or_else(end);
        self.held -= line.text.len();
        line
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, for as long as the process lives.
    fn write_all(&self) {
        let mut writer = Writer { fd: self.fd, notice: self.notice, missing: 0, torn: false };
        loop {
            let line = self.next();
            writer.write(line);
        }
    }

    fn next(&self) -> Line {
        let mut queue = self.lock();
        queue.writing = false;
        self.changed.notify_all();
        while queue.is_empty() {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.writing = true;
        queue.take()
    }
}

struct Writer {
    fd: BorrowedFd<'static>,
    notice: fn(u64) -> String,
    /// Lines that are missing and not told of.
    missing: u64,
    /// Whether the last line was cut off.
    torn: bool,
}

impl Writer {
    fn write(&mut self, line: Line) {
        self.missing += line.missing;
        if self.missing > 0 && self.put((self.notice)(self.missing).as_bytes()).is_ok() {
            self.missing = 0;
        }
        if self.put(&line.text).is_err() {
            self.missing += 1;
        }
    }

    fn put(&mut self, text: &[u8]) -> nix::Result<()> {
        if mem::take(&mut self.torn)
            && let Err(error) = write(self.fd, b"\n")
        {
            self.torn = true;
            return Err(error.1);
        }
        write(self.fd, text).map_err(|(written, error)| {
            self.torn = written > 0;
            error
        })
    }
}

/// Writes all of it and waits where it has to; or says how much was written before the error.
fn write(fd: BorrowedFd<'_>, text: &[u8]) -> Result<(), (usize, nix::errno::Errno)> {
    use nix::errno::Errno;
    let mut written = 0;
    while written < text.len() {
        match nix::unistd::write(fd, &text[written..]) {
            Ok(count) => written += count,
            Err(Errno::EINTR) => {}
            // Somebody who shares it has made it non-blocking.
            Err(Errno::EAGAIN) => {
                let _ = poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE);
            }
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, PipeReader, Read},
        os::fd::OwnedFd,
    };

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn notice(lines: u64) -> String {
        format!("{lines} missing\n")
    }

    fn outlet(to: impl Into<OwnedFd>) -> Outlet {
        let fd: &'static OwnedFd = Box::leak(Box::new(to.into()));
        Outlet::new(fd.as_fd(), notice)
    }

    /// Far more lines than there is room for.
    const MANY: usize = 3 * ROOM / 100;

    /// Puts numbered lines.
    fn flood(outlet: &Outlet, numbers: std::ops::Range<usize>) {
        numbers.for_each(|number| outlet.put(format!("{number:99}\n")));
    }

    /// Reads lines until these many were read or told to be missing; their numbers have to fit.
    fn account_for(pipe: PipeReader, lines: usize) {
        let (mut seen, mut missing) = (0, 0);
        for line in BufReader::new(pipe).lines() {
            let line = line.expect("text");
            match line.strip_suffix(" missing") {
                Some(count) => {
                    missing += 1;
                    seen += count.parse::<usize>().expect("a count");
                }
                None => {
                    assert_eq!(line.trim().parse(), Ok(seen));
                    seen += 1;
                }
            }
            if seen == lines {
                break;
            }
        }
        assert!(missing > 0);
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_that_are_counted_and_keeps_nobody_waiting() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let outlet = outlet(writer);
        flood(&outlet, 0..MANY);
        let reading = thread::spawn(|| account_for(reader, 2 * MANY));
        flood(&outlet, MANY..2 * MANY);
        reading.join().expect("all accounted for");
    }

    #[test]
    fn a_pipe_that_does_not_block_is_waited_for() {
        let (reader, writer) = io::pipe().expect("a pipe");
        rustix::io::ioctl_fionbio(&writer, true).expect("non-blocking");
        let outlet = outlet(writer);
        flood(&outlet, 0..MANY);
        account_for(reader, MANY);
    }

    #[test]
    fn a_full_disk_and_a_reader_that_has_gone_are_survived() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let (_, gone) = io::pipe().expect("a pipe");
        for outlet in [outlet(full), outlet(gone)] {
            flood(&outlet, 0..MANY);
            outlet.flush(SOON);
            assert!(outlet.0.lock().is_empty());
        }
    }

    #[test]
    fn a_line_that_was_cut_off_is_ended_before_the_next() {
        let mut file = tempfile::tempfile().expect("a file");
        let fd: OwnedFd = file.try_clone().expect("a clone").into();
        let fd: &'static OwnedFd = Box::leak(Box::new(fd));
        let mut writer = Writer { fd: fd.as_fd(), notice, missing: 2, torn: true };
        writer.write(Line { missing: 1, text: b"next\n".to_vec() });
        io::Seek::rewind(&mut file).expect("sought");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        assert_eq!(text, "\n3 missing\nnext\n");
    }

    #[test]
    fn a_flush_waits_for_a_reader_only_so_long() {
        let (_reader, writer) = io::pipe().expect("a pipe");
        let outlet = outlet(writer);
        flood(&outlet, 0..MANY);
        let before = Instant::now();
        outlet.flush(Duration::from_millis(10));
        assert!(before.elapsed() < SOON);
    }
}
