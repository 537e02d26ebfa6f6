//! The line, drawn from a snapshot.

use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use super::{amount, name, snapshot::Snapshot};

/// The line of a transfer, never wider than `width` less one, so that no terminal wraps it, and
/// never with a control character. What there is no room for is left out, the name last.
#[must_use]
pub(crate) fn render(snapshot: &Snapshot, width: usize) -> String {
    let room = width.saturating_sub(1);
    let name = name::safe(&snapshot.name);
    let figures = figures(snapshot);
    // The first figures are those that say most.
    let fit = (0..=figures.len()).rev().find(|&count| columns(&figures[..count]) + LEAST_NAME <= room);
    let figures = &figures[..fit.unwrap_or(0)];
    let taken = columns(figures);
    let name = name::cut(&name, room.saturating_sub(taken));
    if figures.is_empty() {
        return name;
    }
    let gap = room - taken - name.width();
    let figures: String = figures.iter().map(|(_, text)| format!(" {text}")).collect();
    format!("{name}{}{figures}", " ".repeat(gap))
}

/// In columns: less of a name is worth less than any figure.
const LEAST_NAME: usize = 8;

/// scp calls a transfer stalled when five seconds brought nothing.
const STALLED: Duration = Duration::from_secs(5);

fn columns(figures: &[(usize, String)]) -> usize {
    figures.iter().map(|(columns, _)| columns + 1).sum()
}

/// What is said, each padded to its columns so that nothing jumps.
fn figures(snapshot: &Snapshot) -> Vec<(usize, String)> {
    let mut figures = Vec::new();
    let mut push = |least: usize, text: String| {
        let columns = least.max(text.len());
        figures.push((columns, format!("{text:>columns$}")));
    };
    if let Some(percent) = percent(snapshot) {
        push(4, format!("{percent}%"));
    }
    push(6, amount::bytes(snapshot.done));
    push(9, amount::rate(rate(snapshot)));
    push(9, left(snapshot));
    if snapshot.file.1 > 1 {
        push(0, format!("{}/{} files", snapshot.file.0, snapshot.file.1));
    }
    figures
}

/// Of an empty file, all; and 100 only when all is there.
fn percent(snapshot: &Snapshot) -> Option<u64> {
    let total = snapshot.total?;
    if snapshot.done >= total {
        return Some(100);
    }
    Some((u128::from(snapshot.done) * 100 / u128::from(total)) as u64)
}

fn rate(snapshot: &Snapshot) -> u64 {
    let seconds = snapshot.elapsed.as_secs_f64();
    if snapshot.ended && seconds > 0.0 { (snapshot.sent as f64 / seconds) as u64 } else { snapshot.rate }
}

/// What is left of the time, or what went by where that cannot be said.
fn left(snapshot: &Snapshot) -> String {
    let to_go = snapshot.total.map(|total| total.saturating_sub(snapshot.done));
    match to_go {
        _ if snapshot.ended => amount::time(snapshot.elapsed),
        _ if snapshot.idle >= STALLED => "- stalled -".to_owned(),
        None | Some(0) => amount::time(snapshot.elapsed),
        Some(_) if snapshot.rate == 0 => "--:-- ETA".to_owned(),
        Some(to_go) => {
            let left = Duration::from_secs(to_go / snapshot.rate);
            // No transfer of a hundred hours knows its end.
            if left.as_secs() >= 360_000 {
                "--:-- ETA".to_owned()
            } else {
                format!("{} ETA", amount::time(left))
            }
        }
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
