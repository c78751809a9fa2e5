//! One ring of a report: who owns it, what state it is in, and a value for
//! each row of the figure table.

use uepoll_common::counter::{RingCounter, RingHistogram};
use uepoll_common::record::RingNumber;

use super::distribution::{Distribution, IntervalDistribution};
use super::loss;
use super::{Accuracy, Value};
use crate::books::{self, Equation, is_inferred, missing, no_probe};
use crate::capture::{Capture, Consumer, Holder, Owner, RingCapture};
use crate::correlate::{Anomalies, RingCorrelated};
use crate::figures::{FIGURES, Figure, FigureId};

/// Least and greatest depth within one step of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthPoint {
    /// Start of the step, from the start of the interval; negative for a step
    /// that began before it.
    pub time_ns: i64,
    /// Least depth seen in it.
    pub least: u32,
    /// Greatest depth seen in it.
    pub greatest: u32,
}

/// One ring in one interval.
#[derive(Clone, Debug, PartialEq)]
pub struct RingReport {
    /// Number in the records.
    pub number: RingNumber,
    /// Who owns it, `None` if it was only met in a waker's context.
    pub owner: Option<Owner>,
    /// Every descriptor of it that was found, ascending.
    pub holders: Vec<Holder>,
    /// Threads that consume from it; none: the consumer is not known.
    pub consumers: Vec<Consumer>,
    /// Items it can hold.
    pub max_items: u32,
    /// Items in use at the end, `None` if not known.
    pub items_used: Option<u32>,
    /// Positions between head and tail at the end, `None` if not known.
    pub left: Option<u32>,
    /// It was closed during the interval.
    pub closed: bool,
    /// It was created during the interval.
    pub created: bool,
    /// Why its header cannot be believed, `None` if it can.
    pub corrupt: Option<String>,
    /// Snapshots that saw head go back.
    pub head_back: u64,
    /// Records that contradicted themselves or each other.
    pub anomalies: Anomalies,
    /// One position in `2^sample_shift` was sampled at the end.
    pub sample_shift: u32,
    /// The books.
    pub equations: Vec<Equation>,
    /// Depth over time.
    pub depth_over_time: Vec<DepthPoint>,
    /// Width of one step of it.
    pub depth_step_ns: u64,
    values: Vec<Value>,
}

impl RingReport {
    /// Makes the report of one ring.
    pub fn build(ring: &RingCapture, told: &RingCorrelated, capture: &Capture) -> Self {
        let values =
            FIGURES.iter().map(|figure| Source { ring, told, capture, figure }.value()).collect();
        let counter = |which| ring.counters.get(which);
        Self {
            number: ring.ring,
            owner: ring.owner.clone(),
            holders: ring.holders.clone(),
            consumers: ring.consumers.clone(),
            max_items: ring.max_items,
            items_used: ring
                .last
                .as_ref()
                .and_then(|last| last.items_used)
                .or(told.closed.as_ref().map(|closed| closed.items_used)),
            left: books::last_head_and_tail(ring, told)
                .and_then(|(head, tail)| books::left_in_ring(head, tail)),
            closed: ring.closed || told.closed.is_some(),
            created: ring.created,
            corrupt: corruption(ring, told),
            // Both sides look at the same snapshots, in part.
            head_back: counter(RingCounter::HeadBack).max(told.anomalies.head_back),
            anomalies: told.anomalies,
            sample_shift: ring.sample_shift,
            equations: books::balance(ring, told, &capture.plan),
            depth_over_time: told
                .depth
                .points()
                .iter()
                .map(|point| DepthPoint {
                    time_ns: (i128::from(point.time_ns) - i128::from(capture.start_ns))
                        .clamp(i128::from(i64::MIN), i128::from(i64::MAX))
                        as i64,
                    least: point.least,
                    greatest: point.greatest,
                })
                .collect(),
            depth_step_ns: told.depth.step_ns(),
            values,
        }
    }

    /// The value of a figure.
    pub fn value(&self, id: FigureId) -> &Value {
        // In range: there is a value for each row of the table.
        &self.values[id as usize]
    }

    /// A counter's value; 0 if it is absent.
    pub fn count(&self, id: FigureId) -> u64 {
        match self.value(id) {
            Value::Count { value, .. } => *value,
            _ => 0,
        }
    }

    /// How much happened on this ring: 0 for one that was only seen.
    pub fn activity(&self) -> u64 {
        [FigureId::Published, FigureId::Arrivals, FigureId::Waits, FigureId::Adds]
            .into_iter()
            .map(|id| self.count(id))
            .fold(0, u64::saturating_add)
    }
}

/// Why a header cannot be believed. A head that goes back is counted apart: a
/// second consumer in mid-step can do that without harm.
fn corruption(ring: &RingCapture, told: &RingCorrelated) -> Option<String> {
    let wrong_header = ring.counters.get(RingCounter::BadMagic) > 0
        || told.anomalies.header_wrong > 0
        || ring.last.as_ref().is_some_and(|last| !last.header_right);
    if wrong_header {
        return Some("its header has a wrong magic or wrong lengths".into());
    }
    let beyond =
        ring.counters.get(RingCounter::HeadBeyondTail).max(told.anomalies.head_beyond_tail);
    let ends_beyond = books::last_head_and_tail(ring, told)
        .is_some_and(|(head, tail)| books::left_in_ring(head, tail).is_none());
    if beyond > 0 || ends_beyond {
        return Some(format!("its head was beyond its tail {} times", beyond.max(1)));
    }
    None
}

/// Everything that one figure of one ring is made of.
struct Source<'a> {
    ring: &'a RingCapture,
    told: &'a RingCorrelated,
    capture: &'a Capture,
    figure: &'static Figure,
}

impl Source<'_> {
    fn value(&self) -> Value {
        use FigureId as F;
        use RingCounter as C;
        match self.figure.id {
            F::Arrivals => self.count(&[C::Arrivals]),
            F::ArrivalsOffloaded => self.count(&[C::ArrivalsOffloaded]),
            F::Published => {
                self.count(&[C::PublishedCallback, C::PublishedInsert, C::PublishedModify])
            }
            F::PublishedRate => self.rate(books::published(self.ring)),
            F::PublishedInsert => self.count(&[C::PublishedInsert]),
            F::PublishedModify => self.count(&[C::PublishedModify]),
            F::Merged => self.count(&MERGED),
            F::MergedInsert => self.count(&[C::MergedInsert]),
            F::MergedModify => self.count(&[C::MergedModify]),
            F::MergedShare => {
                let merged = self.sum(&MERGED);
                let adds = merged.saturating_add(books::published(self.ring));
                self.share(merged, adds, "nothing was added to the ring")
            }
            F::Filtered => self.count(&[C::Filtered]),
            F::Disarmed => self.count(&[C::Disarmed]),
            F::Removed => self.count(&[C::RemovedReady]),
            F::Consumed => match books::consumed(self.ring, self.told) {
                Some(value) => Value::Count { value, accuracy: self.accuracy() },
                None => Value::Absent("head and tail at the end are not known".into()),
            },
            F::EventsPerWait => match books::consumed(self.ring, self.told) {
                Some(consumed) => self.share(consumed, self.sum(&[C::Waits]), "nobody waited"),
                None => Value::Absent("head and tail at the end are not known".into()),
            },
            F::EnospcRate => self.rate(self.sum(&NO_SPACE)),
            F::EnospcShare => self.share(self.sum(&NO_SPACE), self.sum(&[C::Adds]), "no ADD"),
            F::EnospcFull => self.count(&[C::AddsNoSpaceFull]),
            F::EnospcWatches => self.count(&[C::AddsNoSpaceWatches]),
            F::Adds => self.count(&[C::Adds]),
            F::EstaleRate => self.rate(self.sum(&[C::WaitsStaleAtOnce])),
            F::EstaleShare => {
                let stale = self.sum(&[C::WaitsStaleAtOnce]);
                self.share(stale, self.sum(&[C::Waits]), "nobody waited")
            }
            F::Residency => {
                match IntervalDistribution::build(&self.told.residency, self.unseen()) {
                    Some(distribution) => Value::Interval(distribution),
                    None => Value::Absent("no position was sampled".into()),
                }
            }
            F::OffloadDelay => self.distribution(RingHistogram::OffloadDelay),
            F::OffloadRun => self.distribution(RingHistogram::OffloadRun),
            F::OffloadWakeups => self.count(&[C::WakeupsKeyless]),
            F::OffloadRuns => self.count(&[C::OffloadRuns]),
            F::OffloadEmpty => self.count(&[C::OffloadEmptyRuns]),
            F::OffloadCollapsed => {
                let runs = self.sum(&[C::OffloadRuns]);
                self.count_of(self.sum(&[C::WakeupsKeyless]).saturating_sub(runs))
            }
            F::PublishDirect => self.distribution(RingHistogram::PublishDirect),
            F::PublishOffloaded => self.distribution(RingHistogram::PublishOffloaded),
            F::Blocked => self.distribution(RingHistogram::Blocked),
            F::Waits => self.count(&[C::Waits]),
            F::WaitsSlept => self.count(&[C::WaitsSlept]),
            F::WaitsStaleAtOnce => self.count(&[C::WaitsStaleAtOnce]),
            F::WaitsStaleSlept => self.count(&[C::WaitsStaleSlept]),
            F::WaitsTimedOut => self.count(&[C::WaitsTimedOut]),
            F::WaitsInterrupted => self.count(&[C::WaitsInterrupted]),
            F::WaitsOther => self.count(&[C::WaitsOther]),
            F::Depth => self.distribution(RingHistogram::Depth),
        }
    }

    fn sum(&self, counters: &[RingCounter]) -> u64 {
        counters.iter().map(|which| self.ring.counters.get(*which)).fold(0, u64::saturating_add)
    }

    /// Weight of chosen positions of which nothing is known: no less than it
    /// was, since the sample shift only grows.
    fn unseen(&self) -> u64 {
        let lost = self.sum(&[
            RingCounter::SampledPendingFull,
            RingCounter::SampledLost,
            RingCounter::SampledDoubtful,
        ]);
        lost.saturating_mul(1u64.checked_shl(self.ring.sample_shift).unwrap_or(u64::MAX))
    }

    fn accuracy(&self) -> Accuracy {
        loss::accuracy(self.figure, self.ring, self.capture)
    }

    /// Why this figure is not known: a probe it needs is absent.
    fn absent(&self) -> Option<Value> {
        missing(&self.capture.plan, self.figure.needs).map(|row| Value::Absent(no_probe(row)))
    }

    /// A count, absent if it is 0 for want of a probe.
    fn count_of(&self, value: u64) -> Value {
        match self.absent() {
            Some(absent) if value == 0 => absent,
            _ => Value::Count { value, accuracy: self.accuracy() },
        }
    }

    fn count(&self, counters: &[RingCounter]) -> Value {
        self.count_of(self.sum(counters))
    }

    fn rate(&self, events: u64) -> Value {
        match self.absent() {
            Some(absent) if events == 0 => absent,
            _ if self.capture.duration_ns == 0 => Value::Absent("the interval is empty".into()),
            _ => Value::Number {
                value: events as f64 * 1e9 / self.capture.duration_ns as f64,
                accuracy: self.accuracy(),
            },
        }
    }

    fn share(&self, part: u64, whole: u64, without: &str) -> Value {
        match missing(&self.capture.plan, self.figure.needs) {
            // Two lower bounds make no share; two estimates make one.
            Some(row) if whole == 0 || !is_inferred(row) => Value::Absent(no_probe(row)),
            None if whole == 0 => Value::Absent(without.into()),
            _ => Value::Number { value: part as f64 / whole as f64, accuracy: self.accuracy() },
        }
    }

    fn distribution(&self, which: RingHistogram) -> Value {
        match self.ring.histogram(which) {
            Some(raw) if raw.count > 0 => Value::Distribution(Distribution::build(raw)),
            Some(_) => self.absent().unwrap_or_else(|| Value::Absent("none seen".into())),
            None => Value::Absent("no histograms were kept for this ring".into()),
        }
    }
}

const MERGED: [RingCounter; 3] =
    [RingCounter::MergedCallback, RingCounter::MergedInsert, RingCounter::MergedModify];

const NO_SPACE: [RingCounter; 2] = [RingCounter::AddsNoSpaceFull, RingCounter::AddsNoSpaceWatches];
