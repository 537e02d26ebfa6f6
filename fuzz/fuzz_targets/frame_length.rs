//! The lengths in a stream of bytes, taken off one after the other as the readers of streams do.
#![no_main]

use irosh::protocol::{Frame, HEADER_LENGTH, LegHeader, MAX_CONTROL_FRAME, MAX_LEG_FRAME, frame_length};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    let Some((&which, mut rest)) = stream.split_first() else {
        return;
    };
    let control = which % 2 == 0;
    let max = if control { MAX_CONTROL_FRAME } else { MAX_LEG_FRAME };
    while let Some((header, after)) = rest.split_first_chunk::<HEADER_LENGTH>() {
        let announced = u32::from_be_bytes(*header) as usize;
        let length = match frame_length(*header, max) {
            Ok(length) => length,
            Err(_) => {
                assert!(announced == 0 || announced > max, "{announced} bytes were refused");
                return;
            }
        };
        assert_eq!(length, announced);
        assert!((1..=max).contains(&length), "{length} bytes are too few or too many");
        let Some((body, after)) = after.split_at_checked(length) else {
            return;
        };
        if control {
            let _ = Frame::decode(body);
        } else {
            let _ = LegHeader::decode(body);
        }
        rest = after;
    }
});
