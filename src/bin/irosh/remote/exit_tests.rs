use std::sync::Arc;

use irosh::client::{
    ClientError, ConnectError, Disconnected, FilesError, HostKeyMismatch, OpenError, SessionError,
    forward::ForwardError,
    sftp::{Nonsense, SftpError},
    transfer::{Side, TransferError, TransferFailure, TransferReport},
};

use super::*;

fn code(error: impl Into<anyhow::Error>) -> u8 {
    code_of(&error.into())
}

#[test]
fn a_connection_that_is_lost_is_6_wherever_that_shows() {
    assert_eq!(code(Disconnected::Gone), 6);
    assert_eq!(code(FilesError::Open(OpenError::Disconnected(Disconnected::Silent))), 6);
    assert_eq!(code(FilesError::Subsystem(SessionError::Disconnected(Disconnected::Gone))), 6);
    let placed = NotPlaced::Forward(ForwardError::Disconnected(Disconnected::Gone));
    assert_eq!(code(anyhow::Error::from(placed).context("-L 1:a:2")), 6);
    assert_eq!(code(Disconnected::Protocol("a packet".into())), 7);
    assert_eq!(code(FilesError::Open(OpenError::Prohibited)), 1);
}

#[test]
fn every_status_of_the_table_has_its_error() {
    let (side, path): (_, Arc<[u8]>) = (Side::Remote, Arc::from(*b"file"));
    let copy = |error| {
        let failure =
            TransferFailure { errors: vec![error], errors_total: 1, report: TransferReport::default() };
        code(FilesError::Transfer(failure))
    };
    let ssh = |error| code(ClientError::Ssh(error));
    let mismatch = HostKeyMismatch { shown: "one".into(), announced: vec!["other".into()] };
    let wrong = ConnectError::WrongPassword { login: "me".into(), remaining: vec![], notes: vec![] };
    let codes = [
        (1, code(FilesError::Open(OpenError::Prohibited))),
        (3, ssh(ConnectError::NoHostKey)),
        (4, ssh(ConnectError::HostKeyMismatch(mismatch))),
        (5, ssh(wrong)),
        (6, code(Disconnected::Gone)),
        (7, ssh(ConnectError::NotSsh)),
        (8, copy(TransferError::NoSuchFile { side, path: path.clone() })),
        (9, copy(TransferError::PermissionDenied { side, path: path.clone() })),
        (10, copy(TransferError::IsDirectory { side, path: path.clone() })),
        (11, copy(TransferError::DiskFull { side, path: path.clone() })),
        (12, copy(TransferError::Checksum { path })),
        (130, copy(TransferError::Cancelled)),
        (130, code(Interrupted)),
        (130, ssh(ConnectError::Cancelled)),
    ];
    for (expected, code) in codes {
        assert_eq!(code, expected);
        assert!(OF_COPIES.contains(&format!("\n{code:5}  ")), "{code} has no row");
    }
    let rows = OF_COPIES.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u8>().ok());
    // Success, and the command line, which is read before.
    let without_error = [0, 2];
    assert!(
        rows.into_iter()
            .all(|row| without_error.contains(&row) || codes.iter().any(|(code, _)| *code == row))
    );
}

#[test]
fn an_error_is_told_once() {
    let lost = Arc::new(std::io::Error::other("a cable was cut"));
    let errors: [(anyhow::Error, &str); 4] = [
        (FilesError::Sftp(SftpError::Gone { source: Some(lost) }).into(), "a cable was cut"),
        (FilesError::Sftp(SftpError::Nonsense(Nonsense::Version(9))).into(), "version 9"),
        (ClientError::Ssh(ConnectError::Session(OpenError::Prohibited)).into(), "prohibited"),
        (ConnectError::WrongPassword { login: "me".into(), remaining: vec![], notes: vec![] }.into(), "me"),
    ];
    for (error, words) in errors {
        let said = format!("{error:#}");
        assert_eq!(said.matches(words).count(), 1, "{said}");
    }
}

#[test]
fn an_interrupted_forward_is_no_failure_in_its_help() {
    assert!(OF_FORWARD.contains("    0  interrupted\n"));
}

#[test]
fn what_a_server_says_is_no_line_of_ours() {
    let says = || "good\nirosh: run this".to_owned();
    let errors: [(anyhow::Error, usize); 3] = [
        (Disconnected::ByServer { code: 2, message: says() }.into(), 1),
        (ConnectError::NoCommonAlgorithm { kind: "cipher".into(), theirs: vec![says()] }.into(), 1),
        // Of which the second one says what to do.
        (ConnectError::PasswordChange(says()).into(), 2),
    ];
    for (error, lines) in errors {
        let said = error.to_string();
        assert!(said.contains("good irosh: run this") && said.lines().count() == lines, "{said}");
    }
}
