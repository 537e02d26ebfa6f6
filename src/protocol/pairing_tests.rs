use proptest::prelude::*;

use super::*;
use crate::protocol::{HEADER_LENGTH, frame_length, host_keys::MAX_HOST_KEY};

fn body(encoded: &[u8]) -> &[u8] {
    let header = encoded[..HEADER_LENGTH].try_into().expect("a header");
    let body = &encoded[HEADER_LENGTH..];
    assert_eq!(frame_length(header, MAX_FRAME), Ok(body.len()));
    body
}

fn extensions() -> impl Strategy<Value = Extensions> {
    let value = prop::collection::vec(any::<u8>(), 0..50);
    prop::collection::vec((any::<u32>(), value), 0..4).prop_map(Extensions)
}

fn mac() -> impl Strategy<Value = [u8; MAC_LENGTH]> {
    any::<[u8; MAC_LENGTH]>()
}

fn nonce() -> impl Strategy<Value = [u8; NONCE_LENGTH]> {
    any::<[u8; NONCE_LENGTH]>()
}

prop_compose! {
    fn message()(letter: u8, point: [u8; 32]) -> [u8; MESSAGE_LENGTH] {
        [&[letter], &point[..]].concat().try_into().expect("33 bytes")
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    let role = prop_oneof![Just(Role::Host), Just(Role::Client)];
    let sealed =
        || (mac(), prop::collection::vec(any::<u8>(), 0..100)).prop_map(|(mac, body)| Sealed { mac, body });
    prop_oneof![
        (role, message(), any::<[u8; COMMITMENT_LENGTH]>(), extensions()).prop_map(
            |(role, message, commitment, extensions)| Frame::Start(Start {
                role,
                message,
                commitment,
                extensions
            })
        ),
        (message(), nonce(), extensions()).prop_map(|(message, nonce, extensions)| Frame::Answer(Answer {
            message,
            nonce,
            extensions
        })),
        (mac(), any::<bool>(), nonce()).prop_map(|(mac, compare, nonce)| Frame::Confirm(Confirm {
            mac,
            compare,
            nonce
        })),
        sealed().prop_map(Frame::Client),
        sealed().prop_map(Frame::Host),
        (1..=9_u64, "[^\\p{Cc}]{0,200}").prop_map(|(number, sentence)| {
            Frame::Refused(Refused::new(Reason::from_number(number).expect("a reason"), &sentence))
        }),
    ]
}

prop_compose! {
    fn about_client()(
        identity: [u8; 32], proof: [[u8; 32]; 2], name in "[^\\p{Cc}]{0,60}", extensions in extensions(),
    ) -> AboutClient {
        AboutClient { identity, proof: proof.concat().try_into().expect("64 bytes"), name, extensions }
    }
}

prop_compose! {
    fn about_host()(
        ticket in "[a-z0-9]{0,300}", name in "[^\\p{Cc}]{0,60}", login in "[a-z]{0,30}",
        vouched: bool, running: bool,
        host_keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..16),
        extensions in extensions(),
    ) -> AboutHost {
        AboutHost { ticket, name, login, vouched, running, host_keys, extensions }
    }
}

proptest! {
    #[test]
    fn a_frame_reads_as_it_was_written(frame in frame()) {
        let encoded = frame.encode();
        prop_assert_eq!(Frame::decode(body(&encoded)), Ok(frame));
        // No part of it is one: what ends early is an error, or ends before a list that may be empty.
        for end in 1..body(&encoded).len() {
            let _ = Frame::decode(&body(&encoded)[..end]);
        }
    }

    #[test]
    fn what_each_says_of_itself_reads_as_it_was_written(client in about_client(), host in about_host()) {
        prop_assert_eq!(AboutClient::decode(&client.encode()), Ok(client));
        prop_assert_eq!(AboutHost::decode(&host.encode()), Ok(host));
    }

    #[test]
    fn nothing_panics(bytes: Vec<u8>) {
        let _ = (Frame::decode(&bytes), AboutClient::decode(&bytes), AboutHost::decode(&bytes));
    }
}

#[test]
fn another_version_is_told_apart_and_its_rest_not_read() {
    let frame = [&[kind::START, 0, 0, 0, 2][..], b"whatever"].concat();
    assert_eq!(Frame::decode(&frame), Err(FrameError::Version(2)));
}

#[test]
fn names_are_one_line_and_keys_that_have_no_room_are_left_out() {
    let about = AboutHost {
        ticket: "endpointa".to_owned(),
        name: format!("a\nb\u{1b}[2J{}", "é".repeat(200)),
        login: String::new(),
        vouched: false,
        running: true,
        host_keys: [vec![1; MAX_HOST_KEY + 1], vec![2; 8]]
            .into_iter()
            .chain(vec![vec![3; 4000]; 20])
            .collect(),
        extensions: Extensions::default(),
    };
    let read = AboutHost::decode(&about.encode()).expect("it fits");
    assert!(read.name.starts_with("ab[2Jé") && read.name.len() <= MAX_NAME, "{}", read.name);
    assert_eq!(read.host_keys.len(), 5);
    assert!(Frame::Host(Sealed { mac: [0; 32], body: about.encode() }).encode().len() <= MAX_FRAME);
}

#[test]
fn an_unknown_reason_is_a_failure() {
    let frame = framed(packet(kind::REFUSED).uint32(77).string(b"because"));
    let refused = Refused { reason: Reason::Failed, sentence: "because".to_owned() };
    assert_eq!(Frame::decode(body(&frame)), Ok(Frame::Refused(refused)));
}
