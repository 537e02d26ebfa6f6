//! How often a copy waits for the server, and what it does behind a slow line.

use std::{fs, slice::from_ref, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::{Notify, watch},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        super::sftp::{
            Sftp,
            tests::{
                DEADLINE, Server, command,
                fake::{Fake, answer},
                servers, soon,
            },
        },
        Links, TransferError, TransferOptions, TransferProgress,
        removals::Removals,
    },
    Place, WAYS, Way, folder, names, noise, recursive, same,
};

/// Without a byte either way for so long, one side waits for the other.
const QUIET: Duration = Duration::from_millis(150);

/// Round trips, counted by a line that brings answers only when nothing more is asked.
struct Turns(watch::Receiver<u32>);

impl Turns {
    /// Passes requests on at once, and holds answers back until both sides are quiet.
    async fn start(server: &[String]) -> (Server, Self) {
        let mut child = command(server).spawn().expect("a server");
        let mut output = child.stdout.take().expect("a pipe");
        let mut input = child.stdin.take().expect("a pipe");
        let (ours, theirs) = tokio::io::duplex(64 << 20);
        let (mut from_us, mut to_us) = tokio::io::split(theirs);
        let (count, turns) = watch::channel(0);
        let asked = Arc::new(Notify::new());
        let asking = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut block = vec![0; 1 << 20];
            while let Ok(length @ 1..) = from_us.read(&mut block).await {
                asking.notify_one();
                if input.write_all(&block[..length]).await.is_err() {
                    return;
                }
                asking.notify_one();
            }
        });
        tokio::spawn(async move {
            let (mut held, mut block) = (Vec::new(), vec![0; 1 << 20]);
            loop {
                tokio::select! {
                    () = asked.notified() => {}
                    read = output.read(&mut block) => match read {
                        Ok(length @ 1..) => held.extend_from_slice(&block[..length]),
                        _ => return,
                    },
                    () = tokio::time::sleep(QUIET), if !held.is_empty() => {
                        count.send_modify(|count| *count += 1);
                        if to_us.write_all(&std::mem::take(&mut held)).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        (Server { sftp: session(ours).await, child }, Self(turns))
    }

    fn so_far(&self) -> u32 {
        *self.0.borrow()
    }
}

async fn session(stream: DuplexStream) -> Sftp {
    let (reader, writer) = tokio::io::split(stream);
    Sftp::start(reader, writer).await.expect("a session")
}

/// Looking, opening and content; and of an upload the new name.
fn most(way: Way) -> u32 {
    match way {
        Way::Up => 4,
        Way::Down => 3,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_waits_for_no_answer_that_it_does_not_need() {
    for server in servers() {
        for way in WAYS {
            let (server, turns) = Turns::start(&server).await;
            let place = Place { dir: folder(), server, way };
            for size in [100, 3 << 20] {
                let file = place.write(format!("file{size}"), noise(size, 3));
                let target = place.at(format!("new{size}"));
                for round in ["new", "replaced"] {
                    let before = turns.so_far();
                    place.copy(&file, &target, &TransferOptions::default()).await.expect("copied");
                    let taken = turns.so_far() - before;
                    assert!(taken <= most(way), "{way:?} {size} {round}: {taken} round trips");
                    assert!(same(&file, &target));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_matches_are_looked_at_together() {
    for server in servers() {
        let (server, turns) = Turns::start(&server).await;
        let place = Place { dir: folder(), server, way: Way::Down };
        for number in 0..50 {
            place.write(format!("tree/d{number}/file"), "x");
        }
        let before = turns.so_far();
        place.copy(&place.at("tree/d*/file*"), &place.make("new"), &recursive()).await.expect_err("one name");
        let taken = turns.so_far() - before;
        assert!(taken <= 10, "{taken} round trips");
    }
}

/// A line that takes so many bytes of requests and then no more until it is told to go on.
async fn held_line(server: &[String], bytes: usize) -> (Server, Arc<Notify>) {
    let mut child = command(server).spawn().expect("a server");
    let (mut output, mut input) = (child.stdout.take().expect("a pipe"), child.stdin.take().expect("a pipe"));
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let (mut from_us, mut to_us) = tokio::io::split(theirs);
    let go_on = Arc::new(Notify::new());
    let going = Arc::clone(&go_on);
    tokio::spawn(async move {
        let mut first = (&mut from_us).take(bytes as u64);
        tokio::io::copy(&mut first, &mut input).await.expect("passed on");
        going.notified().await;
        let _ = tokio::io::copy(&mut from_us, &mut input).await;
    });
    tokio::spawn(async move { tokio::io::copy(&mut output, &mut to_us).await });
    (Server { sftp: session(ours).await, child }, go_on)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_sent_when_an_upload_is_cancelled_is_not_sent_then() {
    for server in servers() {
        let (server, go_on) = held_line(&server, 3 << 20).await;
        let place = Place { dir: folder(), server, way: Way::Up };
        let file = place.write("file", noise(12 << 20, 3));
        let into = place.make("new");
        let (progress, mut watched) = watch::channel(TransferProgress::default());
        let cancel = CancellationToken::new();
        let options = TransferOptions {
            progress: Some(progress),
            cancel: cancel.clone(),
            ..TransferOptions::default()
        };
        let sftp = place.server.sftp.clone();
        let stop = async {
            // What fits on the line has arrived, and the rest is queued.
            soon(watched.wait_for(|progress| progress.bytes > 2 << 20)).await.expect("progress");
            let part = into.join(&names(&into)[0]);
            cancel.cancel();
            go_on.notify_one();
            part
        };
        let (failed, part) = tokio::join!(Way::Up.copy(&sftp, from_ref(&file), &into, &options), stop);
        let failed = failed.expect_err("cancelled");
        assert!(matches!(failed.errors[..], [TransferError::Cancelled]), "{failed}");
        assert!(!part.exists());
        assert!(fs::read_dir(&into).expect("a folder").next().is_none());
    }
}

/// A tree of long files is listed, and before the second one is opened it is exchanged for a link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_exchanged_for_a_link_after_it_was_listed_is_not_sent() {
    for server in servers() {
        for links in [Links::Keep, Links::Skip, Links::Follow] {
            let (server, go_on) = held_line(&server, 3 << 20).await;
            let place = Place { dir: folder(), server, way: Way::Up };
            let secret = place.write("secret", noise(12 << 20, 7));
            for name in ["one", "two"] {
                place.write(format!("tree/{name}"), noise(12 << 20, 3));
            }
            let (progress, mut watched) = watch::channel(TransferProgress::default());
            let options =
                TransferOptions { links, files_at_once: Some(1), progress: Some(progress), ..recursive() };
            let (source, target) = (place.at("tree"), place.at("new"));
            let exchange = async {
                let begun = soon(watched.wait_for(|progress| progress.bytes > 0)).await.expect("progress");
                let other = if begun.file.ends_with(b"one") { "two" } else { "one" };
                fs::remove_file(source.join(other)).expect("removed");
                std::os::unix::fs::symlink(&secret, source.join(other)).expect("a link");
                go_on.notify_one();
                other
            };
            let (copied, other) = tokio::join!(place.copy(&source, &target, &options), exchange);
            if links == Links::Follow {
                copied.expect("copied");
                assert!(same(&secret, &target.join(other)));
            } else {
                let failed = copied.expect_err("exchanged");
                assert!(matches!(failed.errors[..], [TransferError::SourceChanged { .. }]), "{failed}");
                assert!(!target.join(other).exists());
            }
        }
    }
}

#[tokio::test]
async fn a_part_that_the_server_does_not_remove_is_told() {
    let (sftp, mut fake) = Fake::start().await;
    let removals = Removals::new(&sftp);
    removals.remove(&b"/part"[..].into());
    let settled = tokio::spawn(async move { removals.settle(DEADLINE).await });
    let asked = fake.asked().await;
    assert_eq!(asked.kind, 13);
    let denied = answer(101, asked.id, &[0, 0, 0, 3]);
    fake.send(&denied).await;
    let realpath = fake.asked().await;
    fake.send(&answer(101, realpath.id, &[0, 0, 0, 4])).await;
    let left = soon(settled).await.expect("no panic");
    assert_eq!(left, [Arc::<[u8]>::from(&b"/part"[..])]);
}
