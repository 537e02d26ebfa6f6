//! Transfers that are stopped and gone on with.

use std::{collections::hash_map::RandomState, fs, hash::BuildHasher, path::Path, slice::from_ref};

use tokio::sync::watch;

use super::{
    super::{TransferError, TransferFailure, TransferOptions, TransferProgress, TransferReport},
    Place, Server, WAYS, folder, names, noise, recursive, resume, same, servers, soon,
    trees::{left_part, part_of},
};

const SIZE: u64 = 24 << 20;
const OVERLAP: u64 = 1 << 20;

/// Who goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    Server,
    Client,
}

/// Copies until so many bytes have arrived, and then someone goes away.
async fn killed_at(
    place: &mut Place,
    bytes: u64,
    killed: Killed,
    target: &Path,
) -> Option<Result<TransferReport, TransferFailure>> {
    let (progress, mut watched) = watch::channel(TransferProgress::default());
    let options = TransferOptions { progress: Some(progress), ..resume() };
    let (sftp, way, source) = (place.server.sftp.clone(), place.way, place.at("tree"));
    let copy = async { way.copy(&sftp, &[source], target, &options).await };
    let mut copy = std::pin::pin!(copy);
    tokio::select! {
        biased;
        _ = watched.wait_for(|progress| progress.bytes >= bytes) => {}
        outcome = &mut copy => return Some(outcome),
    }
    if killed == Killed::Client {
        return None;
    }
    place.server.child.start_kill().expect("killed");
    Some(soon(copy).await)
}

async fn killed_and_resumed(killed: Killed) {
    for server in servers() {
        for way in WAYS {
            let mut place = Place { dir: folder(), server: Server::start(&server).await, way };
            place.write("tree/big", noise(SIZE as usize, 77));
            for number in 0..20 {
                place.write(format!("tree/small{number}"), noise(number * 100, number as u64));
            }
            let mut stopped = 0;
            for round in 0..20_u64 {
                let target = place.at(format!("new{round}"));
                let bytes = RandomState::new().hash_one(round) % SIZE;
                killed_at(&mut place, bytes, killed, &target).await;
                // Nobody writes any more.
                place.server.sftp.clone().finish().await;
                soon(place.server.child.wait()).await.expect("a status");
                place.server = Server::start(&server).await;

                let part = left_part(&place, "tree/big", &target, "big");
                let arrived = part.and_then(|part| fs::metadata(part).ok()).map_or(0, |part| part.len());
                stopped += u32::from(arrived > OVERLAP);
                let whole = target.join("big").exists();
                assert!(!whole || same(&place.at("tree/big"), &target.join("big")));
                let done = names_or_none(&target).iter().filter(|name| name.starts_with("small")).count();
                // The first run has made the folder, and takes its name now: what is in it is meant.
                let (source, into) = if target.exists() { ("tree/.", &target) } else { ("tree", &target) };
                let report = place.copy(&place.at(source), into, &resume()).await.expect("copied");
                assert!(same(&place.at("tree"), &target), "{way:?} {bytes}: {:?}", names_or_none(&target));
                assert!(report.files_unchanged >= done as u64);
                let most = if whole { 0 } else { SIZE - arrived + OVERLAP.min(arrived) };
                let small: u64 = (0..20).map(|number| number * 100).sum();
                assert!(report.bytes <= most + small, "{way:?} {bytes}: {} of {most}", report.bytes);
                fs::remove_dir_all(&target).expect("removed");
            }
            assert!(stopped >= 5, "only {stopped} were stopped on their way");
        }
    }
}

fn names_or_none(folder: &Path) -> Vec<String> {
    if folder.exists() { names(folder) } else { Vec::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_and_the_transfer_resumed() {
    killed_and_resumed(Killed::Server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_is_dropped_and_the_transfer_resumed() {
    killed_and_resumed(Killed::Client).await;
}

#[tokio::test]
async fn a_part_is_gone_on_with() {
    for place in Place::each().await {
        let content = noise(5 << 20, 9);
        let file = place.write("file", &content);
        // Of several, the one that holds most.
        for arrived in [2 << 20, 4 << 20, 3 << 20] {
            place.write(part_of(&place, "file", "new"), &content[..arrived]);
        }
        let report = place.copy(&file, &place.at("new"), &resume()).await.expect("copied");
        assert_eq!((report.bytes, report.bytes_resumed), (2 << 20, 3 << 20));
        assert!(same(&file, &place.at("new")));
        assert_eq!(super::mode(&place.at("new")) & 0o777, super::mode(&file) & 0o777);
        assert_eq!(names(place.dir.path()), ["file", "new"]);
        // And what is complete is not sent again.
        let report = place.copy(&file, &place.at("new"), &resume()).await.expect("copied");
        assert_eq!((report.bytes, report.files_unchanged), (0, 1));
    }
}

#[tokio::test]
async fn a_part_that_others_could_write_to_is_not_gone_on_with_and_in_nobodys_way() {
    use std::os::unix::fs::PermissionsExt;
    for place in Place::each().await {
        let content = noise(5 << 20, 9);
        let file = place.write("file", &content);
        let part = place.write(part_of(&place, "file", "new"), &content[..3 << 20]);
        fs::set_permissions(&part, fs::Permissions::from_mode(0o666)).expect("a mode");
        for _ in 0..2 {
            let report = place.copy(&file, &place.at("new"), &resume()).await.expect("copied");
            assert_eq!((report.bytes, report.bytes_resumed), (5 << 20, 0));
            assert!(same(&file, &place.at("new")));
            fs::remove_file(place.at("new")).expect("removed");
        }
    }
}

#[tokio::test]
async fn a_part_that_a_crash_has_emptied_is_begun_anew() {
    for place in Place::each().await {
        let file = place.write("file", noise(5 << 20, 9));
        place.write(part_of(&place, "file", "new"), vec![0; 4 << 20]);
        let report = place.copy(&file, &place.at("new"), &resume()).await.expect("copied");
        assert_eq!(report.bytes, 5 << 20);
        assert!(same(&file, &place.at("new")));
        assert_eq!(names(place.dir.path()), ["file", "new"]);
    }
}

#[tokio::test]
async fn a_source_that_changed_starts_anew_and_its_old_parts_go() {
    for place in Place::each().await {
        let file = place.write("file", noise(5 << 20, 9));
        let old = part_of(&place, "file", "new");
        place.write(&old, noise(4 << 20, 9));
        place.write("file", noise((5 << 20) + 1, 10));
        let other = place.write(".new2.0123456789abcdef.irosh-part", "of another file");
        let report = place.copy(&file, &place.at("new"), &resume()).await.expect("copied");
        assert_eq!(report.bytes, (5 << 20) + 1);
        assert!(same(&file, &place.at("new")));
        assert!(other.exists() && !place.at(&old).exists());
    }
}

#[tokio::test]
async fn without_resume_a_part_is_left_alone() {
    for place in Place::each().await {
        let file = place.write("file", noise(5 << 20, 9));
        let part = place.write(part_of(&place, "file", "new"), vec![1; 4 << 20]);
        let report = place.copy(&file, &place.at("new"), &recursive()).await.expect("copied");
        assert_eq!(report.bytes, 5 << 20);
        assert!(same(&file, &place.at("new")));
        fs::remove_file(part).expect("it may be another run's");
        assert_eq!(names(place.dir.path()), ["file", "new"]);
    }
}

/// Begins a copy; its server stands still when so many bytes have arrived, while `meanwhile` runs. Nothing
/// if it was too fast for that.
async fn held_at(
    place: &Place,
    options: TransferOptions,
    bytes: u64,
    meanwhile: impl Future<Output = ()>,
) -> Option<Result<TransferReport, TransferFailure>> {
    use rustix::process::{Pid, Signal, kill_process};
    let (progress, mut watched) = watch::channel(TransferProgress::default());
    let options = TransferOptions { progress: Some(progress), ..options };
    let (source, target) = (place.at("file"), place.at("new"));
    let mut copy = std::pin::pin!(place.copy(&source, &target, &options));
    tokio::select! {
        biased;
        _ = watched.wait_for(|progress| progress.bytes >= bytes) => {}
        _ = &mut copy => {}
    }
    let server = Pid::from_raw(place.server.child.id().expect("it runs") as i32).expect("an id");
    kill_process(server, Signal::STOP).expect("stopped");
    let too_late = target.exists();
    if !too_late {
        meanwhile.await;
    }
    kill_process(server, Signal::CONT).expect("goes on");
    if too_late { None } else { Some(soon(copy).await) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_of_one_copy_do_not_get_into_each_others_part() {
    for server in servers() {
        for way in WAYS {
            let place = Place { dir: folder(), server: Server::start(&server).await, way };
            let file = place.write("file", noise(SIZE as usize, 9));
            let second = Server::start(&server).await;
            let other = async {
                way.copy(&second.sftp, from_ref(&file), &place.at("new"), &recursive())
                    .await
                    .expect("copied");
                assert!(same(&file, &place.at("new")));
            };
            if let Some(outcome) = held_at(&place, recursive(), 1 << 20, other).await {
                outcome.expect("copied");
            }
            assert!(same(&file, &place.at("new")));
            assert_eq!(names(place.dir.path()), ["file", "new"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_part_was_taken_over_says_so_and_does_no_harm() {
    let mut held = 0;
    for server in servers() {
        for way in WAYS {
            let place = Place { dir: folder(), server: Server::start(&server).await, way };
            let file = place.write("file", noise(SIZE as usize, 9));
            let second = Server::start(&server).await;
            let other = async {
                let copied = way.copy(&second.sftp, from_ref(&file), &place.at("new"), &resume()).await;
                assert!(copied.expect("copied").bytes_resumed > 0);
                assert!(same(&file, &place.at("new")));
            };
            if let Some(outcome) = held_at(&place, resume(), 2 << 20, other).await {
                let failure = outcome.expect_err("taken over");
                assert!(matches!(failure.errors[..], [TransferError::TakenOver { .. }]), "{failure}");
                held += 1;
            }
            assert!(same(&file, &place.at("new")));
            assert_eq!(names(place.dir.path()), ["file", "new"]);
        }
    }
    assert!(held > 0, "each was too fast");
}
