//! Connections over a host that this program dials itself.

use irosh::{
    client::{Client, ClientOptions, ResolvedTarget, Session},
    names::Aliases,
    transport::{KeyFile, NameService, Network, Relay},
};

use crate::servers::{Kind, Server};

async fn client(server: &Server) -> (Client, ResolvedTarget) {
    let bind = "127.0.0.1:0".parse().expect("an address");
    let network = Network { relay: Relay::None, dns: NameService::None, bind, ..Network::default() };
    let identity = KeyFile::load(&server.path("irosh/identity")).expect("a key");
    let client = Client::bind(network, identity.secret().clone()).await.expect("bound");
    let target = ResolvedTarget::resolve(server.ticket(), &Aliases::default()).expect("a target");
    (client, target)
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
