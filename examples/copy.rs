//! Copies a file or a folder to a host, with a bar that shows how far it is; killed and run again, it goes on where it
//! was: `cargo run --example copy site alice@box /srv/www`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is an example")]

use irosh::{StreamExt as _, client::transfer::TransferOptions};

#[tokio::main]
async fn main() -> irosh::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [source, target, destination] = &arguments[..] else {
        eprintln!("usage: copy SOURCE [USER@]HOST DESTINATION");
        return Ok(());
    };
    let host = irosh::connect(target).await?;
    let mut options = TransferOptions::default().recursive(true).resume(true);
    let mut progress = options.progress_stream();
    let showing = tokio::spawn(async move {
        while let Some(now) = progress.next().await {
            let bar = "#".repeat(now.percent() as usize / 5);
            print!("\r[{bar:20}] {:3} %, {} of {} bytes ", now.percent(), now.bytes, now.bytes_total);
        }
        println!();
    });
    let report = host.upload([source], destination, options).await?;
    let _ = showing.await;
    println!("{} files, {} bytes", report.files, report.bytes);
    host.disconnect().await;
    Ok(())
}
