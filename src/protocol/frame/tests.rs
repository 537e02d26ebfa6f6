use proptest::prelude::*;

use super::*;
use crate::protocol::{
    codes::RefusalCode,
    host_keys::MAX_HOST_KEY,
    leg::{LegHeader, LegReply, Position},
    numbers::{FIRST_WINDOW, MAX_CONTROL_FRAME, MAX_LEG_FRAME, MAX_WINDOW},
};

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
    fn refusal()(number in 1..=13_u64, sentence in text(Refusal::MAX_SENTENCE)) -> Refusal {
        Refusal::new(RefusalCode::from_number(number).expect("a code"), sentence)
    }
}

prop_compose! {
    fn hello()(
        identity: [u8; 32], proof: [[u8; 32]; 2], invite: Option<[u8; 16]>, software in text(MAX_NAME),
        instance: [u8; 16], extensions in extensions(),
    ) -> Frame {
        let (proof, invite) = (proof.concat().try_into().expect("64 bytes"), invite.map(InviteSecret));
        let hello = Hello::new(identity, proof, invite, Instance(instance));
        Frame::Hello(Hello { software, extensions, ..hello }.into())
    }
}

fn extensions() -> impl Strategy<Value = Extensions> {
    let value = prop::collection::vec(any::<u8>(), 0..50);
    prop::collection::vec((any::<u32>(), value), 0..4).prop_map(Extensions)
}

prop_compose! {
    fn position()(received: u64, end: bool) -> Position {
        Position { received, end }
    }
}

prop_compose! {
    fn welcome()(
        host_name in text(MAX_NAME),
        host_keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..16),
        sessions: u32, resume_seconds: u32, backend: u8, extensions in extensions(),
    ) -> Frame {
        let limits = Limits { sessions, resume_seconds };
        let backend = BackendKind::from_number(backend);
        Frame::Welcome(Welcome { extensions, ..Welcome::new(&host_name, backend, host_keys, limits) }.into())
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        hello(),
        welcome(),
        refusal().prop_map(Frame::Refused),
        refusal().prop_map(Frame::GoAway),
        any::<([u8; 16], u64, bool)>().prop_map(|(session, bytes, end)| {
            Frame::Acknowledged(Acknowledged { session: SessionId(session), bytes, end })
        }),
        any::<([u8; 16], u32)>()
            .prop_map(|(session, reason)| { Frame::Closed(Closed { session: SessionId(session), reason }) }),
        prop::collection::vec(any::<[u8; 16]>(), 0..=MAX_GONE)
            .prop_map(|instances| { Frame::Gone(instances.into_iter().map(Instance).collect()) }),
    ]
}

proptest! {
    #[test]
    fn a_frame_reads_as_it_was_written(frame in frame()) {
        let encoded = frame.encode();
        prop_assert_eq!(Frame::decode(body(&encoded, MAX_CONTROL_FRAME)), Ok(frame));
    }

    #[test]
    fn a_leg_header_reads_as_it_was_written(
        id: [u8; 16], leg: u32, position in prop::option::of(position()),
    ) {
        let session = SessionId(id);
        let header = position.map_or(LegHeader::Open(session), |position| {
            LegHeader::Resume { session, leg, position }
        });
        prop_assert_eq!(LegHeader::decode(body(&header.encode(), MAX_LEG_FRAME)), Ok(header));
    }

    #[test]
    fn a_leg_reply_reads_as_it_was_written(
        refusal in refusal(), position in position(), window in FIRST_WINDOW..=MAX_WINDOW,
    ) {
        for reply in [LegReply::Opened { window }, LegReply::Resumed(position), LegReply::Refused(refusal)] {
            prop_assert_eq!(LegReply::decode(body(&reply.encode(), MAX_LEG_FRAME)), Ok(reply));
        }
    }

    /// What ends with a list may end before each of its entries.
    #[test]
    fn a_frame_cut_anywhere_is_refused_or_is_one_with_less_in_its_list(
        frame in frame(), cut: prop::sample::Index,
    ) {
        let encoded = frame.encode();
        let body = &encoded[HEADER_LENGTH..];
        let cut = &body[..cut.index(body.len())];
        match Frame::decode(cut) {
            Err(_) => {}
            Ok(less @ (Frame::Hello(_) | Frame::Welcome(_) | Frame::Gone(_))) => {
                prop_assert_eq!(&less.encode()[HEADER_LENGTH..], cut);
            }
            Ok(other) => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_byte_too_many_is_refused(frame in frame(), extra: u8) {
        let mut encoded = frame.encode();
        encoded.push(extra);
        prop_assert!(Frame::decode(&encoded[HEADER_LENGTH..]).is_err());
    }

    #[test]
    fn what_a_later_version_may_say_is_passed_over_and_what_this_one_says_is_not(
        kind in 128_u8..,
        body: Vec<u8>,
        frame in frame(),
    ) {
        prop_assert!(is_passed_over(&[&[kind][..], &body].concat()));
        prop_assert!(!is_passed_over(&frame.encode()[HEADER_LENGTH..]));
    }

    #[test]
    fn another_version_is_told_whatever_follows_it(version in 2_u32.., rest: Vec<u8>) {
        for kind in [kind::HELLO, kind::WELCOME] {
            let frame = [&[kind][..], &version.to_be_bytes(), &rest].concat();
            prop_assert_eq!(Frame::decode(&frame), Err(FrameError::Version(version)));
        }
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
    body(&Frame::Welcome(welcome.into()).encode(), MAX_CONTROL_FRAME);
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
    let hello = Hello::new([1; 32], [2; 64], Some(InviteSecret([3; 16])), Instance([0; 16]));
    let mut encoded = Frame::Hello(hello.into()).encode();
    // The length of the invite stands after header, type, version, identity and proof.
    let at = HEADER_LENGTH + 1 + 4 + 32 + 64;
    encoded[at + 3] = 15;
    encoded.remove(at + 4);
    assert_eq!(Frame::decode(&encoded[HEADER_LENGTH..]), Err(FrameError::Truncated));
}

#[test]
fn a_secret_never_shows() {
    let hello = Hello::new([1; 32], [2; 64], Some(InviteSecret([0xab; 16])), Instance([0; 16]));
    assert!(!format!("{hello:?}").contains("171"));
}

#[test]
fn a_name_is_one_line_and_a_sentence_may_be_two() {
    let text = "one\ntwo";
    let hello = Hello { software: text.to_owned(), ..Hello::new([0; 32], [0; 64], None, Instance([0; 16])) };
    let frame = Frame::Hello(hello.into()).encode();
    assert_eq!(Frame::decode(body(&frame, MAX_CONTROL_FRAME)), Err(FrameError::NotText));
    let refused = Frame::Refused(Refusal::new(RefusalCode::Busy, text));
    assert_eq!(Frame::decode(body(&refused.encode(), MAX_CONTROL_FRAME)), Ok(refused));
}

#[test]
fn nobody_has_to_keep_more_than_the_largest_window() {
    for window in [0, FIRST_WINDOW - 1, MAX_WINDOW + 1, u32::MAX] {
        let reply = LegReply::Opened { window }.encode();
        assert_eq!(LegReply::decode(body(&reply, MAX_LEG_FRAME)), Err(FrameError::Window(window)));
    }
}
