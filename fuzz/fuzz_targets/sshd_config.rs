//! The server's configuration in both of its syntaxes.
#![no_main]

use irosh::server::config::{Connection, SshdConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut config = SshdConfig::default();
    if config.add_file("fuzz", text, &mut |_| Ok(Vec::new())).is_ok() {
        let connection = Connection { user: Some("root".to_owned()), ..Connection::default() };
        let _ = (config.server().check(), config.connection(&connection).check());
    }
    let _ = SshdConfig::default().add_option(text);
    let _ = text.parse::<Connection>();
    let _ = toml::from_str::<SshdConfig>(text);
});
