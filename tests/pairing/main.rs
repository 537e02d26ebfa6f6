//! Two machines that a code brings together: what people type, what guessers get, and the ways by which they find each
//! other. `tests/protocol/pair.rs` has the bytes.

#[path = "../harness/mod.rs"]
mod harness;
#[cfg(target_os = "linux")]
#[path = "../lab/mod.rs"]
mod lab;

mod codes;
mod guesser;
mod guesses;
mod identities;
mod invites;
mod secrets;
mod terminals;
#[cfg(target_os = "linux")]
mod ways;

use std::time::Duration;

use harness::{Meeting, Shown, poll};
use irosh::pairing::Code;

/// How long both sides may take to say that a word was wrong.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Waits until nobody is found any more by the nameplate of a code.
fn is_withdrawn(meeting: &Meeting, code: &str) {
    let key = key_of(code);
    poll("the record is taken back", harness::DEADLINE, || {
        (meeting.names.user_data(key).as_deref() == Some("-")).then_some(())
    });
}

/// The key of the record of a code's nameplate, made anew.
fn key_of(code: &str) -> iroh::EndpointId {
    let code: Code = code.parse().expect("a code");
    let mut seed = [0; 32];
    let digits = code.nameplate().to_string();
    let made =
        hkdf::Hkdf::<sha2::Sha256>::new(None, digits.as_bytes()).expand(b"irosh-pair/1 nameplate", &mut seed);
    made.expect("32 bytes");
    iroh::SecretKey::from_bytes(&seed).public()
}

/// The endpoint at which a code is shown.
fn shown_at(meeting: &Meeting, shown: &Shown) -> iroh::EndpointId {
    let said = meeting.names.user_data(key_of(&shown.code)).expect("a record");
    said.split(' ').next().and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("no id: {said}"))
}
