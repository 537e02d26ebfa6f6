//! `irosh proxy`: what `irosh-proxy` becomes where no agent hears it.

use std::{
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{ChildStderr, Command, ExitCode, Stdio},
};

use irosh::{
    agent::pass_to_ssh,
    files::Paths,
    host::load_settings,
    names::Aliases,
    proxy::{
        Credentials, Dialer, bridge, known_hosts_lines, load_host_keys, public_key_lines, save_host_keys,
    },
    settings::ClientSettings,
    signals::interrupted,
    transport::{Network, Target},
};

use super::proxy_arguments::ProxyArguments;

/// Does what ssh wants, in this process alone.
pub(super) fn run(paths: &Paths, arguments: &ProxyArguments) -> anyhow::Result<ExitCode> {
    if arguments.fdpass {
        return hand_over();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(carry(paths, arguments));
    // A thread may be waiting for a terminal or a file for ever.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

async fn carry(paths: &Paths, arguments: &ProxyArguments) -> anyhow::Result<()> {
    let settings: ClientSettings = load_settings(&paths.client_settings())?;
    let credentials = Credentials::load(paths, settings.identity.as_deref())?;
    let network = arguments.network().read()?.or(settings.into());
    let name = &arguments.target;
    let target = Aliases::load(&paths.aliases())?.resolve(name)?;
    if let Some(sought) = &arguments.known_hosts {
        let keys = host_keys(paths, network, credentials, &target).await?;
        let lines = known_hosts_lines(name, sought.as_deref(), &keys);
        return Ok(io::stdout().write_all(lines.as_bytes())?);
    }
    Ok(bridge(paths, network, credentials, &target, interrupted()?).await?)
}

/// What the host announced when ssh's own proxy connected a moment ago, or else says now.
async fn host_keys(
    paths: &Paths,
    network: Network,
    credentials: Credentials,
    target: &Target,
) -> anyhow::Result<Vec<String>> {
    let id = target.addr().id;
    let mut keys = load_host_keys(paths, id);
    if keys.is_empty() {
        let dialer = Dialer::bind(network, credentials).await?;
        let (host, welcome) = dialer.let_in(target).await?;
        keys = public_key_lines(&welcome.host_keys);
        if let Err(error) = save_host_keys(paths, id, &welcome.host_keys) {
            tracing::debug!("the host's ssh keys are not kept: {error}");
        }
        host.close(irosh::protocol::CloseCode::Done);
        dialer.close().await;
    }
    Ok(keys)
}

/// Has a process of its own carry the session, and hands ssh the other end once the server has spoken.
fn hand_over() -> anyhow::Result<ExitCode> {
    let (ours, theirs) = UnixStream::pair()?;
    let (input, output) = (OwnedFd::from(theirs.try_clone()?), OwnedFd::from(theirs));
    let arguments = std::env::args_os().skip(1).filter(|word| word != "--fdpass");
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stderr = child.stderr.take();
    if speaks(&ours)? {
        stderr.iter_mut().try_for_each(say_so_far)?;
        pass_to_ssh(&ours)?;
        return Ok(ExitCode::SUCCESS);
    }
    let _ = ours.shutdown(Shutdown::Both);
    let mut said = String::new();
    if let Some(mut stderr) = stderr {
        stderr.read_to_string(&mut said)?;
    }
    child.wait()?;
    irosh::log::say(&said);
    Ok(ExitCode::FAILURE)
}

/// Says what a process has said until now; nobody hears it from now on.
fn say_so_far(stderr: &mut ChildStderr) -> io::Result<()> {
    rustix::io::ioctl_fionbio(&*stderr, true)?;
    let mut said = vec![0; 64 << 10];
    if let Ok(count) = stderr.read(&mut said) {
        irosh::log::say(&String::from_utf8_lossy(&said[..count]));
    }
    Ok(())
}

/// Waits until there is something to read, which stays there; nothing is where the other end has closed.
fn speaks(stream: &UnixStream) -> io::Result<bool> {
    use rustix::{
        io::Errno,
        net::{RecvFlags, recv},
    };
    loop {
        match recv(stream, &mut [0; 1][..], RecvFlags::PEEK) {
            Ok((count, _)) => return Ok(count > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
