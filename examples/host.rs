//! A host within a program, whose sessions go to the sshd of this machine: `cargo run --example host FOLDER`, where the
//! folder keeps its key and the list of who may come in (`IROSH_HOME=FOLDER irosh invite`).
#![allow(clippy::print_stdout, reason = "it is an example")]

use irosh::{
    files::Paths,
    host::{Event, Host, HostError, HostOptions},
    transport::{NameService, Network, Relay},
};

#[tokio::main]
async fn main() -> Result<(), HostError> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "host".to_owned());
    let mut options = HostOptions::new(Paths::under(folder.as_ref()));
    // For trying it out: nobody beyond this machine is asked. Without this, it is reached from anywhere.
    let bind = "127.0.0.1:0".parse().expect("an address");
    options.network =
        Network { relay: Relay::None, dns: NameService::None, lan: false, bind, ..options.network };
    options.portmap = false;
    options.events = Box::new(|event| match event {
        Event::Ready { ticket, .. } => println!("reach it by {ticket}"),
        other => println!("{other:?}"),
    });
    Host::start(options).await?.run().await;
    Ok(())
}
