//! Codes: what one machine shows and a person types on the other.

use std::{fmt, str::FromStr};

use super::{
    nameplate::{Nameplate, NoNameplate},
    words::{FIRST, SECOND, Words},
};
use crate::random::random;

/// A nameplate and two words, such as `7-velvet-otter`: whoever types it on one machine and sees it on the other lets
/// the two meet, once.
///
/// The nameplate is public. The words are the secret, all 16 bits of it: they go into the key exchange alone, where
/// each guess costs a code.
///
/// ```
/// use irosh::pairing::Code;
///
/// let code: Code = "7-velvet-otter".parse()?;
/// assert_eq!(code.nameplate().number(), 7);
/// // As much of the words as says which they are will do, and any way to write it.
/// assert_eq!("7 Vel OTT".parse::<Code>()?, code);
/// # Ok::<(), irosh::pairing::CodeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    nameplate: Nameplate,
    /// Which word of each list.
    words: [u8; 2],
}

/// What was typed is no code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// It does not have three parts.
    #[error("this is no code\na code is a number and two words, such as 7-velvet-otter")]
    Shape,
    /// It begins with something else than a number.
    #[error(transparent)]
    Nameplate(#[from] NoNameplate),
    /// A word is on no list.
    #[error("{}", no_word(*.second, .nearest.as_deref()))]
    Word {
        /// Whether it is the second one.
        second: bool,
        /// The word that it may have been meant for.
        nearest: Option<String>,
    },
    /// Each word is on the list of the other.
    #[error("the words of this code are in the wrong order\ntype the other one first")]
    Order,
}

/// Without what was typed, which may be a secret.
fn no_word(second: bool, nearest: Option<&str>) -> String {
    let which = if second { "second" } else { "first" };
    match nearest {
        Some(word) => {
            format!("the {which} word of this code is none that codes are made of\ndid you mean `{word}`?")
        }
        None => {
            format!(
                "the {which} word of this code is none that codes are made of\nlook again at the other machine"
            )
        }
    }
}

impl Code {
    /// A new one for a nameplate.
    pub(super) fn generate(nameplate: Nameplate) -> Self {
        let [first, second] = random();
        Self { nameplate, words: [first, second] }
    }

    /// Its number.
    #[must_use]
    pub fn nameplate(&self) -> Nameplate {
        self.nameplate
    }

    /// The secret part.
    pub(super) fn words(&self) -> String {
        let [first, second] = self.words;
        format!("{}-{}", FIRST.word(first), SECOND.word(second))
    }

    /// Whether a text is meant as a code, as far as can be seen: a number, and something after it.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        let parts = parts_of_code(text);
        parts.len() > 1 && parts.first().is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// What a code may go on with that was typed so far, each as the whole text: the word that is being typed, with the
    /// dash after it where another follows. Nothing before the first letter of a word.
    ///
    /// ```
    /// use irosh::pairing::Code;
    ///
    /// assert_eq!(Code::completions("7-vel"), ["7-velvet-"]);
    /// assert_eq!(Code::completions("7-velvet-ott"), ["7-velvet-otter"]);
    /// assert!(Code::completions("7-velvet-").is_empty());
    /// ```
    #[must_use]
    pub fn completions(typed: &str) -> Vec<String> {
        let start = typed.rfind(is_between).map_or(0, |at| at + 1);
        let (before, word) = typed.split_at(start);
        let (list, after) = match parts(before).as_slice() {
            [number] if number.parse::<Nameplate>().is_ok() => (&FIRST, "-"),
            [_, _] => (&SECOND, ""),
            _ => return Vec::new(),
        };
        if word.is_empty() {
            return Vec::new();
        }
        let words = list.beginning_with(&word.to_ascii_lowercase());
        words.into_iter().map(|word| format!("{before}{word}{after}")).collect()
    }
}

/// What may be between the parts of a code: what people type for a dash, or leave out.
fn is_between(character: char) -> bool {
    matches!(character, '-' | '_' | '.' | ',') || character.is_ascii_whitespace()
}

fn parts(text: &str) -> Vec<&str> {
    text.split(is_between).filter(|part| !part.is_empty()).collect()
}

/// The same where the number may stand right before the first word.
fn parts_of_code(text: &str) -> Vec<&str> {
    let mut parts = parts(text);
    if let Some(first) = parts.first().copied() {
        let digits = first.bytes().take_while(u8::is_ascii_digit).count();
        let (number, word) = first.split_at(digits);
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        if digits > 0 && is_word && parts.len() > 1 {
            parts.splice(..1, [number, word]);
        }
    }
    parts
}

fn word(typed: &str, list: &Words, second: bool) -> Result<u8, CodeError> {
    let nearest = || list.nearest(typed).map(str::to_owned);
    list.number(typed).ok_or_else(|| CodeError::Word { second, nearest: nearest() })
}

impl FromStr for Code {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        // Longer than any, and not looked through.
        if text.len() > 100 {
            return Err(CodeError::Shape);
        }
        let text = text.to_ascii_lowercase();
        let [number, first, second] = parts_of_code(&text)[..] else { return Err(CodeError::Shape) };
        let nameplate = number.parse()?;
        let words = word(first, &FIRST, false).and_then(|one| Ok([one, word(second, &SECOND, true)?]));
        let swapped = SECOND.number(first).is_some() && FIRST.number(second).is_some();
        let words = words.map_err(|error| if swapped { CodeError::Order } else { error })?;
        Ok(Self { nameplate, words })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.nameplate, self.words())
    }
}

/// Without the words.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({}-..)", self.nameplate)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<String, CodeError> {
        text.parse().map(|code: Code| code.to_string())
    }

    #[test]
    fn a_code_is_read_however_it_is_written() {
        for text in [
            "7-velvet-otter",
            " 7-Velvet-Otter\n",
            "7 velvet otter",
            "07_VELVET.otter",
            "7-vel-ott",
            "7velvet-otter",
            "7Velvet otter",
            "7--velvet - otter.",
        ] {
            assert_eq!(read(text).as_deref(), Ok("7-velvet-otter"), "{text}");
        }
    }

    #[test]
    fn what_is_no_code_is_told_why_and_not_repeated() {
        use CodeError::{Nameplate, Order, Shape, Word};
        let word = |second, nearest: Option<&str>| Err(Word { second, nearest: nearest.map(str::to_owned) });
        for (text, error) in [
            ("", Err(Shape)),
            ("7-velvet", Err(Shape)),
            ("7-velvetotter", Err(Shape)),
            ("7velvet", Err(Shape)),
            ("7-velvet-otter-8", Err(Shape)),
            ("0-velvet-otter", Err(Nameplate(NoNameplate))),
            ("velvet-otter-7", Err(Nameplate(NoNameplate))),
            ("7-velvte-otter", word(false, Some("velvet"))),
            ("7-velvet-hexadecimal", word(true, None)),
            // Two letters begin many words, or might.
            ("7-ve-otter", word(false, None)),
            ("7-otter-velvet", Err(Order)),
        ] {
            assert_eq!(read(text), error, "{text}");
            let said = error.expect_err("one").to_string();
            assert!(!said.contains("hexa") && said.lines().count() <= 2, "{said}");
        }
    }

    #[test]
    fn words_are_not_in_what_is_logged() {
        let code: Code = "7-velvet-otter".parse().expect("a code");
        assert_eq!(format!("{code:?}"), "Code(7-..)");
    }

    #[test]
    fn what_is_meant_as_a_code_is_told_from_names_and_tickets() {
        for (text, meant) in [
            ("7-velvet-otter", true),
            ("7-velvte", true),
            ("12 velvet", true),
            ("7velvet-otter", true),
            ("254da65082f38640b64f5d78178c8208a0e3cc0a6e10fbb42241caee84999243.irosh", false),
            ("7", false),
            ("endpointabc", false),
            ("box-7", false),
            ("-", false),
        ] {
            assert_eq!(Code::is_meant(text), meant, "{text}");
        }
    }

    #[test]
    fn a_word_is_completed_once_it_is_begun() {
        assert_eq!(Code::completions("7-ve"), ["7-velvet-", "7-verdant-"]);
        assert_eq!(Code::completions("7 VEL"), ["7 velvet-"]);
        assert_eq!(Code::completions("7-vel-ott"), ["7-vel-otter"]);
        assert!(Code::completions("7-otte").is_empty(), "it is on the other list");
        for text in ["", "7", "7-", "x-vel", "7-velvet-otter-"] {
            assert!(Code::completions(text).is_empty(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_code_is_read_as_it_is_printed(number in 1..=Nameplate::MAX, words: [u8; 2]) {
            let code = Code { nameplate: Nameplate::new(number).expect("a nameplate"), words };
            prop_assert_eq!(code.to_string().parse(), Ok(code));
        }

        #[test]
        fn nothing_panics(text in ".{0,120}") {
            let _ = text.parse::<Code>();
            let _ = (Code::is_meant(&text), Code::completions(&text));
            let _ = Code::completions(&format!("7-{text}"));
        }
    }
}
