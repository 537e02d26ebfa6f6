//! What is logged, and how much of it.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use super::*;
use crate::server::sftp::LogLevel;

/// A log that is kept.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("a lock").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a session logs at a level, without what is of its folder.
fn logged(log_level: LogLevel, act: impl FnOnce(&mut Client)) -> Vec<String> {
    let kept = Kept::default();
    let writer = kept.clone();
    let lines = tracing_subscriber::fmt().with_writer(move || writer.clone()).without_time();
    let lines = lines.with_target(false).with_level(false).with_ansi(false);
    let subscriber = lines.with_max_level(tracing::Level::TRACE).finish();
    let folder = tracing::subscriber::with_default(subscriber, || {
        let mut client = Client::with(|options| {
            options.log_level = log_level;
            options.user.name = "bob".to_owned();
            options.denied = vec!["rmdir".to_owned()];
        });
        act(&mut client);
        std::fs::canonicalize(client.dir.path()).expect("a path")
    });
    let text = String::from_utf8(kept.0.lock().expect("a lock").clone()).expect("text");
    let folder = format!("{}/", folder.display());
    let process = format!("sftp[{}]: ", std::process::id());
    text.lines().map(|line| line.replace(&folder, "").replacen(&process, "", 1)).collect()
}

/// Something of most kinds.
fn act(client: &mut Client) {
    let handle = client.open("a", READ | WRITE | CREATE);
    client.write(&handle, 0, b"12345");
    client.read(&handle, 0, 3);
    client.close(&handle);
    client.ask(Request::new(kind::SETSTAT).s("a").u32(4).u32(0o640));
    client.ask(Request::new(kind::RENAME).s("a").s("b"));
    client.ask(Request::new(kind::REMOVE).s("a"));
    client.ask(Request::new(kind::RMDIR).s("d"));
    client.ask(Request::new(kind::OPENDIR).s(".")).handle();
}

#[test]
fn info_is_what_was_opened_closed_and_changed_and_what_failed() {
    let lines = logged(LogLevel::Info, act);
    assert_eq!(
        lines.iter().map(|line| line.trim()).collect::<Vec<_>>(),
        [
            "session opened for local user bob from [UNKNOWN]",
            "open \"a\" flags READ,WRITE,CREATE mode 0666",
            "close \"a\" bytes read 3 written 5",
            "set \"a\" mode 0640",
            "rename old \"a\" new \"b\"",
            "remove name \"a\"",
            "sent status No such file",
            "sent status Permission denied",
            "opendir \".\"",
            "forced closedir \".\"",
            "session closed for local user bob from [UNKNOWN]",
        ]
    );
}

#[test]
fn refusals_are_verbose_and_nothing_is_logged_unless_asked_for() {
    let lines = logged(LogLevel::Verbose, act).join("\n");
    assert!(lines.contains("Refusing denylisted rmdir request"), "{lines}");
    let lines = logged(LogLevel::Debug3, act).join("\n");
    assert!(lines.contains("request 7: write") && lines.contains("sent status Success"), "{lines}");
    assert_eq!(logged(LogLevel::default(), act), [""; 0]);
}

#[test]
fn a_name_cannot_begin_a_line_of_its_own_or_steer_a_terminal() {
    let lines = logged(LogLevel::Info, |client| {
        client.ask(Request::new(kind::REMOVE).s(b"a\nsftp: \x1b[2J\xff\""));
    });
    assert_eq!(lines[1].trim(), r#"remove name "a\nsftp: \u{1b}[2J\xFF\"""#);
}

#[test]
fn a_start_that_cannot_be_entered_is_an_error_and_the_home_is_next() {
    let home = tempfile::tempdir().expect("a directory");
    let lines = logged(LogLevel::Error, |_| {
        let user = crate::server::sftp::User { home: home.path().into(), ..Default::default() };
        std::fs::write(home.path().join("f"), "").expect("a file");
        let options = Options { start: home.path().join("f"), user, ..Options::default() };
        let start = std::fs::canonicalize(home.path()).expect("a path");
        assert_eq!(Server::new(options).start, start);
    });
    assert!(lines[0].contains("chdir to ") && lines[0].contains("failed: Not a directory"), "{lines:?}");
}
