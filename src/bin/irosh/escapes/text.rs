//! What escapes print. Lines end in `\r\n`, for a terminal that is raw; the wording is ssh's, with
//! this program's name, and control characters shown as `^X`.

use super::escape_char::EscapeChar;

/// What `~C` shows first.
pub(crate) const PROMPT: &str = "\r\nirosh> ";

/// What `~C` says of a forward that was started.
pub(crate) const FORWARDING: &str = "Forwarding port.\r\n";

/// What it says of one that could not be.
pub(crate) const FORWARDING_FAILED: &str = "Port forwarding failed.\r\n";

/// What it says of one that was cancelled.
pub(crate) const CANCELED: &str = "Canceled forwarding.\r\n";

/// What it says of one that there is not.
pub(crate) const UNKNOWN_FORWARDING: &str = "Unknown port forwarding.\r\n";

/// What `~?` prints. `~&` is not in it: nothing goes on in the background.
#[must_use]
pub(crate) fn help(escape: EscapeChar) -> String {
    let lines = [
        (".", "terminate connection"),
        ("B", "send a BREAK to the remote system"),
        ("C", "open a command line"),
        ("R", "request rekey"),
        ("V/v", "decrease/increase verbosity (LogLevel)"),
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

/// What `~&` prints: it is not available.
#[must_use]
pub(crate) fn no_background(escape: EscapeChar) -> String {
    format!("{escape}& [not available: end the session, or suspend it with {escape}^Z]\r\n")
}

/// What `~v` and `~V` print, given the name of the new level.
#[must_use]
pub(crate) fn log_level(escape: EscapeChar, more: bool, level: &str) -> String {
    format!("{escape}{} [LogLevel {level}]\r\n", if more { 'v' } else { 'V' })
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

/// What `help` prints on the line of `~C`.
#[must_use]
pub(crate) fn command_help() -> String {
    "Commands:\r\n\
     \x20     -L[bind_address:]port:host:hostport    Request local forward\r\n\
     \x20     -R[bind_address:]port:host:hostport    Request remote forward\r\n\
     \x20     -D[bind_address:]port                  Request dynamic forward\r\n\
     \x20     -KL[bind_address:]port                 Cancel local forward\r\n\
     \x20     -KR[bind_address:]port                 Cancel remote forward\r\n\
     \x20     -KD[bind_address:]port                 Cancel dynamic forward\r\n"
        .to_owned()
}

/// A message of one or more lines, for a terminal that is raw.
#[must_use]
pub(crate) fn raw_lines(message: &str) -> String {
    message.lines().map(|line| format!("{line}\r\n")).collect()
}
