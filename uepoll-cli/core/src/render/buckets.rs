//! Histograms of the kernel side as renderers take them apart.

use uepoll_common::hist::{BUCKETS, RawHistogram, bucket_floor};

/// Upper edges of the buckets that hold something, ascending, with what they
/// hold. None is more than the greatest value.
pub(crate) fn edges(raw: &RawHistogram) -> impl Iterator<Item = (u64, u64)> + '_ {
    let filled = raw.buckets.iter().enumerate().filter(|(_, held)| **held > 0);
    filled.map(|(index, held)| {
        let edge = if index + 1 < BUCKETS { bucket_floor(index + 1) - 1 } else { u64::MAX };
        (edge.min(raw.max), *held)
    })
}
