//! What a destination means: the rules of scp and cp.

use std::sync::Arc;

use super::error::{Side, TransferError};

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
}

/// A destination, which is on a side and was written as it is shown in errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal<'a> {
    pub(super) side: Side,
    pub(super) shown: &'a [u8],
    pub(super) there: There,
    /// Whether it was written as a folder.
    pub(super) slash: bool,
    /// How many sources go there.
    pub(super) sources: usize,
}

impl Goal<'_> {
    /// Where one of the sources goes, which is a folder or not.
    ///
    /// # Errors
    /// The destination would have to be a folder, and is none or does not exist.
    pub(super) fn place(&self, folder: bool) -> Result<Placement, TransferError> {
        let Self { side, shown, there, slash, sources } = *self;
        let path = || Arc::<[u8]>::from(shown);
        match there {
            There::Folder => Ok(Placement::Inside),
            There::Other if sources > 1 || slash || folder => {
                Err(TransferError::NotDirectory { side, path: path() })
            }
            There::Nothing if sources > 1 => Err(TransferError::NeedsFolder { side, path: path() }),
            There::Nothing if slash && !folder => Err(TransferError::NoSuchFile { side, path: path() }),
            There::Other | There::Nothing => Ok(Placement::As),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(there: There, sources: usize, slash: bool, folder: bool) -> Result<Placement, TransferError> {
        Goal { side: Side::Local, shown: b"there", there, slash, sources }.place(folder)
    }

    #[test]
    fn a_folder_takes_everything_in() {
        assert!(matches!(place(There::Folder, 1, false, false), Ok(Placement::Inside)));
        assert!(matches!(place(There::Folder, 3, true, true), Ok(Placement::Inside)));
    }

    #[test]
    fn one_source_takes_a_new_name() {
        assert!(matches!(place(There::Nothing, 1, false, false), Ok(Placement::As)));
        assert!(matches!(place(There::Nothing, 1, true, true), Ok(Placement::As)));
        assert!(matches!(place(There::Other, 1, false, false), Ok(Placement::As)));
    }

    #[test]
    fn what_must_be_a_folder_and_is_none() {
        use TransferError::{NeedsFolder, NoSuchFile, NotDirectory};
        assert!(matches!(place(There::Nothing, 2, false, false), Err(NeedsFolder { .. })));
        assert!(matches!(place(There::Nothing, 2, true, false), Err(NeedsFolder { .. })));
        assert!(matches!(place(There::Nothing, 1, true, false), Err(NoSuchFile { .. })));
        assert!(matches!(place(There::Other, 2, false, false), Err(NotDirectory { .. })));
        assert!(matches!(place(There::Other, 1, true, false), Err(NotDirectory { .. })));
        assert!(matches!(place(There::Other, 1, false, true), Err(NotDirectory { .. })));
    }
}
