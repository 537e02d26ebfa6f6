use proptest::prelude::*;

use super::*;

fn body(encoded: &[u8], max: usize) -> &[u8] {
    let header = encoded[..HEADER_LENGTH].try_into().expect("a header");
    let length = frame_length(header, max).expect("a length");
    let body = &encoded[HEADER_LENGTH..];
    assert_eq!(length, body.len());
    body
}

fn text(max: usize) -> impl Strategy<Value = String> {
    "[^\\p{Cc}]{0,200}".prop_map(move |mut text| {
        text.truncate(text.floor_char_boundary(max));
        text
    })
}

prop_compose! {
    fn refusal()(number in 1..=13_u32, sentence in text(Refusal::MAX_SENTENCE)) -> Refusal {
        Refusal::new(RefusalCode::from_number(number), sentence)
    }
}

prop_compose! {
    fn hello()(
        version: u32, identity: [u8; 32], proof: [[u8; 32]; 2],
        invite: Option<[u8; 16]>, software in text(MAX_NAME),
    ) -> Frame {
        let proof = proof.concat().try_into().expect("64 bytes");
        Frame::Hello(Hello { version, identity, proof, invite: invite.map(InviteSecret), software })
    }
}

prop_compose! {
    fn welcome()(
        host_name in text(MAX_NAME),
        host_keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..16),
        sessions: u32, resume_seconds: u32,
    ) -> Frame {
        let limits = Limits { sessions, resume_seconds };
        Frame::Welcome(Welcome::new(&host_name, BackendKind::Exec, host_keys, limits))
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        hello(),
        welcome(),
        refusal().prop_map(Frame::Refused),
        refusal().prop_map(Frame::GoAway),
        any::<([u8; 16], u64)>().prop_map(|(session, bytes)| {
            Frame::Acknowledged(Acknowledged { session: SessionId(session), bytes })
        }),
    ]
}

proptest! {
    #[test]
    fn a_frame_reads_as_it_was_written(frame in frame()) {
        let encoded = frame.encode();
        prop_assert_eq!(Frame::decode(body(&encoded, MAX_CONTROL_FRAME)), Ok(frame));
    }

    #[test]
    fn a_leg_header_reads_as_it_was_written(id: [u8; 16], received: Option<u64>) {
        let session = SessionId(id);
        let header = received.map_or(LegHeader::Open(session), |received| {
            LegHeader::Resume { session, received }
        });
        prop_assert_eq!(LegHeader::decode(body(&header.encode(), MAX_LEG_FRAME)), Ok(header));
    }

    #[test]
    fn a_leg_reply_reads_as_it_was_written(refusal in refusal(), received: u64) {
        for reply in [LegReply::Opened, LegReply::Resumed { received }, LegReply::Refused(refusal)] {
            prop_assert_eq!(LegReply::decode(body(&reply.encode(), MAX_LEG_FRAME)), Ok(reply));
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_refused(frame in frame(), cut: prop::sample::Index) {
        let encoded = frame.encode();
        let body = &encoded[HEADER_LENGTH..];
        prop_assert!(Frame::decode(&body[..cut.index(body.len())]).is_err());
    }

    #[test]
    fn a_byte_too_many_is_refused(frame in frame(), extra: u8) {
        let mut encoded = frame.encode();
        encoded.push(extra);
        prop_assert_eq!(Frame::decode(&encoded[HEADER_LENGTH..]), Err(FrameError::Trailing(1)));
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0..20_u8) {
        for bytes in [bytes.clone(), [&[kind][..], &bytes].concat()] {
            let _ = (Frame::decode(&bytes), LegHeader::decode(&bytes), LegReply::decode(&bytes));
        }
    }
}

#[test]
fn the_longest_frames_fit() {
    let keys = vec![vec![0; MAX_HOST_KEY]; 16];
    let limits = Limits { sessions: 1, resume_seconds: 0 };
    let welcome = Welcome::new(&"ä".repeat(400), BackendKind::Tcp, keys, limits);
    assert!(welcome.host_name.len() <= MAX_NAME);
    assert_eq!(welcome.host_keys.len(), 4);
    body(&Frame::Welcome(welcome).encode(), MAX_CONTROL_FRAME);
    let refusal = Refusal::new(RefusalCode::Busy, "x".repeat(5000));
    body(&LegReply::Refused(refusal).encode(), MAX_LEG_FRAME);
}

#[test]
fn an_oversized_frame_is_refused_by_its_header() {
    assert_eq!(
        frame_length([0, 1, 0, 0], MAX_CONTROL_FRAME),
        Err(FrameError::TooLong { length: 1 << 16, max: MAX_CONTROL_FRAME })
    );
    assert_eq!(frame_length([0; 4], MAX_LEG_FRAME), Err(FrameError::Truncated));
}

#[test]
fn an_invite_of_another_length_is_refused() {
    let hello = Hello::new([1; 32], [2; 64], Some(InviteSecret([3; 16])));
    let mut encoded = Frame::Hello(hello).encode();
    // The length of the invite stands after header, type, version, identity and proof.
    let at = HEADER_LENGTH + 1 + 4 + 32 + 64;
    encoded[at + 3] = 15;
    encoded.remove(at + 4);
    assert_eq!(Frame::decode(&encoded[HEADER_LENGTH..]), Err(FrameError::Truncated));
}

#[test]
fn a_secret_never_shows() {
    let hello = Hello::new([1; 32], [2; 64], Some(InviteSecret([0xab; 16])));
    assert!(!format!("{hello:?}").contains("171"));
}

#[test]
fn a_name_is_one_line_and_a_sentence_may_be_two() {
    let text = "one\ntwo";
    let hello =
        Hello { version: 1, identity: [0; 32], proof: [0; 64], invite: None, software: text.to_owned() };
    let frame = Frame::Hello(hello).encode();
    assert_eq!(Frame::decode(body(&frame, MAX_CONTROL_FRAME)), Err(FrameError::NotText));
    let refused = Frame::Refused(Refusal::new(RefusalCode::Busy, text));
    assert_eq!(Frame::decode(body(&refused.encode(), MAX_CONTROL_FRAME)), Ok(refused));
}
