//! The thread that carries packets between the devices, as the links and routers say.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;

use super::link::{Counters, Link};
use super::routes::Routes;
use super::spec::{Change, LinkSpec, RouterChange, Side};
use super::sys;
use super::tun::{Packet, Tun};

/// The longest that packets of dense traffic gather before they are handled together. At 1 Gbit/s
/// these are 42 in a direction, for one wake-up, which is dearer than a packet.
const LONGEST_TICK: Duration = Duration::from_micros(500);

/// Packets gather for no more than this part of the delay.
const TICKS_A_DELAY: u32 = 50;

/// How long traffic is watched to tell whether it is dense.
const WINDOW: Duration = Duration::from_millis(2);

/// Packets in and out within the window that make it so.
const DENSE: u32 = 16;

/// The most packets read from a device before the other has its turn.
const BURST: u32 = 512;

/// Packets kept for use again.
const SPARE: usize = 32 * 1024;

/// Running links between the devices; they stop when this is dropped.
#[derive(Debug)]
pub(crate) struct Pump {
    links: Arc<Mutex<Links>>,
    wake: PipeWriter,
    thread: Option<JoinHandle<()>>,
}

/// All directions. The first carries what A sends.
#[derive(Debug)]
struct Links {
    each: [Link<Packet>; 3],
    routes: Routes,
    stop: bool,
}

/// What the thread owns.
struct Carrier {
    links: Arc<Mutex<Links>>,
    tuns: [Tun; 3],
    woken: PipeReader,
    spare: Vec<Packet>,
    traffic: Traffic,
}

/// How much there has been to do of late.
struct Traffic {
    since: Instant,
    packets: u32,
    dense: bool,
}

/// What a pass over the devices has found.
struct Pass {
    /// Packets read and delivered.
    moved: u32,
    /// How long until something will arrive.
    pause: Option<Duration>,
    /// How long packets may gather.
    tick: Duration,
}

impl Pump {
    /// Starts to carry packets. The devices are in the order of [`Side::ALL`].
    ///
    /// # Errors
    ///
    /// If the system has no room for a pipe or a thread.
    pub(crate) fn start(tuns: [Tun; 3], spec: &LinkSpec) -> io::Result<Self> {
        let (woken, wake) = io::pipe()?;
        let links = Arc::new(Mutex::new(Links::new(spec)));
        let carrier =
            Carrier { links: links.clone(), tuns, woken, spare: Vec::new(), traffic: Traffic::none() };
        let thread = thread::Builder::new().name("lab link".into()).spawn(|| carrier.run())?;
        Ok(Self { links, wake, thread: Some(thread) })
    }

    /// Changes what one side sends. It holds when this returns.
    pub(crate) fn set(&self, from: Side, change: Change) {
        lock(&self.links).each[from.index()].set(Instant::now(), change);
        self.wake();
    }

    /// Changes one host's router. It holds when this returns.
    pub(crate) fn set_router(&self, of: Side, change: RouterChange) {
        lock(&self.links).routes.set(of, change);
    }

    /// What became of the packets one side has sent.
    pub(crate) fn counters(&self, from: Side) -> Counters {
        lock(&self.links).each[from.index()].counters()
    }

    /// How many packets one side has got from another.
    pub(crate) fn carried(&self, from: Side, to: Side) -> u64 {
        lock(&self.links).routes.carried(from, to)
    }

    fn wake(&self) {
        // It fails if the thread is gone, which then needs no waking.
        let _ = (&self.wake).write(&[0]);
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        lock(&self.links).stop = true;
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Links {
    fn new(spec: &LinkSpec) -> Self {
        let start = Instant::now();
        let each = [0, 1, 2].map(|stream| Link::new(spec, stream, start));
        Self { each, routes: Routes::new(spec), stop: false }
    }

    fn next_arrival(&self) -> Option<Instant> {
        self.each.iter().filter_map(Link::next_arrival).min()
    }

    /// Small beside the delay, so that gathering hardly shows in it.
    fn tick(&self) -> Duration {
        let delay = self.each.iter().map(Link::delay).min().unwrap_or_default();
        LONGEST_TICK.min(delay / TICKS_A_DELAY)
    }
}

impl Traffic {
    fn none() -> Self {
        Self { since: Instant::now(), packets: 0, dense: false }
    }

    /// Counts packets. Whether there have been many.
    fn is_dense(&mut self, packets: u32) -> bool {
        self.packets = self.packets.saturating_add(packets);
        let elapsed = self.since.elapsed();
        if elapsed >= WINDOW {
            let dense = WINDOW * self.packets >= elapsed * DENSE;
            *self = Self { dense, ..Self::none() };
        }
        self.dense
    }
}

impl Carrier {
    fn run(mut self) {
        // Without the right to it, the link is late whenever the processors are busy.
        let _ = sys::take_precedence();
        // The default of 50 us would be added to every delay.
        let _ = prctl::set_timerslack(1);
        while let Some(pass) = self.pass() {
            let dense = self.traffic.is_dense(pass.moved);
            if dense && pass.moved > 0 && !pass.tick.is_zero() {
                // Packets gather in the devices meanwhile: one wake-up for all of them.
                thread::sleep(pass.tick);
            } else if !self.wait(pass.pause) {
                return;
            }
        }
    }

    /// Reads what the hosts have sent and delivers what has arrived. `None`: time to stop.
    fn pass(&mut self) -> Option<Pass> {
        let links = self.links.clone();
        let mut links = lock(&links);
        if links.stop {
            return None;
        }
        let now = Instant::now();
        let mut moved = 0;
        for side in Side::ALL {
            moved += self.read(side, &mut links.each[side.index()], now);
        }
        let now = Instant::now();
        for side in Side::ALL {
            moved += self.deliver(side, &mut links, now);
        }
        let pause = links.next_arrival().map(|at| at.saturating_duration_since(Instant::now()));
        Some(Pass { moved, pause, tick: links.tick() })
    }

    fn read(&mut self, side: Side, link: &mut Link<Packet>, now: Instant) -> u32 {
        for count in 0..BURST {
            let mut packet = self.spare.pop().unwrap_or_else(Packet::empty);
            // A device that is down or gone gives nothing, as a cable that is pulled.
            if !self.tuns[side.index()].receive(&mut packet).unwrap_or(false) {
                self.recycle(packet);
                return count;
            }
            if let Some(packet) = link.offer(now, packet.length(), packet) {
                self.recycle(packet);
            }
        }
        BURST
    }

    fn deliver(&mut self, from: Side, links: &mut Links, now: Instant) -> u32 {
        let mut moved = 0;
        while let Some(mut packet) = links.each[from.index()].take(now) {
            if let Some(to) = links.routes.forward(now, from, packet.bytes()) {
                // A host that takes no packet has lost it, as hosts do.
                let _ = self.tuns[to.index()].deliver(&packet);
            }
            self.recycle(packet);
            moved += 1;
        }
        moved
    }

    fn recycle(&mut self, packet: Packet) {
        if self.spare.len() < SPARE {
            self.spare.push(packet);
        }
    }

    /// Until a host sends, something arrives, or the link is changed. False: the devices cannot be
    /// waited for any more.
    fn wait(&mut self, pause: Option<Duration>) -> bool {
        let [a, b, net] = &self.tuns;
        let mut waited = [a.as_fd(), b.as_fd(), net.as_fd(), self.woken.as_fd()]
            .map(|file| PollFd::new(file, PollFlags::POLLIN));
        match ppoll(&mut waited, pause.map(Into::into), None) {
            Ok(_) => {}
            Err(Errno::EINTR) => return true,
            Err(_) => return false,
        }
        // A device that somebody has removed would wake this for ever.
        if waited[..3].iter().filter_map(PollFd::revents).any(|got| got.contains(PollFlags::POLLERR)) {
            return false;
        }
        if waited[3].any() == Some(true) {
            let _ = self.woken.read(&mut [0; 64]);
        }
        true
    }
}

/// A thread that panicked has left the links as they were between two packets.
fn lock(links: &Mutex<Links>) -> MutexGuard<'_, Links> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}
