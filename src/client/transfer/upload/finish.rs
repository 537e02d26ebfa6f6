//! The end of a file on its way to the server.

use super::{
    super::{
        super::sftp::{Attributes, FileKind, Handle, Pending},
        checksum,
        error::{Side, TransferError},
        part::{Granted, RemotePart},
    },
    jobs::{Taken, Upload},
    local::Source,
};

impl Upload {
    /// Asks for owner, mode and times to be set and for the file to be closed. A mode that is not known
    /// yet is set along with the name.
    pub(super) fn complete(
        &self,
        source: &Source,
        file: Handle,
        mode: Option<u32>,
        taken: &Taken,
    ) -> (Option<Pending>, Pending) {
        // The file that is replaced stays its owner's. Whoever may not give files away owns it.
        let replaced = taken.attributes.filter(|there| there.kind() == FileKind::File);
        if let Some(owner) = replaced.and_then(|there| there.owner) {
            let owner = Attributes { owner: Some(owner), ..Attributes::default() };
            drop(self.context.sftp.begin_fsetstat(&file, &owner));
        }
        let times = self.context.options.preserve || self.context.options.resume;
        let wanted = source.attributes(mode, times);
        let set = (mode.is_some() || times).then(|| self.context.sftp.begin_fsetstat(&file, &wanted));
        (set, file.begin_close())
    }

    pub(super) async fn completed(
        &self,
        (set, close): (Option<Pending>, Pending),
        target: &[u8],
    ) -> Result<(), TransferError> {
        // A file system without modes still takes files.
        if let Some(set) = set
            && let Err(error) = set.done().await
            && (self.context.options.preserve || error.is_fatal())
        {
            return Err(TransferError::remote(target, error));
        }
        match close.done().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.context.write_error(target, error).await),
        }
    }

    /// Compares the part if that is asked for, and gives it its name.
    pub(super) async fn settle(
        &self,
        source: &Source,
        mut part: RemotePart,
        granted: Granted,
        target: &[u8],
        taken: &Taken,
    ) -> Result<(), TransferError> {
        let mode = granted.learn(&self.context.umask).await;
        let mode = mode.map_err(|error| TransferError::remote(target, error))?;
        if self.context.options.checksum {
            let wanted = source.clone();
            let hash = self.context.disk.run(move || {
                let (file, now) = wanted.open()?;
                Ok((checksum::local(&file)?, now.version))
            });
            let (local, remote) =
                tokio::join!(hash, self.context.verifier.remote(&part.path, source.version.size));
            let (local, version) = local.map_err(|error| source.error(error))?;
            let remote = remote.map_err(|error| TransferError::remote(target, error))?;
            if version != source.version || local != remote {
                part.remove_on_drop(true);
                let changed = version != source.version;
                return Err(if changed {
                    source.changed()
                } else {
                    TransferError::Checksum { path: target.into() }
                });
            }
        }
        if let Err(error) = part.rename(target, taken.attributes.is_some(), mode).await {
            let error = error.about(target);
            let folder = !error.is_fatal()
                && self.context.sftp.lstat(target).await.is_ok_and(|there| there.is_directory());
            return Err(match folder {
                true => TransferError::IsDirectory { side: Side::Remote, path: target.into() },
                false => error,
            });
        }
        self.context.report(|report| report.files += 1);
        Ok(())
    }
}
