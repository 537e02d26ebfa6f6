use proptest::prelude::*;

use super::*;

/// All that was said in one call for each chunk, joined.
fn run(escape: EscapeChar, chunks: &[&[u8]]) -> Vec<Typed> {
    let mut escapes = Escapes::new(escape);
    let mut out = Output(Vec::new());
    for typed in chunks.iter().flat_map(|chunk| escapes.typed(chunk)) {
        match typed {
            Typed::Input(bytes) => bytes.iter().for_each(|&byte| out.input(byte)),
            Typed::Action(action) => out.action(action),
        }
    }
    out.0
}

fn typed(bytes: &[u8]) -> Vec<Typed> {
    run(EscapeChar::default(), &[bytes])
}

fn input(bytes: &[u8]) -> Typed {
    Typed::Input(bytes.to_vec())
}

#[test]
fn every_escape_is_known_at_the_start_and_after_a_newline() {
    for (key, action) in [
        (b'.', Action::Disconnect),
        (0x1a, Action::Suspend),
        (b'#', Action::ListForwards),
        (b'?', Action::Help),
        (b'B', Action::Break),
        (b'R', Action::Rekey),
    ] {
        assert_eq!(typed(&[b'~', key]), [Typed::Action(action)]);
        for newline in [b'\r', b'\n'] {
            let bytes = [b'x', newline, b'~', key, b'y'];
            assert_eq!(typed(&bytes), [input(&[b'x', newline]), Typed::Action(action), input(b"y")]);
        }
        assert_eq!(typed(&[b'x', b'~', key]), [input(&[b'x', b'~', key])]);
    }
}

#[test]
fn an_escape_typed_twice_is_sent_once() {
    assert_eq!(typed(b"~~"), [input(b"~")]);
    // What was sent stands at the start of the line, so the next one is nothing special.
    assert_eq!(typed(b"~~~."), [input(b"~~.")]);
}

#[test]
fn an_escape_before_another_character_is_sent_with_it() {
    assert_eq!(typed(b"~x~."), [input(b"~x~.")]);
    // Those that ssh has besides are none here.
    for key in "CVv&".bytes() {
        assert_eq!(typed(&[b'~', key]), [input(&[b'~', key])]);
    }
    assert_eq!(typed(b"~\r~."), [input(b"~\r"), Typed::Action(Action::Disconnect)]);
}

#[test]
fn an_escape_alone_is_held_back() {
    assert_eq!(typed(b"\r~"), [input(b"\r")]);
}

#[test]
fn escapes_may_follow_one_another() {
    assert_eq!(typed(b"~B~?~."), [Action::Break, Action::Help, Action::Disconnect].map(Typed::Action));
}

#[test]
fn another_character_or_none_may_be_the_escape() {
    assert_eq!(
        run(EscapeChar::Byte(24), &[b"~.\r\x18."]),
        [input(b"~.\r"), Typed::Action(Action::Disconnect)]
    );
    assert_eq!(run(EscapeChar::None, &[b"~.\r~?"]), [input(b"~.\r~?")]);
}

#[test]
fn help_fits_a_terminal_and_shows_control_characters() {
    let help = text::help(EscapeChar::Byte(24));
    assert!(help.starts_with("^X?\r\n") && help.contains(" ^X^Z  - suspend irosh\r\n"), "{help}");
    assert!(help.contains(" ^X^X  - send the escape character"), "{help}");
    assert!(help.split("\r\n").all(|line| line.len() < 80 && !line.contains('\n')));
}

/// Bytes of which many are special.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    let special = prop::sample::select(b"~~~~\r\r\nC.?BRx\x1a\x1b[A\x03\xc3\xa9".to_vec());
    prop::collection::vec(prop_oneof![9 => special, 1 => any::<u8>()], 0..40)
}

proptest! {
    #[test]
    fn where_typing_is_split_makes_no_difference(bytes in keys(), at in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
        let whole = typed(&bytes);
        for at in 0..=bytes.len() {
            prop_assert_eq!(&run(EscapeChar::default(), &[&bytes[..at], &bytes[at..]]), &whole);
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&run(EscapeChar::default(), &single), &whole);
        let mut places: Vec<usize> = at.iter().map(|at| at.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let parts: Vec<&[u8]> = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&run(EscapeChar::default(), &parts), &whole);
    }

    #[test]
    fn without_an_escape_every_byte_is_sent(bytes in keys()) {
        let sent: Vec<u8> = run(EscapeChar::None, &[&bytes]).into_iter().flat_map(|typed| match typed {
            Typed::Input(bytes) => bytes,
            Typed::Action(action) => panic!("{action:?}"),
        }).collect();
        prop_assert_eq!(sent, bytes);
    }

    #[test]
    fn text_without_the_escape_is_sent_as_it_is(bytes in prop::collection::vec(any::<u8>().prop_filter("no ~", |&byte| byte != b'~'), 1..40)) {
        prop_assert_eq!(typed(&bytes), [input(&bytes)]);
    }
}
