//! Copies a file or a folder to a host, with progress; killed and run again, it goes on where it was:
//! `cargo run --example copy site alice@box /srv/www`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is an example")]

use irosh::client::transfer::{TransferOptions, TransferProgress};
use tokio::sync::watch;

#[tokio::main]
async fn main() -> irosh::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [source, target, destination] = &arguments[..] else {
        eprintln!("usage: copy SOURCE [USER@]HOST DESTINATION");
        return Ok(());
    };
    let host = irosh::connect(target).await?;
    let (progress, mut told) = watch::channel(TransferProgress::default());
    let options =
        TransferOptions { recursive: true, resume: true, progress: Some(progress), ..Default::default() };
    let showing = tokio::spawn(async move {
        while told.changed().await.is_ok() {
            let now = told.borrow_and_update().clone();
            print!("\r{:3} %, {} of {} bytes ", now.percent(), now.bytes, now.bytes_total);
        }
        println!();
    });
    let report = host.upload(&[source.into()], destination.as_bytes(), options).await?;
    let _ = showing.await;
    println!("{} files, {} bytes", report.files, report.bytes);
    host.disconnect().await;
    Ok(())
}
