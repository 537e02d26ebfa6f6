//! Every request, against real servers.

use std::os::unix::{ffi::OsStrExt, fs::MetadataExt};

use bytes::Bytes;
use futures_util::StreamExt;

use super::{
    super::{Attributes, FileKind, OpenFlags, SftpError, StatusCode, complete},
    Server, servers, soon,
};

fn bytes(path: &std::path::Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[tokio::test]
async fn files_are_written_and_read() {
    for server in servers() {
        let server = Server::start(&server).await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let sftp = &server.sftp;
        let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
        let file = sftp.open(bytes(&path), flags, &Attributes::mode(0o640)).await.expect("a file");
        let content: Bytes = (0..1_000_000_u32).map(|number| number as u8).collect::<Vec<_>>().into();
        sftp.write(&file, 0, content.clone()).await.expect("written");
        let mut read = Vec::new();
        while let Some(more) = sftp.read(&file, read.len() as u64, 400_000).await.expect("read") {
            read.extend_from_slice(&more);
        }
        assert!(read == content);
        assert_eq!(sftp.fstat(&file).await.expect("attributes").size, Some(1_000_000));
        sftp.fsync(&file).await.expect("synced");
        assert!(sftp.fstatvfs(&file).await.expect("a file system").blocks > 0);
        let copy = folder.path().join("copy");
        let other = sftp.open(bytes(&copy), flags, &Attributes::default()).await.expect("a file");
        sftp.copy_data(&file, 0, 0, &other, 0).await.expect("copied");
        other.close().await.expect("closed");
        let times = Attributes { times: Some((5, 7)), ..Attributes::mode(0o600) };
        sftp.fsetstat(&file, &times).await.expect("set");
        file.close().await.expect("closed");
        assert!(std::fs::read(&copy).expect("a copy") == content);
        let metadata = std::fs::metadata(&path).expect("a file");
        assert_eq!((metadata.mode() & 0o777, metadata.atime(), metadata.mtime()), (0o600, 5, 7));
    }
}

#[tokio::test]
async fn paths_are_bytes() {
    for server in servers() {
        let server = Server::start(&server).await;
        let folder = tempfile::tempdir().expect("a folder");
        let sftp = &server.sftp;
        let at = |name: &[u8]| [bytes(folder.path()), b"/", name].concat();
        let odd = at(b"n\xff\xfeme\n");
        sftp.mkdir(&odd, &Attributes::mode(0o700)).await.expect("made");
        assert_eq!(sftp.stat(&odd).await.expect("attributes").kind(), FileKind::Directory);
        sftp.symlink(b"n\xff\xfeme\n", at(b"link")).await.expect("linked");
        assert_eq!(
            std::fs::read_link(folder.path().join("link")).expect("a link").as_os_str().as_bytes(),
            b"n\xff\xfeme\n"
        );
        assert_eq!(sftp.lstat(at(b"link")).await.expect("attributes").kind(), FileKind::Link);
        assert_eq!(sftp.readlink(at(b"link")).await.expect("a target"), b"n\xff\xfeme\n");
        assert_eq!(
            sftp.realpath(at(b"link")).await.expect("a path"),
            sftp.realpath(&odd).await.expect("a path")
        );
        sftp.lsetstat(at(b"link"), &Attributes { times: Some((1, 2)), ..Attributes::default() })
            .await
            .expect("set");
        assert_eq!(sftp.lstat(at(b"link")).await.expect("attributes").times, Some((1, 2)));
        std::fs::write(folder.path().join("a"), "a").expect("a file");
        std::fs::write(folder.path().join("b"), "b").expect("a file");
        let taken = sftp.rename(at(b"a"), at(b"b")).await.expect_err("the name is taken");
        assert_eq!(taken.code(), Some(StatusCode::Failure));
        sftp.posix_rename(at(b"a"), at(b"b")).await.expect("renamed");
        sftp.hardlink(at(b"b"), at(b"c")).await.expect("linked");
        sftp.rename(at(b"c"), at(b"d")).await.expect("renamed");
        sftp.setstat(at(b"d"), &Attributes { size: Some(0), ..Attributes::default() }).await.expect("cut");
        assert_eq!(std::fs::read(folder.path().join("b")).expect("a file"), b"");
        let mut names: Vec<_> = sftp
            .list(bytes(folder.path()))
            .await
            .expect("entries")
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        names.sort();
        assert_eq!(names, [&b"b"[..], b"d", b"link", b"n\xff\xfeme\n"]);
        assert!(sftp.exists(at(b"d")).await.expect("looked at"));
        sftp.remove(at(b"d")).await.expect("removed");
        assert!(!sftp.exists(at(b"d")).await.expect("looked at"));
        assert!(!sftp.exists(at(b"b/c")).await.expect("looked at"), "b is no folder");
        sftp.rmdir(&odd).await.expect("removed");
        assert!(sftp.statvfs(bytes(folder.path())).await.expect("a file system").name_max >= 143);
        let missing = sftp.stat(at(b"d")).await.expect_err("gone");
        assert!(missing.is_no_such_file());
        assert!(missing.to_string().ends_with("/d: no such file"), "{missing}");
        assert!(matches!(sftp.stat(b"a\0b").await, Err(SftpError::BadPath { .. })));
        let long = vec![b'a'; 300_000];
        assert!(matches!(sftp.stat(&long).await, Err(SftpError::BadPath { .. })));
        assert!(!sftp.is_gone());
    }
}

#[tokio::test]
async fn a_folder_is_read_entry_by_entry_and_nothing_is_lost_when_nobody_waits() {
    for server in servers() {
        let server = Server::behind_tiny_pipes(&server, 512).await;
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..700 {
            std::fs::write(folder.path().join(format!("f{number:03}")), "x").expect("a file");
        }
        // Paths of this machine are as good as bytes.
        let mut entries = server.sftp.read_dir(folder.path()).await.expect("opened");
        let (mut names, mut given_up) = (Vec::new(), 0);
        loop {
            let next = async { entries.next_entry().await.expect("an entry") };
            tokio::select! {
                biased;
                entry = next => match entry {
                    Some(entry) => {
                        assert_eq!(entry.attributes.size, Some(1));
                        names.push(entry.name_lossy().into_owned());
                    }
                    None => break,
                },
                // The wait is given up, and begun anew.
                () = tokio::task::yield_now() => given_up += 1,
            }
        }
        names.sort();
        assert_eq!(names, (0..700).map(|number| format!("f{number:03}")).collect::<Vec<_>>());
        assert!(given_up > 0);
        assert_eq!(entries.next_entry().await.expect("still the end"), None);

        let stream = server.sftp.read_dir(folder.path()).await.expect("opened");
        let all = stream.map(|entry| entry.expect("an entry").name).collect::<Vec<_>>();
        assert_eq!(soon(all).await.len(), 700);
        let missing =
            server.sftp.read_dir(folder.path().join("no/such")).await.expect_err("nothing is there");
        assert!(missing.is_no_such_file(), "{missing}");
    }
}

#[tokio::test]
async fn a_tilde_is_a_home() {
    for server in servers() {
        let server = Server::start(&server).await;
        let home = server.sftp.expand_tilde("~").await.expect("a home");
        assert!(home.starts_with(b"/"));
        let below = server.sftp.expand_tilde("~/no/such").await.expect("a path");
        assert_eq!(below, [&home[..], b"/no/such"].concat().split_off(usize::from(home == b"/")));
        assert_eq!(server.sftp.expand_tilde("~root/x").await.expect("a path"), b"/root/x");
        server.sftp.expand_tilde("~no-such-user/x").await.expect_err("nobody");
        assert_eq!(server.sftp.expand_tilde("a~").await.expect("a path"), b"a~");
    }
}

#[tokio::test]
async fn many_ask_at_once() {
    for server in servers() {
        let server = Server::start(&server).await;
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..250 {
            std::fs::write(folder.path().join(format!("f{number}")), number.to_string()).expect("a file");
        }
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..250_usize {
            let (sftp, path) = (server.sftp.clone(), folder.path().join(format!("f{number}")));
            tasks.spawn(async move {
                let file =
                    sftp.open(bytes(&path), OpenFlags::READ, &Attributes::default()).await.expect("a file");
                let read = sftp.read(&file, 0, 100).await.expect("read").expect("content");
                assert_eq!(read, number.to_string());
            });
        }
        soon(tasks.join_all()).await;
        assert_eq!(server.sftp.list(bytes(folder.path())).await.expect("entries").len(), 250);
    }
}

#[tokio::test]
async fn when_the_server_dies_all_are_told() {
    for server in servers() {
        let mut server = Server::start(&server).await;
        let sftp = server.sftp.clone();
        server.child.kill().await.expect("killed");
        let error = soon(sftp.stat("/")).await.expect_err("gone");
        assert!(error.is_fatal(), "{error}");
        soon(sftp.stat("/")).await.expect_err("still gone");
        assert!(sftp.is_gone());
    }
}

#[tokio::test]
async fn a_session_ends_with_its_last_clone() {
    for server in servers() {
        let Server { sftp, mut child } = Server::start(&server).await;
        drop(sftp);
        assert!(soon(child.wait()).await.expect("a status").success());
    }
}

#[tokio::test]
async fn paths_are_completed() {
    for server in servers() {
        let server = Server::start(&server).await;
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["apple", "apricot", ".hidden", "banana"] {
            std::fs::write(folder.path().join(name), "").expect("a file");
        }
        std::fs::create_dir(folder.path().join("apes")).expect("a folder");
        std::os::unix::fs::symlink("apes", folder.path().join("ap-link")).expect("a link");
        let ask = async |typed: &str| -> Vec<String> {
            let typed = [bytes(folder.path()), b"/", typed.as_bytes()].concat();
            let found = complete(&server.sftp, &typed).await.expect("an answer");
            let cut = bytes(folder.path()).len() + 1;
            found.iter().map(|found| String::from_utf8_lossy(&found.path[cut..]).into_owned()).collect()
        };
        assert_eq!(ask("ap").await, ["ap-link/", "apes/", "apple", "apricot"]);
        assert_eq!(ask("").await, ["ap-link/", "apes/", "apple", "apricot", "banana"]);
        assert_eq!(ask(".").await, [".hidden"]);
        assert_eq!(ask("no/such").await, [""; 0]);
        let home = complete(&server.sftp, b"~").await.expect("an answer");
        assert_eq!(home[0].path, b"~/");
        for found in complete(&server.sftp, b"~/.").await.expect("an answer") {
            assert!(found.path.starts_with(b"~/."));
        }
    }
}

#[tokio::test]
async fn tiny_pipes_carry_everything() {
    for server in servers() {
        let server = Server::behind_tiny_pipes(&server, 7).await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
        let file = server.sftp.open(bytes(&path), flags, &Attributes::mode(0o600)).await.expect("a file");
        let content = Bytes::from(vec![7; 20_000]);
        soon(server.sftp.write(&file, 3, content.clone())).await.expect("written");
        assert_eq!(soon(server.sftp.read(&file, 3, 30_000)).await.expect("read"), Some(content));
    }
}
