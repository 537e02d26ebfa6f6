//! A frame of the control stream, as either side reads it from the other.
#![no_main]

use irosh::protocol::{Frame, HEADER_LENGTH, MAX_CONTROL_FRAME, frame_length};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    // A longer one is refused by its header and never reaches the decoder.
    if body.len() > MAX_CONTROL_FRAME {
        return;
    }
    let Ok(frame) = Frame::decode(body) else {
        return;
    };
    let mut canonical = body.to_vec();
    match &frame {
        // Codes of a later revision are all read as one.
        Frame::Refused(refusal) | Frame::GoAway(refusal) => {
            canonical[1..5].copy_from_slice(&(refusal.code as u32).to_be_bytes());
        }
        // Whatever is not zero is true.
        Frame::Acknowledged(said) => canonical[body.len() - 1] = said.end.into(),
        _ => {}
    }
    let encoded = frame.encode();
    let (header, again) = encoded.split_first_chunk::<HEADER_LENGTH>().expect("a header");
    assert_eq!(again, canonical, "a frame has one encoding");
    assert_eq!(frame_length(*header, MAX_CONTROL_FRAME), Ok(body.len()));
});
