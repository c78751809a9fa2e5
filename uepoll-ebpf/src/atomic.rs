//! Atomic access to map memory. Every operation is sequentially consistent, as
//! the BPF instructions are; plain loads and stores of aligned words do not
//! tear.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};

const SEQ: AtomicOrdering = AtomicOrdering::SeqCst;

/// Reads a word that others change.
#[inline(always)]
pub fn load<T: Copy>(word: *const T) -> T {
    // SAFETY: callers pass a pointer into a map value that is live for the
    // length of the program.
    unsafe { word.read_volatile() }
}

/// Writes a word that others read.
#[inline(always)]
pub fn store<T: Copy>(word: *mut T, value: T) {
    // SAFETY: as in `load`.
    unsafe { word.write_volatile(value) }
}

/// Writes `new` if the word holds `old`; tells whether it did.
#[inline(always)]
pub fn swap_if(word: *mut u32, old: u32, new: u32) -> bool {
    // SAFETY: as in `load`; the word is aligned by its type.
    unsafe { atomic_cxchg::<u32, { SEQ }, { SEQ }>(word, old, new).1 }
}

/// Adds to a 64-bit word.
#[inline(always)]
pub fn add_wide(word: *mut u64, value: u64) {
    // SAFETY: as in `load`; the word is aligned by its type.
    unsafe { atomic_xadd::<u64, u64, { SEQ }>(word, value) };
}

/// Adds to the word and gives what it held before.
#[inline(always)]
pub fn add(word: *mut u32, value: u32) -> u32 {
    // SAFETY: as in `load`; the word is aligned by its type.
    unsafe { atomic_xadd::<u32, u32, { SEQ }>(word, value) }
}
