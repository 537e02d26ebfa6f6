//! Servers that say what they must not.

use super::{
    super::{Attributes, Nonsense, OpenFlags, SftpError, wire::kind},
    fake::{Fake, answer, framed},
    soon,
};

async fn greeted(greeting: &[u8]) -> SftpError {
    let (fake, session) = Fake::greet(greeting).await;
    drop(fake);
    soon(session).await.expect("no panic").expect_err("no session")
}

#[tokio::test]
async fn a_shell_that_prints_is_named() {
    let error = greeted(b"Hello from .bashrc\n").await.to_string();
    assert!(error.starts_with("received message too long 1214606444\nensure the remote shell"), "{error}");
    assert!(error.contains("`Hello from .bashrc\\n`"), "{error}");
}

#[tokio::test]
async fn greetings_that_are_none() {
    assert!(matches!(greeted(b"").await, SftpError::Gone { .. }));
    assert!(matches!(greeted(b"abc").await, SftpError::Gone { .. }));
    assert!(matches!(
        greeted(&framed(&[kind::VERSION, 0, 0, 0, 2])).await,
        SftpError::Nonsense(Nonsense::Version(2))
    ));
    assert!(matches!(
        greeted(&framed(&[kind::STATUS, 0, 0, 0, 3])).await,
        SftpError::Nonsense(Nonsense::WrongType(101))
    ));
    let cut = framed(&[kind::VERSION, 0, 0, 0, 3, 0, 0, 0, 9, b'x']);
    assert!(matches!(greeted(&cut).await, SftpError::Nonsense(Nonsense::Truncated(2))));
    assert!(matches!(greeted(&[0, 0, 0, 0, 1]).await, SftpError::Nonsense(Nonsense::NotSftp { .. })));
}

/// What those who wait are told when an answer is this one.
async fn answered(make: impl FnOnce([u8; 4]) -> Vec<u8>) -> SftpError {
    let (sftp, mut fake) = Fake::start().await;
    let (one, other) = (sftp.clone(), sftp.clone());
    let first = tokio::spawn(async move { one.stat("a").await });
    let asked = fake.asked().await;
    let second = tokio::spawn(async move { other.list("b").await });
    fake.asked().await;
    fake.send(&make(asked.id)).await;
    let error = soon(first).await.expect("no panic").expect_err("nonsense");
    let same = soon(second).await.expect("no panic").expect_err("no one is left waiting");
    assert_eq!(error.to_string(), same.to_string());
    let later = soon(sftp.mkdir("c", &Attributes::default())).await.expect_err("the session is over");
    assert_eq!(error.to_string(), later.to_string());
    error
}

#[tokio::test]
async fn answers_that_are_none() {
    let nonsense = |error| match error {
        SftpError::Nonsense(nonsense) => nonsense,
        other => panic!("{other}"),
    };
    let error = answered(|_| answer(kind::ATTRS, [9; 4], &[0; 4])).await;
    assert_eq!(nonsense(error), Nonsense::UnknownId(0x0909_0909));
    let error = answered(|id| answer(kind::HANDLE, id, &[0; 4])).await;
    assert_eq!(nonsense(error), Nonsense::WrongType(kind::HANDLE));
    let error = answered(|id| answer(kind::STATUS, id, &[0; 4])).await;
    assert_eq!(nonsense(error), Nonsense::WrongType(kind::STATUS));
    let error = answered(|id| answer(kind::ATTRS, id, &[0, 0, 0, 15, 1, 2])).await;
    assert_eq!(nonsense(error), Nonsense::Truncated(kind::ATTRS));
    let error = answered(|id| answer(77, id, &[])).await;
    assert_eq!(nonsense(error), Nonsense::WrongType(77));
    let error = answered(|_| vec![0, 0, 0, 2, 101, 0]).await;
    assert_eq!(nonsense(error), Nonsense::Truncated(101));
    let error = answered(|_| vec![0x7f, 0, 0, 0]).await;
    assert_eq!(nonsense(error), Nonsense::Length(0x7f00_0000));
    let error = answered(|_| vec![0, 0, 0, 0]).await;
    assert_eq!(nonsense(error), Nonsense::Length(0));
}

#[tokio::test]
async fn a_read_of_more_than_was_asked() {
    let (sftp, mut fake) = Fake::start().await;
    let task = tokio::spawn(async move {
        let file = sftp.open("a", OpenFlags::READ, &Attributes::default()).await?;
        sftp.read(&file, 0, 1).await
    });
    let open = fake.asked().await;
    fake.send(&answer(kind::HANDLE, open.id, &[0, 0, 0, 1, 1])).await;
    let read = fake.asked().await;
    fake.send(&answer(kind::DATA, read.id, &[0, 0, 0, 2, 1, 2])).await;
    let error = soon(task).await.expect("no panic").expect_err("nonsense");
    assert!(matches!(error, SftpError::Nonsense(Nonsense::DataLength { asked: 1, got: 2 })), "{error}");
}

#[tokio::test]
async fn a_stream_that_ends_tells_all_that_wait() {
    let (sftp, mut fake) = Fake::start().await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let sftp = sftp.clone();
            tokio::spawn(async move { sftp.stat("a").await })
        })
        .collect();
    for _ in 0..20 {
        fake.asked().await;
    }
    drop(fake);
    for task in tasks {
        let error = soon(task).await.expect("no panic").expect_err("gone");
        assert!(matches!(error, SftpError::Gone { .. }), "{error}");
    }
}
