//! How much at once.

/// The longest packet either way, in bytes after its length: OpenSSH's `SFTP_MAX_MSG_LENGTH`.
pub const MAX_PACKET: usize = 256 << 10;

/// The most bytes of a file in one read or write: OpenSSH's `SFTP_MAX_READ_LENGTH`.
pub const MAX_DATA: usize = MAX_PACKET - 1024;
