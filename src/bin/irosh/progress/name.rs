//! A file's name, made safe and short.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The name with what a terminal would obey, or show at another place, in `\` and octal digits, as
/// vis(3) does it for scp.
pub(super) fn safe(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.chars() {
        if irosh::log::steers(character) {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                out += &format!("\\{byte:03o}");
            }
        } else {
            out.push(character);
        }
    }
    out
}

/// The name in no more than so many columns, its middle left out if it must be.
pub(super) fn cut(name: &str, columns: usize) -> String {
    if name.width() <= columns {
        return name.to_owned();
    }
    if columns < 5 {
        return prefix(name, columns).to_owned();
    }
    let room = columns - ELLIPSIS.len();
    // The end tells files of one kind apart, so it gets the larger half.
    let start = prefix(name, room / 2);
    let end = suffix(name, room - start.width());
    format!("{start}{ELLIPSIS}{end}")
}

const ELLIPSIS: &str = "...";

/// The longest start that fits.
fn prefix(text: &str, columns: usize) -> &str {
    let ends = text.char_indices().map(|(at, character)| at + character.len_utf8());
    let end = ends.take_while(|&end| text[..end].width() <= columns).last();
    &text[..end.unwrap_or(0)]
}

/// The longest end that fits, and does not start with a mark on a character that is left out.
fn suffix(text: &str, columns: usize) -> &str {
    let starts = text.char_indices().rev();
    let fitting = starts.take_while(|&(at, _)| text[at..].width() <= columns);
    let start = fitting.filter(|(_, character)| character.width() != Some(0)).last();
    &text[start.map_or(text.len(), |(at, _)| at)..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        assert_eq!(
            safe("a\x1b[31m\n\tb\u{9b}é日\u{202e}"),
            "a\\033[31m\\012\\011b\\302\\233é日\\342\\200\\256"
        );
    }

    #[test]
    fn the_middle_is_left_out() {
        assert_eq!(cut("name.txt", 8), "name.txt");
        assert_eq!(cut("a-long-name-1.tar.gz", 15), "a-long...tar.gz");
        assert_eq!(cut("日本語日本語日本語", 10), "日...本語");
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}", 5), "e\u{301}...e\u{301}");
        assert_eq!(cut("abc", 0), "");
    }

    proptest! {
        #[test]
        fn a_name_never_takes_more_columns_than_it_may(name in ".{0,30}", columns in 0..40_usize) {
            let name = safe(&name);
            prop_assert!(!name.contains(char::is_control));
            let cut = cut(&name, columns);
            prop_assert!(cut.width() <= columns, "{cut:?}");
            prop_assert!(name.width() > columns || cut == name);
        }
    }
}
