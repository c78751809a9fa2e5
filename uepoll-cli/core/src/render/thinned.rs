//! Examples of a stream in bounded room: one in so many is kept, and half as
//! many when the room is full, so that they stay spread over the whole of it.
//! Chosen by a hash of their number: a step would keep in time with streams
//! that alternate.

/// Examples of what was pushed, in the order in which it came.
#[derive(Clone, Debug)]
pub(crate) struct Thinned<T> {
    most: usize,
    seen: u64,
    shift: u32,
    kept: Vec<T>,
    /// Of each that is kept.
    hashes: Vec<u64>,
}

impl<T> Thinned<T> {
    /// Keeps `most` at most.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, seen: 0, shift: 0, kept: Vec::new(), hashes: Vec::new() }
    }

    /// Adds one, or leaves it out.
    pub(crate) fn push(&mut self, one: T) {
        let hash = hash(self.seen);
        self.seen += 1;
        if is_chosen(hash, self.shift) {
            self.kept.push(one);
            self.hashes.push(hash);
        }
        while self.kept.len() > self.most {
            self.shift += 1;
            let mut hashes = self.hashes.iter();
            self.kept.retain(|_| hashes.next().is_some_and(|hash| is_chosen(*hash, self.shift)));
            self.hashes.retain(|hash| is_chosen(*hash, self.shift));
        }
    }

    /// Those that were kept.
    pub(crate) fn kept(&self) -> &[T] {
        &self.kept
    }

    /// How many were pushed.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }
}

/// One in `2^shift` is.
fn is_chosen(hash: u64, shift: u32) -> bool {
    hash.leading_zeros() >= shift
}

/// Mixes a number so that each bit of it decides on each bit of the result
/// (the finaliser of SplitMix64).
fn hash(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_stream_leaves_few_that_are_spread_over_it() {
        let mut thinned = Thinned::new(400);
        (0..100_000u64).for_each(|n| thinned.push(n));
        let kept = thinned.kept();
        assert!((130..=400).contains(&kept.len()), "{}", kept.len());
        for tenth in 0..10 {
            let within = kept.iter().filter(|n| **n / 10_000 == tenth).count();
            assert!(within * 25 > kept.len(), "{within} of {} in tenth {tenth}", kept.len());
        }
        assert_eq!(thinned.seen(), 100_000);
    }

    #[test]
    fn of_two_that_alternate_both_are_kept() {
        let mut thinned = Thinned::new(100);
        (0..100_000u64).for_each(|n| thinned.push(n));
        let odd = thinned.kept().iter().filter(|n| **n % 2 == 1).count();
        let all = thinned.kept().len();
        assert!(odd * 4 > all && odd * 4 < all * 3, "{odd} of {all}");
    }
}
