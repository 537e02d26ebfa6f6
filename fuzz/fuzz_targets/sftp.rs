//! What a client of the SFTP subsystem sends, in pieces of any size.
#![no_main]

use irosh::server::sftp::{Options, Pump, Server};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, mut bytes) = input;
    // Nothing is written, and relative paths lead nowhere.
    let options =
        Options { read_only: true, start: "/nonexistent".into(), max_handles: Some(8), ..Options::default() };
    let mut pump = Pump::new(Server::new(options));
    while !bytes.is_empty() {
        let room = pump.room();
        let count = bytes.len().min(usize::from(piece) + 1).min(room.len());
        room[..count].copy_from_slice(&bytes[..count]);
        pump.filled(count);
        bytes = &bytes[count..];
        loop {
            if pump.work().is_err() {
                return;
            }
            let ready = pump.replies().len();
            pump.sent(ready);
            if !pump.can_work() {
                break;
            }
        }
    }
});
