//! How much at once.

/// The longest packet either way, in bytes after its length: OpenSSH's `SFTP_MAX_MSG_LENGTH`.
pub const MAX_PACKET: usize = 256 << 10;

/// The most bytes of a file in one read or write, whatever a server allows: OpenSSH's
/// `SFTP_MAX_READ_LENGTH`.
pub const MAX_DATA: usize = MAX_PACKET - 1024;

/// Bytes of file content on their way, in each direction: 1 Gbit/s over 100 ms are 12.5 MB.
pub const WINDOW: usize = 16 << 20;

/// What the server takes at once: `limits@openssh.com`, cut to what this client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of content in one read.
    pub read: usize,
    /// Bytes of content in one write.
    pub write: usize,
    /// Files and folders open at once; none when there is no limit or it is not known.
    pub handles: Option<usize>,
}
