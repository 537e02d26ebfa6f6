//! Commands with their streams, and files that are read and written in place.

use std::{fs, io::SeekFrom, os::unix::fs::PermissionsExt};

use irosh::client::{
    ConnectError, Disconnected, Exit, PtyOptions, PtySize, SessionError,
    auth::{KeyPair, Password},
    connect_without_session,
    sftp::{File, OpenFlags},
    transfer::TransferOptions,
};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::servers::{Kind, Random, Server, login, new_key};

on_every_server!(
    the_output_of_a_command_is_collected,
    an_argument_reaches_the_command_as_it_is,
    what_goes_in_comes_out_while_both_are_open,
    one_output_is_read_while_nobody_reads_the_other,
    an_output_that_is_dropped_holds_up_nobody,
    output_that_is_too_long_is_an_error,
    the_end_of_a_command_is_told,
    a_command_has_a_terminal_where_it_asks_for_one,
    a_connection_that_is_lost_is_an_error_of_whoever_reads,
    a_file_is_read_written_and_sought_in,
    what_is_wrong_with_a_file_is_told,
    a_key_in_memory_logs_in,
    a_copy_that_is_checked_has_the_server_compute_digests,
);

async fn the_output_of_a_command_is_collected(server: Server) {
    let host = server.connect().await.connection();
    let output = host.command("printf out; printf err >&2; exit 3").output().await.expect("an output");
    assert_eq!((output.stdout_lossy().as_ref(), output.stderr_lossy().as_ref()), ("out", "err"));
    assert_eq!((output.exit.clone(), output.success()), (Exit::Status(3), false));
    // Nobody gives it input.
    assert!(host.command("cat").output().await.expect("an output").success());
    let bytes = host.command("head -c 9000000 /dev/zero; head -c 9000000 /dev/zero >&2").output().await;
    let bytes = bytes.expect("an output");
    assert_eq!((bytes.stdout.len(), bytes.stderr.len()), (9_000_000, 9_000_000));
}

async fn an_argument_reaches_the_command_as_it_is(server: Server) {
    let host = server.connect().await.connection();
    let arguments = ["it's", "$HOME", "", "a\\'b\n*", "\"; exit 1", "-n"];
    let output = host.command("printf '%s|'").args(arguments).output().await.expect("an output");
    assert_eq!(output.stdout_lossy(), arguments.map(|argument| format!("{argument}|")).concat());
}

async fn what_goes_in_comes_out_while_both_are_open(server: Server) {
    let host = server.connect().await.connection();
    let mut child = host.command("cat").spawn().await.expect("spawned");
    let (mut input, mut output) = (child.stdin.take().expect("stdin"), child.stdout.take().expect("stdout"));
    let bytes = Random::new(7).bytes(6 << 20);
    let sent = bytes.clone();
    let feeding = tokio::spawn(async move {
        input.write_all(&sent).await.expect("written");
        input.shutdown().await.expect("shut down");
    });
    let mut came = Vec::new();
    output.read_to_end(&mut came).await.expect("read");
    feeding.await.expect("fed");
    assert!(came == bytes);
    assert_eq!(child.wait().await, Ok(Exit::Status(0)));
}

async fn one_output_is_read_while_nobody_reads_the_other(server: Server) {
    let host = server.connect().await.connection();
    // Less than the window of both together.
    let mut child = host.command("head -c 1000000 /dev/zero; printf end >&2").spawn().await.expect("spawned");
    let mut errors = String::new();
    child.stderr.take().expect("stderr").read_to_string(&mut errors).await.expect("read");
    assert_eq!(errors, "end");
    assert_eq!(child.wait_with_output().await.expect("an output").stdout.len(), 1_000_000);
}

async fn an_output_that_is_dropped_holds_up_nobody(server: Server) {
    let host = server.connect().await.connection();
    let mut child =
        host.command("head -c 20000000 /dev/zero; printf end >&2").spawn().await.expect("spawned");
    child.stdout = None;
    let output = child.wait_with_output().await.expect("an output");
    assert_eq!((output.stdout.len(), output.stderr), (0, b"end".to_vec()));
    // Neither is wanted.
    let status =
        host.command("head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2; exit 4").status().await;
    assert_eq!(status, Ok(Exit::Status(4)));
}

async fn output_that_is_too_long_is_an_error(server: Server) {
    let host = server.connect().await.connection();
    let mut command = host.command("printf 12345");
    let output = command.output_limit(5).output().await.expect("as much as there may be");
    assert_eq!(output.stdout, b"12345");
    let output = command.output_limit(4).output().await;
    assert_eq!(output, Err(SessionError::TooLong { limit: 4 }));
}

async fn the_end_of_a_command_is_told(server: Server) {
    let host = server.connect().await.connection();
    // sshd takes no signals for root: "session signalling requires privilege separation".
    let by_itself = server.kind == Kind::OpenSsh && nix::unistd::geteuid().is_root();
    let last = if by_itself { "read go; kill -TERM $$" } else { "exec sleep 100" };
    let mut child = host.command(format!("echo ready; {last}")).spawn().await.expect("spawned");
    let mut ready = [0; 6];
    child.stdout.as_mut().expect("stdout").read_exact(&mut ready).await.expect("read");
    match by_itself {
        true => child.stdin = None,
        false => child.signal("TERM").await.expect("sent"),
    }
    let exit = child.wait().await.expect("an end");
    assert!(matches!(&exit, Exit::Signal(signal) if signal.name == "TERM"), "{exit}");
    // And again.
    assert_eq!(child.wait().await, Ok(exit));
}

async fn a_command_has_a_terminal_where_it_asks_for_one(server: Server) {
    let host = server.connect().await.connection();
    let mut command = host.command("stty size; tty >/dev/null && echo on a terminal >&2");
    let output =
        command.pty(PtyOptions::new("xterm", PtySize::new(132, 50))).output().await.expect("an output");
    assert_eq!(output.stdout_lossy(), "50 132\r\non a terminal\r\n");
    assert!(output.stderr.is_empty());
}

async fn a_connection_that_is_lost_is_an_error_of_whoever_reads(server: Server) {
    let host = server.connect().await.connection();
    let mut child = host.command("echo ready; exec sleep 100").spawn().await.expect("spawned");
    let mut output = child.stdout.take().expect("stdout");
    let mut ready = [0; 6];
    output.read_exact(&mut ready).await.expect("read");
    server.kill();
    let error = output.read_to_end(&mut Vec::new()).await.expect_err("lost");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
    let lost = child.wait().await.expect_err("lost");
    assert!(matches!(lost, SessionError::Disconnected(why) if why != Disconnected::ByUs));
}

async fn a_file_is_read_written_and_sought_in(server: Server) {
    let host = server.connect().await.connection();
    let sftp = host.sftp().await.expect("sftp");
    let path = server.path("file");
    let name = path.as_os_str().as_encoded_bytes();
    let bytes = Random::new(3).bytes(9_000_001);
    sftp.write_file(name, &bytes).await.expect("written");
    assert!(fs::read(&path).expect("a file") == bytes);
    assert!(sftp.read_file(name).await.expect("read") == bytes);

    let mut file = File::open(&sftp, name).await.expect("opened");
    assert_eq!(file.metadata().await.expect("attributes").size, Some(9_000_001));
    let mut five = [0; 5];
    for (to, at) in [
        (SeekFrom::Start(4_000_000), 4_000_000),
        (SeekFrom::End(-5), 8_999_996),
        (SeekFrom::Start(10), 10),
        (SeekFrom::Current(-15), 0),
        (SeekFrom::Current(100), 105),
    ] {
        assert_eq!(file.seek(to).await.expect("sought"), at as u64);
        file.read_exact(&mut five).await.expect("read");
        assert_eq!(five, bytes[at..at + 5], "{to:?}");
    }
    file.seek(SeekFrom::End(0)).await.expect("sought");
    assert_eq!(file.read(&mut five).await.expect("the end"), 0);
    assert!(file.seek(SeekFrom::Current(-9_000_002)).await.is_err());
    // It grows meanwhile.
    fs::write(&path, [&bytes[..], b"more"].concat()).expect("written");
    assert_eq!(file.read(&mut five).await.expect("more"), 4);

    let flags = OpenFlags::READ | OpenFlags::WRITE;
    let handle = sftp.open(name, flags, &Default::default()).await.expect("opened");
    let mut file = File::new(&sftp, handle);
    file.read_exact(&mut five).await.expect("read");
    // Where reading has come to, whatever was read ahead.
    file.write_all(b"written").await.expect("written");
    file.read_exact(&mut five).await.expect("read");
    assert_eq!(five, bytes[12..17]);
    file.seek(SeekFrom::Start(5)).await.expect("sought");
    let mut seven = [0; 7];
    file.read_exact(&mut seven).await.expect("read");
    assert_eq!(&seven, b"written");
    file.shutdown().await.expect("closed");
    assert!(file.read(&mut five).await.is_err());
    assert_eq!(&fs::read(&path).expect("a file")[5..12], b"written");
}

async fn what_is_wrong_with_a_file_is_told(server: Server) {
    let host = server.connect().await.connection();
    let sftp = host.sftp().await.expect("sftp");
    let missing = sftp.read_file("/not/there").await.expect_err("missing");
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    assert!(missing.to_string().contains("/not/there"), "{missing}");
    // A disk that is full is told by the writes, or at the end of them.
    let full = sftp.write_file("/dev/full", vec![0; 3 << 20]).await.expect_err("full");
    assert!(full.to_string().contains("/dev/full"), "{full}");
    // What was opened to read is not written to.
    let path = server.path("read only");
    fs::write(&path, "here").expect("written");
    let mut file = File::open(&sftp, &path).await.expect("opened");
    let written = async {
        file.write_all(b"no").await?;
        file.flush().await
    };
    written.await.expect_err("not for writing");
}

async fn a_key_in_memory_logs_in(server: Server) {
    let key = KeyPair::load(server.path("user_key")).expect("a key");
    let options = server.options().authenticator(key);
    let host = connect_without_session(server.stream(), options).await.expect("let in");
    assert!(host.command("true").output().await.expect("an output").success());
    // One with a passphrase needs it.
    let locked = server.path("locked_key");
    server.authorize(&new_key(&locked, "ed25519", "open sesame"));
    let key = KeyPair::load_with_passphrase(&locked, "open sesame").expect("a key");
    let options = server.options().authenticator(key);
    connect_without_session(server.stream(), options).await.expect("let in").disconnect().await;
    for error in [KeyPair::load(&locked), KeyPair::load_with_passphrase(&locked, "open barley")] {
        let error = irosh::Error::from(error.expect_err("it is locked"));
        assert!(error.to_string().contains("locked_key: "), "{error}");
    }
    // A password is none that this server takes, and is not asked for again.
    let options = server.options().authenticator(Password::new("wrong"));
    let error = connect_without_session(server.stream(), options).await.expect_err("not let in");
    assert!(
        matches!(error, ConnectError::Authentication(_) | ConnectError::WrongPassword { .. }),
        "{error}, for {}",
        login()
    );
}

async fn a_copy_that_is_checked_has_the_server_compute_digests(server: Server) {
    let (programs, asked) = (server.path("programs"), server.path("asked"));
    fs::create_dir(&programs).expect("a folder");
    let script =
        format!("#!/bin/sh\necho asked >> {}\nPATH=$OTHERS\nexport PATH\nexec sha256sum\n", asked.display());
    fs::write(programs.join("sha256sum"), script).expect("a program");
    fs::set_permissions(programs.join("sha256sum"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let (path, home) = (std::env::var("PATH").expect("PATH"), server.path("home"));
    server.configure(&format!(
        "SetEnv HOME={} \"PATH={}:{path}\" \"OTHERS={path}\"",
        home.display(),
        programs.display()
    ));
    let host = server.connect().await.connection();
    let (here, there) = (server.path("here"), server.path("there"));
    fs::write(&here, Random::new(3).bytes(1 << 20)).expect("a file");
    host.upload([&here], &there, TransferOptions::default().checksum(true)).await.expect("copied");
    host.download([&there], server.path("back"), TransferOptions::default().checksum(true))
        .await
        .expect("copied");
    assert!(fs::read(&here).expect("a file") == fs::read(server.path("back")).expect("a file"));
    assert_eq!(fs::read_to_string(&asked).expect("it was asked"), "asked\n".repeat(2));
    // Without, nobody computes anything.
    host.upload([&here], &there, TransferOptions::default()).await.expect("copied");
    assert_eq!(fs::read_to_string(&asked).expect("it was asked"), "asked\n".repeat(2));
}
