//! Who this is, for those who see us.

/// `user@machine`: the comment of a new key.
#[must_use]
pub fn who() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let machine = machine_name();
    if user.is_empty() { machine } else { format!("{user}@{machine}") }
}

/// The machine's name.
#[must_use]
pub fn machine_name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "localhost".into(), |name| name.to_string_lossy().into_owned())
}
