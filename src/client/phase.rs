//! The steps of connecting, for programs that show them.

use std::fmt;

use tokio::sync::mpsc;

/// A step of connecting. [`ClientOptions::phases`](super::ClientOptions::phases) tells each as it begins, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// What is known here of the host's name is looked up: aliases and ssh_config. Of a
    /// [`Profile`](crate::profile::Profile) only.
    Resolving,
    /// The host is looked for and dialled, at all its addresses and relays at once.
    Dialling,
    /// The host is reached, is told who we are, and decides whether to let us in.
    Admission,
    /// The SSH server's key is checked and the keys of the connection are agreed on.
    Handshake,
    /// The login.
    Authentication,
    /// The opening of the first session, where one is wanted.
    Session,
    /// All is done.
    Connected,
    /// It was given up. The error says why; there is none where the future was dropped.
    Failed,
}

impl Phase {
    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_last(self) -> bool {
        matches!(self, Self::Connected | Self::Failed)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolving => "the look-up of the name",
            Self::Dialling => "the search for the host",
            Self::Admission => "the admission by the host",
            Self::Handshake => "the key exchange",
            Self::Authentication => "the login",
            Self::Session => "the opening of a session",
            Self::Connected => "the connection",
            Self::Failed => "the failure",
        })
    }
}

/// Who is told of steps, if anybody.
#[derive(Debug, Clone, Default)]
pub(crate) struct PhaseSink(pub(crate) Option<mpsc::UnboundedSender<Phase>>);

impl PhaseSink {
    pub(crate) fn tell(&self, phase: Phase) {
        if let Some(tell) = &self.0 {
            // Nobody may listen any more.
            let _ = tell.send(phase);
        }
    }

    /// Begins to connect.
    pub(crate) fn begin(&self) -> Phases {
        Phases(Some(self.clone()))
    }
}

/// The steps of one attempt to connect. Dropped before its end, it says that the attempt has failed.
#[derive(Debug)]
pub(crate) struct Phases(Option<PhaseSink>);

impl Phases {
    pub(crate) fn enter(&self, phase: Phase) {
        if let Some(sink) = &self.0 {
            sink.tell(phase);
        }
    }

    /// All is done.
    pub(crate) fn connected(self) {
        self.enter(Phase::Connected);
        self.leave_to_others();
    }

    /// The steps that are left are told by somebody else.
    pub(crate) fn leave_to_others(mut self) {
        self.0 = None;
    }
}

impl Drop for Phases {
    fn drop(&mut self) {
        self.enter(Phase::Failed);
    }
}
