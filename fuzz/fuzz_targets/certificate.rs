//! A user certificate, as a stranger shows it.
#![no_main]

use irosh::host::certificate_again;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|blob: &[u8]| {
    // What is signed is written anew from what was read.
    if let Some(again) = certificate_again(blob) {
        assert_eq!(again, blob, "a certificate has one encoding");
    }
});
