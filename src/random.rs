//! Bytes that nobody can foresee.

use std::array;

/// So many of them, 32 at the most.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    const { assert!(N <= 32, "a key has no more") };
    let key = iroh::SecretKey::generate().to_bytes();
    array::from_fn(|at| key[at])
}
