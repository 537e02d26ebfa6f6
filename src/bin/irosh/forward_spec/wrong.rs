//! What is wrong with a forward.

/// What is wrong with the text of a forward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    /// Not as many parts as any form has.
    #[error("it has {0} parts between colons (an IPv6 address stands in brackets: [::1])")]
    Parts(usize),
    /// No number from 1 to 65535.
    #[error("`{0}` is no port, a number from 1 to 65535")]
    Port(String),
    /// No name or address.
    #[error("`{0}` is no host")]
    Host(String),
    /// A `[` without its `]`, or text behind that, or a `\` with nothing behind it.
    #[error("a bracket or a backslash is not closed")]
    Open,
}
