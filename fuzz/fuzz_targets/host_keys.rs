//! The SSH host keys that a host announces, on their way into lines of known_hosts.
#![no_main]

use std::sync::LazyLock;

use irosh::{
    files::Paths,
    proxy::{known_hosts_lines, load_host_keys, save_host_keys},
    transport::Target,
};
use libfuzzer_sys::fuzz_target;

/// The keys travel through a file; `fuzz/run` names a folder in memory.
static FOLDER: LazyLock<Paths> =
    LazyLock::new(|| Paths::under(&std::env::temp_dir().join(format!("irosh-fuzz-{}", std::process::id()))));

/// Any key on the curve is an endpoint id; this one is of RFC 8032 section 7.1, test 1.
static HOST: LazyLock<Target> = LazyLock::new(|| {
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".parse().expect("an endpoint id")
});

fuzz_target!(|key: &[u8]| {
    let id = HOST.addr().id;
    save_host_keys(&FOLDER, id, &[key.to_vec()]).expect("saved");
    let keys = load_host_keys(&FOLDER, id);
    assert!(keys.len() <= 1, "one key became {keys:?}");
    for key in &keys {
        let words: Vec<&str> = key.split(' ').collect();
        let [kind, blob] = words[..] else {
            panic!("{key:?} is not a type and a key");
        };
        assert!(!kind.is_empty() && !blob.is_empty());
        assert!(key.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{key:?}");
        // known_hosts takes a word that begins so for a marker.
        assert!(!kind.starts_with('@'), "{key:?}");
    }
    assert_eq!(known_hosts_lines("box", None, &keys).lines().count(), keys.len());
});
