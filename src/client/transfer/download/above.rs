//! Folders that are being filled, and the folders that they are in.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{super::checksum::Sha256Digest, held::Held};

/// A folder that is being filled.
pub(super) struct Filling {
    /// At the server.
    pub(super) path: Vec<u8>,
    pub(super) real: Real,
    pub(super) local: Arc<Held>,
    pub(super) above: Arc<Above>,
}

/// A path without links, by which loops are told. It is kept as a digest: the paths of a deep tree together are as
/// long as the square of its depth.
#[derive(Clone)]
pub(super) struct Real(Sha256);

/// A folder and those it is in.
pub(super) struct Above {
    real: Sha256Digest,
    /// How many there are.
    pub(super) depth: usize,
    above: Option<Arc<Self>>,
}

impl Real {
    pub(super) fn new(path: &[u8]) -> Self {
        let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        Self(Sha256::new_with_prefix(&path[..end]))
    }

    /// That of an entry of the folder.
    pub(super) fn below(&self, name: &[u8]) -> Self {
        Self(self.0.clone().chain_update(b"/").chain_update(name))
    }

    fn digest(&self) -> Sha256Digest {
        self.0.clone().finalize().into()
    }
}

impl Above {
    pub(super) fn new(real: &Real, above: Option<Arc<Self>>) -> Self {
        let depth = above.as_ref().map_or(0, |above| above.depth) + 1;
        Self { real: real.digest(), depth, above }
    }

    /// Whether it is that folder, or in it.
    pub(super) fn contains(&self, real: &Real) -> bool {
        let digest = real.digest();
        let mut one = Some(self);
        while let Some(above) = one {
            if above.real == digest {
                return true;
            }
            one = above.above.as_deref();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_in_all_that_are_above_it() {
        let top = Real::new(b"/a");
        let inner = top.below(b"b").below(b"c");
        let above = Arc::new(Above::new(&top, None));
        let above = Above::new(&inner, Some(Arc::new(Above::new(&top.below(b"b"), Some(above)))));
        assert_eq!(above.depth, 3);
        for path in [&b"/a"[..], b"/a/b", b"/a/b/", b"/a/b/c"] {
            assert!(above.contains(&Real::new(path)));
        }
        assert!(!above.contains(&Real::new(b"/a/c")));
        assert!(Above::new(&Real::new(b"/").below(b"x"), None).contains(&Real::new(b"/x")));
    }
}
