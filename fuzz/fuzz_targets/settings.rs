//! `host.toml` and `config.toml`.
#![no_main]

use irosh::{host::HostSettings, settings::ClientSettings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = toml::from_str::<ClientSettings>(text);
    let Ok(settings) = toml::from_str::<HostSettings>(text) else {
        return;
    };
    // What a host does with them, for each connection that comes in.
    let startups = settings.limits.max_startups;
    for dice in [0, 50, 99] {
        assert!(startups.drops(startups.full, dice), "all are dropped at {startups}");
        assert!(startups.start == 0 || !startups.drops(startups.start - 1, dice), "none is below {startups}");
        let _ = startups.drops(startups.start / 2 + startups.full / 2, dice);
    }
});
