//! Copies a tree to a host and a file back, with progress: `cargo run --example transfer`.
#![allow(clippy::print_stdout, reason = "it is an example")]

mod support;

use std::fs;

use irosh::client::{
    ClientOptions,
    transfer::{TransferOptions, TransferProgress},
};
use support::{Failed, Place, serve_if_asked};
use tokio::sync::watch;

fn main() -> Result<(), Failed> {
    serve_if_asked()?;
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<(), Failed> {
    let place = Place::start().await?;
    let folder = place.folder.path();
    let tree = folder.join("tree");
    fs::create_dir_all(tree.join("inner"))?;
    fs::write(tree.join("large"), vec![7; 20 << 20])?;
    for number in 0..100 {
        fs::write(tree.join("inner").join(number.to_string()), number.to_string())?;
    }

    let options = ClientOptions::new(&place.login);
    let connection = place.client.connect_without_session(&place.target, options).await?;
    let (progress, mut told) = watch::channel(TransferProgress::default());
    let showing = tokio::spawn(async move {
        while told.changed().await.is_ok() {
            let now = told.borrow_and_update().clone();
            println!("{:3} %, {} of {} bytes", now.percent(), now.bytes, now.bytes_total);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    // Killed and started again, it would go on where it was.
    let options = TransferOptions {
        recursive: true,
        resume: true,
        progress: Some(progress),
        ..TransferOptions::default()
    };
    let there = folder.join("there");
    let report = connection.upload(&[tree], there.as_os_str().as_encoded_bytes(), options).await?;
    showing.await?;
    println!("{} files, {} bytes", report.files, report.bytes);
    assert_eq!(report.files, 101);

    let source = there.join("large").into_os_string().into_encoded_bytes();
    let checked = TransferOptions { checksum: true, ..TransferOptions::default() };
    connection.download(&[source], &folder.join("back"), checked).await?;
    assert!(fs::read(folder.join("back"))? == vec![7; 20 << 20]);
    for entry in connection.remote_completion(there.join("inner/9").as_os_str().as_encoded_bytes()).await? {
        println!("{}", String::from_utf8_lossy(&entry.path));
    }
    connection.disconnect().await;
    place.end().await
}
