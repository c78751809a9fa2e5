//! Buckets of every histogram, kernel side and user side: exact below 16, then
//! 16 buckets an octave (6.25 % wide) up to 2^36 (69 s in nanoseconds), then
//! one bucket for everything longer.

const SUB_BITS: u32 = 4;
const SUB: usize = 1 << SUB_BITS;
const TOP_BITS: u32 = 36;

/// Number of buckets, the last one for values of 2^36 and more.
pub const BUCKETS: usize = SUB + (TOP_BITS - SUB_BITS) as usize * SUB + 1;

/// Index of the bucket that holds `value`; always below [`BUCKETS`].
#[inline(always)]
pub const fn bucket_of(value: u64) -> usize {
    if value < SUB as u64 {
        return value as usize;
    }
    if value >= 1 << TOP_BITS {
        return BUCKETS - 1;
    }
    let octave = 63 - value.leading_zeros();
    let within = (value >> (octave - SUB_BITS)) as usize & (SUB - 1);
    SUB + (octave - SUB_BITS) as usize * SUB + within
}

/// Smallest value of bucket `index`, which is also one more than the largest
/// value of the bucket before it.
pub const fn bucket_floor(index: usize) -> u64 {
    if index < SUB {
        return index as u64;
    }
    let above = index - SUB;
    let octave = (above / SUB) as u32;
    ((SUB + above % SUB) as u64) << octave
}

/// One histogram as the kernel side keeps it: buckets beside exact count, sum
/// and maximum.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawHistogram {
    /// Number of values.
    pub count: u64,
    /// Sum of all values.
    pub sum: u64,
    /// Largest value.
    pub max: u64,
    /// Values in each bucket, see [`bucket_of`].
    pub buckets: [u64; BUCKETS],
}

impl RawHistogram {
    /// Without a value.
    pub const EMPTY: Self = Self { count: 0, sum: 0, max: 0, buckets: [0; BUCKETS] };

    /// Adds one value.
    #[inline(always)]
    pub fn record(&mut self, value: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(value);
        if value > self.max {
            self.max = value;
        }
        if let Some(bucket) = self.buckets.get_mut(bucket_of(value)) {
            *bucket += 1;
        }
    }

    /// Adds what another CPU counted.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_no_bucket_is_wider_than_a_sixteenth() {
        for shift in 0..36 {
            for offset in [0u64, 1, 2, 3, 7, 11, 13] {
                let value = ((1u64 << shift) + offset).min((1 << TOP_BITS) - 1);
                let index = bucket_of(value);
                let (floor, next) = (bucket_floor(index), bucket_floor(index + 1));
                assert!(floor <= value && value < next, "{value} in [{floor}, {next})");
                assert!((next - floor) * SUB as u64 <= floor.max(SUB as u64));
            }
        }
    }

    #[test]
    fn the_last_bucket_takes_everything_longer() {
        assert_eq!(bucket_of((1 << TOP_BITS) - 1), BUCKETS - 2);
        assert_eq!(bucket_of(1 << TOP_BITS), BUCKETS - 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket_floor(BUCKETS - 1), 1 << TOP_BITS);
    }
}
