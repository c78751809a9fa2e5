//! What observing costs and misses, interval by interval: run time and hits of
//! each program while BPF statistics are on, our own CPU time, missed hits.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use uepoll_core::capture::{Cost, Loss, ProgramCost};

use crate::probe::Probes;
use crate::probe::system::{self, ProgramFigures};

/// What a program did so far, by its name.
type Figures = BTreeMap<&'static str, ProgramFigures>;

/// Where every count stood when an interval began, and what was measured since.
#[derive(Default)]
pub struct Meter {
    statistics: Option<Statistics>,
    price: Price,
    own_cpu_ns: u64,
    recursion_misses: u64,
    probe_misses: Option<u64>,
}

/// BPF statistics while they are on.
struct Statistics {
    since: Instant,
    before: Figures,
    _on: OwnedFd,
}

/// What programs did while statistics were on for us. Others may have them on
/// all the time (kernel.bpf_stats_enabled): counts move then outside of the
/// windows too, and belong to no window.
#[derive(Debug, Default)]
struct Price {
    on: Duration,
    programs: Figures,
}

impl Price {
    /// Adds a window: so long, with the figures at its begin and at its end.
    fn add(&mut self, on: Duration, before: &Figures, after: &Figures) {
        self.on += on;
        for (name, after) in after {
            let before = before.get(name).copied().unwrap_or_default();
            let sum = self.programs.entry(name).or_default();
            sum.run_time_ns += after.run_time_ns.saturating_sub(before.run_time_ns);
            sum.hits += after.hits.saturating_sub(before.hits);
        }
    }
}

impl Meter {
    /// Everything begins anew, with statistics on if `on` is there.
    pub fn begin(&mut self, probes: &Probes, on: Option<OwnedFd>) {
        *self = Self {
            statistics: None,
            price: Price::default(),
            own_cpu_ns: own_cpu_ns(),
            recursion_misses: recursion_misses(&figures(probes)),
            probe_misses: probes.probe_misses(),
        };
        self.measure(probes, on);
    }

    /// Statistics are on for a while from now, if `on` is there.
    pub fn measure(&mut self, probes: &Probes, on: Option<OwnedFd>) {
        self.end_statistics(probes, Duration::ZERO);
        self.statistics = on.map(|on| {
            let before = figures(probes);
            Statistics { since: Instant::now(), before, _on: on }
        });
    }

    /// Switches statistics off if they have been on for `at_least`; whether
    /// they were.
    pub fn end_statistics(&mut self, probes: &Probes, at_least: Duration) -> bool {
        let due = |statistics: &mut Statistics| statistics.since.elapsed() >= at_least;
        let Some(statistics) = self.statistics.take_if(due) else { return false };
        let on = statistics.since.elapsed();
        self.price.add(on, &statistics.before, &figures(probes));
        true
    }

    /// What a program did while statistics were on in this interval.
    pub fn price_of(&self, program: &str) -> ProgramFigures {
        self.price.programs.get(program).copied().unwrap_or_default()
    }

    /// What was missed and what it cost since the interval began; the next one
    /// begins here, so that what ending this one takes is told there. Ticks and
    /// records are for the caller to fill in.
    pub fn end(&mut self, probes: &Probes) -> (Loss, Cost) {
        self.end_statistics(probes, Duration::ZERO);
        let told = self.peek(probes);
        self.price = Price::default();
        self.own_cpu_ns = own_cpu_ns();
        self.recursion_misses = recursion_misses(&figures(probes));
        self.probe_misses = probes.probe_misses();
        told
    }

    /// The same of an interval that goes on.
    pub fn peek(&self, probes: &Probes) -> (Loss, Cost) {
        let program = |(name, figures): (&&str, &ProgramFigures)| ProgramCost {
            name: (*name).to_owned(),
            run_time_ns: figures.run_time_ns,
            hits: figures.hits,
        };
        let cost = Cost {
            own_cpu_ns: own_cpu_ns().saturating_sub(self.own_cpu_ns),
            programs: self.price.programs.iter().map(program).collect(),
            statistics_on_ns: self.price.on.as_nanos() as u64,
        };
        let before = self.probe_misses.unwrap_or(0);
        let loss = Loss {
            recursion_misses: recursion_misses(&figures(probes))
                .saturating_sub(self.recursion_misses),
            probe_misses: probes.probe_misses().map(|now| now.saturating_sub(before)),
            ..Loss::default()
        };
        (loss, cost)
    }
}

/// Hits that all programs missed so far.
fn recursion_misses(figures: &Figures) -> u64 {
    figures.values().map(|program| program.recursion_misses).sum()
}

fn figures(probes: &Probes) -> Figures {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(run_time_ns: u64, hits: u64) -> Figures {
        [("sampler", ProgramFigures { run_time_ns, hits, recursion_misses: 0 })].into()
    }

    #[test]
    fn what_others_measure_between_our_windows_is_no_part_of_the_price() {
        let mut price = Price::default();
        price.add(Duration::from_millis(200), &at(1_000, 10), &at(1_400, 14));
        // Nobody of ours had statistics on from here to there.
        price.add(Duration::from_millis(100), &at(90_000, 900), &at(90_100, 901));
        assert_eq!(price.on, Duration::from_millis(300));
        assert_eq!(price.programs, at(500, 5));
    }

    #[test]
    fn a_program_that_came_while_measuring_is_priced_from_its_beginning() {
        let mut price = Price::default();
        price.add(Duration::from_millis(1), &Figures::new(), &at(70, 7));
        assert_eq!(price.programs, at(70, 7));
    }
}
