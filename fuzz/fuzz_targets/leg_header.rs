//! The frame with which a client begins a leg, as the host reads it.
#![no_main]

use irosh::protocol::{HEADER_LENGTH, LegHeader, MAX_LEG_FRAME, frame_length};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(decoded) = LegHeader::decode(body) else {
        return;
    };
    let mut canonical = body.to_vec();
    if let LegHeader::Resume { position, .. } = &decoded {
        // Whatever is not zero is true.
        canonical[body.len() - 1] = position.end.into();
    }
    let encoded = decoded.encode();
    let (header, again) = encoded.split_first_chunk::<HEADER_LENGTH>().expect("a header");
    assert_eq!(again, canonical, "a leg's header has one encoding");
    assert_eq!(frame_length(*header, MAX_LEG_FRAME), Ok(body.len()));
});
