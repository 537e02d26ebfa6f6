//! What a running host does that is asked to.

use std::{collections::HashSet, sync::Arc, time::Duration};

use iroh::EndpointAddr;
use iroh_tickets::endpoint::EndpointTicket;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;
use tokio::{task::spawn_blocking, time::timeout};

use super::message::Call;
use crate::{
    host::{
        authorities::Authority,
        host_keys::KeptKeys,
        invites::Terms,
        list_files::{ListError, ListFiles},
        lists::{
            AcceptedKeys, AllowedAuthority, AllowedPeer, Ended, InviteStatus, ListedAuthority, NewInvite,
            PeerList, RevokedPeers,
        },
        peer::Peer,
        peer_edits::Edit,
        shared::Shared,
        status::PeerStatus,
    },
    log::with_causes,
};

/// How long a host that has just started may take to know where it is.
const WHERE: Duration = Duration::from_secs(10);

impl Shared {
    /// Does what a process of this user asks for; says what came of it, or why it was not done.
    pub(super) async fn perform(self: &Arc<Self>, call: Call, uid: u32) -> Result<Value, String> {
        match call {
            Call::Ticket => told(Ok(EndpointTicket::new(self.addr().await).to_string())),
            Call::Invite { ttl, uses, login, options } => {
                let terms = Terms { ttl: Duration::from_secs(ttl), uses, login, restrictions: options };
                told(self.make_invite(terms, uid).await)
            }
            Call::Invites => told(self.on_files(ListFiles::invites).await),
            Call::RevokeInvite { id } => told(self.take_invite_back(id, uid).await),
            Call::Peers => told(self.list_peers().await),
            Call::Allow { line, replace } => told(self.allow(&line, replace, uid).await),
            Call::AllowAuthority { line, replace } => told(self.allow_authority(&line, replace, uid).await),
            Call::Revoke { who } => told(self.revoke(who, uid).await),
            Call::HostKeys => told(self.list_host_keys().await),
            Call::AcceptHostKeys => told(self.accept_host_keys(uid).await),
            Call::Reload => told(self.reload().await),
        }
    }

    /// Where the host is, as tickets tell it.
    async fn addr(&self) -> EndpointAddr {
        let mut addr = self.addr.subscribe();
        let known = timeout(WHERE, addr.wait_for(Option::is_some)).await;
        known.ok().and_then(|known| known.ok()?.clone()).unwrap_or_else(|| self.id.into())
    }

    async fn make_invite(self: &Arc<Self>, terms: Terms, by: u32) -> Result<NewInvite, String> {
        let addr = self.addr().await;
        let _one_after_the_other = self.edits.lock().await;
        let made = self.on_files(move |files| files.invite(&terms, || Ok(addr))).await?;
        tracing::info!(by, invite = made.id, uses = made.uses, "invite made");
        Ok(made)
    }

    async fn take_invite_back(self: &Arc<Self>, id: String, by: u32) -> Result<Vec<InviteStatus>, String> {
        let _one_after_the_other = self.edits.lock().await;
        let gone = self.on_files(move |files| files.revoke_invite(&id)).await?;
        for InviteStatus { id, .. } in &gone {
            tracing::info!(by, invite = id, "invite taken back");
        }
        Ok(gone)
    }

    async fn list_peers(self: &Arc<Self>) -> Result<PeerList, String> {
        let list = self.on_files(ListFiles::peers).await?;
        Ok(PeerList { here: Some(self.here()), ..list })
    }

    async fn allow(self: &Arc<Self>, line: &str, replace: bool, by: u32) -> Result<AllowedPeer, String> {
        let peer = Peer::parse(line, &TimeZone::UTC)?;
        let (identity, edit) = (peer.identity, if replace { Edit::Replace } else { Edit::Change });
        let _one_after_the_other = self.edits.lock().await;
        let allowed = self.on_files(move |files| files.allow(&peer, edit)).await?;
        self.forgive(&identity);
        let (name, peer) = (&allowed.peer.name, &allowed.peer.peer);
        tracing::info!(by, name, peer, "allowed");
        let ended = self.check_peers().await.into_iter().find(|ended| ended.peer == *peer);
        let none = Ended { peer: peer.clone(), name: name.clone(), connections: 0, sessions: 0 };
        Ok(AllowedPeer { ended: Some(ended.unwrap_or(none)), ..allowed })
    }

    async fn allow_authority(
        self: &Arc<Self>,
        line: &str,
        replace: bool,
        by: u32,
    ) -> Result<AllowedAuthority, String> {
        let authority = Authority::parse(line, &TimeZone::UTC).ok_or("no line with cert-authority")?;
        let edit = if replace { Edit::Replace } else { Edit::Change };
        let _one_after_the_other = self.edits.lock().await;
        let allowed = self.on_files(move |files| files.allow_authority(&authority, edit)).await?;
        let ListedAuthority { name, authority, .. } = &allowed.authority;
        tracing::info!(by, name, authority, "certificates allowed");
        let is_holder = self.is_holder(std::slice::from_ref(&allowed.authority));
        let ended = self.check_peers().await.into_iter().filter(is_holder).collect();
        Ok(AllowedAuthority { ended: Some(ended), ..allowed })
    }

    /// Tells who is here by a certificate of one of these.
    fn is_holder(&self, authorities: &[ListedAuthority]) -> impl Fn(&Ended) -> bool + use<> {
        let is_of = |peer: &PeerStatus| {
            let certificate = peer.certificate.as_ref();
            certificate
                .is_some_and(|certificate| authorities.iter().any(|of| of.authority == certificate.authority))
        };
        let here: HashSet<String> = self.here().into_iter().filter(is_of).map(|peer| peer.peer).collect();
        move |ended| here.contains(&ended.peer)
    }

    async fn revoke(self: &Arc<Self>, who: String, by: u32) -> Result<RevokedPeers, String> {
        // Whoever looks at the list meanwhile would end what this is to tell of.
        let _one_after_the_other = self.edits.lock().await;
        let access = *self.admission.access().borrow();
        let revoked = self.on_files(move |files| files.revoke(&who, access)).await?;
        let gone = revoked.gone.iter().map(|gone| (&gone.name, &gone.peer));
        let kept_out = revoked.kept_out.iter().map(|kept_out| (&kept_out.name, &kept_out.fingerprint));
        let meant: Vec<_> = gone.chain(kept_out).collect();
        for (name, peer) in &meant {
            tracing::info!(by, name, peer, "revoked");
        }
        for ListedAuthority { name, authority, .. } in &revoked.authorities {
            tracing::info!(by, name, authority, "certificates revoked");
        }
        let is_holder = self.is_holder(&revoked.authorities);
        let is_meant = |ended: &Ended| meant.iter().any(|(_, peer)| **peer == ended.peer) || is_holder(ended);
        let ended = self.check_peers().await.into_iter().filter(is_meant).collect();
        Ok(RevokedPeers { ended: Some(ended), ..revoked })
    }

    async fn list_host_keys(self: &Arc<Self>) -> Result<Vec<KeptKeys>, String> {
        self.host_keys.ask_all().await;
        self.on_files(ListFiles::host_keys).await
    }

    async fn accept_host_keys(self: &Arc<Self>, by: u32) -> Result<AcceptedKeys, String> {
        self.host_keys.ask_all().await;
        let _one_after_the_other = self.edits.lock().await;
        let accepted = self.on_files(ListFiles::accept_host_keys).await?;
        for KeptKeys { backend, .. } in &accepted.accepted {
            tracing::info!(by, backend, "host keys accepted");
        }
        self.host_keys.read_file().await;
        Ok(accepted)
    }

    /// Works on the lists, beside the tasks of the host.
    pub(in crate::host) async fn on_files<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&ListFiles) -> Result<T, ListError> + Send + 'static,
    ) -> Result<T, String> {
        let shared = Arc::clone(self);
        let worked = spawn_blocking(move || work(&shared.files)).await;
        let worked = worked.map_err(|_| "the host failed; its log says why".to_owned())?;
        worked.map_err(|error| with_causes(&error))
    }
}

fn told<T: Serialize>(done: Result<T, String>) -> Result<Value, String> {
    serde_json::to_value(done?).map_err(|error| error.to_string())
}
