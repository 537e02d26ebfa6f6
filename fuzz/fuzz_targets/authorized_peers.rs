//! `authorized_peers`, whose lines may have been pasted from what a stranger sent.
#![no_main]

use irosh::host::{Authority, AuthorizedPeers};
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = AuthorizedPeers::parse(text, &TimeZone::UTC);
    let lines = text.lines().count();
    let admitting = read.peers.len() + read.authorities.len();
    assert!(admitting + read.revoked.len() + read.refused.len() <= lines);
    for bad in &read.refused {
        assert!((1..=lines).contains(&bad.line) && !bad.reason.is_empty());
    }
    for peer in &read.peers {
        // `peers allow` and a used invite write lines: such a line admits the same peer to the
        // same, and nobody else.
        let line = peer.line();
        let again = AuthorizedPeers::parse(&line, &TimeZone::UTC);
        let [same] = &again.peers[..] else {
            panic!("{peer:?} is written as {line:?}, which reads as {again:?}");
        };
        assert_eq!((same.identity, &same.options), (peer.identity, &peer.options), "{line:?}");
        assert_eq!(again.refused, []);
    }
    for authority in &read.authorities {
        let line = authority.line();
        let again = Authority::parse(&line, &TimeZone::UTC).expect(&line);
        assert_eq!((&again.key, again.all_options()), (&authority.key, authority.all_options()), "{line:?}");
    }
});
