//! The script as the host of a proxy.

use std::process::Output;

use crate::{
    can_run,
    harness::{Carrier, IROSH_PROXY, Random, Said, feed, folder, new_key, program},
    in_time, runtime, script,
};

/// What ssh says through a proxy whose host is the script; and what the proxy makes of it. None where the script
/// cannot be run.
fn through(scenario: &str, said: &[u8]) -> Option<Output> {
    if !can_run() {
        return None;
    }
    let folder = folder();
    new_key(&folder.path().join("identity"));
    runtime().block_on(in_time(async {
        let mut carrier = Carrier::start(script("host.py", &[scenario]), None);
        let ticket = carrier.asks().await.expect("a ticket");
        let mut proxy = program(IROSH_PROXY, folder.path());
        proxy.arg(ticket);
        let said = said.to_vec();
        let proxy = tokio::task::spawn_blocking(move || feed(&mut proxy, said));
        carrier.seen();
        carrier.ends().await;
        Some(proxy.await.expect("an end"))
    }))
}

/// All of it comes back, and the proxy ends in peace.
fn comes_back(scenario: &str) {
    let said = Random::bytes(7, 400_000);
    let Some(output) = through(scenario, &said) else { return };
    assert!(output.status.success(), "{}", output.stderr.said());
    assert!(output.stdout == said, "{} bytes came back, or others", output.stdout.len());
}

/// The proxy says what is wrong with the host.
fn fails(scenario: &str, words: &str) {
    let Some(output) = through(scenario, &Random::bytes(7, 400_000)) else { return };
    assert!(!output.status.success());
    let said = output.stderr.said();
    assert!(said.contains(words), "{said}");
}

/// Scenarios of the script.
macro_rules! scenarios {
    ($($name:ident: $outcome:expr,)*) => { $(
        #[test]
        fn $name() {
            $outcome(stringify!($name));
        }
    )* };
}

/// The host broke the protocol in this way.
fn breaks(how: &'static str) -> impl Fn(&str) {
    move |scenario| fails(scenario, &format!("irosh-proxy: the host does not keep to irosh/1: {how}"))
}

scenarios! {
    a_host_of_the_future_is_understood: comes_back,
    nothing_is_lost_with_a_leg: comes_back,
    an_end_of_file_under_way_at_the_cut_arrives: comes_back,
    an_answer_to_closed_that_is_lost_is_done_without: comes_back,
    an_acknowledgement_of_what_was_not_sent_ends_the_session: breaks("the other side acknowledges"),
    a_position_that_was_never_sent_ends_the_session: breaks("the other side goes on at byte 1099511627776"),
    a_position_that_is_no_longer_kept_ends_the_session: breaks("the other side goes on at byte 0"),
    a_host_that_has_forgotten_the_session_says_so: |scenario| fails(
        scenario,
        "irosh-proxy: the host says: gone, all gone\nirosh-proxy: the host says: connect again",
    ),
}
