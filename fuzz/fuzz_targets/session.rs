//! What either side of a session is told, in any order, whatever the other side makes up, against a model of it.
#![no_main]

use irosh::session::drive;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| drive(script));
