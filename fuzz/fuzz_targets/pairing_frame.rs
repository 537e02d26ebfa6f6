//! The frames of a pairing, which anybody may send who finds a nameplate, and what is under their MACs.
#![no_main]

use irosh::protocol::{
    HEADER_LENGTH, frame_length,
    pairing::{AboutClient, AboutHost, Frame, MAX_FRAME},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Ok(decoded) = Frame::decode(body) {
        let encoded = decoded.encode();
        let (header, again) = encoded.split_first_chunk::<HEADER_LENGTH>().expect("a header");
        assert_eq!(Frame::decode(again), Ok(decoded), "a frame reads as it was written");
        if body.len() <= MAX_FRAME {
            assert_eq!(frame_length(*header, MAX_FRAME), Ok(again.len()));
        }
    }
    if let Ok(client) = AboutClient::decode(body) {
        assert_eq!(AboutClient::decode(&client.encode()), Ok(client));
    }
    if let Ok(host) = AboutHost::decode(body) {
        let again = AboutHost::decode(&host.encode()).expect("it fits");
        // Of the keys, those for which there is room.
        assert_eq!((&again.ticket, &again.name, &again.login), (&host.ticket, &host.name, &host.login));
        assert!(again.host_keys.len() <= host.host_keys.len());
    }
});
