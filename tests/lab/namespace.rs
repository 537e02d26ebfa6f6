//! A network namespace without a name: it lives as long as something refers to it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{self, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{panic, thread};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::LabUnavailable;
use super::spec::{Nat, RouterSpec, Side};
use super::tun::{self, MTU, Tun};

/// Packets a device holds until they are read. A host that sends all it may at once must overflow
/// the link's queue, not this.
const DEVICE_QUEUE: usize = 20_000;

/// How long killed processes may take to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(5);

/// The network namespace of the thread that looks.
const OWN: &str = "/proc/thread-self/ns/net";

/// An open namespace with a device in it.
#[derive(Debug)]
pub(crate) struct Namespace {
    file: File,
    /// Device and inode, which tell namespaces apart.
    identity: (u64, u64),
}

impl Side {
    /// The addresses of [`Side::Net`].
    pub(crate) const SERVERS: [Ipv4Addr; 2] = [Self::Net.address(), Ipv4Addr::new(10, 77, 0, 4)];

    /// The IPv4 address on the network between the hosts, which has 24 bits: the host's own, or that of its router.
    pub(crate) const fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, self as u8 + 1)
    }

    /// The address of a host that is behind a router, in a network of 24 bits.
    pub(crate) const fn inside(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, self as u8 + 1, 2)
    }

    /// Where the router is for such a host.
    pub(crate) const fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, self as u8 + 1, 1)
    }

    /// The host's IPv6 address, in a network of 64 bits.
    pub(crate) const fn address_v6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, self as u16 + 1)
    }
}

impl Namespace {
    /// A new namespace with its loopback up, and its end of the link, with the addresses of this
    /// side.
    ///
    /// # Errors
    ///
    /// If the kernel or this user's rights do not allow it.
    pub(crate) fn create(side: Side, router: RouterSpec) -> Result<(Self, Tun), LabUnavailable> {
        Self::prepared(move || {
            let tun = Tun::create().map_err(LabUnavailable::no_tun)?;
            configure(side, router.nat)?;
            Ok(tun)
        })
    }

    /// A new namespace in which these orders to `ip` were carried out, a line each.
    ///
    /// # Errors
    ///
    /// If the kernel or this user's rights do not allow it.
    pub(crate) fn with(orders: String) -> Result<Self, LabUnavailable> {
        Self::prepared(move || obey(&orders)).map(|(namespace, ())| namespace)
    }

    /// A new namespace in which something was done.
    fn prepared<T: Send + 'static>(
        prepare: impl FnOnce() -> Result<T, LabUnavailable> + Send + 'static,
    ) -> Result<(Self, T), LabUnavailable> {
        // A thread moves alone; what it has opened stays open when it ends.
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(LabUnavailable::no_namespace)?;
            let file = File::open(OWN).map_err(LabUnavailable::Setup)?;
            let identity = identity(OWN).map_err(LabUnavailable::Setup)?;
            Ok((Self { file, identity }, prepare()?))
        });
        thread.join().unwrap_or_else(|cause| panic::resume_unwind(cause))
    }

    /// A file that stands for the namespace while this process lives.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd())
    }

    /// Runs something on a thread of its own inside the namespace. What it opens, such as sockets,
    /// stays there; threads it starts do too.
    ///
    /// # Errors
    ///
    /// If this user may not enter the namespace.
    ///
    /// # Panics
    ///
    /// If `work` does.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&self.file, CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            });
            thread.join().unwrap_or_else(|cause| panic::resume_unwind(cause))
        })
    }

    /// Kills all processes inside but this one, and waits until they have left.
    pub(crate) fn kill_all(&self) {
        let deadline = Instant::now() + KILL_DEADLINE;
        loop {
            // Those that start others while they are being killed need a second look.
            let members = self.members();
            if members.is_empty() || Instant::now() > deadline {
                return;
            }
            for member in members {
                // It fails if the process is gone already.
                let _ = kill(member, Signal::SIGKILL);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn members(&self) -> Vec<Pid> {
        let inside = |pid: &Pid| {
            let namespace = identity(format!("/proc/{pid}/ns/net"));
            *pid != Pid::this() && namespace.is_ok_and(|other| other == self.identity)
        };
        processes().filter(inside).collect()
    }
}

/// All processes of the system, some of which may be gone already.
pub(crate) fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw)
}

fn identity(namespace: impl AsRef<Path>) -> io::Result<(u64, u64)> {
    fs::metadata(namespace).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Brings up loopback and the device in the namespace of the calling thread.
fn configure(side: Side, nat: Nat) -> Result<(), LabUnavailable> {
    let device = tun::NAME;
    let addresses = match (side, nat) {
        (Side::Net, _) => Side::SERVERS.to_vec(),
        (_, Nat::None) => vec![side.address()],
        (_, Nat::Easy | Nat::Hard) => vec![side.inside()],
    };
    // No multicast and no link-local address: the link carries what the tests send and no more.
    let mut batch = format!(
        "link set dev lo up\n\
         link set dev {device} mtu {MTU} txqueuelen {DEVICE_QUEUE} multicast off\n"
    );
    for v4 in &addresses {
        batch += &format!("address add {v4}/24 dev {device}\n");
    }
    if Path::new("/proc/sys/net/ipv6").exists() {
        batch += &format!("link set dev {device} addrgenmode none\n");
        if side != Side::Net && nat == Nat::None {
            batch += &format!("address add {}/64 dev {device} nodad\n", side.address_v6());
        }
    }
    batch += &format!("link set dev {device} up\n");
    // Programs take a host without such a route for one that has no network.
    match nat {
        Nat::None => batch += &format!("route add default dev {device}\n"),
        Nat::Easy | Nat::Hard => {
            batch += &format!("route add default via {} dev {device}\n", side.gateway());
        }
    }
    obey(&batch)
}

/// Has `ip` carry out orders in the namespace of the calling thread.
pub(super) fn obey(orders: &str) -> Result<(), LabUnavailable> {
    let output = ip_batch(orders).map_err(|error| LabUnavailable::no_program("ip", error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().next().unwrap_or_default();
        return Err(LabUnavailable::Setup(io::Error::other(format!("ip: {first}"))));
    }
    Ok(())
}

fn ip_batch(lines: &str) -> io::Result<Output> {
    let mut command = Command::new("ip");
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(lines.as_bytes())?;
    }
    child.wait_with_output()
}

impl LabUnavailable {
    fn no_namespace(error: Errno) -> Self {
        match error {
            Errno::EPERM => Self::NotRoot,
            Errno::EINVAL | Errno::ENOSYS => Self::NoNamespaces,
            other => Self::Setup(other.into()),
        }
    }

    fn no_tun(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EPERM) => Self::NotRoot,
            _ => Self::NoTun(error),
        }
    }

    pub(super) fn no_program(program: &'static str, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoProgram(program),
            _ => Self::Setup(error),
        }
    }
}
