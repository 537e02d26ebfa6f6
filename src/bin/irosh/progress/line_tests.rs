use proptest::prelude::*;

use super::*;

fn snapshot() -> Snapshot {
    Snapshot {
        name: "video.mkv".into(),
        done: 300 << 20,
        sent: 300 << 20,
        total: Some(1000 << 20),
        rate: 10 << 20,
        elapsed: Duration::from_secs(30),
        idle: Duration::ZERO,
        file: (1, 1),
        ended: false,
    }
}

#[test]
fn a_line_says_how_far_and_how_long() {
    let line = render(&snapshot(), 80);
    assert_eq!(line, "video.mkv                                        30%  300MB  10.0MB/s 01:10 ETA");
}

#[test]
fn the_place_among_several_files_is_said() {
    let line = render(&Snapshot { file: (12, 340), ..snapshot() }, 80);
    assert!(line.ends_with(" 30%  300MB  10.0MB/s 01:10 ETA 12/340 files"), "{line}");
}

#[test]
fn the_end_says_the_time_taken_and_the_mean_rate() {
    let ended = Snapshot {
        done: 1000 << 20,
        sent: 1000 << 20,
        elapsed: Duration::from_secs(100),
        ended: true,
        ..snapshot()
    };
    assert!(render(&ended, 80).ends_with(" 100% 1000MB  10.0MB/s     01:40"), "{}", render(&ended, 80));
    let resumed = Snapshot { sent: 100 << 20, ..ended.clone() };
    assert!(render(&resumed, 80).ends_with(" 100% 1000MB   1.0MB/s     01:40"), "{}", render(&resumed, 80));
    let broken_off = Snapshot { ended: true, ..snapshot() };
    assert!(render(&broken_off, 80).contains(" 30% "), "{}", render(&broken_off, 80));
}

#[test]
fn a_transfer_that_stands_still_is_stalled() {
    let stalled = Snapshot { idle: Duration::from_secs(5), ..snapshot() };
    assert!(render(&stalled, 80).ends_with(" - stalled -"));
    let unknown = Snapshot { rate: 0, ..snapshot() };
    assert!(render(&unknown, 80).ends_with("--:-- ETA"));
}

#[test]
fn without_a_total_there_is_no_percentage() {
    let line = render(&Snapshot { total: None, ..snapshot() }, 80);
    assert!(!line.contains('%') && line.ends_with(" 300MB  10.0MB/s     00:30"), "{line}");
}

#[test]
fn an_empty_file_is_complete_and_a_part_is_never() {
    assert!(render(&Snapshot { done: 0, total: Some(0), ..snapshot() }, 80).contains(" 100% "));
    assert!(render(&Snapshot { done: 999_999, total: Some(1_000_000), ..snapshot() }, 80).contains(" 99% "));
}

#[test]
fn a_narrow_line_keeps_what_says_most() {
    let widths = [60, 40, 30, 22, 15, 10, 4, 1, 0].map(|width| render(&snapshot(), width));
    assert_eq!(
        widths,
        [
            "video.mkv                    30%  300MB  10.0MB/s 01:10 ETA",
            "video.mkv          30%  300MB  10.0MB/s",
            "video.mkv          30%  300MB",
            "video.mkv  30%  300MB",
            "video.mkv  30%",
            "video.mkv",
            "vid",
            "",
            "",
        ]
        .map(str::to_owned)
    );
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let times = (0..1_000_000_000_u64, 0..20_u64);
    (".{0,20}", any::<u64>(), any::<Option<u64>>(), any::<u64>(), times, any::<(u64, u64)>(), any::<bool>())
        .prop_map(|(name, done, total, rate, (elapsed, idle), file, ended)| Snapshot {
            name,
            done,
            sent: done / 2,
            total,
            rate,
            elapsed: Duration::from_secs(elapsed),
            idle: Duration::from_secs(idle),
            file,
            ended,
        })
}

proptest! {
    #[test]
    fn no_line_wraps_or_commands_a_terminal(snapshot in snapshots(), width in 0..200_usize) {
        let line = render(&snapshot, width);
        prop_assert!(line.width() <= width.saturating_sub(1), "{line:?}");
        prop_assert!(!line.contains(char::is_control));
    }
}
