//! Loss and cost: what was missed, in rows that say what each makes doubtful,
//! and what observing took.

use uepoll_common::counter::{HostCounter, RingCounter};

use super::Accuracy;
use crate::books::{is_absent, is_inferred, missing};
use crate::capture::{Capture, RingCapture};
use crate::correlate::{Correlated, RingCorrelated};
use crate::figures::{Exactness, Figure, LossClass};

/// Key of the row that counts the rows of the plan without a probe.
pub const PROBES_ABSENT: &str = "probes_absent";

/// Every kind of loss: its JSON key, and for people what was missed.
pub const LOSS_KINDS: [(&str, &str); 13] = [
    ("recursion_misses", "hits missed because another program ran on their CPU"),
    ("probe_misses", "hits that kprobes missed"),
    ("stack_overflows", "hits nested deeper than the per-CPU stacks"),
    ("pairs_mismatched", "entries without return, or returns without entry"),
    ("records_lost", "records that found the ring buffer full"),
    ("single_events_lost", "waits and the like, to be shown singly, that found it full"),
    ("samples_doubtful", "samples dropped because head or tail contradicted themselves"),
    ("records_bad", "records that could not be decoded, or contradicted themselves"),
    ("samples_without_place", "samples that found their ring's pending table full"),
    ("positions_ambiguous", "new slots whose position could not be told"),
    ("ring_table_full", "rings that found no place in the ring table"),
    ("thread_map_full", "system calls that found no place in the thread map"),
    (PROBES_ABSENT, "probe points without a probe"),
];

/// One way in which something may be missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossRow {
    /// JSON key.
    pub key: &'static str,
    /// For people: what was missed.
    pub what: &'static str,
    /// How often; `None` where the kernel does not tell us.
    pub count: Option<u64>,
}

/// Every kind of loss, also those that did not occur.
///
/// Sampler ticks are not among them: a missed tick widens bounds and makes
/// none false, so it has a line of its own ([`sampler_shortfall`]).
pub fn rows(capture: &Capture, told: &Correlated) -> Vec<LossRow> {
    let host = |counter| capture.host_counters.get(counter);
    let rings = |counter| sum_of(&capture.rings, counter);
    let absent = capture.plan.iter().filter(|row| is_absent(row)).count();
    let contradictory = told.rings.values().map(RingCorrelated::contradictory);
    let counts = [
        Some(capture.loss.recursion_misses),
        capture.loss.probe_misses,
        Some(host(HostCounter::StackOverflows)),
        Some(
            host(HostCounter::PairsMismatched).saturating_add(rings(RingCounter::PairsMismatched)),
        ),
        Some(host(HostCounter::ReservesFailed)),
        Some(host(HostCounter::SinglesLost)),
        Some(rings(RingCounter::SampledDoubtful)),
        Some(contradictory.fold(capture.loss.bad_records, u64::saturating_add)),
        Some(rings(RingCounter::SampledPendingFull)),
        Some(rings(RingCounter::PositionsAmbiguous)),
        Some(host(HostCounter::RingTableFull).saturating_add(told.refused)),
        Some(host(HostCounter::ThreadMapFull)),
        Some(absent as u64),
    ];
    LOSS_KINDS
        .iter()
        .zip(counts)
        .map(|(&(key, what), count)| LossRow { key, what, count })
        .collect()
}

/// Sampler ticks: expected, seen.
pub fn ticks(capture: &Capture) -> (u64, u64) {
    (capture.loss.ticks_expected, capture.host_counters.get(HostCounter::SamplerTicks))
}

/// Share of the expected ticks that did not run; 0 if none was expected.
pub fn sampler_shortfall((expected, seen): (u64, u64)) -> f64 {
    if expected == 0 { 0.0 } else { expected.saturating_sub(seen) as f64 / expected as f64 }
}

/// How far a figure of `ring` can be relied on: by the probes it needs and by
/// the loss that matters for it.
pub fn accuracy(figure: &Figure, ring: &RingCapture, capture: &Capture) -> Accuracy {
    let absent = missing(&capture.plan, figure.needs);
    if absent.is_some_and(is_inferred) {
        return Accuracy::Inferred;
    }
    let host = |counter| capture.host_counters.get(counter) > 0;
    let hits = capture.loss.recursion_misses > 0
        || capture.loss.probe_misses.is_some_and(|misses| misses > 0)
        || host(HostCounter::StackOverflows)
        || host(HostCounter::PairsMismatched)
        || ring.counters.get(RingCounter::PairsMismatched) > 0;
    let lost = match figure.loss {
        LossClass::Own => false,
        LossClass::Hits => hits || absent.is_some(),
        LossClass::Threads => hits || absent.is_some() || host(HostCounter::ThreadMapFull),
    };
    match figure.exactness {
        _ if !lost => Accuracy::Exact,
        // Lost from the denominator or from the numerator?
        Exactness::Derived => Accuracy::Inferred,
        _ => Accuracy::AtLeast,
    }
}

fn sum_of(rings: &[RingCapture], counter: RingCounter) -> u64 {
    rings.iter().map(|ring| ring.counters.get(counter)).fold(0, u64::saturating_add)
}

/// One program's price.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramPrice {
    /// Name of the program.
    pub name: String,
    /// Hits while statistics were on.
    pub hits: u64,
    /// Mean run time of its body; dispatch is not in it.
    pub ns_per_hit: Option<f64>,
}

/// What observing took.
#[derive(Clone, Debug, PartialEq)]
pub struct CostReport {
    /// The tool's own CPU time, as a share of one CPU.
    pub own_share: Option<f64>,
    /// The program bodies, as a share of one CPU, while statistics were on;
    /// `None` if they never were.
    pub programs_share: Option<f64>,
    /// For how long they were.
    pub statistics_on_ns: u64,
    /// Records that came, each second.
    pub records_per_s: Option<f64>,
    /// Each program.
    pub programs: Vec<ProgramPrice>,
}

impl CostReport {
    /// From what the source measured.
    pub fn build(capture: &Capture, told: &Correlated) -> Self {
        let cost = &capture.cost;
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let run_time_ns = cost.programs.iter().map(|p| p.run_time_ns).fold(0, u64::saturating_add);
        Self {
            own_share: share(cost.own_cpu_ns, capture.duration_ns),
            programs_share: share(run_time_ns, cost.statistics_on_ns),
            statistics_on_ns: cost.statistics_on_ns,
            records_per_s: share(told.records, capture.duration_ns).map(|each_ns| each_ns * 1e9),
            programs: cost
                .programs
                .iter()
                .map(|p| ProgramPrice {
                    name: p.name.clone(),
                    hits: p.hits,
                    ns_per_hit: share(p.run_time_ns, p.hits),
                })
                .collect(),
        }
    }
}
