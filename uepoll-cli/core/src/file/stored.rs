//! A capture in the form that is written: plain fields, names for what is
//! numbered, and what it takes to make a capture of it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uepoll_common::counter::{RING_HISTOGRAMS, RingHistogram};
use uepoll_common::hist::RawHistogram;

use super::Refused;
use super::counts::{self, Counts, Histogram, histogram_name};
use crate::capture::{
    Attached, Capture, Consumer, Cost, HeadWatch, Holder, Host, LastState, Loss, Owner, PlanRow,
    ProgramCost, Protocol, RingCapture,
};
use crate::correlate::MAX_RINGS;

/// Most rings with histograms: unpacked, each takes 34 KiB. The kernel side
/// keeps fewer.
const MAX_HISTOGRAM_RINGS: usize = 1024;

/// Words that name a probe point.
const POINTS: [&str; 9] =
    ["arrival", "publish", "remove", "offload", "control", "wait", "wake-up", "sampler", "life"];

/// What is attached how, in words.
const WAYS: [(Attached, &str); 6] = [
    (Attached::Kprobe, "kprobe"),
    (Attached::Fentry, "fentry"),
    (Attached::Tracepoint, "tracepoint"),
    (Attached::PerfClock, "perf_clock"),
    (Attached::Iterator, "iterator"),
    (Attached::Missing, "missing"),
];

#[derive(Serialize, Deserialize)]
struct StoredCapture {
    release: String,
    cpus: u32,
    protocol: String,
    emulated: bool,
    interval: u32,
    start_ns: u64,
    duration_ns: u64,
    sampler_hz: u32,
    unfinished: bool,
    #[serde(default)]
    notes: Vec<String>,
    plan: Vec<StoredPoint>,
    rings: Vec<StoredRing>,
    head_watch: Option<StoredWatch>,
    host_counters: Counts,
    loss: StoredLoss,
    cost: StoredCost,
}

#[derive(Serialize, Deserialize)]
struct StoredPoint {
    point: String,
    symbol: String,
    attached: String,
    why_not_better: Option<String>,
    lost: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredRing {
    ring: u32,
    /// Process, name, descriptor.
    owner: Option<(u32, String, i32)>,
    /// Process, descriptor, name.
    holders: Vec<(u32, i32, String)>,
    /// Thread, name, whether the user named it.
    consumers: Vec<(u32, String, bool)>,
    observed_ns: u64,
    waiters_seen: u32,
    waiting_ns: u64,
    spins_heard: Option<bool>,
    max_items: u32,
    first_head: u32,
    first_tail: u32,
    last: Option<StoredLast>,
    closed: bool,
    created: bool,
    sample_shift: u32,
    counters: Counts,
    histograms: Option<BTreeMap<String, Histogram>>,
}

#[derive(Serialize, Deserialize)]
struct StoredLast {
    head: u32,
    tail: u32,
    items_used: Option<u32>,
    header_right: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredWatch {
    ring: Option<u32>,
    reads: u64,
    watched_ns: u64,
    longest_gap_ns: u64,
    ended: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredLoss {
    recursion_misses: u64,
    probe_misses: Option<u64>,
    ticks_expected: u64,
    bad_records: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredCost {
    own_cpu_ns: u64,
    statistics_on_ns: u64,
    /// Name, run time in nanoseconds, hits.
    programs: Vec<(String, u64, u64)>,
}

/// A capture as JSON.
pub fn to_json(capture: &Capture) -> Vec<u8> {
    let stored = StoredCapture {
        release: capture.host.release.clone(),
        cpus: capture.host.cpus,
        protocol: match capture.host.protocol {
            Protocol::V2 => "v2".into(),
            Protocol::V4 => "v4".into(),
        },
        emulated: capture.host.emulated,
        interval: capture.interval,
        start_ns: capture.start_ns,
        duration_ns: capture.duration_ns,
        sampler_hz: capture.sampler_hz,
        unfinished: capture.unfinished,
        notes: capture.notes.clone(),
        plan: capture.plan.iter().map(StoredPoint::of).collect(),
        rings: capture.rings.iter().map(StoredRing::of).collect(),
        head_watch: capture.head_watch.as_ref().map(|watch| StoredWatch {
            ring: watch.ring,
            reads: watch.reads,
            watched_ns: watch.watched_ns,
            longest_gap_ns: watch.longest_gap_ns,
            ended: watch.ended.clone(),
        }),
        host_counters: counts::host_counts(&capture.host_counters),
        loss: StoredLoss {
            recursion_misses: capture.loss.recursion_misses,
            probe_misses: capture.loss.probe_misses,
            ticks_expected: capture.loss.ticks_expected,
            bad_records: capture.loss.bad_records,
        },
        cost: StoredCost {
            own_cpu_ns: capture.cost.own_cpu_ns,
            statistics_on_ns: capture.cost.statistics_on_ns,
            programs: capture
                .cost
                .programs
                .iter()
                .map(|program| (program.name.clone(), program.run_time_ns, program.hits))
                .collect(),
        },
    };
    serde_json::to_vec(&stored).expect("strings, numbers and maps by name are always JSON")
}

/// The capture that the JSON says.
///
/// # Errors
/// If it says none.
pub fn from_json(json: &[u8]) -> Result<Capture, Refused> {
    let stored: StoredCapture =
        serde_json::from_slice(json).map_err(|error| Refused::Wrong(error.to_string()))?;
    let with_histograms = stored.rings.iter().filter(|ring| ring.histograms.is_some()).count();
    if stored.rings.len() > MAX_RINGS || with_histograms > MAX_HISTOGRAM_RINGS {
        return Err(Refused::Wrong("it has more rings than any host can have".into()));
    }
    Ok(Capture {
        host: Host {
            release: stored.release,
            cpus: stored.cpus,
            protocol: match stored.protocol.as_str() {
                "v2" => Protocol::V2,
                "v4" => Protocol::V4,
                _ => return Err(Refused::Wrong("its protocol is not known".into())),
            },
            emulated: stored.emulated,
        },
        interval: stored.interval,
        start_ns: stored.start_ns,
        duration_ns: stored.duration_ns,
        sampler_hz: stored.sampler_hz,
        unfinished: stored.unfinished,
        notes: stored.notes,
        plan: stored.plan.into_iter().map(StoredPoint::row).collect::<Result<_, _>>()?,
        rings: stored.rings.into_iter().map(StoredRing::ring).collect(),
        head_watch: stored.head_watch.map(|watch| HeadWatch {
            ring: watch.ring,
            reads: watch.reads,
            watched_ns: watch.watched_ns,
            longest_gap_ns: watch.longest_gap_ns,
            ended: watch.ended,
        }),
        host_counters: counts::host_counters(&stored.host_counters),
        loss: Loss {
            recursion_misses: stored.loss.recursion_misses,
            probe_misses: stored.loss.probe_misses,
            ticks_expected: stored.loss.ticks_expected,
            bad_records: stored.loss.bad_records,
        },
        cost: Cost {
            own_cpu_ns: stored.cost.own_cpu_ns,
            statistics_on_ns: stored.cost.statistics_on_ns,
            programs: stored
                .cost
                .programs
                .into_iter()
                .map(|(name, run_time_ns, hits)| ProgramCost { name, run_time_ns, hits })
                .collect(),
        },
    })
}

impl StoredPoint {
    fn of(row: &PlanRow) -> Self {
        let way = WAYS.iter().find(|(way, _)| *way == row.attached).map_or("missing", |way| way.1);
        Self {
            point: row.point.into(),
            symbol: row.symbol.clone(),
            attached: way.into(),
            why_not_better: row.why_not_better.clone(),
            lost: row.lost.clone(),
        }
    }

    fn row(self) -> Result<PlanRow, Refused> {
        let point = POINTS.iter().find(|point| **point == self.point);
        let way = WAYS.iter().find(|(_, word)| *word == self.attached);
        let (Some(point), Some((attached, _))) = (point, way) else {
            return Err(Refused::Wrong("a row of the probe plan is not known".into()));
        };
        Ok(PlanRow {
            point,
            symbol: self.symbol,
            attached: *attached,
            why_not_better: self.why_not_better,
            lost: self.lost,
        })
    }
}

impl StoredRing {
    fn of(ring: &RingCapture) -> Self {
        let named = |all: &Arc<[RawHistogram; RING_HISTOGRAMS]>| {
            let each = RingHistogram::ALL.iter().filter_map(|which| {
                Some((histogram_name(*which).to_owned(), Histogram::of(&all[*which as usize])?))
            });
            each.collect()
        };
        Self {
            ring: ring.ring,
            owner: ring.owner.clone().map(|owner| (owner.pid, owner.comm, owner.fd)),
            holders: ring.holders.iter().map(|h| (h.pid, h.fd, h.comm.clone())).collect(),
            consumers: ring.consumers.iter().map(|c| (c.tid, c.comm.clone(), c.named)).collect(),
            observed_ns: ring.observed_ns,
            waiters_seen: ring.waiters_seen,
            waiting_ns: ring.waiting_ns,
            spins_heard: ring.spins_heard,
            max_items: ring.max_items,
            first_head: ring.first_head,
            first_tail: ring.first_tail,
            last: ring.last.map(|last| StoredLast {
                head: last.head,
                tail: last.tail,
                items_used: last.items_used,
                header_right: last.header_right,
            }),
            closed: ring.closed,
            created: ring.created,
            sample_shift: ring.sample_shift,
            counters: counts::ring_counts(&ring.counters),
            histograms: ring.histograms.as_ref().map(named),
        }
    }

    fn ring(self) -> RingCapture {
        let all = |named: BTreeMap<String, Histogram>| {
            let mut all = Box::new([RawHistogram::EMPTY; RING_HISTOGRAMS]);
            for which in RingHistogram::ALL {
                if let Some(histogram) = named.get(histogram_name(*which)) {
                    all[*which as usize] = histogram.raw();
                }
            }
            Arc::from(all)
        };
        RingCapture {
            ring: self.ring,
            owner: self.owner.map(|(pid, comm, fd)| Owner { pid, comm, fd }),
            holders: self
                .holders
                .into_iter()
                .map(|(pid, fd, comm)| Holder { pid, fd, comm })
                .collect(),
            consumers: self
                .consumers
                .into_iter()
                .map(|(tid, comm, named)| Consumer { tid, comm, named })
                .collect(),
            observed_ns: self.observed_ns,
            waiters_seen: self.waiters_seen,
            waiting_ns: self.waiting_ns,
            spins_heard: self.spins_heard,
            max_items: self.max_items,
            first_head: self.first_head,
            first_tail: self.first_tail,
            last: self.last.map(|last| LastState {
                head: last.head,
                tail: last.tail,
                items_used: last.items_used,
                header_right: last.header_right,
            }),
            closed: self.closed,
            created: self.created,
            counters: counts::ring_counters(&self.counters),
            histograms: self.histograms.map(all),
            sample_shift: self.sample_shift,
        }
    }
}
