use std::sync::Arc;

use irosh::client::sftp::Nonsense;

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
