//! The frame with which a host answers a leg's header, as the client reads it.
#![no_main]

use irosh::protocol::{HEADER_LENGTH, LegReply, MAX_LEG_FRAME, frame_length};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(reply) = LegReply::decode(body) else {
        return;
    };
    let mut canonical = body.to_vec();
    match &reply {
        // Codes of a later revision are all read as one.
        LegReply::Refused(refusal) => {
            canonical[1..5].copy_from_slice(&(refusal.code as u32).to_be_bytes());
        }
        // Whatever is not zero is true.
        LegReply::Resumed(position) => canonical[body.len() - 1] = position.end.into(),
        LegReply::Opened { .. } => {}
    }
    let encoded = reply.encode();
    let (header, again) = encoded.split_first_chunk::<HEADER_LENGTH>().expect("a header");
    assert_eq!(again, canonical, "a reply has one encoding");
    assert_eq!(frame_length(*header, MAX_LEG_FRAME), Ok(body.len()));
});
