//! The client's agent, for programs here (OpenSSH's PROTOCOL.agent, section 4.7.14 of draft-miller-ssh-agent).

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::task::AbortHandle;

use super::to_client::ToClient;
use crate::forward_sockets::{SocketFile, pause};

/// A socket that leads to the client's agent; it goes with its session.
pub(in crate::server) struct AgentSocket {
    path: PathBuf,
    folder: PathBuf,
    task: AbortHandle,
}

impl AgentSocket {
    /// Makes a socket in a folder that is the user's alone, as sshd does: `/tmp/ssh-XXXXXXXXXX/agent.PID`.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(in crate::server) fn open(to: ToClient) -> io::Result<Self> {
        let folder = nix::unistd::mkdtemp("/tmp/ssh-XXXXXXXXXX")?;
        let path = folder.join(format!("agent.{}", std::process::id()));
        let (listener, file) =
            SocketFile::listen(&path, 0o600, false).inspect_err(|_| drop(std::fs::remove_dir(&folder)))?;
        let accepting = async move {
            let _file = file;
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let to = to.clone();
                        // On its own: what is asked of the agent outlives the session that offered it.
                        tokio::spawn(async move {
                            let opened = to.session.channel_open_agent().await;
                            to.carry(opened, stream).await;
                        });
                    }
                    Err(error) => pause(&error).await,
                }
            }
        };
        Ok(Self { path, folder, task: tokio::spawn(accepting).abort_handle() })
    }

    pub(in crate::server) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AgentSocket {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_dir(&self.folder);
    }
}
