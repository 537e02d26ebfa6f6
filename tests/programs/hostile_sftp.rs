//! A file server that means ill, on stdin and stdout, for the tests of what copies it can stop.
//!
//! `hostile_sftp KIND COUNT`, of which KIND is
//! * `endless`: so many files that say they are empty, and go on and on
//! * `drops`: the same, a byte at a time
//! * `nested`: so many folders, each in the one before
//! * `wide`: so many folders in each folder
//! * `names`: a folder of so many files, each of which is refused
//! * `wordy`: the same, at length
//! * `huge`: so many files of nearly 2^64 bytes
//! * `restless`: so many files that have changed at each look

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const LSTAT: u8 = 7;
const FSTAT: u8 = 8;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REALPATH: u8 = 16;
const STAT: u8 = 17;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRS: u8 = 105;

/// The status at the end of a file or a folder.
const END: [[u8; 4]; 3] = [[0, 0, 0, 1], [0; 4], [0; 4]];

/// Entries of an answer.
const BATCH: u64 = 2000;

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let kind = words.next().unwrap_or_default();
    let count = words.next().and_then(|count| count.parse().ok()).unwrap_or(1);
    let mut server = Server { kind, count, listed: Vec::new(), looks: 0 };
    let (mut input, mut output) = (BufReader::new(io::stdin().lock()), BufWriter::new(io::stdout().lock()));
    loop {
        if input.buffer().is_empty() {
            output.flush()?;
            if input.fill_buf()?.is_empty() {
                return Ok(());
            }
        }
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let mut packet = vec![0; u32::from_be_bytes(length) as usize];
        input.read_exact(&mut packet)?;
        let answer = match packet[0] {
            // INIT, and VERSION with limits that let 255 KiB be read at once.
            1 => [&[2, 0, 0, 0, 3][..], &string(b"limits@openssh.com"), &string(b"1")].concat(),
            kind => {
                let (head, body) = server.answer(kind, &packet[5..]);
                [&[head][..], &packet[1..5], &body].concat()
            }
        };
        output.write_all(&(answer.len() as u32).to_be_bytes())?;
        output.write_all(&answer)?;
    }
}

struct Server {
    kind: String,
    count: u64,
    /// How much of each open folder has been listed; its handle is the place here, with the depth of its path.
    listed: Vec<(u64, u64)>,
    looks: u32,
}

impl Server {
    fn answer(&mut self, kind: u8, body: &[u8]) -> (u8, Vec<u8>) {
        let path = || &body[4..4 + number(body) as usize];
        match kind {
            OPENDIR => {
                let depth = path().iter().filter(|byte| **byte == b'/').count() as u64;
                self.listed.push((0, depth));
                (HANDLE, string(&(self.listed.len() as u32 - 1).to_be_bytes()))
            }
            READDIR => self.list(number(&body[4..]) as usize),
            OPEN if self.kind == "names" => (STATUS, refusal(10)),
            OPEN if self.kind == "wordy" => (STATUS, refusal(200 << 10)),
            OPEN => (HANDLE, string(b"file")),
            READ => {
                let length = if self.kind == "drops" { 1 } else { number(&body[16..]) as usize };
                match (self.kind.as_str(), number(&body[12..])) {
                    ("restless", 10..) => (STATUS, END.concat()),
                    ("restless", _) => (DATA, string(&[7; 10])),
                    _ => (DATA, string(&vec![7; length])),
                }
            }
            STAT | LSTAT if path().contains(&b'*') => (STATUS, [[0, 0, 0, 2], [0; 4], [0; 4]].concat()),
            STAT | LSTAT => (ATTRS, if path() == b"/t" { folder() } else { self.file() }),
            FSTAT => (ATTRS, self.file()),
            REALPATH => (NAME, [&[0, 0, 0, 1][..], &string(path()), &string(b""), &[0; 4]].concat()),
            // limits@openssh.com: packet, read, write, handles.
            200 => (201, [256 << 10, 255 << 10, 255 << 10, 0_u64].map(u64::to_be_bytes).concat()),
            CLOSE => (STATUS, [0_u32.to_be_bytes(), [0; 4], [0; 4]].concat()),
            _ => (STATUS, [8_u32.to_be_bytes(), [0; 4], [0; 4]].concat()),
        }
    }

    fn list(&mut self, handle: usize) -> (u8, Vec<u8>) {
        let (listed, depth) = self.listed[handle];
        let all = match self.kind.as_str() {
            // The path of the first is `/t`.
            "nested" => u64::from(depth <= self.count),
            _ => self.count,
        };
        let some = BATCH.min(all - listed);
        if some == 0 {
            return (STATUS, END.concat());
        }
        self.listed[handle].0 += some;
        let mut body = (some as u32).to_be_bytes().to_vec();
        for number in listed..listed + some {
            let (name, attributes) = match self.kind.as_str() {
                "nested" => ("a".to_owned(), folder()),
                "wide" => (format!("folder{number}"), folder()),
                _ => (format!("file{number}"), self.file()),
            };
            body.extend([string(name.as_bytes()), string(b""), attributes].concat());
        }
        (NAME, body)
    }

    /// Size, mode and times of a file.
    fn file(&mut self) -> Vec<u8> {
        let size: u64 = match self.kind.as_str() {
            "huge" => u64::MAX - 5,
            "restless" => 10,
            _ => 0,
        };
        self.looks += u32::from(self.kind == "restless");
        let times = [self.looks, self.looks].map(u32::to_be_bytes).concat();
        [&13_u32.to_be_bytes()[..], &size.to_be_bytes(), &0o100_644_u32.to_be_bytes(), &times].concat()
    }
}

/// The mode of a folder.
fn folder() -> Vec<u8> {
    [4_u32, 0o040_755].map(u32::to_be_bytes).concat()
}

/// A failure with so many bytes of words.
fn refusal(bytes: usize) -> Vec<u8> {
    [&4_u32.to_be_bytes()[..], &string(&vec![b'\xff'; bytes]), &string(b"")].concat()
}

fn number(body: &[u8]) -> u32 {
    u32::from_be_bytes([body[0], body[1], body[2], body[3]])
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}
