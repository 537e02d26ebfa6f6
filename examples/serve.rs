//! Serves SSH on a TCP port, with a password that this program checks: `cargo run --example serve`, and then
//! `ssh -p 2222 localhost` with the password `sesame`.
#![allow(clippy::print_stdout, reason = "it is an example")]

use std::sync::Arc;

use irosh::server::{
    Authenticator, BoxFuture, LoginRequest, Secret, ServeOptions, config::SshdConfig, serve,
};
use tokio::net::TcpListener;

struct Door;

impl Authenticator for Door {
    fn password<'a>(&'a mut self, _: &'a LoginRequest, password: Secret) -> BoxFuture<'a, bool> {
        Box::pin(async move { password.as_str() == "sesame" })
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "2222".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let mut config = SshdConfig::default();
    // It serves who runs it, root as well.
    config.add_option("PermitRootLogin=yes").expect("a keyword of sshd_config(5)");
    let config = Arc::new(config);
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (reader, writer) = listener.accept().await?.0.into_split();
        let options = ServeOptions {
            config: Arc::clone(&config),
            host_key: "serve_host_key".into(),
            authenticator: Some(Box::new(Door)),
            ..ServeOptions::default()
        };
        tokio::spawn(serve(reader, writer, options));
    }
}
