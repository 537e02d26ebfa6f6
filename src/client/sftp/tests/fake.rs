//! A server that follows a script.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

use super::{
    super::{Attributes, OpenFlags, Sftp, wire::kind},
    soon,
};

/// The server's end of a connection.
pub(crate) struct Fake {
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
}

/// A request as it came.
pub(crate) struct Asked {
    pub(crate) kind: u8,
    pub(crate) id: [u8; 4],
    pub(crate) body: Vec<u8>,
}

impl Fake {
    /// A session without extensions.
    pub(crate) async fn start() -> (Sftp, Self) {
        let (mut fake, session) = Self::greet(&framed(&[kind::VERSION, 0, 0, 0, 3])).await;
        let init = fake.packet().await;
        assert_eq!(init, [kind::INIT, 0, 0, 0, 3]);
        (session.await.expect("no panic").expect("a session"), fake)
    }

    /// What becomes of a session with a server that begins with these bytes.
    pub(crate) async fn greet(
        greeting: &[u8],
    ) -> (Self, tokio::task::JoinHandle<Result<Sftp, super::super::SftpError>>) {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (reader, writer) = tokio::io::split(theirs);
        let mut fake = Self { reader, writer };
        fake.send(greeting).await;
        let (reader, writer) = tokio::io::split(ours);
        (fake, tokio::spawn(Sftp::start(reader, writer)))
    }

    /// The next request, until the client leaves.
    pub(crate) async fn asked_or_end(&mut self) -> Option<Asked> {
        let length = soon(self.reader.read_u32()).await.ok()?;
        let mut packet = vec![0; length as usize];
        soon(self.reader.read_exact(&mut packet)).await.expect("a packet");
        Some(Asked::read(&packet))
    }

    pub(crate) async fn asked(&mut self) -> Asked {
        Asked::read(&self.packet().await)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.expect("sent");
    }

    async fn packet(&mut self) -> Vec<u8> {
        let length = soon(self.reader.read_u32()).await.expect("a length");
        let mut packet = vec![0; length as usize];
        soon(self.reader.read_exact(&mut packet)).await.expect("a packet");
        packet
    }
}

impl Asked {
    fn read(packet: &[u8]) -> Self {
        let id = packet[1..5].try_into().expect("a number");
        Self { kind: packet[0], id, body: packet[5..].to_vec() }
    }
}

/// A packet with its length in front.
pub(crate) fn framed(packet: &[u8]) -> Vec<u8> {
    [&(packet.len() as u32).to_be_bytes()[..], packet].concat()
}

/// An answer.
pub(crate) fn answer(kind: u8, id: [u8; 4], body: &[u8]) -> Vec<u8> {
    framed(&[&[kind][..], &id, body].concat())
}

const HANDLE: &[u8] = &[0, 0, 0, 2, b'h', b'!'];

#[tokio::test]
async fn answers_in_any_order_find_who_asked() {
    let (sftp, mut fake) = Fake::start().await;
    let tasks: Vec<_> = (0..50_u64)
        .map(|number| {
            let sftp = sftp.clone();
            tokio::spawn(async move { sftp.stat(number.to_string()).await.expect("attributes").size })
        })
        .collect();
    let mut asked = Vec::new();
    for _ in 0..50 {
        asked.push(fake.asked().await);
    }
    for Asked { id, body, .. } in asked.into_iter().rev() {
        let number: u64 = String::from_utf8_lossy(&body[4..]).parse().expect("a number");
        let packet = answer(kind::ATTRS, id, &[&[0, 0, 0, 1][..], &number.to_be_bytes()].concat());
        // And slowly.
        for byte in packet {
            fake.send(&[byte]).await;
        }
    }
    for (number, task) in tasks.into_iter().enumerate() {
        assert_eq!(soon(task).await.expect("no panic"), Some(number as u64));
    }
}

#[tokio::test]
async fn what_an_abandoned_request_opens_is_closed() {
    let (sftp, mut fake) = Fake::start().await;
    let other = sftp.clone();
    let task = tokio::spawn(async move { other.open("a", OpenFlags::READ, &Attributes::default()).await });
    let open = fake.asked().await;
    assert_eq!(open.kind, kind::OPEN);
    task.abort();
    task.await.expect_err("aborted");
    fake.send(&answer(kind::HANDLE, open.id, HANDLE)).await;
    let close = fake.asked().await;
    assert_eq!((close.kind, &close.body[..]), (kind::CLOSE, HANDLE));
    fake.send(&answer(kind::STATUS, close.id, &[0, 0, 0, 0])).await;
    // And the session goes on.
    let asked = tokio::spawn(async move { sftp.mkdir("b", &Attributes::default()).await });
    let mkdir = fake.asked().await;
    fake.send(&answer(kind::STATUS, mkdir.id, &[0, 0, 0, 0])).await;
    asked.await.expect("no panic").expect("made");
}

#[tokio::test]
async fn a_handle_that_is_dropped_is_closed() {
    let (sftp, mut fake) = Fake::start().await;
    let task = tokio::spawn(async move { sftp.opendir("a").await.map(drop) });
    let open = fake.asked().await;
    fake.send(&answer(kind::HANDLE, open.id, HANDLE)).await;
    assert_eq!(fake.asked().await.kind, kind::CLOSE);
    task.await.expect("no panic").expect("opened");
}

#[tokio::test]
async fn without_extensions_they_are_not_asked_for() {
    let (sftp, _fake) = Fake::start().await;
    let error = soon(sftp.posix_rename("a", "b")).await.expect_err("not offered");
    assert_eq!(error.to_string(), "the server does not offer posix-rename@openssh.com");
    assert_eq!(sftp.limits().read, 32 << 10);
}

#[tokio::test]
async fn bytes_in_flight_are_limited() {
    let (sftp, mut fake) = Fake::start().await;
    let opener = sftp.clone();
    let task = tokio::spawn(async move { opener.open("a", OpenFlags::READ, &Attributes::default()).await });
    let open = fake.asked().await;
    fake.send(&answer(kind::HANDLE, open.id, HANDLE)).await;
    let file = std::sync::Arc::new(task.await.expect("no panic").expect("a file"));
    let tasks: Vec<_> = (0..600_u64)
        .map(|number| {
            let (sftp, file) = (sftp.clone(), std::sync::Arc::clone(&file));
            tokio::spawn(async move { sftp.read(&file, number << 15, 1 << 15).await.map(drop) })
        })
        .collect();
    // 512 reads of 32 KiB are the window; the next is sent when one of them is answered.
    let mut first = Vec::new();
    for _ in 0..super::super::WINDOW >> 15 {
        first.push(fake.asked().await);
    }
    let more = tokio::time::timeout(std::time::Duration::from_millis(50), fake.asked()).await;
    assert!(more.is_err(), "more than the window was asked for");
    for asked in first {
        fake.send(&answer(kind::STATUS, asked.id, &[0, 0, 0, 1])).await;
    }
    for _ in 0..88 {
        let asked = fake.asked().await;
        fake.send(&answer(kind::STATUS, asked.id, &[0, 0, 0, 1])).await;
    }
    for task in tasks {
        soon(task).await.expect("no panic").expect("the end");
    }
}
