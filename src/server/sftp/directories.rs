//! Requests on directories.

use std::{
    ffi::OsStr,
    fs::{self, Metadata},
    io,
    os::unix::ffi::OsStrExt,
};

use super::{
    handles::{Handle, Listing},
    server::Server,
    status::{Status, Stop},
    wire::{Reader, Reply, Writer, kind},
};
use crate::server::log_level::LogLevel;

/// Entries in one reply, as OpenSSH has it. With the longest names and long names they are 132 KiB, half
/// of a packet.
const ENTRIES: u32 = 100;

impl Server {
    pub(super) fn opendir(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let path = self.at(body.path()?);
        self.log(LogLevel::Info, format_args!("opendir {path:?}"));
        if self.handles.is_full() {
            return Err(Status::Failure.into());
        }
        let entries = fs::read_dir(&path)?;
        let listing = Listing { entries, path: path.into_owned(), dots: &[".", ".."] };
        let handle = self.handles.insert(Handle::Directory(listing))?;
        reply.begin(kind::HANDLE).string(&handle).end();
        Ok(())
    }

    pub(super) fn readdir(&mut self, body: &mut Reader<'_>, reply: &mut Reply<'_>) -> Result<(), Stop> {
        let listing = self.handles.directory(body.string()?).ok_or(Status::Failure)?;
        let field = reply.begin(kind::NAME).out.len();
        reply.uint32(0);
        let mut line = Vec::new();
        let mut count = 0;
        while count < ENTRIES {
            let Some(entry) = listing.next() else { break };
            // An entry that is gone by now, or cannot be looked at, is left out.
            let Ok((name, metadata)) = entry else { continue };
            self.names.line(&name, &metadata, &mut line);
            reply.string(&name).string(&line).metadata(&metadata);
            count += 1;
        }
        if count == 0 {
            return Err(Status::EndOfFile.into());
        }
        reply.patch(field, count);
        reply.end();
        Ok(())
    }
}

impl Listing {
    /// The next entry with its own attributes, not those of what it links to. An error in the directory
    /// itself is its end, as for `readdir`.
    fn next(&mut self) -> Option<io::Result<(Vec<u8>, Metadata)>> {
        if let [dot, rest @ ..] = self.dots {
            self.dots = rest;
            let metadata = fs::symlink_metadata(self.path.join(dot));
            return Some(metadata.map(|metadata| (OsStr::new(dot).as_bytes().to_vec(), metadata)));
        }
        let entry = self.entries.next()?.ok()?;
        let metadata = entry.metadata();
        Some(metadata.map(|metadata| (entry.file_name().as_bytes().to_vec(), metadata)))
    }
}
