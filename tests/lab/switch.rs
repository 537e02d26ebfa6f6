//! Machines at one switch, in network namespaces of this machine.
//!
//! Each has one interface, `eth0`, with 10.78.0.N and fd78::N where they are wanted, and neither a default route nor any
//! other: as two laptops with a cable between them. What one sends to all, all get. The kernel carries the packets, with
//! no delay and no loss.

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

use super::LabUnavailable;
use super::namespace::{Namespace, obey};

/// The families of the addresses at a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
    Both,
}

/// A switch and its machines. Dropping it kills what still runs there and leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Switch {
    machines: Vec<Namespace>,
    /// Where the switch itself is.
    switch: Namespace,
}

impl Switch {
    /// So many machines at a switch.
    ///
    /// # Errors
    ///
    /// If the kernel, this user's rights or the installed programs do not allow it.
    pub(crate) fn new(machines: usize, family: Family) -> Result<Self, LabUnavailable> {
        let switch = Namespace::with("link add switch type bridge\nlink set switch up\n".to_owned())?;
        let machines: Vec<_> = (0..machines)
            .map(|_| Namespace::with("link set dev lo up\n".to_owned()))
            .collect::<Result<_, _>>()?;
        for (nth, machine) in machines.iter().enumerate() {
            let plug = format!(
                "link add port{nth} type veth peer name eth0 netns {}\n\
                 link set dev port{nth} addrgenmode none\n\
                 link set dev port{nth} master switch up\n",
                machine.path()
            );
            switch.within(|| obey(&plug)).map_err(LabUnavailable::Setup)??;
            let mut addresses = "link set dev eth0 addrgenmode none\nlink set dev eth0 up\n".to_owned();
            if family != Family::V6 {
                addresses += &format!("address add {}/24 dev eth0\n", Self::address(nth));
            }
            if family != Family::V4 {
                addresses += &format!("address add {}/64 dev eth0 nodad\n", Self::address_v6(nth));
            }
            machine.within(|| obey(&addresses)).map_err(LabUnavailable::Setup)??;
        }
        Ok(Self { machines, switch })
    }

    /// The IPv4 address of a machine, in a network of 24 bits.
    pub(crate) fn address(nth: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 78, 0, nth as u8 + 1)
    }

    /// Its IPv6 address, in a network of 64 bits.
    pub(crate) fn address_v6(nth: usize) -> Ipv6Addr {
        Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, nth as u16 + 1)
    }

    /// Has a machine have another address in place of one, at once.
    pub(crate) fn moves(&self, nth: usize, from: IpAddr, to: IpAddr) {
        let bits = if from.is_ipv4() { 24 } else { 64 };
        let orders = format!("address del {from}/{bits} dev eth0\naddress add {to}/{bits} dev eth0\n");
        self.within(nth, || obey(&orders)).expect("entered").expect("another address");
    }

    /// Takes a machine off the switch, as who pulls its plug.
    pub(crate) fn unplug(&self, nth: usize) {
        self.set(nth, "down");
    }

    /// Puts it back.
    pub(crate) fn plug_in(&self, nth: usize) {
        self.set(nth, "up");
    }

    fn set(&self, nth: usize, state: &str) {
        let order = format!("link set dev port{nth} {state}\n");
        self.switch.within(|| obey(&order)).expect("entered").expect("a port");
    }

    /// Carries nothing any more that is said to all who listen (multicast), as some wireless networks.
    pub(crate) fn carries_nothing_to_all(&self) {
        for nth in 0..self.machines.len() {
            let order = format!("link set dev port{nth} type bridge_slave mcast_flood off bcast_flood on\n");
            self.switch.within(|| obey(&order)).expect("entered").expect("a port");
        }
    }

    /// A command that runs on a machine. Only its network is the machine's.
    pub(crate) fn command(&self, nth: usize, program: impl AsRef<OsStr>) -> Command {
        let [enter, namespace] = self.prefix(nth);
        let mut command = Command::new(enter);
        command.arg(namespace).arg("--").arg(program);
        command
    }

    /// The words to put before a command so that it runs on a machine. They hold while this process lives.
    pub(crate) fn prefix(&self, nth: usize) -> [String; 2] {
        ["nsenter".into(), format!("--net={}", self.machines[nth].path())]
    }

    /// Runs something on a thread of its own on a machine.
    ///
    /// # Errors
    ///
    /// If this user may not enter it.
    pub(crate) fn within<T: Send>(&self, nth: usize, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        self.machines[nth].within(work)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        for machine in &self.machines {
            machine.kill_all();
        }
    }
}
