use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use proptest::{collection::vec, option, prelude::*};

use super::{codec::frame_length, messages::*, wire::*};

fn text() -> impl Strategy<Value = String> {
    ".{0,40}"
}

fn request() -> impl Strategy<Value = Request> {
    let names = (text(), text(), option::of(text()), text(), option::of(text()), text());
    let proof = prop_oneof![Just(Proof::Answers), Just(Proof::Password), Just(Proof::Elsewhere)];
    let services = option::of(vec(any::<u8>(), 0..40));
    (names, proof, any::<bool>(), services).prop_map(|(names, proof, permit_empty_passwords, services)| {
        let (service, user, rhost, tty, connection, authentication) = names;
        let services = services.map(|bytes| OsString::from_vec(bytes).into());
        Request {
            service,
            user,
            rhost,
            tty,
            connection,
            authentication,
            proof,
            permit_empty_passwords,
            services,
        }
    })
}

fn server_message() -> impl Strategy<Value = ServerMessage> {
    let secret = text().prop_map(Secret::new);
    prop_oneof![
        request().prop_map(ServerMessage::Start),
        vec(secret, 0..=MOST_PROMPTS).prop_map(ServerMessage::Answers),
        Just(ServerMessage::NoAnswers),
        (text(), text()).prop_map(|(tty, authentication)| ServerMessage::OpenSession { tty, authentication }),
    ]
}

fn denied() -> impl Strategy<Value = Denied> {
    let refusal = prop_oneof![
        Just(Refusal::Setup),
        Just(Refusal::Authentication),
        Just(Refusal::TooManyTries),
        Just(Refusal::Account),
        Just(Refusal::Session)
    ];
    (text(), refusal, text()).prop_map(|(messages, refusal, reason)| Denied { messages, refusal, reason })
}

fn session() -> impl Strategy<Value = Session> {
    let bytes = || vec(any::<u8>(), 0..20);
    let legacy = (any::<u32>(), any::<i32>(), vec(any::<u32>(), 0..9), vec(any::<(u32, u64, u64)>(), 0..9));
    (vec((bytes(), bytes()), 0..9), text(), legacy).prop_map(|(environment, messages, legacy)| {
        let (umask, nice, groups, limits) = legacy;
        Session { environment, messages, legacy: Legacy { umask, nice, groups, limits } }
    })
}

fn pam_message() -> impl Strategy<Value = PamMessage> {
    let prompt = (text(), any::<bool>()).prop_map(|(text, echo)| Prompt { text, echo });
    let questions = (text(), text(), vec(prompt, 0..=MOST_PROMPTS))
        .prop_map(|(name, instructions, prompts)| Questions { name, instructions, prompts });
    let granted =
        (text(), any::<bool>()).prop_map(|(messages, change_password)| Granted { messages, change_password });
    prop_oneof![
        questions.prop_map(PamMessage::Ask),
        granted.prop_map(PamMessage::Granted),
        denied().prop_map(PamMessage::Denied),
        session().prop_map(PamMessage::SessionOpened),
        denied().prop_map(PamMessage::SessionFailed),
    ]
}

/// What a frame has in it, whose length says so.
fn body(frame: &[u8]) -> &[u8] {
    let (header, body) = frame.split_first_chunk().expect("a header");
    assert_eq!(frame_length(*header), Ok(body.len()));
    body
}

proptest! {
    #[test]
    fn what_the_server_says_arrives_and_no_part_of_it_does(message in server_message()) {
        let frame = message.encode().expect("a frame");
        let body = body(&frame);
        prop_assert_eq!(ServerMessage::decode(body), Ok(message));
        for length in 0..body.len() {
            prop_assert!(ServerMessage::decode(&body[..length]).is_err());
        }
        prop_assert!(ServerMessage::decode(&[body, b"x"].concat()).is_err());
    }

    #[test]
    fn what_pam_says_arrives_and_no_part_of_it_does(message in pam_message()) {
        let frame = message.encode().expect("a frame");
        let body = body(&frame);
        prop_assert_eq!(PamMessage::decode(body), Ok(message));
        for length in 0..body.len() {
            prop_assert!(PamMessage::decode(&body[..length]).is_err());
        }
        prop_assert!(PamMessage::decode(&[body, b"x"].concat()).is_err());
    }

    #[test]
    fn any_bytes_are_a_message_that_is_written_the_same_way_or_none(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(message) = ServerMessage::decode(&bytes) {
            let frame = message.encode().expect("a frame");
            prop_assert_eq!(body(&frame), &bytes[..]);
        }
        if let Ok(message) = PamMessage::decode(&bytes) {
            let frame = message.encode().expect("a frame");
            prop_assert_eq!(body(&frame), &bytes[..]);
        }
    }

    #[test]
    fn one_byte_that_differs_is_no_panic(message in pam_message(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut frame = message.encode().expect("a frame").to_vec();
        let at = 4 + at.index(frame.len() - 4);
        frame[at] = byte;
        let _ = PamMessage::decode(&frame[4..]);
    }
}

#[test]
fn what_is_above_its_bound_is_not_sent() {
    let too_long = |message: &ServerMessage| matches!(message.encode(), Err(WireError::TooLong { .. }));
    let answer = |length| Secret::new("x".repeat(length));
    assert!(!too_long(&ServerMessage::Answers(vec![answer(LONGEST_ANSWER)])));
    assert!(too_long(&ServerMessage::Answers(vec![answer(LONGEST_ANSWER + 1)])));
    assert!(too_long(&ServerMessage::Answers(vec![answer(0); MOST_PROMPTS + 1])));
    let environment = vec![(Vec::new(), vec![b'x'; LONGEST_TEXT]); MOST_VARIABLES];
    let session = Session { environment, ..Session::default() };
    let whole = PamMessage::SessionOpened(session).encode();
    assert!(matches!(whole, Err(WireError::TooLong { what: "frame", .. })));
}

#[test]
fn what_is_above_its_bound_is_not_read() {
    assert!(frame_length([0, 0, 0, 0]).is_err());
    assert!(frame_length([0, 0x10, 0, 1]).is_err());
    assert_eq!(frame_length([0, 0x10, 0, 0]), Ok(LONGEST_FRAME));
    // A count that promises more than there could be makes no room for it.
    let many = [&[2][..], &u32::MAX.to_be_bytes()].concat();
    assert!(matches!(ServerMessage::decode(&many), Err(WireError::TooLong { .. })));
    let long = [&[2, 0, 0, 0, 1][..], &1025_u32.to_be_bytes(), &[b'x'; 1025]].concat();
    assert!(matches!(ServerMessage::decode(&long), Err(WireError::TooLong { what: "answer", .. })));
}

#[test]
fn answers_are_written_without_growing() {
    let answers = vec![Secret::new("x".repeat(1000)); 5];
    let frame = ServerMessage::Answers(answers).encode().expect("a frame");
    assert_eq!(frame.len(), frame.capacity());
}
