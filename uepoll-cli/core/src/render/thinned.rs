//! Examples of a stream in bounded room: each so many-th is kept, and twice as
//! few when the room is full, so that they stay spread over the whole of it.

/// Examples of what was pushed, in the order in which it came.
#[derive(Clone, Debug)]
pub(crate) struct Thinned<T> {
    most: usize,
    seen: u64,
    shift: u32,
    kept: Vec<T>,
}

impl<T> Thinned<T> {
    /// Keeps `most` at most.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, seen: 0, shift: 0, kept: Vec::new() }
    }

    /// Adds one, or leaves it out.
    pub(crate) fn push(&mut self, one: T) {
        if self.seen.is_multiple_of(1 << self.shift) {
            self.kept.push(one);
        }
        self.seen += 1;
        if self.kept.len() > self.most {
            let mut number = 0usize;
            self.kept.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.shift += 1;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_stream_leaves_few_that_are_spread_over_it() {
        let mut thinned = Thinned::new(400);
        (0..100_000u64).for_each(|n| thinned.push(n));
        let kept = thinned.kept();
        assert!((130..=400).contains(&kept.len()), "{}", kept.len());
        assert!(kept.windows(2).all(|pair| pair[1] - pair[0] == kept[1] - kept[0]));
        assert!(kept.last().is_some_and(|last| *last > 99_000));
        assert_eq!(thinned.seen(), 100_000);
    }
}
