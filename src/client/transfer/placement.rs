//! What a destination means: the rules of scp and cp.

/// What there is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    Folder,
    Other,
}

/// Where a source goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// Into the folder, under its own name.
    Inside,
    /// To the very name.
    As,
    /// The destination would have to be a folder, and does not exist.
    Missing,
    /// The destination would have to be a folder, and is none.
    NotFolder,
}

/// Where one of `sources` sources goes, which is a folder or not.
pub(super) fn place(there: There, sources: usize, trailing_slash: bool, folder: bool) -> Placement {
    match there {
        There::Folder => Placement::Inside,
        There::Other if sources > 1 || trailing_slash || folder => Placement::NotFolder,
        There::Nothing if sources > 1 || (trailing_slash && !folder) => Placement::Missing,
        There::Other | There::Nothing => Placement::As,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_takes_everything_in() {
        assert_eq!(place(There::Folder, 1, false, false), Placement::Inside);
        assert_eq!(place(There::Folder, 3, true, true), Placement::Inside);
    }

    #[test]
    fn one_source_takes_a_new_name() {
        assert_eq!(place(There::Nothing, 1, false, false), Placement::As);
        assert_eq!(place(There::Nothing, 1, true, true), Placement::As);
        assert_eq!(place(There::Other, 1, false, false), Placement::As);
    }

    #[test]
    fn what_must_be_a_folder_and_is_none() {
        assert_eq!(place(There::Nothing, 2, false, false), Placement::Missing);
        assert_eq!(place(There::Nothing, 1, true, false), Placement::Missing);
        assert_eq!(place(There::Other, 2, false, false), Placement::NotFolder);
        assert_eq!(place(There::Other, 1, true, false), Placement::NotFolder);
        assert_eq!(place(There::Other, 1, false, true), Placement::NotFolder);
    }
}
