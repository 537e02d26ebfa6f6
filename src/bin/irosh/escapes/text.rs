//! What escapes print. Lines end in `\r\n`, for a terminal that is raw; the wording is ssh's, with
//! this program's name, and control characters shown as `^X`.

use super::escape_char::EscapeChar;

/// What `~?` prints. Of ssh's, it has all but `~C`, `~V`, `~v` and `~&`.
#[must_use]
pub(crate) fn help(escape: EscapeChar) -> String {
    let lines = [
        (".", "terminate connection"),
        ("B", "send a BREAK to the remote system"),
        ("R", "request rekey"),
        ("^Z", "suspend irosh"),
        ("#", "list forwarded connections"),
        ("?", "this message"),
    ];
    let mut text = format!("{escape}?\r\nSupported escape sequences:\r\n");
    for (key, what) in lines {
        text += &format!(" {escape}{key:<3} - {what}\r\n");
    }
    let twin = escape.to_string();
    text += &format!(" {escape}{twin:<3} - send the escape character by typing it twice\r\n");
    text + "(Note that escapes are only recognized immediately after newline.)\r\n"
}

/// What `~^Z` prints before the terminal is given back.
#[must_use]
pub(crate) fn suspend(escape: EscapeChar) -> String {
    format!("{escape}^Z [suspend irosh]\r\n")
}

/// What `~B` prints.
#[must_use]
pub(crate) fn send_break(escape: EscapeChar) -> String {
    format!("{escape}B\r\n")
}

/// What `~#` prints, given a line for each channel.
#[must_use]
pub(crate) fn connections<'a>(escape: EscapeChar, lines: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = format!("{escape}#\r\nThe following connections are open:\r\n");
    for line in lines {
        text += &format!("  {line}\r\n");
    }
    text
}

/// A message of one or more lines, for a terminal that is raw.
#[must_use]
pub(crate) fn raw_lines(message: &str) -> String {
    message.lines().map(|line| format!("{line}\r\n")).collect()
}
