//! The copy loop over buffers so small that every partial read and write happens.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};

use super::*;
use crate::session::{ReadSource, WriteSink};

type TestSide = Side<ReadSource<ReadHalf<DuplexStream>>, WriteSink<WriteHalf<DuplexStream>>>;

fn side(stream: DuplexStream) -> TestSide {
    let (read, write) = split(stream);
    Side { source: ReadSource::new(read), sink: WriteSink::new(write) }
}

/// A session with its far ends: what ssh holds and what sshd holds.
fn session(buffer: usize) -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<Report>) {
    let (ssh, client) = duplex(buffer);
    let (server, sshd) = duplex(buffer);
    let relay = async move { relay(side(client), side(server), &Counters::default()).await };
    (ssh, sshd, tokio::spawn(relay))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_byte_arrives_both_ways(
        up in prop::collection::vec(any::<u8>(), 0..5000),
        down in prop::collection::vec(any::<u8>(), 0..5000),
        buffer in 1_usize..70,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let (ssh, sshd, relay) = session(buffer);
            let (mut ssh_read, mut ssh_write) = split(ssh);
            let (mut sshd_read, mut sshd_write) = split(sshd);
            let (mut at_sshd, mut at_ssh) = (Vec::new(), Vec::new());
            let sshd_runs = async {
                // The server says its last word only after the client's end of file.
                let (head, tail) = down.split_at(down.len() / 2);
                let head = sshd_write.write_all(head);
                let (written, read) = tokio::join!(head, sshd_read.read_to_end(&mut at_sshd));
                written.expect("written");
                read.expect("read");
                sshd_write.write_all(tail).await.expect("written");
                sshd_write.shutdown().await.expect("closed");
            };
            let ssh_sends = async {
                ssh_write.write_all(&up).await.expect("written");
                ssh_write.shutdown().await.expect("closed");
            };
            let (_, _, read) = tokio::join!(sshd_runs, ssh_sends, ssh_read.read_to_end(&mut at_ssh));
            read.expect("read");
            let report = relay.await.expect("no panic");
            assert_eq!((report.to_server, report.to_client), (up.len() as u64, down.len() as u64));
            assert!(matches!(report.ended, Ended::ServerClosed), "{:?}", report.ended);
            assert!(at_sshd == up && at_ssh == down);
        });
    }
}

#[tokio::test]
async fn the_session_ends_when_the_server_closes_though_ssh_keeps_its_end_open() {
    let (mut ssh, mut sshd, relay) = session(8);
    sshd.write_all(b"bye").await.expect("written");
    drop(sshd);
    let mut said = [0; 3];
    ssh.read_exact(&mut said).await.expect("read");
    let report = relay.await.expect("no panic");
    assert!(matches!(report.ended, Ended::ServerClosed), "{:?}", report.ended);
}

#[tokio::test]
async fn a_client_that_vanishes_still_has_its_last_bytes_delivered() {
    let (mut ssh, mut sshd, relay) = session(8);
    let last = tokio::spawn(async move {
        ssh.write_all(b"the last words of a client").await.expect("written");
    });
    sshd.write_all(b"noise").await.expect("written");
    let mut heard = Vec::new();
    sshd.read_to_end(&mut heard).await.expect("read");
    last.await.expect("no panic");
    assert_eq!(heard, b"the last words of a client");
    // Writing to a client that is gone is what ends the other direction.
    let _ = sshd.write_all(&[0; 64]).await;
    drop(sshd);
    let report = relay.await.expect("no panic");
    assert_eq!(report.to_server, 26);
    assert!(matches!(report.ended, Ended::ClientClosed), "{:?}", report.ended);
}

#[tokio::test]
async fn a_sink_that_knows_its_reader_is_gone_ends_the_direction_without_a_write() {
    let (ssh, client) = duplex(8);
    let (server, _sshd) = duplex(8);
    drop(ssh);
    let mut client = side(client);
    client.sink = client.sink.with_gone(async {});
    let report = relay(client, side(server), &Counters::default()).await;
    assert!(matches!(report.ended, Ended::ClientClosed), "{:?}", report.ended);
}

#[tokio::test]
async fn bulk_both_ways_at_once_never_locks_up() {
    let (ssh, sshd, relay) = session(7);
    let (mut ssh_read, mut ssh_write) = split(ssh);
    let (mut sshd_read, mut sshd_write) = split(sshd);
    let sent = vec![0x5a; 100_000];
    let (mut up, mut down) = (vec![0; sent.len()], vec![0; sent.len()]);
    let (a, b, c, d) = tokio::join!(
        ssh_write.write_all(&sent),
        sshd_write.write_all(&sent),
        ssh_read.read_exact(&mut down),
        sshd_read.read_exact(&mut up),
    );
    assert!(a.is_ok() && b.is_ok() && c.is_ok() && d.is_ok());
    assert!(up == sent && down == sent);
    drop((sshd_read, sshd_write));
    relay.await.expect("no panic");
}
