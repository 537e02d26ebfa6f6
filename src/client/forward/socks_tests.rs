use proptest::prelude::*;

use super::*;

fn place(host: &str, port: u16) -> Place {
    Place::tcp(host, port)
}

#[test]
fn version_4_has_an_address() {
    let bytes = b"\x04\x01\x00\x50\x7f\x00\x00\x01user\0rest";
    let expected = Step::Connect { used: 13, target: place("127.0.0.1", 80), version: Version::Four };
    assert_eq!(Socks::New.step(bytes), expected);
}

#[test]
fn version_4a_has_a_name() {
    let bytes = b"\x04\x01\x01\xbb\x00\x00\x00\x01\0example.org\0";
    let expected =
        Step::Connect { used: bytes.len(), target: place("example.org", 443), version: Version::Four };
    assert_eq!(Socks::New.step(bytes), expected);
}

#[test]
fn version_5_agrees_first_and_takes_names_and_both_kinds_of_addresses() {
    let mut socks = Socks::New;
    let agreed = Step::Say { used: 4, reply: vec![5, 0] };
    assert_eq!(socks.step(b"\x05\x02\x02\x00\x05\x01"), agreed);
    for (bytes, host) in [
        (&b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x16"[..], "10.0.0.1"),
        (&b"\x05\x01\x00\x03\x04host\x00\x16"[..], "host"),
        (&b"\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x16"[..], "::1"),
    ] {
        let expected = Step::Connect { used: bytes.len(), target: place(host, 22), version: Version::Five };
        assert_eq!(socks.step(bytes), expected);
    }
}

#[test]
fn what_cannot_be_done_is_refused_in_the_clients_version() {
    for (mut socks, bytes, code) in [
        (Socks::New, &b"\x05\x01\x02"[..], &[5, 255][..]),
        (Socks::Agreed, &b"\x05\x02\x00\x01\x0a\x00\x00\x01\x00\x16"[..], &[5, 7]),
        (Socks::Agreed, &b"\x05\x01\x00\x05"[..], &[5, 8]),
        (Socks::Agreed, &b"\x05\x01\x00\x03\x00\x00\x16"[..], &[5, 1]),
        (Socks::New, &b"\x04\x02\x00\x50\x7f\x00\x00\x01\0"[..], &[0, 91]),
        (Socks::New, &b"GET / HTTP/1.1\r\n"[..], &[]),
    ] {
        let Step::Refuse { reply, .. } = socks.step(bytes) else { panic!("{bytes:?} is taken") };
        assert!(reply.starts_with(code), "{bytes:?}: {reply:?}");
    }
    let long = [b"\x04\x01\x00\x50\x7f\x00\x00\x01".to_vec(), vec![b'x'; 300]].concat();
    assert!(matches!(Socks::New.step(&long), Step::Refuse { .. }));
}

proptest! {
    #[test]
    fn bytes_that_come_one_by_one_mean_the_same(version in 4_u8..6, name in "[a-z.]{1,40}", port: u16) {
        let mut bytes = Vec::new();
        if version == 4 {
            bytes.extend([4, 1]);
            bytes.extend(port.to_be_bytes());
            bytes.extend([0, 0, 0, 9]);
            bytes.extend(b"me\0");
            bytes.extend(name.as_bytes());
            bytes.push(0);
        } else {
            bytes.extend([5, 1, 0, 5, 1, 0, 3, u8::try_from(name.len()).expect("short")]);
            bytes.extend(name.as_bytes());
            bytes.extend(port.to_be_bytes());
        }
        let (mut socks, mut held, mut got) = (Socks::New, Vec::new(), None);
        for byte in bytes {
            prop_assert!(got.is_none());
            held.push(byte);
            match socks.step(&held) {
                Step::More => {}
                Step::Say { used, .. } => drop(held.drain(..used)),
                Step::Connect { used, target, .. } => {
                    prop_assert_eq!(used, held.len());
                    got = Some(target);
                }
                Step::Refuse { why, .. } => prop_assert!(false, "{}", why),
            }
        }
        prop_assert_eq!(got, Some(Place::tcp(name, port)));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), agreed: bool) {
        let mut socks = if agreed { Socks::Agreed } else { Socks::New };
        if let Step::Say { used, .. } | Step::Connect { used, .. } = socks.step(&bytes) {
            prop_assert!(used <= bytes.len());
        }
    }
}
