//! What observing costs and misses, interval by interval: run time and hits of
//! each program while BPF statistics are on, our own CPU time, missed hits.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use uepoll_core::capture::{Cost, Loss, ProgramCost};

use crate::probe::Probes;
use crate::probe::system::{self, ProgramFigures};

/// Where every count stood when an interval began.
#[derive(Default)]
pub struct Meter {
    statistics: Option<Statistics>,
    statistics_on: Duration,
    own_cpu_ns: u64,
    programs: BTreeMap<&'static str, ProgramFigures>,
    probe_misses: Option<u64>,
}

/// BPF statistics while they are on.
struct Statistics {
    since: Instant,
    _on: OwnedFd,
}

impl Meter {
    /// An interval begins, with statistics on if `on` is there.
    pub fn begin(&mut self, probes: &Probes, on: Option<OwnedFd>) {
        *self = Self {
            statistics: on.map(|on| Statistics { since: Instant::now(), _on: on }),
            statistics_on: Duration::ZERO,
            own_cpu_ns: own_cpu_ns(),
            programs: figures(probes),
            probe_misses: probes.probe_misses(),
        };
    }

    /// Statistics are on for a while from now.
    pub fn prolong_statistics(&mut self, on: impl FnOnce() -> Option<OwnedFd>) {
        self.end_statistics(Duration::ZERO);
        self.statistics = on().map(|on| Statistics { since: Instant::now(), _on: on });
    }

    /// Switches statistics off if they have been on for `at_least`.
    pub fn end_statistics(&mut self, at_least: Duration) {
        let due = |statistics: &mut Statistics| statistics.since.elapsed() >= at_least;
        if let Some(statistics) = self.statistics.take_if(due) {
            self.statistics_on += statistics.since.elapsed();
        }
    }

    /// What was missed and what it cost since the interval began. Ticks and
    /// records are for the caller to fill in.
    pub fn end(&mut self, probes: &Probes) -> (Loss, Cost) {
        self.end_statistics(Duration::ZERO);
        let mut loss = Loss::default();
        let mut cost = Cost {
            own_cpu_ns: own_cpu_ns().saturating_sub(self.own_cpu_ns),
            programs: Vec::new(),
            statistics_on_ns: self.statistics_on.as_nanos() as u64,
        };
        for (name, now) in figures(probes) {
            let before = self.programs.get(name).copied().unwrap_or_default();
            loss.recursion_misses += now.recursion_misses.saturating_sub(before.recursion_misses);
            if cost.statistics_on_ns > 0 {
                cost.programs.push(ProgramCost {
                    name: name.to_owned(),
                    run_time_ns: now.run_time_ns.saturating_sub(before.run_time_ns),
                    hits: now.hits.saturating_sub(before.hits),
                });
            }
        }
        let before = self.probe_misses.unwrap_or(0);
        loss.probe_misses = probes.probe_misses().map(|now| now.saturating_sub(before));
        (loss, cost)
    }
}

fn figures(probes: &Probes) -> BTreeMap<&'static str, ProgramFigures> {
    // A descriptor of our own: the call cannot fail but for memory.
    probes
        .programs()
        .map(|(name, fd)| (name, system::program_figures(fd).unwrap_or_default()))
        .collect()
}

/// CPU time of this process so far.
fn own_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
