//! A running host.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use iroh::Endpoint;
use tokio::{
    sync::{Mutex as AsyncMutex, RwLock, watch},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use super::{
    access::Access,
    admission::Admission,
    announce::Announcer,
    audit::Audit,
    backend::{Backend, BuiltinServer},
    control::Control,
    event::Event,
    hand_over::{HandOver, Inherited},
    host_keys::{Events, HostKey, HostKeys},
    limit_settings::LimitSettings,
    list_files::ListFiles,
    live_settings::Reread,
    loopback::AddressKey,
    presence::{Presence, PresenceError, keep_ports, last_ports},
    registry::Registry,
    reload::Reload,
    sessions::Sessions,
    shared::{Shared, Stop},
    startups::Startups,
};
use crate::{
    files::{Paths, PrivateFileError},
    log::machine_name,
    protocol::CloseCode,
    transport::{Bind, BindFailed, KeyError, KeyFile, Network, bind_host, close_quickly, lan},
};

/// How long what a process of this user has asked for may still take when the host ends.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// What a host is started with.
pub struct HostOptions {
    /// Where its files are.
    pub paths: Paths,
    /// How it reaches the network.
    pub network: Network,
    /// Whether it asks the router for a port by which peers come in.
    pub portmap: bool,
    /// What takes its sessions.
    pub backend: Backend,
    /// What [`Backend::Builtin`] runs.
    pub builtin: BuiltinServer,
    /// The SSH host keys of the backend; where there are none, those that the host has reason to believe.
    pub host_keys: Vec<HostKey>,
    /// Who reaches SSH.
    pub access: Access,
    /// The list of keys and certificates that are kept out; `revoked_peers` beside the list of peers, if it is there,
    /// where this names none.
    pub revoked_keys: Option<PathBuf>,
    /// The name that peers are told.
    pub name: String,
    /// What it allows.
    pub limits: LimitSettings,
    /// Reads the settings again when it is told to; without, it reads the lists alone.
    pub reread: Option<Reread>,
    /// Is told what happens. Must not block.
    pub events: Box<dyn Fn(Event) + Send + Sync>,
    /// The sessions that a process before this one has left.
    pub inherited: Option<Inherited>,
}

impl HostOptions {
    /// A host with its files there, that forwards to the SSH server of this machine and lets in who is on its list; all to
    /// be changed field by field.
    #[must_use]
    pub fn new(paths: Paths) -> Self {
        Self {
            paths,
            network: Network::default(),
            portmap: true,
            backend: Backend::Tcp((Ipv4Addr::LOCALHOST, SSH).into()),
            builtin: BuiltinServer { command: vec!["irosh-sshd".into()], max_startups: None },
            host_keys: Vec::new(),
            access: Access::default(),
            revoked_keys: None,
            name: machine_name(),
            limits: LimitSettings::default(),
            reread: None,
            events: Box::new(|_| {}),
            inherited: None,
        }
    }
}

/// The port of SSH servers (RFC 4253 section 4.1).
const SSH: u16 = 22;

/// A host could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Its key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key of its peers' addresses.
    #[error(transparent)]
    AddressKey(#[from] PrivateFileError),
    /// Its place on the machine.
    #[error(transparent)]
    Presence(#[from] PresenceError),
    /// Its network socket.
    #[error(transparent)]
    Bind(#[from] BindFailed),
}

/// A host that has its socket and its key.
pub struct Host {
    endpoint: Endpoint,
    presence: Presence,
    control: Option<Control>,
    network: Network,
    shared: Arc<Shared>,
}

impl Host {
    /// Reads or makes the key, takes its place, and binds.
    ///
    /// # Errors
    ///
    /// [`HostError`], each with what to do.
    pub async fn start(options: HostOptions) -> Result<Self, HostError> {
        let HostOptions {
            paths,
            network,
            portmap,
            backend,
            builtin,
            host_keys,
            access,
            revoked_keys,
            name,
            limits,
            reread,
            events,
            inherited,
        } = options;
        let key = KeyFile::load_or_create(&paths.host_key(), &format!("irosh host {name}"))?;
        let presence = Presence::claim(&paths)?;
        let control = Control::claim(&paths);
        let address_key = AddressKey::load_or_create(&paths.loopback_key())?;
        let endpoint = bind_again(&paths, &network, portmap, &key).await?;
        let events: Events = events.into();
        let host_keys = HostKeys::new(
            paths.kept_host_keys(),
            backend.clone(),
            host_keys,
            builtin.command.clone(),
            events.clone(),
        );
        let shared = Shared {
            id: endpoint.id(),
            addr: watch::Sender::default(),
            started: Instant::now(),
            files: ListFiles::new(paths.clone()),
            reread,
            edits: AsyncMutex::default(),
            calls: TaskTracker::new(),
            admission: Admission::new(paths.authorized_peers(), paths.invites(), address_key, access),
            backend,
            builtin,
            startups: Startups::default(),
            name,
            limits: RwLock::new(limits),
            registry: Registry::default(),
            sessions: Sessions::default(),
            stop: Stop::default(),
            draining: OnceLock::new(),
            audit: Audit::new(events),
            newcomers: Mutex::default(),
            tasks: TaskTracker::new(),
            penalties: Mutex::default(),
            host_keys,
        };
        shared.admission.set_revoked_keys(revoked_keys);
        // What is wrong with the lists is said before somebody is turned away for it.
        drop(shared.admission.roll_call());
        let shared = Arc::new(shared);
        if let Some(inherited) = inherited {
            shared.inherit(inherited).await;
        }
        Ok(Self { endpoint, presence, control, network, shared })
    }

    /// How to stop it.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.shared.stop.clone()
    }

    /// How to have it read settings and lists again.
    #[must_use]
    pub fn reloader(&self) -> Reload {
        Reload(self.shared.clone())
    }

    /// Accepts connections until told to stop. Returns what another process is to go on with, if it was told to hand
    /// that over.
    pub async fn run(self) -> Option<HandOver> {
        let Self { endpoint, presence, control, network, shared } = self;
        let stop = shared.stop.clone();
        let on_this_network = network.lan.then(|| lan::announce(&endpoint, endpoint.id()));
        let announcer = Announcer::new(endpoint.clone(), presence, network, shared.clone());
        let announcing = tokio::spawn(announcer.run());
        let answering = control.map(|control| tokio::spawn(control.serve(shared.clone())));
        let checking = tokio::spawn(shared.clone().keep_checking_peers());
        let watching = tokio::spawn(shared.host_keys.clone().watch_file());
        loop {
            tokio::select! {
                biased;
                () = stop.now.cancelled() => break,
                () = stop.drain.cancelled() => break,
                () = stop.hand_over.cancelled() => break,
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => shared.clone().take(incoming).await,
                    None => break,
                },
            }
        }
        drop(on_this_network);
        let handed_over = if stop.drain.is_cancelled() || stop.now.is_cancelled() {
            tokio::select! {
                () = shared.drain() => {}
                // Who comes now hears at once that there is nobody, and need not wait to find out.
                () = async { while let Some(incoming) = endpoint.accept().await { incoming.refuse() } } => {}
            }
            shared.sessions.close_all(CloseCode::GoingAway).await;
            shared.registry.close_all(CloseCode::GoingAway);
            None
        } else {
            let sessions = shared.sessions.leave().await;
            tracing::info!(sessions = sessions.len(), "starting anew: sessions go on");
            shared.audit.event(Event::HandingOver { sessions: sessions.len() });
            shared.registry.close_all(CloseCode::Detached);
            Some(HandOver { sessions })
        };
        if let Some(answering) = answering {
            answering.abort();
            let _ = answering.await;
            shared.calls.close();
            let _ = timeout(LAST_CALLS, shared.calls.wait()).await;
        }
        checking.abort();
        watching.abort();
        announcing.abort();
        let _ = announcing.await;
        shared.tasks.close();
        close_quickly(&endpoint).await;
        handed_over
    }
}

/// Binds the ports of last time where they are free, so that old tickets still lead here.
async fn bind_again(
    paths: &Paths,
    network: &Network,
    portmap: bool,
    key: &KeyFile,
) -> Result<Endpoint, BindFailed> {
    let id = key.secret().public();
    let kept = last_ports(&paths.host_ports(), id);
    for addrs in same_ports(&network.bind.0, &kept) {
        let again = Network { bind: Bind(addrs), ..network.clone() };
        if let Ok(endpoint) = bind_host(&again, key.secret().clone(), portmap).await {
            return Ok(endpoint);
        }
    }
    let endpoint = bind_host(network, key.secret().clone(), portmap).await?;
    let ports: Vec<u16> = endpoint.bound_sockets().iter().map(SocketAddr::port).collect();
    // Ports that are taken this time are tried again the next time.
    if kept.is_empty()
        && let Err(error) = keep_ports(&paths.host_ports(), id, &ports)
    {
        tracing::warn!("cannot keep the ports for the next start: {error}");
    }
    Ok(endpoint)
}

/// What to try to bind for the same ports as the last time, best first.
fn same_ports(asked: &[SocketAddr], kept: &[u16]) -> Vec<Vec<SocketAddr>> {
    let Some(first) = kept.first() else { return Vec::new() };
    if asked.is_empty() {
        let v4 = SocketAddr::from(([0; 4], *first));
        let v6 = |port: u16| SocketAddr::from(([0_u16; 8], port));
        let second = kept.get(1).copied().unwrap_or_default();
        // The second port may be taken, or there may be no IPv6 any more.
        return vec![vec![v4, v6(second)], vec![v4, v6(0)], vec![v4]];
    }
    let port_of = |(addr, port): (&SocketAddr, &u16)| {
        SocketAddr::new(addr.ip(), if addr.port() == 0 { *port } else { addr.port() })
    };
    let again: Vec<_> = asked.iter().zip(kept).map(port_of).collect();
    if again.len() == asked.len() { vec![again] } else { Vec::new() }
}
