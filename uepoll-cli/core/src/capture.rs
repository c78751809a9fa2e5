//! What a source hands over: everything that was counted and seen in one
//! interval, as plain data. A live run fills it from the kernel's maps, a file
//! from its blocks; a report is made of nothing else.

use std::sync::Arc;

use uepoll_common::counter::{HOST_COUNTERS, HostCounter, RING_COUNTERS, RingCounter};
use uepoll_common::counter::{RING_HISTOGRAMS, RingHistogram};
use uepoll_common::hist::RawHistogram;
use uepoll_common::record::RingNumber;

/// Protocol of the rings of a kernel, found from its BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// v2 and v3 of the series: slot = index + 1, tail visible before the slot.
    V2,
    /// v4 and v5: slot = index, tail published after the slot.
    V4,
}

/// The machine that was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// `uname -r`.
    pub release: String,
    /// Online CPUs.
    pub cpus: u32,
    /// Protocol of its rings.
    pub protocol: Protocol,
    /// CPU emulated in software: timings are good for ratios only.
    pub emulated: bool,
}

/// How one probe point was attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attached {
    /// By kprobe or kretprobe.
    Kprobe,
    /// By fentry or fexit.
    Fentry,
    /// By tracepoint.
    Tracepoint,
    /// By the perf software clock.
    PerfClock,
    /// By an iterator that is run on request.
    Iterator,
    /// Not at all.
    Missing,
}

impl Attached {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Kprobe,
        Self::Fentry,
        Self::Tracepoint,
        Self::PerfClock,
        Self::Iterator,
        Self::Missing,
    ];
}

/// One row of the probe plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRow {
    /// What is observed there, a word of design.md's table ("arrival", "publish" …).
    pub point: &'static str,
    /// Kernel symbol or tracepoint that was used, or was looked for.
    pub symbol: String,
    /// How.
    pub attached: Attached,
    /// Why it was not attached the better way; `None` if it was.
    pub why_not_better: Option<String>,
    /// What is lost compared with the best way, and why; `None` if nothing.
    pub lost: Option<String>,
}

/// Who owns a ring, as far as known. Numbers in the initial pid namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Process.
    pub pid: u32,
    /// Its name, unescaped: hostile.
    pub comm: String,
    /// The ring's descriptor in it.
    pub fd: i32,
}

/// A thread that consumes from a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Its number in the initial pid namespace.
    pub tid: u32,
    /// Its name, unescaped: hostile. Empty if not known.
    pub comm: String,
    /// The user named it; else it was seen to wait on the ring.
    pub named: bool,
}

/// A descriptor of a ring: `dup`, `fork` and SCM_RIGHTS make several.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Process, in the initial pid namespace.
    pub pid: u32,
    /// Its descriptor.
    pub fd: i32,
    /// Its name, unescaped: hostile.
    pub comm: String,
}

/// A watch of one ring's head by a thread of our own, through its mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadWatch {
    /// The ring; `None` if it was never met.
    pub ring: Option<RingNumber>,
    /// Times that head was read in the interval.
    pub reads: u64,
    /// Length of the watch in the interval.
    pub watched_ns: u64,
    /// Longest time between two reads.
    pub longest_gap_ns: u64,
    /// Why it ended before the interval did; `None` if it did not.
    pub ended: Option<String>,
}

/// Last state of a ring's header, as read from kernel memory: `head` and `tail`
/// are writable by the process and so not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastState {
    /// Head.
    pub head: u32,
    /// Tail.
    pub tail: u32,
    /// Items in use, from the kernel's own bitmap; `None` if not readable.
    pub items_used: Option<u32>,
    /// Magic and lengths agree with the kernel's own copies.
    pub header_right: bool,
}

/// One ring in one interval.
#[derive(Clone)]
pub struct RingCapture {
    /// Number in the records.
    pub ring: RingNumber,
    /// Who owns it; `None` if it was only met in a waker's context.
    pub owner: Option<Owner>,
    /// Every descriptor of it that was found, ascending.
    pub holders: Vec<Holder>,
    /// Threads that consume from it; none: the consumer is not known.
    pub consumers: Vec<Consumer>,
    /// For so long it was there within the interval.
    pub observed_ns: u64,
    /// Threads seen to wait on it, also those that are not told apart.
    pub waiters_seen: u32,
    /// Time that its waiters spent in waits within the interval, summed over
    /// threads; waits that go on at its end included.
    pub waiting_ns: u64,
    /// Whether the consumer's own spin probe was listened to for as long as the
    /// ring was observed; `None` if it carries none, or nobody listened.
    pub spins_heard: Option<bool>,
    /// Items it can hold.
    pub max_items: u32,
    /// Head and tail at the start of the interval (when first seen, if later).
    pub first_head: u32,
    /// See `first_head`.
    pub first_tail: u32,
    /// At the end; `None` if it could not be read.
    pub last: Option<LastState>,
    /// The file was closed during the interval.
    pub closed: bool,
    /// It was created during the interval: its counts start at its first event.
    pub created: bool,
    /// Sum over CPUs of each counter.
    pub counters: RingCounters,
    /// Sum over CPUs of each histogram; `None` where the kernel side kept none
    /// for this ring.
    pub histograms: Option<Arc<[RawHistogram; RING_HISTOGRAMS]>>,
    /// One position in `2^sample_shift` was sampled.
    pub sample_shift: u32,
}

impl RingCapture {
    /// One histogram of this ring.
    pub fn histogram(&self, which: RingHistogram) -> Option<&RawHistogram> {
        self.histograms.as_ref()?.get(which as usize)
    }
}

/// Counters of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingCounters(pub [u64; RING_COUNTERS]);

impl RingCounters {
    /// One counter.
    pub fn get(&self, which: RingCounter) -> u64 {
        self.0[which as usize]
    }
}

/// Counters of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCounters(pub [u64; HOST_COUNTERS]);

impl Default for HostCounters {
    fn default() -> Self {
        Self([0; HOST_COUNTERS])
    }
}

impl HostCounters {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, others: &Self) {
        for (mine, others) in self.0.iter_mut().zip(others.0) {
            *mine = mine.saturating_add(others);
        }
    }

    /// One counter.
    pub fn get(&self, which: HostCounter) -> u64 {
        self.0[which as usize]
    }
}

/// What was missed, beside the loss counters of rings and host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Hits that a program missed because another ran on its CPU
    /// (`recursion_misses`), all programs.
    pub recursion_misses: u64,
    /// Hits that kprobes and kretprobes missed (`nmissed`), where the kernel tells.
    pub probe_misses: Option<u64>,
    /// Sampler ticks that should have run.
    pub ticks_expected: u64,
    /// Records that could not be decoded.
    pub bad_records: u64,
}

/// What observing cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// CPU time of the tool's own process during the interval: attaching, which
    /// comes before it, is not in it.
    pub own_cpu_ns: u64,
    /// Run time and hits of each program, by name, while BPF statistics were on.
    pub programs: Vec<ProgramCost>,
    /// For how long BPF statistics were on.
    pub statistics_on_ns: u64,
}

/// One program while BPF statistics were on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramCost {
    /// Name of the program.
    pub name: String,
    /// Its run time.
    pub run_time_ns: u64,
    /// Its hits.
    pub hits: u64,
}

/// One interval of observation, whole.
#[derive(Clone)]
pub struct Capture {
    /// Machine.
    pub host: Host,
    /// Number of the interval in its run, from 0.
    pub interval: u32,
    /// Probe plan.
    pub plan: Vec<PlanRow>,
    /// Start of the interval, on the clock of the records.
    pub start_ns: u64,
    /// Length of the interval.
    pub duration_ns: u64,
    /// Snapshots a second and CPU asked of the sampler, on average.
    pub sampler_hz: u32,
    /// Read while it goes on, from counters that move: a checkpoint.
    pub unfinished: bool,
    /// What is to be said of this interval (the process ended, …).
    pub notes: Vec<String>,
    /// Rings, in the order in which they were met.
    pub rings: Vec<RingCapture>,
    /// The watch of one ring's head, if one was asked for.
    pub head_watch: Option<HeadWatch>,
    /// Counters of the host.
    pub host_counters: HostCounters,
    /// What was missed.
    pub loss: Loss,
    /// What it cost.
    pub cost: Cost,
}
