//! Pairs with the host on which `irosh pair` shows a code, and runs a command there:
//! `cargo run --example pair 7-velvet-otter 'uname -a'`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is an example")]

use irosh::{
    client::{Client, ClientOptions, ResolvedTarget, auth::Agent},
    files::Paths,
    host::load_settings,
    proxy::Credentials,
    settings::{ClientSettings, NetworkChoice},
};

#[tokio::main]
async fn main() -> irosh::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [code, command] = &arguments[..] else {
        eprintln!("usage: pair CODE COMMAND");
        return Ok(());
    };
    // As the user whom `irosh` knows, over the network of their settings.
    let paths = Paths::of_user()?;
    let settings: ClientSettings = load_settings(&paths.client_settings())?;
    let identity = Credentials::load(&paths, settings.identity.as_deref())?;
    let network = NetworkChoice::default().or(settings.into());

    let target = ResolvedTarget::by_code(&code.parse()?, &network, &identity, "an example").await?;
    let client = Client::bind(network, identity).await?;
    // A host with the built-in server vouches for us; another one wants an SSH key.
    let options = ClientOptions::default().authenticator(Agent::of_environment());
    let host = client.connect_without_session(&target, options).await?;
    print!("{}", host.command(command).output().await?.stdout_lossy());
    host.disconnect().await;
    client.close().await;
    Ok(())
}
