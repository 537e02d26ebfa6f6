//! What guessers come to.

use std::{
    net::IpAddr,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use iroh::EndpointAddr;
use iroh_tickets::endpoint::EndpointTicket;
use irosh::transport::bind_pairing;
use tokio::{
    runtime::Runtime,
    sync::{Barrier, mpsc},
    time::timeout,
};

use crate::{
    AT_ONCE,
    guesser::{Guesser, show_other_words},
    harness::{DEADLINE, Meeting, Said, number, run},
    key_of, shown_at,
};

/// How long a guesser may take to come as far as a guess.
const COMING: Duration = Duration::from_secs(15);

/// For work that goes on while the test waits for something else.
fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

/// How many guess at once. A thousand take minutes where nothing was optimised.
fn guessers() -> usize {
    number("IROSH_TEST_GUESSERS", 100)
}

/// The words of a code.
fn words(code: &str) -> &str {
    code.split_once('-').expect("a nameplate").1
}

#[test]
fn who_guesses_wrong_hears_nothing_of_the_host() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    let at = shown_at(&meeting, &shown);
    let (network, wrong) = (meeting.network(), shown.wrong());
    let (heard, code) = runtime().block_on(async {
        let guesser = Guesser::bind(&network).await;
        guesser.begin(at, words(&wrong)).await.expect("an answer").make().await
    });
    // An answer of 33 bytes and a nonce, and a refusal without a sentence: no more than these were heard.
    assert_eq!((heard.len(), code), (1 + 33 + 16 + 4 + 1 + 4 + 4, Some(3)), "{heard:?}");
    assert_eq!(shown.ends(AT_ONCE), Some(1));
    let host: EndpointAddr = EndpointTicket::from_str(&meeting.host().ticket()).expect("a ticket").into();
    assert_ne!(host.id, at, "the endpoint is the host's own");
    let mut secrets = vec![
        host.id.as_bytes().to_vec(),
        host.id.to_string().into_bytes(),
        b"testhost".to_vec(),
        blob(&meeting.server.host_key),
        meeting.host().ticket().into_bytes(),
    ];
    for addr in host.ip_addrs() {
        secrets.push(addr.to_string().into_bytes());
        let IpAddr::V4(ip) = addr.ip() else { continue };
        secrets.push([&ip.octets()[..], &addr.port().to_be_bytes()].concat());
    }
    assert!(secrets.len() > 6, "the host has no address");
    // With what everybody can read: both records that lead there.
    let key = key_of(&shown.code);
    let known = [heard, meeting.names.record(key), meeting.names.record(at), at.as_bytes().to_vec()].concat();
    for secret in secrets {
        let is_told = known.windows(secret.len()).any(|part| part == secret.as_slice());
        assert!(!is_told, "{} is told", String::from_utf8_lossy(&secret));
    }
}

/// The blob of a public key line.
fn blob(line: &str) -> Vec<u8> {
    let key = russh::keys::PublicKey::from_openssh(line).expect("a key");
    key.to_bytes().expect("a blob")
}

/// Has so many guess at the same moment, with words that are wrong: how many were told so, and how many that they came too
/// late.
async fn crowd(meeting: &Meeting, at: iroh::EndpointId, wrong: &str, count: usize) -> (usize, usize) {
    let network = meeting.network();
    let guessers = join_all((0..8).map(|_| Guesser::bind(&network))).await;
    let barrier = Arc::new(Barrier::new(count));
    let guesses = (0..count).map(|number| {
        let (guesser, barrier) = (&guessers[number % guessers.len()], Arc::clone(&barrier));
        async move {
            // Who comes when all is over, waits for nobody.
            let guess = timeout(COMING, guesser.begin(at, words(wrong))).await.unwrap_or_default();
            barrier.wait().await;
            match guess {
                Some(guess) => guess.make().await.0,
                None => Vec::new(),
            }
        }
    });
    let heard = join_all(guesses).await;
    let says =
        |reason: u8| heard.iter().filter(|heard| heard.ends_with(&[6, 0, 0, 0, reason, 0, 0, 0, 0])).count();
    (says(1), says(2))
}

#[test]
fn a_crowd_of_guessers_has_one_guess_and_never_a_wrong_one_gets_in() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    let at = shown_at(&meeting, &shown);
    let wrong = shown.wrong();
    let runtime = runtime();
    let (told, late) = runtime.block_on(crowd(&meeting, at, &wrong, guessers()));
    assert_eq!(told, 1, "guesses that were looked at; {late} were too late");
    assert_eq!(shown.ends(DEADLINE), Some(1));
    assert!(shown.said().contains("somebody typed other words"), "{}", shown.said());
    assert_eq!(meeting.peers(), "");
}

#[test]
fn among_a_crowd_the_right_one_gets_in_or_nobody_does() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    let at = shown_at(&meeting, &shown);
    let wrong = shown.wrong();
    let mut join = meeting.at_client(&["join", &shown.code, "box"]);
    let joined = std::thread::scope(|scope| {
        let joining = scope.spawn(|| run(&mut join));
        runtime().block_on(crowd(&meeting, at, &wrong, guessers()));
        joining.join().expect("an end")
    });
    let (in_time, peers) = (joined.status.success(), meeting.peers());
    assert_eq!(shown.ends(DEADLINE), Some(i32::from(!in_time)), "{}", joined.stderr.said());
    let key = meeting.client.identity.split(' ').nth(1).expect("a key");
    let list = std::fs::read_to_string(meeting.host().home().join("authorized_peers")).unwrap_or_default();
    assert_eq!((list.contains(key), peers.lines().count()), (in_time, usize::from(in_time)), "{list}");
}

#[test]
fn those_who_say_nothing_are_in_nobodys_way() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    let at = shown_at(&meeting, &shown);
    let runtime = runtime();
    let network = meeting.network();
    // More than there are places, some without a word, and some with no more than a first one.
    let (guesser, silent, begun) = runtime.block_on(async {
        let guesser = Guesser::bind(&network).await;
        let silent = join_all((0..300).map(|_| guesser.connect(at))).await;
        let begun = join_all((0..20).map(|_| guesser.begin(at, "velvet-otter"))).await;
        (guesser, silent, begun)
    });
    let begun_at = Instant::now();
    let joined = run(&mut meeting.at_client(&["join", &shown.code, "box"]));
    assert!(joined.status.success(), "{}", joined.stderr.said());
    assert!(begun_at.elapsed() < Duration::from_secs(5), "{:?}", begun_at.elapsed());
    assert_eq!(shown.ends(DEADLINE), Some(0), "{}", shown.said());
    drop((silent, begun, guesser));
}

/// Somebody whose record has taken the place of the right one's, which is back once the words were tried there.
#[test]
fn who_shows_other_words_for_a_nameplate_is_not_taken_for_the_right_one() {
    let meeting = Meeting::new();
    let mut shown = meeting.pair(&[]);
    let right = meeting.names.user_data(key_of(&shown.code)).expect("a record");
    let (seed, network, runtime) = (seed_of(&shown.code), meeting.network(), runtime());
    let wrong = if words(&shown.code) == "velvet-otter" { "amber-badger" } else { "velvet-otter" };
    let (tell, mut tried) = mpsc::unbounded_channel();
    runtime.block_on(async {
        let other = bind_pairing(&network).await.expect("an endpoint");
        let (_, until) = right.split_once(' ').expect("a time");
        meeting.names.put(&seed, &format!("{} {until}", other.id()));
        tokio::spawn(show_other_words(other, wrong, tell));
    });
    let mut join = meeting.at_client(&["join", &shown.code, "box"]);
    let joined = std::thread::scope(|scope| {
        let joining = scope.spawn(|| run(&mut join));
        let allow = tried.blocking_recv().expect("a try");
        meeting.names.put(&seed, &right);
        allow.send(()).expect("somebody waits");
        joining.join().expect("an end")
    });
    assert!(joined.status.success(), "{}", joined.stderr.said());
    assert_eq!(shown.ends(DEADLINE), Some(0), "{}", shown.said());
}

fn seed_of(code: &str) -> iroh::SecretKey {
    let mut seed = [0; 32];
    let digits = code.split('-').next().expect("a nameplate");
    let hkdf = hkdf::Hkdf::<sha2::Sha256>::new(None, digits.as_bytes());
    hkdf.expand(b"irosh-pair/1 nameplate", &mut seed).expect("32 bytes");
    iroh::SecretKey::from_bytes(&seed)
}
