//! Counters and histograms as a file knows them: by name, what is 0 left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uepoll_common::counter::{HostCounter, RingCounter, RingHistogram};
use uepoll_common::hist::{RawHistogram, bucket_floor, bucket_of};

use crate::capture::{HostCounters, RingCounters};

/// Counts by the name of their counter.
pub type Counts = BTreeMap<String, u64>;

/// A histogram, sparse.
#[derive(Serialize, Deserialize)]
pub struct Histogram {
    count: u64,
    sum: u64,
    max: u64,
    /// Smallest value of a bucket, and values in it. Not the bucket's number:
    /// that may be another one some day.
    buckets: Vec<(u64, u64)>,
}

/// By which name files know a histogram: names stay, places may change.
pub const fn histogram_name(which: RingHistogram) -> &'static str {
    match which {
        RingHistogram::PublishDirect => "PublishDirect",
        RingHistogram::PublishOffloaded => "PublishOffloaded",
        RingHistogram::OffloadDelay => "OffloadDelay",
        RingHistogram::OffloadRun => "OffloadRun",
        RingHistogram::Blocked => "Blocked",
        RingHistogram::Depth => "Depth",
        RingHistogram::SlotExposure => "SlotExposure",
        RingHistogram::WakeUp => "WakeUp",
    }
}

/// Buckets that are not empty: smallest value and number of values.
pub fn histogram_buckets(raw: &RawHistogram) -> Vec<(u64, u64)> {
    let filled = raw.buckets.iter().enumerate().filter(|(_, values)| **values > 0);
    filled.map(|(index, values)| (bucket_floor(index), *values)).collect()
}

/// Of a ring, by name.
pub fn ring_counts(counters: &RingCounters) -> Counts {
    named(RingCounter::ALL.iter().map(|which| (which.name(), counters.get(*which))))
}

/// Of the host, by name.
pub fn host_counts(counters: &HostCounters) -> Counts {
    named(HostCounter::ALL.iter().map(|which| (which.name(), counters.get(*which))))
}

fn named<'a>(all: impl Iterator<Item = (&'a str, u64)>) -> Counts {
    all.filter(|(_, value)| *value > 0).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The other way: what is not there is 0, what is not known is left alone.
pub fn ring_counters(counts: &Counts) -> RingCounters {
    let mut counters = RingCounters([0; RingCounter::ALL.len()]);
    for which in RingCounter::ALL {
        counters.0[*which as usize] = counts.get(which.name()).copied().unwrap_or(0);
    }
    counters
}

/// As [`ring_counters`].
pub fn host_counters(counts: &Counts) -> HostCounters {
    let mut counters = HostCounters::default();
    for which in HostCounter::ALL {
        counters.0[*which as usize] = counts.get(which.name()).copied().unwrap_or(0);
    }
    counters
}

impl Histogram {
    /// `None` of an empty one.
    pub fn of(raw: &RawHistogram) -> Option<Self> {
        let buckets = histogram_buckets(raw);
        let empty = raw.count == 0 && raw.sum == 0 && raw.max == 0 && buckets.is_empty();
        (!empty).then_some(Self { count: raw.count, sum: raw.sum, max: raw.max, buckets })
    }

    /// As it was counted.
    pub fn raw(&self) -> RawHistogram {
        let mut raw =
            RawHistogram { count: self.count, sum: self.sum, max: self.max, ..RawHistogram::EMPTY };
        for (floor, values) in &self.buckets {
            // `bucket_of` is below BUCKETS, whatever the value.
            let bucket = &mut raw.buckets[bucket_of(*floor)];
            *bucket = bucket.saturating_add(*values);
        }
        raw
    }
}
