//! What has ended since its peer may do something else now.

use irosh::{host::Ended, log::say};

use super::status::text;

/// Says what has ended since its peer may do something else now.
pub(super) fn tell_ended(ended: &Ended) {
    if ended.connections + ended.sessions > 0 {
        say(&format!("irosh: what began on other terms has ended: {}\n", counted(ended)));
    }
}

/// How much that is.
pub(super) fn counted(ended: &Ended) -> String {
    format!("{}, {}", text::count(ended.connections, "connection"), text::count(ended.sessions, "session"))
}
