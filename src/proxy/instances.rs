//! Which client processes live, and which have died without a word.
//!
//! A process notes in a file of its own which hosts it has sessions at, before it has them, and holds a lock on it for
//! as long as it lives. A file that nobody locks is of a process that is gone: the next one that reaches such a host
//! says so there, and the host ends what was left.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use iroh::EndpointId;

use crate::{
    files::{Lock, create_private_dir, write_file},
    protocol::Instance,
};

/// How many that are gone are told of at once.
const TOLD: usize = 64;

/// This process among those of its user; clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Living(Arc<State>);

#[derive(Debug)]
struct State {
    instance: Instance,
    folder: PathBuf,
    own: Mutex<Option<Own>>,
    /// Whether its hosts are to be told of it, although it ends in peace.
    leaves: AtomicBool,
}

/// The file of this process, once it has one.
#[derive(Debug)]
struct Own {
    _lock: Lock,
    hosts: Vec<EndpointId>,
}

impl Living {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(Arc::new(State {
            instance: Instance::generate(),
            folder,
            own: Mutex::default(),
            leaves: AtomicBool::new(false),
        }))
    }

    /// A session of this process has ended, and its host does not know.
    pub(super) fn leaves_something(&self) {
        self.0.leaves.store(true, Ordering::Relaxed);
    }

    pub(super) fn instance(&self) -> Instance {
        self.0.instance
    }

    /// Notes that this process is about to have sessions at a host.
    ///
    /// # Errors
    ///
    /// What the system says; a process that cannot note it is not told of when it dies.
    pub(super) fn note(&self, host: EndpointId) -> io::Result<()> {
        let State { instance, folder, own, .. } = &*self.0;
        let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
        let path = path_of(folder, *instance);
        if own.is_none() {
            create_private_dir(folder)?;
            let lock = Lock::wait(&path, Duration::ZERO).map_err(io::Error::other)?;
            *own = Some(Own { _lock: lock, hosts: Vec::new() });
        }
        if let Some(own) = own.as_mut().filter(|own| !own.hosts.contains(&host)) {
            let mut file = OpenOptions::new().append(true).mode(0o600).open(&path)?;
            file.write_all(format!("{host}\n").as_bytes())?;
            own.hosts.push(host);
        }
        Ok(())
    }

    /// Those that had sessions at a host and are gone.
    pub(super) fn gone(&self, host: EndpointId) -> Vec<Instance> {
        let Ok(folder) = fs::read_dir(&self.0.folder) else { return Vec::new() };
        let names = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let instances = names.filter_map(|name| Some(Instance(hex::decode(name).ok()?.try_into().ok()?)));
        let of_host = |instance: &Instance| {
            let path = path_of(&self.0.folder, *instance);
            *instance != self.0.instance
                && Lock::is_held(&path).is_ok_and(|held| !held)
                && hosts(&path).contains(&host.to_string())
        };
        instances.filter(of_host).take(TOLD).collect()
    }

    /// The host knows of them now.
    pub(super) fn told(&self, host: EndpointId, instances: &[Instance]) {
        for instance in instances {
            let path = path_of(&self.0.folder, *instance);
            let mut hosts = hosts(&path);
            hosts.retain(|other| *other != host.to_string());
            // What cannot be forgotten is told again.
            let _ = match hosts.as_slice() {
                [] => fs::remove_file(&path),
                others => write_file(&path, (others.join("\n") + "\n").as_bytes(), 0o600),
            };
        }
    }
}

/// A process that ends in peace has ended its sessions, and leaves nothing to tell unless a host was away.
impl Drop for State {
    fn drop(&mut self) {
        let is_noted = self.own.get_mut().unwrap_or_else(PoisonError::into_inner).is_some();
        if is_noted && !*self.leaves.get_mut() {
            let _ = fs::remove_file(path_of(&self.folder, self.instance));
        }
    }
}

fn path_of(folder: &Path, instance: Instance) -> PathBuf {
    folder.join(hex::encode(instance.0))
}

fn hosts(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u8) -> EndpointId {
        iroh::SecretKey::from_bytes(&[number; 32]).public()
    }

    /// A process that dies without a word.
    fn dies(folder: &Path, hosts: &[EndpointId]) -> Instance {
        let living = Living::new(folder.to_owned());
        hosts.iter().for_each(|host| living.note(*host).expect("noted"));
        let instance = living.instance();
        let copy = fs::read(path_of(folder, instance)).expect("its file");
        drop(living);
        fs::write(path_of(folder, instance), copy).expect("as it was");
        instance
    }

    #[test]
    fn who_has_died_is_told_to_each_of_its_hosts_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("instances");
        let [one, two] = [host(1), host(2)];
        let both = dies(&folder, &[one, two]);
        let living = Living::new(folder.clone());
        living.note(one).expect("noted");
        assert_eq!(living.gone(one), [both]);
        living.told(one, &[both]);
        assert_eq!((living.gone(one), living.gone(two)), (Vec::new(), vec![both]));
        living.told(two, &[both]);
        assert_eq!(living.gone(two), []);
        drop(living);
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 0);
    }

    #[test]
    fn who_lives_is_not_told_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let [one, other] = [(); 2].map(|()| Living::new(folder.path().join("instances")));
        one.note(host(1)).expect("noted");
        assert_eq!(other.gone(host(1)), []);
        assert_eq!(one.gone(host(1)), []);
    }
}
