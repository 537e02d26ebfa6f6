//! Names that fit patterns, by bytes.

/// Whether all of a name fits a pattern in which `*` stands for any bytes and `?` for one: OpenSSH's `match_pattern`
/// (ssh_config(5), PATTERNS).
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    matches_by(pattern, name, |pattern, byte| (pattern[0] == b'?' || pattern[0] == byte).then_some(1))
}

/// The same of patterns in which more is special than `*`: `one` says how much of the rest of a pattern, which is not
/// empty, stands for a byte.
pub(crate) fn matches_by(pattern: &[u8], name: &[u8], one: impl Fn(&[u8], u8) -> Option<usize>) -> bool {
    let (mut at, mut in_name) = (0, 0);
    // Where the last star was, and how much of the name it stands for: only the last one need be tried
    // again, so that no pattern takes more than the product of both lengths.
    let mut star = None;
    while in_name < name.len() {
        let rest = &pattern[at..];
        if rest.first() == Some(&b'*') {
            star = Some((at + 1, in_name));
            at += 1;
        } else if let Some(length) = rest.first().and_then(|_| one(rest, name[in_name])) {
            at += length;
            in_name += 1;
        } else if let Some((behind, begun)) = star {
            star = Some((behind, begun + 1));
            (at, in_name) = (behind, begun + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pattern_fits_as_its_regex_would(pattern in "[ab?*]{0,6}", name in "[ab]{0,6}") {
            fn slow(pattern: &[u8], name: &[u8]) -> bool {
                match (pattern.split_first(), name.split_first()) {
                    (None, rest) => rest.is_none(),
                    (Some((b'*', after)), rest) => {
                        slow(after, name) || rest.is_some_and(|(_, rest)| slow(pattern, rest))
                    }
                    (Some(_), None) => false,
                    (Some((byte, after)), Some((first, rest))) => {
                        (*byte == b'?' || byte == first) && slow(after, rest)
                    }
                }
            }
            prop_assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), slow(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
