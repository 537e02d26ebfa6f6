//! Connections over a host that this program dials itself.

use std::time::Duration;

use irosh::{
    EndpointAddr, EndpointId, SecretKey, agent,
    client::{
        Client, ClientError, ClientOptions, Connection, Phase, ResolvedTarget, Session, auth::Password,
    },
    files::Paths,
    names::Aliases,
    profile::Profile,
    transport::{KeyFile, NameService, Network, Relay},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::servers::{Kind, Server, login};

async fn client(server: &Server) -> (Client, ResolvedTarget) {
    let identity = KeyFile::load(&server.path("irosh/identity")).expect("a key");
    let client = client_of(identity.secret().clone()).await;
    let target = ResolvedTarget::resolve(server.ticket(), &Aliases::default()).expect("a target");
    (client, target)
}

async fn client_of(identity: SecretKey) -> Client {
    let bind = "127.0.0.1:0".parse().expect("an address");
    let network = Network { relay: Relay::None, dns: NameService::None, bind, ..Network::default() };
    Client::bind(network, identity).await.expect("bound")
}

async fn connect(server: &Server, options: ClientOptions) -> Session {
    let (client, target) = client(server).await;
    client.connect(&target, options).await.expect("connected")
}

#[tokio::test]
async fn a_session_outlives_the_client_that_made_it() {
    let server = Server::new(Kind::OpenSsh);
    let session = connect(&server, server.options()).await;
    assert_eq!(session.capture_exec("echo here", 100).await.expect("run").stdout, b"here\n");
}

#[tokio::test]
async fn a_goodbye_arrives_before_the_client_is_closed() {
    let server = Server::new(Kind::OpenSsh);
    let (client, target) = client(&server).await;
    let session = client.connect(&target, server.options()).await.expect("connected");
    session.disconnect().await;
    client.close().await;
    crate::harness::poll("the goodbye", crate::servers::DEADLINE, || {
        server.log().contains("disconnected by user").then_some(())
    });
}

#[tokio::test]
async fn what_was_sent_arrives_although_everything_is_dropped() {
    let server = Server::new(Kind::OpenSsh);
    let arrived = server.path("arrived");
    let session = connect(&server, server.options()).await;
    session.exec(format!("cat > {}", arrived.display())).await.expect("started");
    session.send(vec![7; 20_000_000]).await.expect("queued");
    drop(session);
    let watch = connect(&server, server.options()).await;
    let wait = format!("while test $(wc -c < {}) -lt 20000000; do sleep 0.05; done", arrived.display());
    let arrived = tokio::time::timeout(crate::servers::DEADLINE, watch.capture_exec(wait, 100)).await;
    assert!(arrived.expect("all of it, in time").expect("run").success());
}

/// All steps, once nobody is left who could tell one.
async fn all(mut phases: UnboundedReceiver<Phase>) -> Vec<Phase> {
    let mut told = Vec::new();
    while let Some(phase) = phases.recv().await {
        told.push(phase);
    }
    told
}

/// What the host says of itself is known to its clients.
fn knows_its_host(connection: &Connection, id: EndpointId) {
    let host = connection.remote_metadata().host.expect("a host");

    assert_eq!((host.id, host.name.as_str()), (id, "testhost"));
    assert_eq!(host.software, concat!("irosh ", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn the_steps_of_connecting_are_told_in_order() {
    let server = Server::new(Kind::OpenSsh);
    let (client, target) = client(&server).await;
    let (tell, phases) = unbounded_channel();
    let session = client.connect(&target, server.options().phases(tell)).await.expect("connected");
    let steps = [
        Phase::Dialling,
        Phase::Admission,
        Phase::Handshake,
        Phase::Authentication,
        Phase::Session,
        Phase::Connected,
    ];
    assert_eq!(all(phases).await, steps);
    knows_its_host(&session.connection(), target.target().addr().id);

    // Without a session, and with options that are used for the second time.
    let (tell, phases) = unbounded_channel();
    let options = server.options().phases(tell);
    for _ in 0..2 {
        client.connect_without_session(&target, options.clone()).await.expect("connected").disconnect().await;
    }
    drop(options);
    let steps = [&steps[..4], &steps[5..]].concat();
    assert_eq!(all(phases).await, steps.repeat(2));
}

#[tokio::test]
async fn the_step_that_fails_is_the_last_before_the_failure() {
    let server = Server::new(Kind::OpenSsh);
    let (client, target) = client(&server).await;

    // Nobody is there.
    let away = EndpointAddr::new(SecretKey::from_bytes(&[7; 32]).public());
    let away = ResolvedTarget::from(away.with_ip_addr("127.0.0.1:1".parse().expect("an address")));
    let (tell, phases) = unbounded_channel();
    let options = server.options().connect_deadline(Some(Duration::from_millis(500))).phases(tell);
    let error = client.connect(&away, options).await.expect_err("nobody is there");
    assert!(matches!(error, ClientError::Deadline { .. }), "{error}");
    assert_eq!(all(phases).await, [Phase::Dialling, Phase::Failed]);

    // Nor does anybody wait for it.
    let (tell, phases) = unbounded_channel();
    let options = server.options().phases(tell);
    let given_up = client.connect(&away, options);
    tokio::time::timeout(Duration::from_millis(100), given_up).await.expect_err("given up");
    assert_eq!(all(phases).await, [Phase::Dialling, Phase::Failed]);

    // The host does not let everybody in.
    let stranger = client_of(SecretKey::from_bytes(&[8; 32])).await;
    let (tell, phases) = unbounded_channel();
    let error = stranger.connect(&target, server.options().phases(tell)).await.expect_err("a stranger");
    assert!(matches!(error, ClientError::Host(_)), "{error}");
    assert_eq!(all(phases).await, [Phase::Dialling, Phase::Admission, Phase::Failed]);

    // Nor does its server.
    let (tell, phases) = unbounded_channel();
    let options = server.options().authenticator(Password::new("wrong")).phases(tell);
    client.connect(&target, options).await.expect_err("no login");
    let steps = [Phase::Dialling, Phase::Admission, Phase::Handshake, Phase::Authentication, Phase::Failed];
    assert_eq!(all(phases).await, steps);
}

/// The agents of these files, stopped when it is dropped.
struct Agents(Paths);

impl Drop for Agents {
    fn drop(&mut self) {
        for agent in agent::running(&self.0) {
            let _ = agent.stop(&self.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_steps_of_a_user_s_own_are_told_also_by_the_agent() {
    let server = Server::new(Kind::OpenSsh);
    let files = server.path("irosh");
    let settings = "relay = \"none\"\ndns = \"none\"\nbind = \"127.0.0.1:0\"\nlan = false\n";
    std::fs::write(files.join("config.toml"), settings).expect("written");
    let agents = Agents(Paths::under(&files));
    let (_, target) = client(&server).await;
    let id = target.target().addr().id;
    for by_agent in [false, true] {
        let (tell, phases) = unbounded_channel();
        let mut profile = Profile::of(&agents.0)
            .ssh_config("none")
            .option("IdentityAgent=none")
            .identity_file(server.path("user_key"))
            .login(login())
            .phases(tell);
        if by_agent {
            profile = profile.agent(crate::harness::IROSH);
        }
        let host = profile.connect(server.ticket()).await.expect("connected");
        drop(profile);
        let steps = [
            Phase::Resolving,
            Phase::Dialling,
            Phase::Admission,
            Phase::Handshake,
            Phase::Authentication,
            Phase::Connected,
        ];
        assert_eq!(all(phases).await, steps, "by the agent: {by_agent}");
        knows_its_host(&host, id);
        assert_eq!(host.command("echo here").output().await.expect("run").stdout, b"here\n");
        host.disconnect().await;
    }
    assert_eq!(agent::running(&agents.0).len(), 1, "it was the agent's");
}

#[tokio::test]
async fn what_cannot_be_looked_up_fails_while_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (tell, phases) = unbounded_channel();
    let profile = Profile::of(&Paths::under(folder.path())).phases(tell);
    profile.connect("nobody").await.expect_err("no such host");
    drop(profile);
    assert_eq!(all(phases).await, [Phase::Resolving, Phase::Failed]);
}
