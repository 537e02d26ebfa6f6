//! A TUN device: the end of the link that a host sees.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;

use super::sys;

/// The largest IP packet, in bytes: Ethernet's.
pub(crate) const MTU: usize = 1500;

/// What the device is called, in each namespace.
pub(crate) const NAME: &str = "lab0";

/// An IP packet. Its memory can be used again.
#[derive(Debug)]
pub(crate) struct Packet {
    bytes: Box<[u8; MTU]>,
    length: usize,
}

/// What one host has sent can be read here, and what is written here arrives at it.
#[derive(Debug)]
pub(crate) struct Tun(File);

impl Packet {
    /// Room for one packet.
    pub(crate) fn empty() -> Self {
        Self { bytes: Box::new([0; MTU]), length: 0 }
    }

    /// Bytes of IP.
    pub(crate) const fn length(&self) -> usize {
        self.length
    }

    /// The packet itself, for a router to change.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

impl Tun {
    /// Makes a device called [`NAME`] in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// If the kernel has no TUN driver, this user may not use it, or there is such a device.
    pub(crate) fn create() -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        // The device appears where the file was opened, not where it is named.
        let file = options.open("/dev/net/tun")?;
        sys::name_tun(&file, NAME)?;
        Ok(Self(file))
    }

    /// The next packet the host has sent, or false if there is none.
    ///
    /// # Errors
    ///
    /// If the device is gone or down.
    pub(crate) fn receive(&self, packet: &mut Packet) -> io::Result<bool> {
        match (&self.0).read(&mut packet.bytes[..]) {
            Ok(length) => {
                packet.length = length;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets a packet arrive at the host.
    ///
    /// # Errors
    ///
    /// If the device is gone or down, or the host has no memory for the packet.
    pub(crate) fn deliver(&self, packet: &Packet) -> io::Result<()> {
        (&self.0).write(&packet.bytes[..packet.length]).map(drop)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
