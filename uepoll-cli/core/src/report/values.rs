//! Where the value of each figure of a ring is: the counters, histograms and
//! records that it is made of, and what makes it absent.

use uepoll_common::counter::{HostCounter, RingCounter, RingHistogram};
use uepoll_common::hist::{RawHistogram, bucket_floor};

use super::distribution::{Distribution, IntervalDistribution};
use super::{Accuracy, Value, loss, narrower};
use crate::books::{self, is_inferred, missing, no_probe};
use crate::capture::{Capture, Protocol, RingCapture};
use crate::correlate::RingCorrelated;
use crate::figures::{Figure, FigureId};
use crate::quantile::{SAMPLES_BEYOND, share_bounds};

/// Why nothing is said of a consumer.
const CONSUMER_UNKNOWN: &str = "consumer unknown: it never waited; name it with --consumer TID";

/// Why nothing is said of a consumer in a short interval: a share of few ticks
/// is none, and may pass what there is.
const FEW_TICKS: &str = "fewer than 30 ticks a CPU: watch longer, or look more often (-F)";

/// Why nothing is said of slot spin.
const NO_EMPTY_SLOTS: &str = "only in v2 and v3 is a slot empty once tail has passed it";

/// Why nothing is said of spin episodes.
const NO_SPIN_PROBE: &str = "no consumer carries the spin probe (docs/spin-probe.md)";

/// Everything that one figure of one ring is made of.
pub(super) struct Source<'a> {
    pub(super) ring: &'a RingCapture,
    pub(super) told: &'a RingCorrelated,
    pub(super) capture: &'a Capture,
    pub(super) figure: &'static Figure,
}

impl Source<'_> {
    pub(super) fn value(&self) -> Value {
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
                let collapsed = self.sum(&[C::WakeupsKeyless]).saturating_sub(runs);
                // One side alone makes no difference.
                self.absent().unwrap_or_else(|| self.count_of(collapsed))
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
            F::WakeUp => self.distribution(RingHistogram::WakeUp),
            F::PublishFloor => self.floor(),
            F::ConsumerOnCpu => self
                .consumer_time(Accuracy::Exact, |ticks| self.on_cpu() as f64 / ticks.seen as f64),
            // Ticks that did not run may have found anything: the ring full for
            // the one, empty for the other.
            F::ConsumerBusy => self.consumer_time(Accuracy::AtLeast, |ticks| {
                let busy = self.on_cpu().saturating_sub(self.empty());
                share_bounds(busy, ticks.seen).0 * (1.0 - ticks.missed)
            }),
            F::ConsumerEmpty => self.consumer_time(Accuracy::AtMost, |ticks| {
                share_bounds(self.empty(), ticks.seen).1 * (1.0 - ticks.missed) + ticks.missed
            }),
            F::ConsumerWaiting => self.waiting(),
            F::SlotSpin => self.of_looks(|looks| {
                self.share(self.sum(&[C::SlotSpinSightings]), looks, "the sampler never looked")
            }),
            F::SlotSpinSightings => self.of_looks(|_| self.count(&[C::SlotSpinSightings])),
            F::SamplerLooks => self.count(&[C::SamplerLooks]),
            F::SlotExposure => self.of_slots(|| self.distribution(RingHistogram::SlotExposure)),
            F::SpinEpisodes => self.spin(C::SpinEpisodes),
            F::SpinIterations => self.spin(C::SpinIterations),
            F::Snapshots => self.count(&[C::Snapshots]),
            F::SnapshotsEmpty => self.count(&[C::SnapshotsEmpty]),
            F::SnapshotSpacing => match narrower::spacing_ns(self.ring, self.capture) {
                Some(value) => Value::Number { value, accuracy: Accuracy::Exact },
                None => Value::Absent("nobody looked at the ring".into()),
            },
        }
    }

    fn sum(&self, counters: &[RingCounter]) -> u64 {
        counters.iter().map(|which| self.ring.counters.get(*which)).fold(0, u64::saturating_add)
    }

    /// Weight of positions of which nothing is known: those that were chosen
    /// and are no sample, whatever became of them, no less than it was, since
    /// the sample shift only grows; and those that could not be told, or were
    /// never seen to be published.
    fn unseen(&self) -> u64 {
        let counted = self.sum(&[
            RingCounter::SampledPendingFull,
            RingCounter::SampledLost,
            RingCounter::SampledDoubtful,
        ]);
        let due = self.sum(&[RingCounter::SampledDue]);
        let lost = due.saturating_sub(self.told.residency.samples()).max(counted);
        // A hit that was missed may have been a publish, of this ring.
        let loss = &self.capture.loss;
        let missed = loss.recursion_misses.saturating_add(loss.probe_misses.unwrap_or(0));
        lost.saturating_mul(1u64.checked_shl(self.ring.sample_shift).unwrap_or(u64::MAX))
            .saturating_add(self.sum(&[RingCounter::PositionsAmbiguous]))
            .saturating_add(missed)
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
            Some(raw) if raw.count > 0 => {
                Value::Distribution(Distribution::build(raw, self.accuracy()))
            }
            Some(_) => self.absent().unwrap_or_else(|| Value::Absent("none seen".into())),
            None => Value::Absent("no histograms were kept for this ring".into()),
        }
    }
    /// Ticks that found a consumer on the CPU, and not in a wait.
    fn on_cpu(&self) -> u64 {
        self.sum(&[RingCounter::ConsumerTicks])
    }

    /// Of these, ticks that found the ring empty.
    fn empty(&self) -> u64 {
        self.sum(&[RingCounter::ConsumerTicksEmpty])
    }

    /// A share of all CPUs' time that consumers took, by the sampler's ticks, in
    /// CPUs.
    fn consumer_time(&self, accuracy: Accuracy, share: impl Fn(&Ticks) -> f64) -> Value {
        let seen = self.capture.host_counters.get(HostCounter::SamplerTicks);
        if self.ring.consumers.is_empty() {
            return Value::Absent(CONSUMER_UNKNOWN.into());
        }
        if seen == 0 {
            let none = || Value::Absent("the sampler never ran".into());
            return self.absent().unwrap_or_else(none);
        }
        let cpus = f64::from(self.capture.host.cpus.max(1));
        if seen as f64 / cpus < SAMPLES_BEYOND {
            return Value::Absent(FEW_TICKS.into());
        }
        let missed = loss::sampler_shortfall(loss::ticks(self.capture));
        // CPUs do not tick in step: their mean can fall short of one's own.
        let most = cpus.min(self.consumers() as f64);
        let value = (share(&Ticks { seen, missed }) * cpus).min(most);
        Value::Number { value, accuracy }
    }

    /// Consumers, also those that are not told apart.
    fn consumers(&self) -> u64 {
        self.ring.consumers.len().max(self.ring.waiters_seen as usize) as u64
    }

    fn waiting(&self) -> Value {
        if self.ring.consumers.is_empty() {
            return Value::Absent(CONSUMER_UNKNOWN.into());
        }
        let all_ns = self.capture.duration_ns.saturating_mul(self.consumers());
        // A wait that ends while the interval does may be told of the next.
        self.share(self.ring.waiting_ns.min(all_ns), all_ns, "the interval is empty")
    }

    /// A figure of slots that are empty although tail has passed them.
    fn of_slots(&self, value: impl Fn() -> Value) -> Value {
        match self.capture.host.protocol {
            Protocol::V2 => value(),
            Protocol::V4 => Value::Absent(NO_EMPTY_SLOTS.into()),
        }
    }

    /// As [`Self::of_slots`], of so many looks of the sampler.
    fn of_looks(&self, value: impl Fn(u64) -> Value) -> Value {
        self.of_slots(|| match (self.absent(), self.sum(&[RingCounter::SamplerLooks])) {
            (Some(absent), _) => absent,
            (None, 0) => Value::Absent("the sampler never looked at this ring".into()),
            (None, looks) => value(looks),
        })
    }

    /// What the consumer's own probe told, if it was heard.
    fn spin(&self, which: RingCounter) -> Value {
        let accuracy = match self.ring.spins_heard {
            Some(true) => self.accuracy(),
            Some(false) => Accuracy::AtLeast,
            None => return Value::Absent(NO_SPIN_PROBE.into()),
        };
        Value::Count { value: self.sum(&[which]), accuracy }
    }

    /// What the probes cost at their least is no more than the fastest publish
    /// took.
    fn floor(&self) -> Value {
        let lowest = |raw: &RawHistogram| {
            let index = raw.buckets.iter().position(|n| *n > 0)?;
            let above = bucket_floor(index + 1).saturating_sub(1);
            Some(if index + 1 < raw.buckets.len() { above.min(raw.max) } else { raw.max })
        };
        match self.ring.histogram(RingHistogram::PublishDirect).and_then(lowest) {
            Some(value) => Value::Count { value, accuracy: Accuracy::AtMost },
            None => self.absent().unwrap_or_else(|| Value::Absent("none seen".into())),
        }
    }
}

/// Ticks of the sampler on all CPUs.
struct Ticks {
    /// That ran.
    seen: u64,
    /// Share of those expected that did not.
    missed: f64,
}

const MERGED: [RingCounter; 3] =
    [RingCounter::MergedCallback, RingCounter::MergedInsert, RingCounter::MergedModify];

const NO_SPACE: [RingCounter; 2] = [RingCounter::AddsNoSpaceFull, RingCounter::AddsNoSpaceWatches];
