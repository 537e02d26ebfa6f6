//! Whatever a machine on this network says to all.
#![no_main]

use irosh::transport::read_packet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| read_packet(packet));
