//! From where a part is gone on with.

/// Bytes that are sent again: the last of what a part holds.
const OVERLAP: u64 = 1 << 20;

/// Bytes before those that are compared, so that a part which a crash has emptied is not gone on with.
pub(super) const COMPARED: u64 = 64 << 10;

/// Where to go on with a part that holds so many bytes of a file; none when it is begun anew.
pub(super) fn resume_at(arrived: u64, size: u64) -> Option<u64> {
    arrived.checked_sub(OVERLAP).filter(|offset| arrived <= size && *offset > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mebibyte_is_sent_again() {
        assert_eq!(resume_at(OVERLAP + 5, u64::MAX), Some(5));
        assert_eq!(resume_at(OVERLAP, u64::MAX), None);
        assert_eq!(resume_at(0, 0), None);
        assert_eq!(resume_at(OVERLAP * 2, OVERLAP * 2), Some(OVERLAP));
        assert_eq!(resume_at(OVERLAP * 2 + 1, OVERLAP * 2), None, "it holds more than the file");
    }
}
