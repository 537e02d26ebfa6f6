//! A line of bash up to the cursor, read as bash reads it.

/// The words of the command that the cursor is in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BashLine {
    /// Without quotes; the last is the one to complete, possibly empty.
    pub(super) words: Vec<String>,
    /// The start of the last word that bash keeps when it puts in a candidate, without quotes.
    kept: String,
    quote: Quote,
}

/// In which the last word ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

impl BashLine {
    /// Reads a line. `breaks` is `COMP_WORDBREAKS`. Expansions are not made: `$HOME/` stays that.
    pub(super) fn read(line: &str, breaks: &str) -> Self {
        let mut read = Self { words: Vec::new(), kept: String::new(), quote: Quote::None };
        let mut last = String::new();
        // Whether the last word has begun; a pair of quotes begins one that is empty.
        let mut begun = false;
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            match (read.quote, character) {
                (Quote::Single, '\'') | (Quote::Double, '"') => {
                    read.quote = Quote::None;
                    // Behind a closed quote the whole word is replaced.
                    read.kept.clear();
                }
                (Quote::None, '\'' | '"') => {
                    read.quote = if character == '"' { Quote::Double } else { Quote::Single };
                    begun = true;
                    read.kept = last.clone();
                }
                (Quote::Double, '\\') => match characters.next_if(|next| "\"\\$`".contains(*next)) {
                    Some(next) => last.push(next),
                    None => last.push('\\'),
                },
                (Quote::None, '\\') => {
                    begun = true;
                    last.extend(characters.next());
                }
                (Quote::None, ' ' | '\t' | '\n') => {
                    if begun {
                        read.words.push(std::mem::take(&mut last));
                        read.kept.clear();
                        begun = false;
                    }
                }
                (Quote::None, ';' | '|' | '&' | '(') => {
                    read.words.clear();
                    last.clear();
                    read.kept.clear();
                    begun = false;
                }
                _ => {
                    begun = true;
                    let breaks = read.quote == Quote::None && breaks.contains(character);
                    // readline leaves this one with the word that it starts.
                    if breaks && character == '@' {
                        read.kept.clone_from(&last);
                    }
                    last.push(character);
                    if breaks && character != '@' {
                        read.kept.clone_from(&last);
                    }
                }
            }
        }
        // `NAME=value irosh ...`.
        let assignments = read.words.iter().take_while(|word| word.contains('=')).count();
        read.words.drain(..assignments);
        read.words.push(last);
        read
    }

    /// What bash puts in for a candidate: its end, quoted, with a space behind what is complete.
    pub(super) fn reply(&self, candidate: &str) -> Option<String> {
        let rest = candidate.strip_prefix(&self.kept)?;
        let space = if candidate.ends_with(['/', '-']) { "" } else { " " };
        Some(match self.quote {
            Quote::None => quote(rest, self.kept.is_empty()) + space,
            // bash closes the quote by itself.
            Quote::Single => rest.replace('\'', "'\\''"),
            // The history is looked up within these quotes too, and a backslash would stay.
            Quote::Double => escape(rest, "\"\\$`").replace('!', "\"\\!\""),
        })
    }
}

/// As an unquoted word, or a later part of one.
fn quote(text: &str, start: bool) -> String {
    let quoted = escape(text, " \t'\"\\$`!&|;()<>{}[]*?#:@=");
    // A home folder is the host's, not this shell's.
    if start && quoted.starts_with('~') { format!("\\{quoted}") } else { quoted }
}

fn escape(text: &str, special: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if special.contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BREAKS: &str = " \t\n\"'><=;|&(:@";

    fn read(line: &str) -> BashLine {
        BashLine::read(line, BREAKS)
    }

    #[test]
    fn words_are_read_without_quotes() {
        for (line, words) in [
            ("irosh get box ", vec!["irosh", "get", "box", ""]),
            (r"irosh get me@box a\ b", vec!["irosh", "get", "me@box", "a b"]),
            (r#"irosh get 'box' "a\"b" 'c d"#, vec!["irosh", "get", "box", "a\"b", "c d"]),
            ("cd /; A=1 irosh get ''", vec!["irosh", "get", ""]),
            ("true && irosh  put x", vec!["irosh", "put", "x"]),
            ("", vec![""]),
        ] {
            assert_eq!(read(line).words, words, "{line}");
        }
    }

    #[test]
    fn a_reply_is_what_comes_behind_the_last_break() {
        assert_eq!(read("get box:").reply("box:a b").as_deref(), Some("a\\ b "));
        assert_eq!(read("get me@b").reply("me@box").as_deref(), Some("\\@box "));
        assert_eq!(read(r"get a\:b").reply("a:bc/").as_deref(), Some("a\\:bc/"));
        assert_eq!(read("get a:").reply("b"), None);
    }

    #[test]
    fn a_reply_is_quoted_as_the_word_was_begun() {
        let name = "it's $5 \"now\"";
        assert_eq!(read("get it").reply(name).as_deref(), Some("it\\'s\\ \\$5\\ \\\"now\\\" "));
        assert_eq!(read("get 'it").reply(name).as_deref(), Some("it'\\''s $5 \"now\""));
        assert_eq!(read("get \"it").reply(name).as_deref(), Some("it's \\$5 \\\"now\\\""));
    }
}
