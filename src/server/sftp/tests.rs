//! A client that asks a server in the same thread, and what its tests share.

mod extensions;
mod files;
mod logging;
mod paths;
mod streams;
mod threads;

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{Fatal, MAX_DATA, MAX_PACKET, Options, Pump, Server, serve, serve_fds, wire::kind};

const OK: u32 = 0;
const EOF: u32 = 1;
const NO_SUCH_FILE: u32 = 2;
const DENIED: u32 = 3;
const FAILURE: u32 = 4;
const BAD_MESSAGE: u32 = 5;
const UNSUPPORTED: u32 = 8;

/// Open flags.
const READ: u32 = 1;
const WRITE: u32 = 2;
const APPEND: u32 = 4;
const CREATE: u32 = 8;
const TRUNCATE: u32 = 16;
const EXCLUSIVE: u32 = 32;

/// A request's body under construction.
#[derive(Debug, Clone)]
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u8) -> Self {
        Self(vec![kind]).u32(7)
    }

    fn extended(name: &str) -> Self {
        Self::new(kind::EXTENDED).s(name)
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn s(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self = self.u32(bytes.len() as u32);
        self.0.extend(bytes);
        self
    }

    fn framed(&self) -> Vec<u8> {
        [&(self.0.len() as u32).to_be_bytes()[..], &self.0].concat()
    }
}

fn init() -> Request {
    Request(vec![kind::INIT, 0, 0, 0, 3])
}

/// A reply: its type, and what follows the id.
#[derive(Debug, PartialEq, Eq)]
struct Answer(u8, Vec<u8>);

impl Answer {
    fn parse(packet: &[u8]) -> Self {
        assert_eq!(packet[1..5], [0, 0, 0, 7], "the id of the request");
        Self(packet[0], packet[5..].to_vec())
    }

    fn status(&self) -> u32 {
        assert_eq!(self.0, kind::STATUS, "{self:?}");
        self.number(0)
    }

    fn message(&self) -> String {
        assert_eq!(self.0, kind::STATUS, "{self:?}");
        String::from_utf8(self.string(4).to_vec()).expect("text")
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.1[at..at + 4].try_into().expect("four bytes"))
    }

    fn string(&self, at: usize) -> &[u8] {
        &self.1[at + 4..at + 4 + self.number(at) as usize]
    }

    fn handle(&self) -> Vec<u8> {
        assert_eq!(self.0, kind::HANDLE, "{self:?}");
        self.string(0).to_vec()
    }

    fn data(&self) -> &[u8] {
        assert_eq!(self.0, kind::DATA, "{self:?}");
        self.string(0)
    }

    /// Size and mode of an `ATTRS`.
    fn size_and_mode(&self) -> (u64, u32) {
        assert_eq!((self.0, self.number(0)), (kind::ATTRS, 15), "{self:?}");
        (u64::from(self.number(4)) << 32 | u64::from(self.number(8)), self.number(20))
    }

    /// The path in a `NAME` of one.
    fn path(&self) -> &[u8] {
        assert_eq!((self.0, self.number(0)), (kind::NAME, 1), "{self:?}");
        self.string(4)
    }

    /// Names and long names.
    fn names(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        assert_eq!(self.0, kind::NAME, "{self:?}");
        let mut at = 4;
        let names = (0..self.number(0)).map(|_| {
            let name = self.string(at).to_vec();
            at += 4 + name.len();
            let long = self.string(at).to_vec();
            at += 4 + long.len() + 32;
            (name, long)
        });
        names.collect()
    }
}

struct Client {
    server: Server,
    dir: TempDir,
}

impl Client {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut options = Options { start: dir.path().into(), ..Options::default() };
        change(&mut options);
        let mut client = Self { server: Server::new(options), dir };
        client.packet(&init()).expect("a version");
        client
    }

    fn packet(&mut self, request: &Request) -> Result<Vec<u8>, Fatal> {
        let mut out = b"before".to_vec();
        self.server.receive(&request.0, &mut out)?;
        let (before, reply) = out.split_at(6);
        let (length, body) = reply.split_at(4);
        assert_eq!(before, b"before");
        assert_eq!(length, (body.len() as u32).to_be_bytes(), "one whole packet");
        Ok(body.to_vec())
    }

    fn ask(&mut self, request: Request) -> Answer {
        Answer::parse(&self.packet(&request).expect("an answer"))
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_file(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("a file");
    }

    fn content(&self, name: impl AsRef<Path>) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("a file")
    }

    fn try_open(&mut self, name: &str, flags: u32) -> Answer {
        self.ask(Request::new(kind::OPEN).s(name).u32(flags).u32(0))
    }

    fn open(&mut self, name: &str, flags: u32) -> Vec<u8> {
        self.try_open(name, flags).handle()
    }

    fn read(&mut self, handle: &[u8], offset: u64, length: u32) -> Answer {
        self.ask(Request::new(kind::READ).s(handle).u64(offset).u32(length))
    }

    fn write(&mut self, handle: &[u8], offset: u64, data: &[u8]) -> u32 {
        self.ask(Request::new(kind::WRITE).s(handle).u64(offset).s(data)).status()
    }

    fn close(&mut self, handle: &[u8]) -> u32 {
        self.ask(Request::new(kind::CLOSE).s(handle)).status()
    }
}
