//! The files that `Include` names (sshd_config(5)).

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use crate::server::pattern::matches_pattern;

/// Where a relative pattern is looked for.
const FOLDER: &str = "/etc/ssh";

/// Reads the files that a pattern stands for, in order: names and texts. `*` and `?` may stand in any part of it.
/// None is no error, as in sshd.
///
/// # Errors
///
/// A folder or file that is there and cannot be read, and a pattern with `[`, which is not understood.
pub fn include_files(pattern: &str) -> io::Result<Vec<(String, String)>> {
    if pattern.contains('[') {
        return Err(io::Error::other("[...] is not understood, use * or ?"));
    }
    let mut paths = vec![PathBuf::new()];
    for part in Path::new(FOLDER).join(pattern).components() {
        paths = match part {
            Component::Normal(name) if name.to_string_lossy().contains(['*', '?']) => {
                in_folders(&paths, &name.to_string_lossy())?
            }
            part => paths.into_iter().map(|path| path.join(part)).collect(),
        };
    }
    paths.retain(|path| !is_missing(&fs::metadata(path)));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).map_err(|error| at(&path, &error))?;
        Ok((path.display().to_string(), text))
    };
    paths.into_iter().map(read).collect()
}

/// What fits a pattern of names in any of these folders, in order.
fn in_folders(folders: &[PathBuf], pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in folders {
        let entries = fs::read_dir(folder);
        if is_missing(&entries) {
            continue;
        }
        for entry in entries.map_err(|error| at(folder, &error))? {
            let name = entry.map_err(|error| at(folder, &error))?.file_name();
            let text = name.to_string_lossy();
            // As in a shell, a dot at the start is only matched by one.
            let hidden = text.starts_with('.') && !pattern.starts_with('.');
            if !hidden && matches_pattern(&text, pattern) {
                found.push(folder.join(&name));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_missing<T>(found: &io::Result<T>) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    found.as_ref().is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_in_any_part_and_what_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().display();
        for name in ["a/hard.conf", "b/hard.conf", "b/soft.conf", ".c/hard.conf", "plain"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, name).expect("a file");
        }
        let texts = |pattern: &str| -> Vec<String> {
            let files = include_files(&format!("{root}/{pattern}")).expect(pattern);
            files.into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(texts("*/hard.conf"), ["a/hard.conf", "b/hard.conf"]);
        assert_eq!(texts("?/*.conf"), ["a/hard.conf", "b/hard.conf", "b/soft.conf"]);
        assert_eq!(texts(".c/*"), [".c/hard.conf"]);
        assert_eq!(
            (texts("plain"), texts("gone"), texts("gone/*"), texts("plain/*")),
            (vec!["plain".to_owned()], vec![], vec![], vec![])
        );
        let error = include_files(&format!("{root}/*")).expect_err("a folder is no file").to_string();
        assert!(error.starts_with(&format!("{root}/a: ")), "{error}");
        fs::write(folder.path().join("plain"), b"\xff").expect("a file");
        assert!(include_files(&format!("{root}/plain")).is_err() && include_files("/[a]").is_err());
    }
}
