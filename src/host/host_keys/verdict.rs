//! Which keys a host vouches for, decided from what it knows.

use serde::{Deserialize, Serialize};

use super::key::HostKey;

/// Why a host vouches for the keys of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// `host-keys` in `host.toml` names them.
    Configured,
    /// They are those of the built-in server.
    Builtin,
    /// They are in this machine's own files in `/etc/ssh`.
    Machine,
    /// They were seen the first time, or accepted by hand.
    Kept,
    /// The server is on another machine: none.
    Elsewhere,
}

/// Where a server is, as far as that is a reason to believe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The built-in server, which the host runs itself.
    Builtin,
    /// This machine.
    Here,
    /// An address that is not loopback's.
    Elsewhere,
}

/// What is known of a server.
pub(super) struct Evidence<'a> {
    pub(super) place: Place,
    /// Keys that the host's settings name for it.
    pub(super) configured: &'a [HostKey],
    /// The keys of this machine's own files.
    pub(super) machine: &'a [HostKey],
    /// Those that were announced so far.
    pub(super) kept: &'a [HostKey],
    /// Those that it has proved just now to hold.
    pub(super) seen: &'a [HostKey],
    /// Whether it could prove none because it has no algorithm in common with the host.
    pub(super) unprovable: bool,
}

/// The keys that are announced, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) basis: Basis,
    pub(super) announced: Vec<HostKey>,
}

impl Evidence<'_> {
    /// Decides. A key of a type that is announced already never takes the place of that one by itself, but for the
    /// built-in server's and those of the machine's own files.
    pub(super) fn verdict(&self) -> Verdict {
        if !self.configured.is_empty() {
            return Verdict { basis: Basis::Configured, announced: self.configured.to_vec() };
        }
        match self.place {
            Place::Elsewhere => Verdict { basis: Basis::Elsewhere, announced: Vec::new() },
            Place::Builtin => {
                let keys = if self.seen.is_empty() { self.kept } else { self.seen };
                Verdict { basis: Basis::Builtin, announced: keys.to_vec() }
            }
            Place::Here => self.verdict_here(),
        }
    }

    fn verdict_here(&self) -> Verdict {
        let proved = |key: &&HostKey| self.seen.contains(key);
        let is_the_machines = self.machine.iter().any(|key| self.seen.contains(key))
            || (self.unprovable && self.kept.is_empty());
        let mut announced: Vec<HostKey> = Vec::new();
        if is_the_machines {
            // Keys of the machine that it was not asked for are as good as the one that it has proved; one in
            // whose place it has shown another is an old file.
            let not_shown = |key: &&HostKey| !has_kind(self.seen, key);
            announced.extend(self.machine.iter().filter(|key| proved(key) || not_shown(key)).cloned());
        }
        let basis = if is_the_machines { Basis::Machine } else { Basis::Kept };
        add_new_kinds(&mut announced, self.kept);
        // Whoever proves a key that is vouched for may say which others it has; and so may the first.
        if announced.is_empty() || announced.iter().any(|key| self.seen.contains(key)) {
            add_new_kinds(&mut announced, self.seen);
        }
        announced.sort();
        Verdict { basis, announced }
    }
}

/// The keys that a server shows and that are not announced.
pub(super) fn waiting<'a>(announced: &[HostKey], seen: &'a [HostKey]) -> Vec<&'a HostKey> {
    seen.iter().filter(|key| !announced.contains(key)).collect()
}

/// Adds the keys of types that are not there yet.
fn add_new_kinds(keys: &mut Vec<HostKey>, more: &[HostKey]) {
    let new: Vec<_> = more.iter().filter(|key| !has_kind(keys, key)).cloned().collect();
    keys.extend(new);
}

fn has_kind(keys: &[HostKey], wanted: &HostKey) -> bool {
    keys.iter().any(|key| key.kind() == wanted.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Identity;

    /// An Ed25519 key.
    fn ed(seed: u8) -> HostKey {
        Identity::ed25519(*iroh::SecretKey::from_bytes(&[seed; 32]).public().as_bytes()).public_key().into()
    }

    /// An ECDSA key.
    fn ecdsa(seed: u8) -> HostKey {
        let keys = [
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBKc7/k1+aIOPpU5zwT3YA06cwF7NtK0jKlGwQSJuZjFNRub6EM9oDEVBYMxqbsFjBIgv48Sj+U443B8mzxhXxLE=",
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHClnyhss/b3EcXlgCK3wUAUnAwMwZC5XzfZVi8+YZKRWjSSH9vbVg5iY27kj+pTYi/OLy05nnzRuP32N+wCdE8=",
        ];
        HostKey::from_openssh(keys[usize::from(seed)]).expect("a key")
    }

    fn here<'a>(machine: &'a [HostKey], kept: &'a [HostKey], seen: &'a [HostKey]) -> Evidence<'a> {
        Evidence { place: Place::Here, configured: &[], machine, kept, seen, unprovable: false }
    }

    fn sorted(mut keys: Vec<HostKey>) -> Vec<HostKey> {
        keys.sort();
        keys
    }

    #[test]
    fn what_is_seen_first_is_kept_and_a_change_is_not_announced() {
        let first = here(&[], &[], &[ed(1), ecdsa(0)]).verdict();
        assert_eq!(first, Verdict { basis: Basis::Kept, announced: sorted(vec![ed(1), ecdsa(0)]) });
        let changed = here(&[], &first.announced, &[ed(2), ecdsa(1)]).verdict();
        assert_eq!(changed, first);
        assert_eq!(waiting(&changed.announced, &[ed(2)]), [&ed(2)]);
        // Nor does it bring a key of another type along.
        assert_eq!(here(&[], &[ed(1)], &[ed(2), ecdsa(1)]).verdict().announced, [ed(1)]);
        // A server that does not answer keeps its keys.
        assert_eq!(here(&[], &[ed(1)], &[]).verdict().announced, [ed(1)]);
    }

    #[test]
    fn a_server_that_holds_a_kept_key_may_have_keys_of_other_types_but_not_another_of_that_type() {
        assert_eq!(
            here(&[], &[ed(1)], &[ed(1), ecdsa(0)]).verdict().announced,
            sorted(vec![ed(1), ecdsa(0)])
        );
        let kept = [ed(1), ecdsa(0)];
        assert_eq!(here(&[], &kept, &[ed(1), ecdsa(1)]).verdict().announced, sorted(kept.to_vec()));
    }

    #[test]
    fn the_machines_own_files_go_before_what_was_kept() {
        let machine = [ed(1), ecdsa(0)];
        let verdict = here(&machine, &[ed(3)], &[ed(1)]).verdict();
        assert_eq!(verdict, Verdict { basis: Basis::Machine, announced: sorted(machine.to_vec()) });
        // A file that is not what the server shows is old.
        assert_eq!(
            here(&machine, &[], &[ed(1), ecdsa(1)]).verdict().announced,
            sorted(vec![ed(1), ecdsa(1)])
        );
        // Files of which the server proves none are those of another.
        assert_eq!(here(&machine, &[], &[ed(2)]).verdict().announced, [ed(2)]);
        assert_eq!(here(&machine, &[], &[]).verdict().announced, []);
    }

    #[test]
    fn where_nothing_can_be_proved_the_machines_own_files_do_unless_others_were_kept() {
        let machine = [ed(1)];
        let unprovable = |kept| Evidence { unprovable: true, ..here(&machine, kept, &[]) };
        assert_eq!(unprovable(&[]).verdict(), Verdict { basis: Basis::Machine, announced: vec![ed(1)] });
        assert_eq!(unprovable(&[ed(2)]).verdict().announced, [ed(2)]);
    }

    #[test]
    fn a_server_elsewhere_is_vouched_for_by_its_configured_keys_alone() {
        let seen = [ed(1)];
        let elsewhere =
            |configured| Evidence { place: Place::Elsewhere, configured, ..here(&seen, &seen, &seen) };
        assert_eq!(elsewhere(&[]).verdict(), Verdict { basis: Basis::Elsewhere, announced: vec![] });
        let configured = [ed(2)];
        assert_eq!(
            elsewhere(&configured).verdict(),
            Verdict { basis: Basis::Configured, announced: vec![ed(2)] }
        );
    }

    #[test]
    fn the_built_in_server_may_change_its_keys() {
        let (kept, seen) = ([ed(1)], [ed(2)]);
        let builtin = |seen| Evidence { place: Place::Builtin, ..here(&[], &kept, seen) };
        assert_eq!(builtin(&seen).verdict().announced, [ed(2)]);
        assert_eq!(builtin(&[]).verdict().announced, [ed(1)]);
    }
}
