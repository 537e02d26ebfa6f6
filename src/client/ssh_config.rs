//! What the user's own ssh would do for a host: its configuration, read by ssh itself.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use crate::{
    client::auth::{AgentSource, Method, StandardOptions},
    glob,
};

/// How long ssh may take; `Match exec` runs commands.
const DEADLINE: Duration = Duration::from_secs(20);

/// What `ssh -G` prints for a host, as far as it matters here (ssh_config(5)).
///
/// Forwards are kept as ssh prints them. Nothing of it connects: a `ProxyCommand` is never run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "so it is in ssh_config")]
#[non_exhaustive]
pub struct SshConfig {
    /// `User`, which ssh sets to the local one by default; `None` when there is no ssh.
    pub user: Option<Vec<u8>>,
    /// `HostName`.
    pub host_name: Option<String>,
    /// `Port`.
    pub port: u16,
    /// `IdentityFile`, with `~` and tokens replaced; `None` for the usual files.
    pub identity_files: Option<Vec<PathBuf>>,
    /// `CertificateFile`, likewise.
    pub certificate_files: Vec<PathBuf>,
    /// `IdentityAgent`.
    pub identity_agent: AgentSource,
    /// `IdentitiesOnly`.
    pub identities_only: bool,
    /// `ForwardAgent`: the agent to lend.
    pub forward_agent: Option<AgentSource>,
    /// `LocalForward`, each a listening place and a target.
    pub local_forwards: Vec<(String, String)>,
    /// `RemoteForward`; without a target it is a SOCKS proxy.
    pub remote_forwards: Vec<(String, Option<String>)>,
    /// `DynamicForward`.
    pub dynamic_forwards: Vec<String>,
    /// `ExitOnForwardFailure`.
    pub exit_on_forward_failure: bool,
    /// `GatewayPorts`.
    pub gateway_ports: bool,
    /// `StreamLocalBindUnlink`.
    pub stream_local_bind_unlink: bool,
    /// `PreferredAuthentications`, in order; `None` for the usual ones.
    pub preferred_authentications: Option<Vec<Method>>,
    /// Methods that are not to be used (`PubkeyAuthentication no` and its like).
    pub methods_off: Vec<Method>,
    /// `SendEnv`: patterns of names.
    pub send_env: Vec<String>,
    /// `SetEnv`.
    pub set_env: Vec<(Vec<u8>, Vec<u8>)>,
    /// `RequestTTY`.
    pub request_tty: RequestTty,
    /// `ServerAliveInterval`; `None` for never, which is ssh's default.
    pub server_alive_interval: Option<Duration>,
    /// `ServerAliveCountMax`.
    pub server_alive_count_max: usize,
    /// `ConnectTimeout`.
    pub connect_timeout: Option<Duration>,
    /// `EscapeChar`; `None` for none.
    pub escape_char: Option<u8>,
    /// `NumberOfPasswordPrompts`.
    pub password_prompts: u32,
    /// `BatchMode`: nobody may be asked.
    pub batch_mode: bool,
    /// `RemoteCommand`.
    pub remote_command: Option<Vec<u8>>,
    /// `LogLevel`, where it is one at which ssh shows no banner.
    pub quiet: bool,
}

/// `RequestTTY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequestTty {
    /// With a shell, not with a command.
    #[default]
    Auto,
    /// Never.
    No,
    /// When standard input is a terminal.
    Yes,
    /// Always.
    Force,
}

/// ssh could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SshConfigError {
    /// It cannot be run.
    #[error("cannot run ssh: {0}")]
    Run(io::Error),
    /// It does not like its configuration.
    #[error("ssh does not like its configuration: {0}")]
    Refused(String),
    /// It takes too long, which a command in `Match exec` may.
    #[error("ssh -G does not end within {} seconds", DEADLINE.as_secs())]
    Deadline,
}

impl Default for SshConfig {
    fn default() -> Self {
        Self {
            user: None,
            host_name: None,
            port: 22,
            identity_files: None,
            certificate_files: Vec::new(),
            identity_agent: AgentSource::Environment,
            identities_only: false,
            forward_agent: None,
            local_forwards: Vec::new(),
            remote_forwards: Vec::new(),
            dynamic_forwards: Vec::new(),
            exit_on_forward_failure: false,
            gateway_ports: false,
            stream_local_bind_unlink: false,
            preferred_authentications: None,
            methods_off: Vec::new(),
            send_env: Vec::new(),
            set_env: Vec::new(),
            request_tty: RequestTty::Auto,
            server_alive_interval: None,
            server_alive_count_max: 3,
            connect_timeout: None,
            escape_char: Some(b'~'),
            password_prompts: 3,
            batch_mode: false,
            remote_command: None,
            quiet: false,
        }
    }
}

/// What stands for something in file names (ssh_config(5), TOKENS).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The home of the local user.
    pub home: PathBuf,
    /// The name of the local user.
    pub local_user: String,
    /// The host as it was named.
    pub host: String,
}

/// What `ssh -G` prints with these arguments before the host; `None` where there is no ssh, and for a user without an
/// account, whom ssh does not serve.
///
/// # Errors
///
/// [`SshConfigError`].
pub(crate) async fn ask_ssh(host: &str, arguments: &[OsString]) -> Result<Option<Vec<u8>>, SshConfigError> {
    if matches!(nix::unistd::User::from_uid(nix::unistd::getuid()), Ok(None)) {
        return Ok(None);
    }
    let mut command = Command::new("ssh");
    // A host that begins like an option stays a host.
    command.arg("-G").args(arguments).arg("--").arg(host);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(DEADLINE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(Err(error)) => return Err(SshConfigError::Run(error)),
        Err(_) => return Err(SshConfigError::Deadline),
    };
    if !output.status.success() {
        // Its lines end as those of a raw terminal.
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\r', "");
        return Err(SshConfigError::Refused(said));
    }
    Ok(Some(output.stdout))
}

impl SshConfig {
    /// Asks ssh for what it would do for a host, with these arguments before it, such as `-l` and a login. The
    /// defaults, where there is no ssh, and for a user without an account, whom ssh does not serve.
    ///
    /// # Errors
    ///
    /// [`SshConfigError`].
    pub async fn load(host: &str, arguments: &[OsString], tokens: &Tokens) -> Result<Self, SshConfigError> {
        let text = ask_ssh(host, arguments).await?;
        Ok(text.map_or_else(Self::default, |text| Self::parse(text, tokens)))
    }

    /// Reads what `ssh -G` prints. Keywords that mean nothing here are passed over.
    #[must_use]
    pub fn parse(text: impl AsRef<[u8]>, tokens: &Tokens) -> Self {
        let mut config = Self::default();
        for line in text.as_ref().split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            if let Some(end) = line.iter().position(|byte| *byte == b' ') {
                let (keyword, bytes) = (String::from_utf8_lossy(&line[..end]), line[end..].trim_ascii());
                config.take(&keyword, bytes, &String::from_utf8_lossy(bytes));
            }
        }
        config.expand(tokens);
        config
    }

    /// Takes a value, of names of files and what goes to programs its bytes, and of all else its text.
    fn take(&mut self, keyword: &str, bytes: &[u8], value: &str) {
        let yes = matches!(value, "yes" | "true");
        let seconds = || value.parse().ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let pair = || value.split_once(' ').map(|(one, two)| (one.to_owned(), two.trim().to_owned()));
        match keyword {
            "user" => self.user = Some(bytes.to_vec()),
            "hostname" => self.host_name = Some(value.to_owned()),
            "port" => self.port = value.parse().unwrap_or(self.port),
            "identityfile" if value == "none" => {
                self.identity_files.get_or_insert_default();
            }
            "identityfile" => self.identity_files.get_or_insert_default().push(path(unquote(bytes))),
            "certificatefile" if value != "none" => self.certificate_files.push(path(unquote(bytes))),
            "identityagent" => self.identity_agent = agent_of(bytes),
            "identitiesonly" => self.identities_only = yes,
            "forwardagent" => {
                self.forward_agent = match value {
                    "no" => None,
                    "yes" => Some(AgentSource::Environment),
                    _ => Some(agent_of(bytes)),
                };
            }
            "localforward" => self.local_forwards.extend(pair()),
            "remoteforward" => self.remote_forwards.push(match pair() {
                // ssh prints this for a SOCKS proxy at the other end.
                Some((listen, target)) if target == "[socks]:0" => (listen, None),
                Some((listen, target)) => (listen, Some(target)),
                None => (value.to_owned(), None),
            }),
            "dynamicforward" => self.dynamic_forwards.push(value.to_owned()),
            "exitonforwardfailure" => self.exit_on_forward_failure = yes,
            "gatewayports" => self.gateway_ports = yes,
            "streamlocalbindunlink" => self.stream_local_bind_unlink = yes,
            "preferredauthentications" => {
                self.preferred_authentications =
                    Some(value.split(',').map(|name| Method::from_name(name.trim())).collect());
            }
            "pubkeyauthentication" => self.allow(Method::PublicKey, value),
            "kbdinteractiveauthentication" => self.allow(Method::KeyboardInteractive, value),
            "passwordauthentication" => self.allow(Method::Password, value),
            "sendenv" => self.send_env.extend(value.split_whitespace().map(str::to_owned)),
            "setenv" => self.set_env.extend(variable(bytes)),
            "requesttty" => {
                self.request_tty = match value {
                    "no" | "false" => RequestTty::No,
                    "yes" | "true" => RequestTty::Yes,
                    "force" => RequestTty::Force,
                    _ => RequestTty::Auto,
                };
            }
            "serveraliveinterval" => self.server_alive_interval = seconds(),
            "serveralivecountmax" => {
                self.server_alive_count_max = value.parse().unwrap_or(self.server_alive_count_max);
            }
            "connecttimeout" => self.connect_timeout = seconds(),
            "escapechar" => self.escape_char = escape_of(value),
            "numberofpasswordprompts" => {
                self.password_prompts = value.parse().unwrap_or(self.password_prompts);
            }
            "batchmode" => self.batch_mode = yes,
            "loglevel" => self.quiet = matches!(value, "QUIET" | "FATAL" | "ERROR"),
            "remotecommand" if value != "none" => self.remote_command = Some(bytes.to_vec()),
            _ => {}
        }
    }

    fn expand(&mut self, tokens: &Tokens) {
        let login = self.user.clone().unwrap_or_else(|| tokens.local_user.clone().into());
        let host_name = self.host_name.clone().unwrap_or_else(|| tokens.host.clone());
        let port = self.port.to_string();
        let home = tokens.home.as_os_str().as_bytes();
        let expanded = |file: &Path| {
            path(&expand_tokens(file.as_os_str().as_bytes(), home, |token| {
                Some(match token {
                    b'%' => b"%",
                    b'd' => home,
                    b'h' => host_name.as_bytes(),
                    b'n' | b'k' => tokens.host.as_bytes(),
                    b'p' => port.as_bytes(),
                    b'r' => &login,
                    b'u' => tokens.local_user.as_bytes(),
                    _ => return None,
                })
            }))
        };
        for path in self.identity_files.iter_mut().flatten().chain(&mut self.certificate_files) {
            *path = expanded(path);
        }
        for agent in [Some(&mut self.identity_agent), self.forward_agent.as_mut()].into_iter().flatten() {
            if let AgentSource::Socket(path) = agent {
                *path = expanded(path);
            }
        }
    }

    fn allow(&mut self, method: Method, value: &str) {
        if matches!(value, "no" | "false") {
            self.methods_off.push(method);
        }
    }

    /// How to log in.
    #[must_use]
    pub fn standard_options(&self, host: &str, home: Option<&Path>) -> StandardOptions {
        let usual = StandardOptions::new(host, home);
        let mut preferred = self.preferred_authentications.clone().unwrap_or(usual.preferred);
        preferred.retain(|method| !self.methods_off.contains(method));
        StandardOptions {
            agent: self.identity_agent.clone(),
            identity_files: self.identity_files.clone().unwrap_or(usual.identity_files),
            certificate_files: self.certificate_files.clone(),
            identities_only: self.identities_only,
            preferred,
            password_prompts: self.password_prompts,
            host: usual.host,
        }
    }

    /// The variables to send, of these and of `SetEnv`, which comes first.
    #[must_use]
    pub fn environment(
        &self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut chosen = self.set_env.clone();
        for (name, value) in variables {
            let (name, value) = (name.into_vec(), value.into_vec());
            let wanted = self.send_env.iter().any(|pattern| glob::matches(pattern.as_bytes(), &name));
            if wanted && !chosen.iter().any(|(other, _)| *other == name) {
                chosen.push((name, value));
            }
        }
        chosen
    }
}

fn agent_of(value: &[u8]) -> AgentSource {
    match unquote(value) {
        b"none" => AgentSource::None,
        b"SSH_AUTH_SOCK" => AgentSource::Environment,
        [b'$', name @ ..] => {
            let name = String::from_utf8_lossy(name);
            let name = name.trim_start_matches('{').trim_end_matches('}');
            std::env::var_os(name).map_or(AgentSource::None, |path| AgentSource::Socket(path.into()))
        }
        other => AgentSource::Socket(path(other)),
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

/// `~`, `^A` for a control character, or `none`.
fn escape_of(value: &str) -> Option<u8> {
    match value.as_bytes() {
        [character] => Some(*character),
        [b'^', letter] => Some(letter & 0x1f),
        _ => None,
    }
}

fn variable(text: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = unquote(text);
    let end = text.iter().position(|byte| *byte == b'=')?;
    Some((text[..end].to_vec(), unquote(&text[end + 1..]).to_vec()))
}

fn unquote(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text)
}

/// A file name with `~/` and percent signs replaced; those that are not known stay as they are.
fn expand_tokens<'a>(text: &[u8], home: &[u8], token: impl Fn(u8) -> Option<&'a [u8]>) -> Vec<u8> {
    let mut expanded = Vec::with_capacity(text.len());
    let mut rest = match text.strip_prefix(b"~/") {
        Some(rest) => {
            expanded.extend_from_slice(home);
            expanded.push(b'/');
            rest
        }
        None => text,
    };
    while let Some((first, after)) = rest.split_first() {
        let known = after.first().filter(|_| *first == b'%').and_then(|name| token(*name));
        match known {
            Some(value) => {
                expanded.extend_from_slice(value);
                rest = &after[1..];
            }
            None => {
                expanded.push(*first);
                rest = after;
            }
        }
    }
    expanded
}

#[cfg(test)]
#[path = "ssh_config_tests.rs"]
mod tests;
