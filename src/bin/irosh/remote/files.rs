//! `irosh put` and `irosh get`, and what completes their remote paths.

use std::{
    ffi::OsString,
    io::{IsTerminal, stderr},
    os::unix::ffi::OsStringExt,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use irosh::{
    client::{
        FilesError, remote_sha256,
        sftp::Shown,
        transfer::{Links, TransferOptions, TransferProgress, TransferReport, WhySkipped},
    },
    files::Paths,
};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Lend, RemoteArguments, connect, exit::Failure, interrupted};
use crate::{completion, progress::Progress, terminal::Terminal};

/// Copy files and folders to a host.
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
    let destination = arguments.paths.pop().unwrap_or_default().into_vec();
    let sources: Vec<PathBuf> = arguments.paths.into_iter().map(PathBuf::from).collect();
    let copy = Copy::start(&paths, &arguments.remote, arguments.options).await?;
    let link = &copy.link;
    let moved = copy.run(link.connection.upload(&sources, &destination, copy.transfer())).await;
    copy.end(moved).await
}

pub(crate) async fn get(paths: Paths, mut arguments: GetArguments) -> anyhow::Result<ExitCode> {
    let destination = PathBuf::from(arguments.paths.pop().unwrap_or_default());
    let sources: Vec<Vec<u8>> = arguments.paths.into_iter().map(OsStringExt::into_vec).collect();
    let copy = Copy::start(&paths, &arguments.remote, arguments.options).await?;
    let link = &copy.link;
    let moved = copy.run(link.connection.download(&sources, &destination, copy.transfer())).await;
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
        let cancel = interrupted(Failure::Interrupted as u8)?;
        let link = connect(paths, remote, Lend::Never, &cancel).await?;
        Ok(Self { link, options, progress: watch::Sender::default(), cancel })
    }

    fn transfer(&self) -> TransferOptions {
        TransferOptions {
            recursive: true,
            preserve: self.options.preserve,
            resume: self.options.resume,
            checksum: self.options.checksum,
            links: self.options.links,
            remote_sha256: Some(remote_sha256(self.link.connection.clone())),
            progress: Some(self.progress.clone()),
            cancel: self.cancel.clone(),
            ..TransferOptions::default()
        }
    }

    /// Waits for a transfer and draws how far it is.
    async fn run(
        &self,
        transfer: impl Future<Output = Result<TransferReport, FilesError>>,
    ) -> Result<TransferReport, FilesError> {
        let quiet = self.options.quiet || !stderr().is_terminal();
        let screen = if quiet { None } else { Terminal::of(stderr()).ok().flatten() };
        let mut line = Progress::new(screen.map(|terminal| (terminal, stderr())), 1);
        let mut told = self.progress.subscribe();
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        line.start("", None, Instant::now());
        tokio::pin!(transfer);
        loop {
            tokio::select! {
                done = &mut transfer => {
                    draw(&mut line, &told.borrow());
                    // The message of an error takes the place of the line.
                    if done.is_ok() { line.end(Instant::now()) } else { line.clear() }
                    return done;
                }
                _ = ticks.tick() => {
                    let now = told.borrow_and_update().clone();
                    draw(&mut line, &now);
                }
            }
        }
    }

    async fn end(self, moved: Result<TransferReport, FilesError>) -> anyhow::Result<ExitCode> {
        let report = match &moved {
            Ok(report) => Some(report),
            Err(FilesError::Transfer(failure)) => Some(&failure.report),
            Err(_) => None,
        };
        if let Some(report) = report {
            for skipped in &report.skipped {
                let why = match skipped.why {
                    WhySkipped::Special => "is a FIFO, a socket or a device",
                    WhySkipped::Link => "is a symbolic link",
                };
                irosh::log::say(&format!("irosh: {}: left out: {why}\n", Shown(&skipped.path)));
            }
            if self.options.json {
                crate::print(
                    &json!({
                        "files": report.files,
                        "files_unchanged": report.files_unchanged,
                        "bytes": report.bytes,
                        "bytes_resumed": report.bytes_resumed,
                        "skipped": report.skipped_total,
                        "ok": moved.is_ok(),
                    })
                    .to_string(),
                );
            }
        }
        self.link.close().await;
        moved?;
        Ok(ExitCode::SUCCESS)
    }
}

fn draw(line: &mut Progress<std::io::Stderr>, now: &TransferProgress) {
    let name = now.file.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    line.describe(&String::from_utf8_lossy(name), Some(now.bytes_total), (now.files_done, now.files_total));
    line.moved(now.bytes, Instant::now());
}

/// Paths at a host that begin as what was typed; none when anything goes wrong.
fn complete(target: &str, partial: &str) -> Vec<String> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let found = runtime.block_on(async {
        let paths = Paths::of_user()?;
        // A TAB makes none.
        anyhow::ensure!(paths.identity().exists(), "there is no identity");
        let arguments = RemoteArguments::of_target(target);
        let link = connect(&paths, &arguments, Lend::Never, &CancellationToken::new()).await?;
        let found = link.connection.remote_completion(partial.as_bytes()).await;
        link.close().await;
        anyhow::Ok(found?)
    });
    let texts = found.unwrap_or_default().into_iter().map(|entry| String::from_utf8(entry.path));
    texts.filter_map(Result::ok).collect()
}
