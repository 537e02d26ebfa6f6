//! The file of RevokedKeys, text or KRL.
#![no_main]

use irosh::server::revoked::RevokedKeys;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let _ = RevokedKeys::parse(file);
    // Most bytes are no KRL: also try them as what follows its first bytes.
    let mut krl = b"SSHKRL\n\0\0\0\0\x01".to_vec();
    krl.extend([0; 32]);
    krl.extend(file);
    let _ = RevokedKeys::parse(&krl);
});
