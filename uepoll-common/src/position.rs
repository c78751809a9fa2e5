//! Positions in the ring: values of head and tail, which wrap at `u32::MAX`.
//!
//! Every comparison of two of them is by wrapping difference, and is here.

use core::fmt;
use core::ops::Add;

/// A value of the ring's head or tail, counted in events since the ring was
/// made, modulo 2^32. The slot of a position is `position & (slots - 1)`.
///
/// Not `Ord`: the order of wrapping numbers is not transitive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Position(pub u32);

impl Position {
    /// Events from `self` up to `later`. A `later` that is in truth before
    /// `self` gives more than `u32::MAX / 2`.
    #[inline]
    #[must_use]
    pub const fn distance_to(self, later: Self) -> u32 {
        later.0.wrapping_sub(self.0)
    }

    /// Whether `self` lies before `other`, for positions that are less than
    /// 2^31 events apart.
    #[inline]
    #[must_use]
    pub const fn is_before(self, other: Self) -> bool {
        let distance = self.distance_to(other);
        distance != 0 && distance <= u32::MAX / 2
    }
}

impl Add<u32> for Position {
    type Output = Self;

    #[inline]
    fn add(self, events: u32) -> Self {
        Self(self.0.wrapping_add(events))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_across_the_wrap() {
        assert_eq!(Position(u32::MAX).distance_to(Position(2)), 3);
        assert_eq!(Position(5).distance_to(Position(5)), 0);
        assert_eq!(Position(u32::MAX) + 3, Position(2));
    }

    #[test]
    fn before_is_by_wrapping_difference() {
        assert!(Position(u32::MAX).is_before(Position(0)));
        assert!(!Position(0).is_before(Position(u32::MAX)));
        assert!(!Position(7).is_before(Position(7)));
        assert!(Position(0).is_before(Position(u32::MAX / 2)));
        assert!(!Position(0).is_before(Position(u32::MAX / 2 + 1)));
    }
}
