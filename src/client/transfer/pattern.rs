//! Patterns of names: `*`, `?`, `[...]` and a backslash, by bytes.

use crate::glob;

/// Whether there is anything in a name that stands for more than itself.
pub(super) fn is_pattern(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// A name without the backslashes that keep characters from being special.
pub(super) fn literal(name: &[u8]) -> Vec<u8> {
    let mut bytes = name.iter().copied();
    let mut plain = Vec::with_capacity(name.len());
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'\\' { bytes.next().unwrap_or(byte) } else { byte });
    }
    plain
}

/// Whether a name fits a pattern. A leading dot must be in the pattern itself, as for a shell.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && !(pattern.starts_with(b".") || pattern.starts_with(b"\\.")) {
        return false;
    }
    glob::matches_by(pattern, name, one)
}

/// How much of the pattern stands for this byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern[0] {
        b'?' => Some(1),
        b'[' => match class(pattern, byte) {
            Some((length, true)) => Some(length),
            Some((_, false)) => None,
            // It is never closed, and so no class.
            None => (byte == b'[').then_some(1),
        },
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        plain => (plain == byte).then_some(1),
    }
}

/// The length of the class a pattern begins with, and whether a byte is in it.
fn class(pattern: &[u8], byte: u8) -> Option<(usize, bool)> {
    let mut at = 1;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let (first, mut found) = (at, false);
    loop {
        let mut low = *pattern.get(at)?;
        if low == b']' && at > first {
            return Some((at + 1, found != negated));
        }
        if low == b'\\' {
            at += 1;
            low = *pattern.get(at)?;
        }
        at += 1;
        let mut high = low;
        if pattern.get(at) == Some(&b'-') && pattern.get(at + 1).is_some_and(|end| *end != b']') {
            high = pattern[at + 1];
            at += 2;
            if high == b'\\' {
                high = *pattern.get(at)?;
                at += 1;
            }
        }
        found |= (low..=high).contains(&byte);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_questions_and_classes() {
        for (pattern, name) in [
            ("*", "a"),
            ("a*c", "abbc"),
            ("a*", "a"),
            ("?", "x"),
            ("[a-c]x", "bx"),
            ("[!a]", "b"),
            ("[^a]", "b"),
            ("[]]", "]"),
            ("[a-]", "-"),
            ("\\*", "*"),
            ("[", "["),
            ("*.t?t", "a.b.txt"),
            (".*", ".x"),
            ("a**b", "ab"),
        ] {
            assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*", ".a"),
            ("?a", ".a"),
            ("[.]a", ".a"),
            ("a*c", "abb"),
            ("?", ""),
            ("[a-c]", "d"),
            ("[!a]", "a"),
            ("\\*", "a"),
            ("", "a"),
            ("a", ""),
        ] {
            assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }

    #[test]
    fn bytes_are_not_decoded() {
        assert!(matches(b"?\xff[\xf0-\xff]", b"\xc3\xff\xfe"));
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[]\\[*?\\\\a!^-]{0,12}", name in "[]\\[*?\\\\a!^.-]{0,12}") {
            let _ = matches(pattern.as_bytes(), name.as_bytes());
            let _ = literal(pattern.as_bytes());
        }

        #[test]
        fn a_name_fits_itself_when_escaped(name in prop::collection::vec(1u8.., 1..20)) {
            let pattern: Vec<u8> = name.iter().flat_map(|byte| [b'\\', *byte]).collect();
            prop_assert!(matches(&pattern, &name));
            prop_assert_eq!(literal(&pattern), name);
        }
    }
}
