//! A host within the example, so that it needs nothing else: no sshd, no network, no configuration.

use std::{
    error::Error,
    ffi::OsString,
    sync::{Arc, Mutex},
};

use irosh::{
    client::{Client, ResolvedTarget},
    files::Paths,
    host::{
        Access, Backend, BuiltinServer, Edit, Event, HandOver, Host, HostOptions, Identity, LimitSettings,
        Peer, PeerOptions, Stop, allow,
    },
    server::{ServeOptions, serve},
    transport::{Bind, NameService, Network, Relay},
};
use tokio::{sync::oneshot, task::JoinHandle};

/// What goes wrong in an example.
pub(crate) type Failed = Box<dyn Error + Send + Sync>;

/// A host, and a client that it admits.
pub(crate) struct Place {
    /// Dials it.
    pub(crate) client: Client,
    /// Where it is.
    pub(crate) target: ResolvedTarget,
    /// Who logs in there: whoever runs the example.
    pub(crate) login: String,
    /// For files; it goes with this value.
    #[allow(dead_code, reason = "not every example has files")]
    pub(crate) folder: tempfile::TempDir,
    stop: Stop,
    running: JoinHandle<Option<HandOver>>,
}

/// Loopback alone: no relay servers, no name service.
fn network() -> Network {
    let bind: Bind = "127.0.0.1:0".parse().expect("an address");
    Network { relay: Relay::None, dns: NameService::None, bind, ..Network::default() }
}

impl Place {
    /// Starts the host. The client may log in without further proof (`irosh invite --login`).
    pub(crate) async fn start() -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let paths = Paths::under(folder.path());
        let identity = iroh::SecretKey::from_bytes(&[1; 32]);
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid())?.ok_or("a user without a name")?;
        let options = PeerOptions { login: Some(user.name.clone()), ..PeerOptions::default() };
        let client = Identity::ed25519(*identity.public().as_bytes());
        let peer = Peer { identity: client, name: "example".into(), options };
        allow(&paths.authorized_peers(), &peer, Edit::Replace)?;

        let (ready, ticket) = oneshot::channel();
        let ready = Mutex::new(Some(ready));
        let host = Host::start(HostOptions {
            paths,
            network: network(),
            portmap: false,
            backend: Backend::Builtin,
            // This program, which becomes the SSH server of one session: see `serve_if_asked`.
            builtin: BuiltinServer {
                command: vec![std::env::current_exe()?.into(), OsString::from("sshd")],
                max_startups: None,
            },
            host_keys: Vec::new(),
            access: Access::Invited,
            revoked_keys: None,
            name: "example".into(),
            limits: LimitSettings::default(),
            reread: None,
            events: Box::new(move |event| {
                if let (Event::Ready { ticket, .. }, Ok(mut ready)) = (&event, ready.lock())
                    && let Some(ready) = ready.take()
                {
                    let _ = ready.send(ticket.to_string());
                }
            }),
            inherited: None,
        })
        .await?;
        let stop = host.stop();
        let running = tokio::spawn(host.run());
        let target = ticket.await?.parse()?;
        let client = Client::bind(network(), identity).await?;
        Ok(Self { client, target, login: user.name, folder, stop, running })
    }

    /// Says goodbye, and waits until the host has ended.
    pub(crate) async fn end(self) -> Result<(), Failed> {
        self.client.close().await;
        self.stop.drain.cancel();
        self.running.await?;
        Ok(())
    }
}

/// The host runs this program as the SSH server of a session, with `sshd` as its first argument. The
/// first thing in `main` then.
pub(crate) fn serve_if_asked() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some("sshd") {
        return Ok(());
    }
    let vouched_logins =
        arguments.filter_map(|argument| argument.strip_prefix("--login=").map(str::to_owned)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let (reader, writer) = irosh::stdio::pair()?;
        let home = std::env::var_os("IROSH_EXAMPLE").unwrap_or_else(|| std::env::temp_dir().into());
        let host_key = std::path::Path::new(&home).join(format!("irosh-example-{}", nix::unistd::geteuid()));
        let options =
            ServeOptions { config: Arc::default(), host_key, vouched_logins, ..ServeOptions::default() };
        Ok::<_, Failed>(serve(reader, writer, options).await?)
    });
    runtime.shutdown_background();
    std::process::exit(i32::from(served.is_err()));
}
