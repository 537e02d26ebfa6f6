//! Nothing that holds a password, a passphrase or a key shows it in its `Debug`, which ends in logs.

use std::{collections::BTreeMap, fmt::Debug};

use iroh::{EndpointAddr, SecretKey};
use iroh_tickets::Ticket;
use russh::keys::{PrivateKey, ssh_key::private::Ed25519Keypair};

use crate::{
    client::{
        ClientOptions, ResolvedTarget,
        auth::{
            Answer, Attempt, Key, KeyPair, LocalKey, Password, Question, Secret, Standard, StandardOptions,
            Topic,
        },
    },
    names::Aliases,
    pairing::Code,
    profile::Prepared,
    proxy::Credentials,
    transport::{Invite, InviteSecret, Network, Target},
};

const PASSWORD: &str = "correct-horse-battery";

/// The seed of every key here, in which no byte is there twice.
fn seed() -> [u8; 32] {
    std::array::from_fn(|number| 101 + number as u8)
}

/// What must not be seen, in each way to write it.
fn secrets() -> Vec<String> {
    let key = seed();
    let secret: Vec<u8> = key[..InviteSecret::LENGTH].to_vec();
    let listed = |bytes: &[u8]| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let mut secrets = vec![PASSWORD.to_owned(), "velvet".to_owned(), "otter".to_owned()];
    for bytes in [&key[..8], &secret[..8]] {
        secrets.extend([hex::encode(bytes), listed(bytes), listed(bytes).replace(", ", ",\n    ")]);
    }
    secrets.push(invite().to_string()[..24].to_owned());
    secrets
}

fn invite() -> Invite {
    let mut secret = InviteSecret([0; InviteSecret::LENGTH]);
    secret.0.copy_from_slice(&seed()[..InviteSecret::LENGTH]);
    Invite { addr: EndpointAddr::new(SecretKey::from_bytes(&[9; 32]).public()), secret }
}

fn private_key() -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&seed()))
}

#[track_caller]
fn hides(value: &dyn Debug) {
    for shown in [format!("{value:?}"), format!("{value:#?}")] {
        let lowered = shown.to_lowercase();
        for secret in secrets() {
            assert!(!lowered.contains(&secret), "`{secret}` is in {shown}");
        }
    }
}

#[test]
fn what_logs_in_shows_no_secret() {
    let secret = || Secret::new(PASSWORD);
    hides(&secret());
    hides(&Some(vec![secret()]));
    hides(&Answer::Given(secret()));
    hides(&Answer::from(Some(secret())));
    hides(&Attempt::Password(secret()));
    hides(&Attempt::PublicKey(Box::new(Key::from(private_key()))));
    hides(&Password::new(PASSWORD));
    hides(&KeyPair::new(private_key()));
    hides(&LocalKey(private_key().into()));
    let answer = |_: Question<'_>| Some(Secret::new(PASSWORD));
    hides(&Standard::new(StandardOptions::new("box", None)).prompt(answer));
    hides(&ClientOptions::new("alice").authenticator(Password::new(PASSWORD)));
    hides(&ClientOptions::new("alice").variable("TOKEN", PASSWORD));
    // The question is no secret, and is shown.
    let question = Question { topic: Topic::Password, text: "password:", echo: false };
    assert!(format!("{question:?}").contains("password:"));
}

#[test]
fn what_names_a_host_shows_no_secret() {
    let text = invite().encode_string();
    let target: Target = text.parse().expect("an invite");
    hides(&invite());
    hides(&target);
    hides(&ResolvedTarget::from(target));
    hides(&ResolvedTarget::from(invite()));
    hides(&format!("alice@{text}").parse::<ResolvedTarget>().expect("a target"));
    let hosts = BTreeMap::from([("box".to_owned(), text.clone())]);
    let aliases = Aliases { hosts, ..Aliases::default() };
    hides(&aliases);
    hides(&ResolvedTarget::resolve("box", &aliases).expect("a target"));
    hides(&"7-velvet-otter".parse::<Code>().expect("a code"));
    let code = "7-velvet-otter".parse::<ResolvedTarget>().expect_err("no target");
    hides(&code);
    assert!(format!("{aliases:?}").contains("box"));
}

#[tokio::test]
async fn what_dials_shows_no_secret() {
    let identity = SecretKey::from_bytes(&seed());
    hides(&identity);
    let credentials = Credentials::from(identity);
    hides(&credentials);
    let network =
        Network { relay_token: crate::transport::RelayToken::new(PASSWORD.to_owned()), ..no_network() };
    hides(&network);
    let client = crate::client::Client::bind(network, credentials).await.expect("bound");
    hides(&client);
    let prepared = Prepared {
        client,
        target: invite().into(),
        options: ClientOptions::new("alice").authenticator(KeyPair::new(private_key())),
        config: Default::default(),
        without_config: None,
    };
    hides(&prepared);
}

fn no_network() -> Network {
    let bind = "127.0.0.1:0".parse().expect("an address");
    Network {
        relay: crate::transport::Relay::None,
        dns: crate::transport::NameService::None,
        lan: false,
        bind,
        ..Network::default()
    }
}
