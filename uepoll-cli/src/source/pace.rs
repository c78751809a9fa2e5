//! How often the sampler ticks, and how many ticks are due: as often as asked,
//! or as often as a small part of one CPU pays for.

use std::time::Instant;

use crate::probe::system::ProgramFigures;

/// Ticks a second and CPU where nothing speaks against it: off the timer tick,
/// so that the two do not run in step.
pub const USUAL_HZ: u32 = 199;

/// Fewer, and a ring in which little happens is hardly looked at.
const LEAST_HZ: u32 = 7;

/// What all ticks of a second may take, of the 1 % of a CPU that is promised:
/// the rest is room for a tick to become dearer until it is measured again.
const BUDGET_NS: u64 = 5_000_000;

/// A price that fewer ticks than this made says nothing.
const FEWEST_HITS: u64 = 16;

/// How often the sampler is asked to tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many times a second on each CPU.
    Hz(u32),
    /// [`USUAL_HZ`], or less often where the programs of all CPUs' ticks
    /// together would take 1 % of one CPU.
    Affordable,
}

/// The sampler's clocks, and the ticks they owe.
#[derive(Debug)]
pub struct Ticks {
    pace: Pace,
    hz: u32,
    cpus: u32,
    since: Instant,
    due: f64,
}

impl Ticks {
    /// Clocks of so many CPUs, at the rate that [`Self::hz`] gives.
    pub fn new(pace: Pace, cpus: u32) -> Self {
        let hz = pace.first_hz();
        Self { pace, hz, cpus, since: Instant::now(), due: 0.0 }
    }

    /// Nothing is due yet.
    pub fn begin(&mut self) {
        (self.since, self.due) = (Instant::now(), 0.0);
    }

    /// Ticks of all CPUs that were due since the beginning; none are, then.
    pub fn take_due(&mut self) -> u64 {
        self.add_due();
        std::mem::take(&mut self.due) as u64
    }

    /// Ticks of all CPUs that were due since the beginning, so far.
    pub fn due(&self) -> u64 {
        (self.due + self.due_since()) as u64
    }

    /// The rate that a measured price asks for, if it is another than now.
    pub fn better_hz(&self, price: ProgramFigures) -> Option<u32> {
        if self.pace != Pace::Affordable {
            return None;
        }
        let hz = affordable_hz(price, self.cpus)?;
        // A price is never the same twice: small changes are left alone.
        (hz.abs_diff(self.hz) > self.hz / 8).then_some(hz)
    }

    /// From now on the clocks go at this rate.
    pub fn changed_to(&mut self, hz: u32) {
        self.add_due();
        self.hz = hz;
    }

    fn add_due(&mut self) {
        self.due += self.due_since();
        self.since = Instant::now();
    }

    fn due_since(&self) -> f64 {
        self.since.elapsed().as_secs_f64() * f64::from(self.hz) * f64::from(self.cpus)
    }
}

impl Pace {
    /// The rate to begin with.
    pub fn first_hz(self) -> u32 {
        match self {
            Self::Hz(hz) => hz,
            Self::Affordable => USUAL_HZ,
        }
    }
}

/// Ticks a second and CPU that the budget pays for; `None` if too few were
/// measured to tell.
fn affordable_hz(price: ProgramFigures, cpus: u32) -> Option<u32> {
    if price.hits < FEWEST_HITS {
        return None;
    }
    let all_cpus_ns = price.run_time_ns.saturating_mul(u64::from(cpus.max(1))) / price.hits;
    let hz = BUDGET_NS.checked_div(all_cpus_ns).unwrap_or(u64::from(USUAL_HZ));
    Some(hz.clamp(u64::from(LEAST_HZ), u64::from(USUAL_HZ)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(ns_a_tick: u64, hits: u64) -> ProgramFigures {
        ProgramFigures { run_time_ns: ns_a_tick * hits, hits, recursion_misses: 0 }
    }

    #[test]
    fn the_ticks_of_all_cpus_stay_below_one_percent_of_one() {
        for cpus in [1, 2, 4, 64] {
            for ns in [500, 1500, 17_800, 44_000, 90_000] {
                let hz = affordable_hz(price(ns, 80), cpus).expect("enough ticks");
                let second_ns = ns * u64::from(hz) * u64::from(cpus);
                assert!(hz == LEAST_HZ || second_ns <= 10_000_000, "{cpus} CPUs, {ns} ns: {hz}");
            }
        }
    }

    #[test]
    fn a_tick_that_costs_nothing_is_taken_at_the_usual_rate() {
        assert_eq!(affordable_hz(price(0, 80), 2), Some(USUAL_HZ));
        assert_eq!(affordable_hz(price(1500, 80), 2), Some(USUAL_HZ));
    }

    #[test]
    fn a_rate_that_was_asked_for_is_kept() {
        assert_eq!(Ticks::new(Pace::Hz(999), 2).better_hz(price(90_000, 80)), None);
    }

    #[test]
    fn too_few_ticks_and_small_changes_move_nothing() {
        let mut ticks = Ticks::new(Pace::Affordable, 1);
        assert_eq!(ticks.better_hz(price(90_000, FEWEST_HITS - 1)), None);
        assert_eq!(ticks.better_hz(price(50_000, 80)), Some(100));
        ticks.changed_to(100);
        assert_eq!(ticks.better_hz(price(47_000, 80)), None);
        assert_eq!(ticks.better_hz(price(10_000, 80)), Some(USUAL_HZ));
    }
}
