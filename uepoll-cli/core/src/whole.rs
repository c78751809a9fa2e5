//! Several intervals of one run made one: what a run tells as a whole. The
//! other way round from `since`: everything counted is added up.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use uepoll_common::hist::RawHistogram;

use crate::capture::{Capture, Cost, HeadWatch, Loss, RingCapture};
use crate::correlate::{Correlated, RingCorrelated};
use crate::report::Report;
use crate::run::Told;

/// Notes of different intervals that are kept.
const NOTES: usize = 32;

/// Intervals, or frames, added up; empty at first.
#[derive(Default)]
pub struct Whole {
    parts: u64,
    sum: Option<(Capture, Correlated)>,
    /// As it was built, while there is one part only.
    only: Option<Report>,
}

impl Whole {
    /// Adds the next one, in the order of time.
    pub fn add(&mut self, next: &Told) {
        self.parts += 1;
        let Some((capture, correlated)) = &mut self.sum else {
            self.sum = Some((next.capture.clone(), next.correlated.clone()));
            self.only = Some(next.report.clone());
            return;
        };
        self.only = None;
        join(capture, &next.capture);
        join_correlated(correlated, &next.correlated);
    }

    /// How many were added.
    pub fn parts(&self) -> u64 {
        self.parts
    }

    /// What they tell together; `None` if there was none.
    pub fn finish(self) -> Option<Told> {
        let (capture, correlated) = self.sum?;
        let report = self.only.unwrap_or_else(|| Report::build(&capture, &correlated));
        Some(Told { capture, correlated, report })
    }
}

/// Adds to `sum` what was counted in the interval after it.
fn join(sum: &mut Capture, next: &Capture) {
    for ring in &next.rings {
        match sum.rings.iter_mut().find(|mine| mine.ring == ring.ring) {
            Some(mine) => join_ring(mine, ring),
            None => sum.rings.push(ring.clone()),
        }
    }
    for note in &next.notes {
        if sum.notes.len() < NOTES && !sum.notes.contains(note) {
            sum.notes.push(note.clone());
        }
    }
    sum.duration_ns = sum.duration_ns.saturating_add(next.duration_ns);
    sum.interval = next.interval;
    sum.sampler_hz = next.sampler_hz;
    sum.unfinished |= next.unfinished;
    sum.host_counters.add(&next.host_counters);
    join_loss(&mut sum.loss, &next.loss);
    join_cost(&mut sum.cost, &next.cost);
    sum.head_watch = match (sum.head_watch.take(), &next.head_watch) {
        (Some(mine), Some(next)) => Some(HeadWatch {
            ring: mine.ring.or(next.ring),
            reads: mine.reads.saturating_add(next.reads),
            watched_ns: mine.watched_ns.saturating_add(next.watched_ns),
            longest_gap_ns: mine.longest_gap_ns.max(next.longest_gap_ns),
            ended: next.ended.clone().or(mine.ended),
        }),
        (mine, next) => mine.or_else(|| next.clone()),
    };
}

fn join_ring(sum: &mut RingCapture, next: &RingCapture) {
    let add = |mine: &mut u64, theirs: u64| *mine = mine.saturating_add(theirs);
    if next.owner.is_some() {
        sum.owner.clone_from(&next.owner);
    }
    sum.holders.extend(next.holders.iter().cloned());
    sum.holders.sort();
    sum.holders.dedup();
    for consumer in &next.consumers {
        if !sum.consumers.iter().any(|mine| mine.tid == consumer.tid) {
            sum.consumers.push(consumer.clone());
        }
    }
    add(&mut sum.observed_ns, next.observed_ns);
    add(&mut sum.waiting_ns, next.waiting_ns);
    sum.waiters_seen = sum.waiters_seen.max(next.waiters_seen);
    sum.spins_heard = match (sum.spins_heard, next.spins_heard) {
        (None, None) => None,
        // Heard in a part only is not heard throughout.
        (mine, next) => Some(mine == Some(true) && next == Some(true)),
    };
    sum.max_items = next.max_items;
    sum.last = next.last.or(sum.last);
    sum.closed |= next.closed;
    sum.sample_shift = next.sample_shift;
    for (mine, theirs) in sum.counters.0.iter_mut().zip(next.counters.0) {
        add(mine, theirs);
    }
    sum.histograms = match (sum.histograms.take(), &next.histograms) {
        (Some(mut mine), Some(next)) => {
            for (mine, next) in Arc::make_mut(&mut mine).iter_mut().zip(&**next) {
                join_histogram(mine, next);
            }
            Some(mine)
        }
        // Kept in a part only: they are no distribution of the whole.
        _ => None,
    };
}

/// As [`RawHistogram::merge`], of counts that a file may have made up.
fn join_histogram(sum: &mut RawHistogram, next: &RawHistogram) {
    sum.count = sum.count.saturating_add(next.count);
    sum.sum = sum.sum.saturating_add(next.sum);
    sum.max = sum.max.max(next.max);
    for (mine, theirs) in sum.buckets.iter_mut().zip(next.buckets) {
        *mine = mine.saturating_add(theirs);
    }
}

fn join_loss(sum: &mut Loss, next: &Loss) {
    let add = |mine: &mut u64, theirs: u64| *mine = mine.saturating_add(theirs);
    add(&mut sum.recursion_misses, next.recursion_misses);
    add(&mut sum.ticks_expected, next.ticks_expected);
    add(&mut sum.bad_records, next.bad_records);
    sum.probe_misses =
        sum.probe_misses.zip(next.probe_misses).map(|(mine, next)| mine.saturating_add(next));
}

fn join_cost(sum: &mut Cost, next: &Cost) {
    sum.own_cpu_ns = sum.own_cpu_ns.saturating_add(next.own_cpu_ns);
    sum.statistics_on_ns = sum.statistics_on_ns.saturating_add(next.statistics_on_ns);
    for program in &next.programs {
        match sum.programs.iter_mut().find(|mine| mine.name == program.name) {
            Some(mine) => {
                mine.run_time_ns = mine.run_time_ns.saturating_add(program.run_time_ns);
                mine.hits = mine.hits.saturating_add(program.hits);
            }
            None => sum.programs.push(program.clone()),
        }
    }
}

fn join_correlated(sum: &mut Correlated, next: &Correlated) {
    let add = |mine: &mut u64, theirs: u64| *mine = mine.saturating_add(theirs);
    add(&mut sum.records, next.records);
    add(&mut sum.refused, next.refused);
    add(&mut sum.of_other_intervals, next.of_other_intervals);
    for (number, ring) in &next.rings {
        match sum.rings.entry(*number) {
            Entry::Occupied(mine) => join_ring_correlated(mine.into_mut(), ring),
            Entry::Vacant(place) => {
                place.insert(ring.clone());
            }
        }
    }
}

fn join_ring_correlated(sum: &mut RingCorrelated, next: &RingCorrelated) {
    sum.residency.merge(&next.residency);
    // `before` stays the first one's: what is in the ring when an interval
    // begins was not there before the run.
    for point in next.depth.points() {
        sum.depth.push(point.time_ns, point.least);
        sum.depth.push(point.time_ns, point.greatest);
    }
    sum.anomalies.add(&next.anomalies);
    sum.resolved = sum.resolved.saturating_add(next.resolved);
    sum.late = sum.late.saturating_add(next.late);
    sum.closed = next.closed.or(sum.closed);
}
