//! The command line: makes a lab, runs a program beside it and obeys orders meanwhile.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, PipeReader};
use std::os::fd::AsRawFd;
use std::process::{self, Command, ExitCode};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use clap::Parser;

use crate::lab::spec::{LinkSpec, Loss, Order, Outage, Rate, RouterSpec, Side, SpecError, parse_time};
use crate::lab::{Lab, LabUnavailable};
use crate::supervise::Supervisor;

/// Runs the program; its exit status is COMMAND's, 77 if there can be no lab, and 125 if COMMAND
/// could not be run.
pub(crate) fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(FAILED)),
        Err(failure) => {
            eprintln!("lab: {failure}");
            let skipped = matches!(failure, Failure::Unavailable(_));
            ExitCode::from(if skipped { SKIPPED } else { FAILED })
        }
    }
}

/// Run COMMAND beside two hosts that are joined by an emulated link
///
/// COMMAND runs in this machine's own network. It finds in its environment:
///
///   LAB_A, LAB_B              what to put before a command to run it on host A or B
///   LAB_NET                   the same for the network between them, where relays run
///   LAB_ADDR_A, LAB_ADDR_B    the hosts' IPv4 addresses, or those of their routers outside
///   LAB_ADDR6_A, LAB_ADDR6_B  their IPv6 addresses, where there is no router
///   LAB_ADDR_NET              the network's own IPv4 address; the next one is its too
///   LAB_CONTROL               a file that takes orders, one a line: `rate 10mbit`, `delay 50ms`,
///                             `loss 0.05`, `queue 65536`, `down`, `up`, and for routers `flush`,
///                             `outside 10.77.0.9`, `udp off`, `udp on`; with `from a` or `from b` at
///                             the end for what that host sends, or for its router, alone
///
/// When COMMAND ends, or this program is interrupted or its parent dies, all processes COMMAND has
/// started and the hosts are gone. The exit status is COMMAND's; 77 means that this machine or user
/// cannot run a lab.
///
/// Example: lab --rate 100mbit --delay 25ms --loss 0.01 -- sh -c '$LAB_A ping -c 3 $LAB_ADDR_B'
#[derive(Debug, Parser)]
#[command(name = "lab", verbatim_doc_comment)]
struct Args {
    /// Rate of each direction: bit, kbit, mbit, gbit, or `unlimited`
    #[arg(long, default_value = "unlimited")]
    rate: Rate,
    /// Delay one way: us, ms, s
    #[arg(long, default_value = "0ms", value_parser = parse_time)]
    delay: Duration,
    /// Share of packets lost in each direction: 0.01 or 1%
    #[arg(long, default_value = "0")]
    loss: Loss,
    /// Bytes that may wait to be sent [default: 100 ms at the rate or a round trip, 64 KiB at
    /// least]
    #[arg(long)]
    queue: Option<usize>,
    /// Which packets are lost
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// When nothing passes, such as 5s:800ms; may be repeated
    #[arg(long = "outage", value_name = "START:LENGTH")]
    outages: Vec<Outage>,
    /// What host A is behind: none, easy (one port for a socket) or hard (a port for each socket it
    /// sends to), and with :TIME, how long UDP stays mapped
    #[arg(long, value_name = "ROUTER", default_value = "none")]
    router_a: RouterSpec,
    /// The same for host B
    #[arg(long, value_name = "ROUTER", default_value = "none")]
    router_b: RouterSpec,
    /// Say on stderr at the end what became of the packets
    #[arg(long)]
    stats: bool,
    /// What to run
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Nothing was run, for want of rights or kernel features: what test harnesses take for a skip.
const SKIPPED: u8 = 77;

/// Nothing was run, for another reason.
const FAILED: u8 = 125;

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Unavailable(#[from] LabUnavailable),
    #[error("cannot run `{program}`: {cause}", program = .0.display(), cause = .1)]
    Command(OsString, #[source] io::Error),
    #[error(transparent)]
    System(#[from] io::Error),
}

fn run(args: Args) -> Result<i32, Failure> {
    let supervisor = Supervisor::new()?;
    let lab = Arc::new(Lab::new(&args.link())?);
    let (orders, control) = io::pipe()?;
    let command = args.command(&lab, control.as_raw_fd());
    let obeying = Arc::downgrade(&lab);
    thread::spawn(move || obey(&obeying, orders));
    let status = supervisor.run(command).map_err(|cause| Failure::Command(args.command[0].clone(), cause))?;
    if args.stats {
        print_stats(&lab);
    }
    Ok(status)
}

impl Args {
    fn link(&self) -> LinkSpec {
        LinkSpec {
            rate: self.rate,
            delay: self.delay,
            loss: self.loss,
            queue: self.queue,
            seed: self.seed,
            outages: self.outages.clone(),
            routers: [self.router_a, self.router_b],
        }
    }

    fn command(&self, lab: &Lab, control: i32) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        for (side, name) in [(Side::A, "A"), (Side::B, "B")] {
            command.env(format!("LAB_{name}"), lab.prefix(side).join(" "));
            command.env(format!("LAB_ADDR_{name}"), side.address().to_string());
            command.env(format!("LAB_ADDR6_{name}"), side.address_v6().to_string());
        }
        command.env("LAB_NET", lab.prefix(Side::Net).join(" "));
        command.env("LAB_ADDR_NET", Side::Net.address().to_string());
        // A pipe that is opened by this name can be written like a FIFO, and leaves no file.
        command.env("LAB_CONTROL", format!("/proc/{}/fd/{control}", process::id()));
        command
    }
}

/// Does not keep the lab alive: it goes when the command has ended.
fn obey(lab: &Weak<Lab>, orders: PipeReader) {
    for line in BufReader::new(orders).lines().map_while(Result::ok) {
        let order: Result<Order, SpecError> = line.parse();
        match (order, lab.upgrade()) {
            (Ok(order), Some(lab)) => lab.obey(order),
            (Err(error), _) => eprintln!("lab: {error}"),
            (Ok(_), None) => return,
        }
    }
}

fn print_stats(lab: &Lab) {
    for (side, name) in [(Side::A, "a to b"), (Side::B, "b to a")] {
        let counters = lab.counters(side);
        eprintln!(
            "lab: {name}: {} packets offered, {} delivered ({} bytes), {} lost, {} overflowed, \
             {} cut",
            counters.offered,
            counters.delivered,
            counters.delivered_bytes,
            counters.lost,
            counters.overflowed,
            counters.cut,
        );
    }
}
