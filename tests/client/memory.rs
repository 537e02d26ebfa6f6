//! Memory, measured in a process that does nothing else meanwhile.

use crate::servers::{Kind, Server};

/// Growth that the allocator may keep for itself, in KiB.
const SLACK: usize = 2048;

#[tokio::test]
async fn a_thousand_commands_and_refused_channels_leave_nothing_behind() {
    for kind in [Kind::OpenSsh, Kind::Builtin] {
        let server = Server::new(kind);
        let session = server.connect().await;
        let connection = session.connection();
        let mut before = 0;
        for number in 0..1000 {
            let one = connection.open_session().await.expect("opened");
            let output = one.capture_exec(format!("echo {number}"), 100).await.expect("run");
            assert_eq!(output.stdout, format!("{number}\n").as_bytes());
            assert!(connection.open_socket("/nowhere").await.is_err());
            if number == 300 {
                before = resident();
            }
        }
        let after = resident();
        eprintln!("{kind:?}: {before} KiB after 300 commands, {after} KiB after 1000");
        assert!(after < before + SLACK, "{kind:?}: {before} KiB, and then {after} KiB");
    }
}

/// The memory of this process, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
