//! Settings and lists that a running host reads again.

use std::{mem, sync::Arc};

use tokio::task::spawn_blocking;

use super::{list_files::ListFiles, lists::Reloaded, live_settings::LiveSettings, shared::Shared};

/// A running host, to have it read settings and lists again.
#[derive(Clone)]
pub struct Reload(pub(super) Arc<Shared>);

impl Reload {
    /// Takes settings and lists into use as they are now. Sessions go on, but for those of peers who may not stay.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings, which stay as they were.
    pub async fn reload(&self) -> Result<Reloaded, String> {
        self.0.reload().await
    }
}

impl Shared {
    pub(super) async fn reload(self: &Arc<Self>) -> Result<Reloaded, String> {
        let _one_after_the_other = self.edits.lock().await;
        let mut reloaded = Reloaded::default();
        if let Some(settings) = self.reread().await? {
            let LiveSettings { access, revoked_keys, limits, taken, waiting } = settings;
            (reloaded.taken, reloaded.waiting) = (taken, waiting);
            if self.admission.set_access(access) != access {
                reloaded.taken.push("access".to_owned());
            }
            if self.admission.set_revoked_keys(revoked_keys) {
                reloaded.taken.push("revoked-keys".to_owned());
            }
            self.registry.set_max_sessions(limits.max_sessions);
            let before = mem::replace(&mut *self.limits.write().await, limits.clone());
            reloaded.taken.extend(limits.differing(&before).map(|key| format!("limits.{key}")));
        }
        self.host_keys.forget();
        reloaded.ended = self.check_peers().await;
        let (in_use, after_a_restart) = (reloaded.taken.join(", "), reloaded.waiting.join(", "));
        tracing::info!(in_use, after_a_restart, "settings and lists read again");
        reloaded.refused = self.on_files(ListFiles::peers).await?.refused;
        reloaded.refused.extend(self.unreadable().await);
        Ok(reloaded)
    }

    /// What keeps the lists from being read, and everybody new out with it.
    async fn unreadable(self: &Arc<Self>) -> Option<String> {
        let shared = Arc::clone(self);
        spawn_blocking(move || shared.admission.problem()).await.ok().flatten()
    }

    /// The settings as they are now, where the program has any.
    async fn reread(self: &Arc<Self>) -> Result<Option<LiveSettings>, String> {
        let shared = Arc::clone(self);
        let read = spawn_blocking(move || shared.reread.as_ref().map(|reread| reread()).transpose()).await;
        let read = read.unwrap_or_else(|_| Err("the host failed; its log says why".to_owned()));
        read.inspect_err(|error| tracing::error!("the settings stay as they were: {error}"))
    }
}
