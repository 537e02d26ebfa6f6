//! Backends, as `--backend`, `host.toml` and `backend=` in `authorized_peers` name them.
#![no_main]

use irosh::host::{Backend, BackendChoice};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(backend) = text.parse::<Backend>() {
        assert_eq!(backend.to_string().parse(), Ok(backend));
    }
    if let Ok(BackendChoice::Fixed(backend)) = text.parse::<BackendChoice>() {
        assert_eq!(backend.to_string().parse(), Ok(backend));
    }
});
