//! Two hosts and the network between them, in network namespaces of this machine.
//!
//! # What it models
//!
//! * Host A (10.77.0.1, fd77::1) and host B (10.77.0.2, fd77::2), each a network namespace with a
//!   loopback of its own and one interface, `lab0`, with an MTU of 1500. They reach each other, and
//!   what runs on the network itself (10.77.0.3 and 10.77.0.4: a third namespace, for relays), and
//!   nothing else. Several labs can run at once and do not meet.
//! * Where it is asked for, a router in front of a host, which then is 192.168.1.2 (A) or 192.168.2.2
//!   (B) and has no IPv6: it translates UDP and TCP, one port for a socket or another for each that
//!   the socket sends to, lets in only what was asked for, and forgets, in time or when it is told to.
//!   What was forgotten never gets its old port back.
//! * A link with, for what each sends by itself, a queue that drops what does not fit, a sender of
//!   a fixed rate, a wire with a fixed delay, and packets that are lost on the wire, each with the
//!   same chance whatever happened to the others. A lost packet has taken its turn at the sender.
//! * Times when the link is down: what waits or is on its way is gone, and so is what is sent
//!   meanwhile. The hosts are not told, as with a cable that is cut behind the next switch.
//! * Rate, delay, loss and queue can be changed while the link runs.
//!
//! The rate and the queue count IP packets with their headers and nothing below them. The same
//! seed loses the same packets of a direction, counted from the first one offered; what is in them
//! depends on the hosts' timing, so a run repeats in its odds and not to the byte.
//!
//! # What it does not model
//!
//! * Reordering, duplicates, damage, jitter, losses that come in bursts, or a delay that hangs on
//!   the load other than by the queue.
//! * A queue that manages itself (CoDel, RED) or marks congestion (ECN passes through untouched).
//! * A medium both directions share, such as Wi-Fi or LTE, or other people's traffic.
//! * ICMP errors, path MTUs below 1500, firewalls without address translation, and routers that answer
//!   themselves: to who is inside and calls its own outside, or asks for a port (UPnP, PCP, NAT-PMP).
//! * The hardware's offload: packets are 1500 bytes at most where they enter the link and where
//!   they leave it, so a host pays for each, which is dearer than a good network card and like a
//!   plain one. What the hosts compute, the kernel's share too, shares this machine's processors
//!   with the link.
//!
//! The thread that carries the packets runs before ordinary programs, so that the link keeps its
//! times on a busy machine. When many packets pass they are handled in groups, which adds up to a
//! fiftieth of the delay and never more than 0.5 ms, and lets them arrive in small bursts.

#![allow(dead_code, reason = "each program that includes the lab uses a part of it")]

pub(crate) mod link;
pub(crate) mod namespace;
mod pump;
pub(crate) mod router;
mod routes;
pub(crate) mod spec;
pub(crate) mod switch;
pub(crate) mod sys;
mod tun;

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};

use link::Counters;
use namespace::Namespace;
use pump::Pump;
use spec::{Change, LinkSpec, Order, RouterChange, RouterSpec, Side, What};

/// A running lab. Dropping it kills what still runs inside and leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Lab {
    pump: Pump,
    namespaces: [Namespace; 3],
}

/// Why this machine or this user cannot run a lab; a test that needs one is to be skipped then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LabUnavailable {
    #[error("making network namespaces and interfaces needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN)")]
    NotRoot,
    #[error("this kernel has no network namespaces")]
    NoNamespaces,
    #[error("the TUN driver (/dev/net/tun) cannot be used: {0}")]
    NoTun(#[source] io::Error),
    #[error("the program `{0}` is not installed")]
    NoProgram(&'static str),
    #[error("the hosts' network could not be set up: {0}")]
    Setup(#[source] io::Error),
}

impl Lab {
    /// Two hosts, and links that are up between them and the network's servers.
    ///
    /// # Errors
    ///
    /// If the kernel, this user's rights or the installed programs do not allow it.
    pub(crate) fn new(spec: &LinkSpec) -> Result<Self, LabUnavailable> {
        // Not needed yet, but no command could be run on a host without it.
        let probe = Command::new("nsenter").arg("--version").stdout(Stdio::null()).status();
        probe.map_err(|error| LabUnavailable::no_program("nsenter", error))?;
        let (a, tun_a) = Namespace::create(Side::A, spec.routers[0])?;
        let (b, tun_b) = Namespace::create(Side::B, spec.routers[1])?;
        let (net, tun_net) = Namespace::create(Side::Net, RouterSpec::default())?;
        let pump = Pump::start([tun_a, tun_b, tun_net], spec).map_err(LabUnavailable::Setup)?;
        Ok(Self { pump, namespaces: [a, b, net] })
    }

    /// A command that runs on one of the hosts. Only its network is the host's; files, users and
    /// processes are this machine's. It keeps its process id and is killed with the lab.
    pub(crate) fn command(&self, side: Side, program: impl AsRef<OsStr>) -> Command {
        let [enter, namespace] = self.prefix(side);
        let mut command = Command::new(enter);
        command.arg(namespace).arg("--").arg(program);
        command
    }

    /// The words to put before a command so that it runs on one of the hosts. They hold while this
    /// process lives.
    pub(crate) fn prefix(&self, side: Side) -> [String; 2] {
        ["nsenter".into(), format!("--net={}", self.namespace(side).path())]
    }

    /// Runs something on a thread of its own on one of the hosts. Sockets that it opens stay there,
    /// and so do the threads that it starts. An async runtime must be built inside and do all its
    /// work inside: a future that another thread polls opens its sockets where that thread is.
    ///
    /// # Errors
    ///
    /// If this user may not enter the host.
    ///
    /// # Panics
    ///
    /// If `work` does.
    pub(crate) fn within<T: Send>(&self, side: Side, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        self.namespace(side).within(work)
    }

    /// Changes the links in all directions. It holds when this returns.
    pub(crate) fn set(&self, change: Change) {
        for side in Side::ALL {
            self.set_from(side, change);
        }
    }

    /// Changes the direction in which this side sends.
    pub(crate) fn set_from(&self, side: Side, change: Change) {
        self.pump.set(side, change);
    }

    /// Changes the router of a host. It holds when this returns.
    pub(crate) fn set_router(&self, side: Side, change: RouterChange) {
        self.pump.set_router(side, change);
    }

    /// Obeys an order.
    pub(crate) fn obey(&self, order: Order) {
        match (order.what, order.from) {
            (What::Link(change), Some(side)) => self.set_from(side, change),
            (What::Link(change), None) => self.set(change),
            (What::Router(change), Some(side)) => self.set_router(side, change),
            (What::Router(change), None) => Side::BOTH.iter().for_each(|side| self.set_router(*side, change)),
        }
    }

    /// What became of the packets this side has sent.
    pub(crate) fn counters(&self, from: Side) -> Counters {
        self.pump.counters(from)
    }

    /// How many packets one side has got from another.
    pub(crate) fn carried(&self, from: Side, to: Side) -> u64 {
        self.pump.carried(from, to)
    }

    const fn namespace(&self, side: Side) -> &Namespace {
        &self.namespaces[side.index()]
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            namespace.kill_all();
        }
    }
}
