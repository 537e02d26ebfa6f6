//! Pseudo-terminals.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, Weak},
};

use russh::Pty;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    pty::OpenptFlags,
    termios::{
        ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios,
        Winsize,
    },
};
use tokio::io::unix::AsyncFd;

/// The size of a window, in characters and in pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: u32,
    pub(super) rows: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl From<Size> for Winsize {
    fn from(size: Size) -> Self {
        let narrow = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
        Self {
            ws_row: narrow(size.rows),
            ws_col: narrow(size.columns),
            ws_xpixel: narrow(size.width),
            ws_ypixel: narrow(size.height),
        }
    }
}

/// A terminal that waits for its process, or has one.
pub(super) struct Terminal {
    master: Master,
    slave: Option<OwnedFd>,
    pub(super) path: PathBuf,
}

/// This side of a terminal.
#[derive(Clone)]
pub(super) struct Master(Arc<AsyncFd<OwnedFd>>);

/// A way to a terminal that does not keep it open.
pub(super) struct MasterRef(Weak<AsyncFd<OwnedFd>>);

impl MasterRef {
    /// The terminal, if it is open still.
    pub(super) fn get(&self) -> Option<Master> {
        self.0.upgrade().map(Master)
    }
}

impl Terminal {
    /// Opens a terminal with a window of this size and these modes. Its slave belongs to the user of
    /// this process.
    pub(super) fn open(size: Size, modes: &[(Pty, u32)]) -> io::Result<Self> {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        let path = PathBuf::from(std::ffi::OsString::from(name.to_string_lossy().into_owned()));
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&path, flags, Mode::empty())?;
        // sshd gives the terminal the mode 0620 with group tty; devpts has done that where it is
        // mounted as usual, and where it is not, only root could.
        let mut termios = rustix::termios::tcgetattr(&slave)?;
        apply(&mut termios, modes);
        rustix::termios::tcsetattr(&slave, OptionalActions::Now, &termios)?;
        rustix::termios::tcsetwinsize(&slave, size.into())?;
        rustix::fs::fcntl_setfl(&master, rustix::fs::fcntl_getfl(&master)? | OFlags::NONBLOCK)?;
        Ok(Self { master: Master(Arc::new(watch(master)?)), slave: Some(slave), path })
    }

    pub(super) fn take_slave(&mut self) -> io::Result<OwnedFd> {
        self.slave.take().ok_or_else(|| io::Error::other("the terminal is in use"))
    }

    pub(super) fn master(&self) -> Master {
        self.master.clone()
    }
}

#[allow(unsafe_code, reason = "tokio asks for a promise that an owned descriptor keeps by itself")]
fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned, so it stays open and the same for as long as it is registered.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

impl Master {
    /// Bytes read; 0 when nobody has the terminal open any more.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|fd| rustix::io::read(fd.get_ref(), &mut *buffer).map_err(io::Error::from)) {
                // What Linux says once the last slave is closed.
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => return Ok(0),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return result,
                Err(_) => {}
            }
        }
    }

    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            match ready.try_io(|fd| rustix::io::write(fd.get_ref(), bytes).map_err(io::Error::from)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => bytes = &bytes[result?..],
                Err(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn weak(&self) -> MasterRef {
        MasterRef(Arc::downgrade(&self.0))
    }

    /// The window has another size; the kernel tells the process.
    pub(super) fn resize(&self, size: Size) -> io::Result<()> {
        Ok(rustix::termios::tcsetwinsize(self.0.get_ref().as_fd(), size.into())?)
    }
}

/// Applies modes as RFC 4254 section 8 encodes them; those that this system lacks are left out.
fn apply(termios: &mut Termios, modes: &[(Pty, u32)]) {
    for &(code, value) in modes {
        if let Some(index) = special(code) {
            // 255 says that the key is not there.
            termios.special_codes[index] = if value == 255 { libc::_POSIX_VDISABLE } else { value as u8 };
        } else if let Some(flag) = input(code) {
            termios.input_modes.set(flag, value != 0);
        } else if let Some(flag) = local(code) {
            termios.local_modes.set(flag, value != 0);
        } else if let Some(flag) = output(code) {
            termios.output_modes.set(flag, value != 0);
        } else if let Some((mask, flag)) = control(code) {
            if value != 0 {
                termios.control_modes = (termios.control_modes - mask) | flag;
            } else if mask == flag {
                termios.control_modes -= flag;
            }
        } else if code == Pty::TTY_OP_ISPEED {
            let _ = termios.set_input_speed(value);
        } else if code == Pty::TTY_OP_OSPEED {
            let _ = termios.set_output_speed(value);
        }
    }
}

fn special(code: Pty) -> Option<SpecialCodeIndex> {
    Some(match code {
        Pty::VINTR => SpecialCodeIndex::VINTR,
        Pty::VQUIT => SpecialCodeIndex::VQUIT,
        Pty::VERASE => SpecialCodeIndex::VERASE,
        Pty::VKILL => SpecialCodeIndex::VKILL,
        Pty::VEOF => SpecialCodeIndex::VEOF,
        Pty::VEOL => SpecialCodeIndex::VEOL,
        Pty::VEOL2 => SpecialCodeIndex::VEOL2,
        Pty::VSTART => SpecialCodeIndex::VSTART,
        Pty::VSTOP => SpecialCodeIndex::VSTOP,
        Pty::VSUSP => SpecialCodeIndex::VSUSP,
        Pty::VREPRINT => SpecialCodeIndex::VREPRINT,
        Pty::VWERASE => SpecialCodeIndex::VWERASE,
        Pty::VLNEXT => SpecialCodeIndex::VLNEXT,
        Pty::VDISCARD => SpecialCodeIndex::VDISCARD,
        _ => return None,
    })
}

fn input(code: Pty) -> Option<InputModes> {
    Some(match code {
        Pty::IGNPAR => InputModes::IGNPAR,
        Pty::PARMRK => InputModes::PARMRK,
        Pty::INPCK => InputModes::INPCK,
        Pty::ISTRIP => InputModes::ISTRIP,
        Pty::INLCR => InputModes::INLCR,
        Pty::IGNCR => InputModes::IGNCR,
        Pty::ICRNL => InputModes::ICRNL,
        Pty::IXON => InputModes::IXON,
        Pty::IXANY => InputModes::IXANY,
        Pty::IXOFF => InputModes::IXOFF,
        Pty::IMAXBEL => InputModes::IMAXBEL,
        #[cfg(target_os = "linux")]
        Pty::IUCLC => InputModes::IUCLC,
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        Pty::IUTF8 => InputModes::IUTF8,
        _ => return None,
    })
}

fn local(code: Pty) -> Option<LocalModes> {
    Some(match code {
        Pty::ISIG => LocalModes::ISIG,
        Pty::ICANON => LocalModes::ICANON,
        Pty::ECHO => LocalModes::ECHO,
        Pty::ECHOE => LocalModes::ECHOE,
        Pty::ECHOK => LocalModes::ECHOK,
        Pty::ECHONL => LocalModes::ECHONL,
        Pty::NOFLSH => LocalModes::NOFLSH,
        Pty::TOSTOP => LocalModes::TOSTOP,
        Pty::IEXTEN => LocalModes::IEXTEN,
        Pty::ECHOCTL => LocalModes::ECHOCTL,
        Pty::ECHOKE => LocalModes::ECHOKE,
        Pty::PENDIN => LocalModes::PENDIN,
        #[cfg(target_os = "linux")]
        Pty::XCASE => LocalModes::XCASE,
        _ => return None,
    })
}

fn output(code: Pty) -> Option<OutputModes> {
    Some(match code {
        Pty::OPOST => OutputModes::OPOST,
        Pty::ONLCR => OutputModes::ONLCR,
        Pty::OCRNL => OutputModes::OCRNL,
        Pty::ONOCR => OutputModes::ONOCR,
        Pty::ONLRET => OutputModes::ONLRET,
        #[cfg(target_os = "linux")]
        Pty::OLCUC => OutputModes::OLCUC,
        _ => return None,
    })
}

/// The bits that a mode stands in, and those that it sets.
fn control(code: Pty) -> Option<(ControlModes, ControlModes)> {
    Some(match code {
        Pty::CS7 => (ControlModes::CSIZE, ControlModes::CS7),
        Pty::CS8 => (ControlModes::CSIZE, ControlModes::CS8),
        Pty::PARENB => (ControlModes::PARENB, ControlModes::PARENB),
        Pty::PARODD => (ControlModes::PARODD, ControlModes::PARODD),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn modes_and_size_reach_the_terminal() {
        let size = Size { columns: 100, rows: 30, width: 0, height: 0 };
        let modes = [(Pty::ECHO, 0), (Pty::VINTR, 7), (Pty::IXON, 0), (Pty::TTY_OP_OSPEED, 38400)];
        let mut terminal = Terminal::open(size, &modes).expect("opened");
        let slave = terminal.take_slave().expect("not taken yet");
        let termios = rustix::termios::tcgetattr(&slave).expect("modes");
        assert!(!termios.local_modes.contains(LocalModes::ECHO));
        assert!(!termios.input_modes.contains(InputModes::IXON));
        assert_eq!(termios.special_codes[SpecialCodeIndex::VINTR], 7);
        let window = rustix::termios::tcgetwinsize(&slave).expect("size");
        assert_eq!((window.ws_col, window.ws_row), (100, 30));
        terminal.master().resize(Size { columns: 10, ..size }).expect("resized");
        assert_eq!(rustix::termios::tcgetwinsize(&slave).expect("size").ws_col, 10);
        drop(slave);
        assert_eq!(terminal.master().read(&mut [0; 10]).await.expect("end"), 0);
    }
}
