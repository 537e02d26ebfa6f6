//! `irosh put` and `irosh get`, and what completes their remote paths.

use std::{
    ffi::OsString,
    io::{IsTerminal, stderr},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use irosh::{
    client::{
        FilesError,
        sftp::Shown,
        transfer::{Links, TransferError, TransferOptions, TransferProgress, TransferReport, WhySkipped},
    },
    files::Paths,
    host::load_settings,
    proxy::Credentials,
    settings::ClientSettings,
};
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::{Lend, RemoteArguments, connect, exit::Failure, interrupted};
use crate::{
    completion,
    progress::{Progress, Snapshot},
    terminal::Terminal,
};

/// Copy files and folders to a host.
///
/// A copy takes its name when it is whole, and replaces a file of that name, also one that nobody may write to, and
/// a link, which is not followed; a folder is never replaced. FIFOs, sockets and devices in folders are left out and
/// told. To name one is an error: what comes from a pipe goes through `irosh exec TARGET 'cat >NAME'`.
#[derive(clap::Args)]
#[command(
    after_long_help = super::exit::OF_COPIES,
    override_usage = "irosh put [OPTIONS] <TARGET> <LOCAL>... <REMOTE>"
)]
pub(crate) struct PutArguments {
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    options: CopyOptions,
    /// What to copy, and where to at the host; a folder that is there takes it in, and ~ is the home
    #[arg(required = true, num_args = 2.., value_names = ["LOCAL", "REMOTE"], add = completion::put_paths(complete))]
    paths: Vec<OsString>,
}

/// Copy files and folders from a host.
///
/// A copy takes its name when it is whole, and replaces a file of that name, also one that nobody may write to, and
/// a link, which is not followed; a folder is never replaced. FIFOs, sockets and devices in folders are left out and
/// told. To name one is an error.
#[derive(clap::Args)]
#[command(
    after_long_help = super::exit::OF_COPIES,
    override_usage = "irosh get [OPTIONS] <TARGET> <REMOTE>... <LOCAL>"
)]
pub(crate) struct GetArguments {
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    options: CopyOptions,
    /// What to copy, with `*`, `?` and `[…]` in quotes, and where to; a folder that is there takes it in
    #[arg(required = true, num_args = 2.., value_names = ["REMOTE", "LOCAL"], add = completion::get_paths(complete))]
    paths: Vec<OsString>,
}

#[derive(clap::Args)]
struct CopyOptions {
    /// Folders are copied with what is in them without being asked to: for those who are used to scp
    #[arg(short, long, hide = true)]
    recursive: bool,
    /// Keep modes and times
    #[arg(short, long)]
    preserve: bool,
    /// Go on where an earlier run was stopped, and leave what arrived if this one is
    ///
    /// A file counts as the same by its size and its time of last change, in whole seconds; of what arrived of it, the
    /// last 64 KiB are compared. A source that has changed and has both as before is not noticed: for that there is
    /// --checksum, which compares all of it.
    #[arg(long)]
    resume: bool,
    /// Compare every file from end to end before it takes its name
    #[arg(long)]
    checksum: bool,
    /// What becomes of symbolic links in folders: follow, keep or skip
    #[arg(long, value_name = "WHAT", default_value = "follow", value_parser = links)]
    links: Links,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

fn links(text: &str) -> Result<Links, String> {
    match text {
        "follow" => Ok(Links::Follow),
        "keep" => Ok(Links::Keep),
        "skip" => Ok(Links::Skip),
        _ => Err("expected follow, keep or skip".to_owned()),
    }
}

pub(crate) async fn put(paths: Paths, mut arguments: PutArguments) -> anyhow::Result<ExitCode> {
    let destination = arguments.paths.pop().unwrap_or_default();
    let copy = Copy::start(&paths, &arguments.remote, arguments.options).await?;
    let link = &copy.link;
    let moved = copy.run(link.connection.upload(&arguments.paths, destination, copy.transfer())).await;
    copy.end(moved).await
}

pub(crate) async fn get(paths: Paths, mut arguments: GetArguments) -> anyhow::Result<ExitCode> {
    let destination = PathBuf::from(arguments.paths.pop().unwrap_or_default());
    let copy = Copy::start(&paths, &arguments.remote, arguments.options).await?;
    let link = &copy.link;
    let moved = copy.run(link.connection.download(&arguments.paths, destination, copy.transfer())).await;
    copy.end(moved).await
}

/// A transfer with all that is around it.
struct Copy {
    link: super::Link,
    options: CopyOptions,
    progress: watch::Sender<TransferProgress>,
    cancel: CancellationToken,
}

impl Copy {
    async fn start(paths: &Paths, remote: &RemoteArguments, options: CopyOptions) -> anyhow::Result<Self> {
        outlive_file_size_limit()?;
        let cancel = interrupted(Failure::Interrupted as u8)?;
        let link = connect(paths, remote, Lend::Never, &cancel).await.inspect_err(|error| {
            if options.json {
                crate::print::print(&not_begun(error).to_string());
            }
        })?;
        Ok(Self { link, options, progress: watch::Sender::default(), cancel })
    }

    fn transfer(&self) -> TransferOptions {
        TransferOptions::default()
            .recursive(true)
            .preserve(self.options.preserve)
            .resume(self.options.resume)
            .checksum(self.options.checksum)
            .links(self.options.links)
            .progress(self.progress.clone())
            .cancel(self.cancel.clone())
    }

    /// Waits for a transfer and draws how far it is.
    async fn run(
        &self,
        transfer: impl Future<Output = Result<TransferReport, FilesError>>,
    ) -> Result<TransferReport, FilesError> {
        let quiet = self.options.quiet || !stderr().is_terminal();
        let screen = if quiet { None } else { Terminal::of(stderr()).ok().flatten() };
        let mut line = Progress::new(screen.map(|terminal| (terminal, stderr())), Instant::now());
        let mut told = self.progress.subscribe();
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        tokio::pin!(transfer);
        loop {
            tokio::select! {
                done = &mut transfer => {
                    line.show(snapshot(&told.borrow()), Instant::now());
                    // The message of an error takes the place of the line.
                    if done.is_ok() { line.end(Instant::now()) } else { line.clear() }
                    return done;
                }
                _ = ticks.tick() => {
                    line.show(snapshot(&told.borrow_and_update()), Instant::now());
                }
            }
        }
    }

    async fn end(self, moved: Result<TransferReport, FilesError>) -> anyhow::Result<ExitCode> {
        let nothing = TransferReport::default();
        let report = match &moved {
            Ok(report) => report,
            Err(FilesError::Transfer(failure)) => &failure.report,
            Err(_) => &nothing,
        };
        for skipped in &report.skipped {
            let why = match skipped.why {
                WhySkipped::Special => "is a FIFO, a socket or a device",
                WhySkipped::Link => "is a symbolic link",
                _ => "is of a kind that is not copied",
            };
            irosh::log::say(&format!("irosh: {}: left out: {why}\n", Shown(&skipped.path)));
        }
        if self.options.json {
            crate::print::print(&done(report, moved.as_ref().err()).to_string());
        }
        self.link.close().await;
        moved?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A limit of file sizes is an error of the write that meets it, not the end of the program.
fn outlive_file_size_limit() -> std::io::Result<()> {
    signal(SignalKind::from_raw(libc::SIGXFSZ)).map(drop)
}

/// What was done and what went wrong, as `--json` tells it.
fn done(report: &TransferReport, failed: Option<&FilesError>) -> serde_json::Value {
    let (errors, errors_total) = match failed {
        None => (Vec::new(), 0),
        Some(FilesError::Transfer(failure)) => {
            (failure.errors.iter().map(told).collect(), failure.errors_total)
        }
        Some(other) => (vec![json!({ "path": null, "message": other.to_string() })], 1),
    };
    json!({
        "files": report.files,
        "files_unchanged": report.files_unchanged,
        "folders": report.folders,
        "bytes": report.bytes,
        "bytes_resumed": report.bytes_resumed,
        "skipped": report.skipped_total,
        "ok": failed.is_none(),
        "errors": errors,
        "errors_total": errors_total,
    })
}

/// A path that is no text is told as well as it can be.
fn told(error: &TransferError) -> serde_json::Value {
    let path = error.path().map(String::from_utf8_lossy);
    json!({ "path": path, "message": error.to_string() })
}

/// What `--json` tells where nothing could be begun.
fn not_begun(error: &anyhow::Error) -> serde_json::Value {
    let errors = [json!({ "path": null, "message": format!("{error:#}") })];
    json!({ "ok": false, "errors": errors, "errors_total": 1 })
}

/// What the line shows of the transfer as a whole.
fn snapshot(now: &TransferProgress) -> Snapshot {
    let name = now.file.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    Snapshot {
        name: String::from_utf8_lossy(name).into_owned(),
        done: now.bytes,
        sent: now.bytes.saturating_sub(now.bytes_skipped),
        // How much is left is not known before everything is found.
        total: now.listed.then_some(now.bytes_total),
        file: ((now.files_done + 1).min(now.files_total.max(1)), now.files_total),
        ..Snapshot::default()
    }
}

/// Paths at a host that begin as what was typed; none when anything goes wrong.
fn complete(target: &str, partial: &str) -> Vec<String> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let found = runtime.block_on(async {
        let paths = Paths::of_user()?;
        let settings: ClientSettings = load_settings(&paths.client_settings())?;
        // A TAB makes none, and has nobody touch a key.
        let is_at_hand = match &settings.identity {
            Some(file) => !Credentials::load(&paths, Some(file))?.may_ask(),
            None => paths.identity().exists(),
        };
        anyhow::ensure!(is_at_hand, "there is no identity that asks nobody");
        let arguments = RemoteArguments::of_target(target);
        let link = connect(&paths, &arguments, Lend::Never, &CancellationToken::new()).await?;
        let found = link.connection.remote_completion(partial).await;
        link.close().await;
        anyhow::Ok(found?)
    });
    let texts = found.unwrap_or_default().into_iter().map(|entry| String::from_utf8(entry.path));
    texts.filter_map(Result::ok).collect()
}
