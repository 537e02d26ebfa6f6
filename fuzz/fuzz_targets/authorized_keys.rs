//! `authorized_keys` and principals files, which users write, and whatever may write for them.
#![no_main]

use irosh::server::{
    authorized_keys::{AuthorizedKeys, Principal},
    key_options::Whence,
};
use jiff::{Timestamp, tz::TimeZone};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let utc = TimeZone::UTC;
    let read = AuthorizedKeys::parse(file, &utc);
    let lines = file.split(|&byte| byte == b'\n').count();
    assert!(read.entries.len() + read.refused.len() <= lines);
    for entry in read.entries.iter().take(20) {
        assert!((1..=lines).contains(&entry.line));
        let _ = entry.options.check(Timestamp::UNIX_EPOCH, Whence::default(), true);
        // Looking for one key finds what reading all finds.
        let authority = entry.options.cert_authority;
        let mut found = AuthorizedKeys::find(file, &entry.key, authority, &utc).filter_map(Result::ok);
        assert!(found.any(|found| found == *entry));
        drop(found);
    }
    let (found, _) = Principal::find(file, &["a".to_owned(), "root".to_owned()], &TimeZone::UTC);
    assert!(found.is_none_or(|found| ["a", "root"].contains(&found.name.as_str())));
});
