//! A report as plain data: every figure of every ring, the books, loss and
//! cost. Made of a capture and what its records told; rendered elsewhere.

mod distribution;
mod loss;
mod narrower;
mod ring;
mod values;

pub use distribution::{Bar, Distribution, IntervalDistribution};
pub use loss::{CostReport, LOSS_KINDS, LossRow, PROBES_ABSENT, ProgramPrice, sampler_shortfall};
pub use ring::{DepthPoint, RingReport};

use crate::books::{Balance, Equation};
use crate::capture::{Attached, Capture, HeadWatch, Host, PlanRow};
use crate::correlate::{Correlated, RingCorrelated};

/// How far a number can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accuracy {
    /// It is what it says.
    Exact,
    /// It may be more: the matching loss is not 0.
    AtLeast,
    /// An estimate, which may be more or less: inferred by the kernel side,
    /// because the function that would have told is inlined; or made of counts
    /// some of which were lost.
    Inferred,
    /// It may be less: an upper bound.
    AtMost,
}

impl Accuracy {
    /// What stands before such a number.
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Exact => "",
            Self::AtLeast => ">=",
            Self::Inferred => "~",
            Self::AtMost => "<=",
        }
    }
}

/// The value of a figure in one interval.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number of things.
    Count {
        /// How many.
        value: u64,
        /// How far it can be relied on.
        accuracy: Accuracy,
    },
    /// A rate, a share or a ratio.
    Number {
        /// In the figure's unit.
        value: f64,
        /// How far it can be relied on.
        accuracy: Accuracy,
    },
    /// Exact values, in buckets.
    Distribution(Distribution),
    /// Intervals.
    Interval(IntervalDistribution),
    /// Not known, for this reason.
    Absent(String),
}

/// How functions were attached: `None` if some by kprobe and some by fentry.
/// Points that have one way only (tracepoints, clocks) do not count.
fn attached(plan: &[PlanRow]) -> Option<Attached> {
    let has = |way| plan.iter().any(|row| row.attached == way);
    match (has(Attached::Kprobe), has(Attached::Fentry)) {
        (true, true) => None,
        (true, false) => Some(Attached::Kprobe),
        (false, true) => Some(Attached::Fentry),
        (false, false) => Some(Attached::Missing),
    }
}

/// How the books of all rings came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BooksSummary {
    /// Equations that hold.
    pub balanced: usize,
    /// Equations that do not.
    pub unbalanced: usize,
    /// Equations that could not be checked.
    pub not_checked: usize,
}

/// Everything that is printed, in any format.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Machine.
    pub host: Host,
    /// How functions were attached: what the header line calls the probes;
    /// `None` if both ways are in use.
    pub attached: Option<Attached>,
    /// Number of the interval, where its run has several.
    pub interval: Option<u32>,
    /// Length of the interval.
    pub duration_ns: u64,
    /// Snapshots a second and CPU asked of the sampler, on average.
    pub sampler_hz: u32,
    /// What the command has to say of this run (the process ended, …).
    pub notes: Vec<String>,
    /// Rings, the busiest first.
    pub rings: Vec<RingReport>,
    /// The watch of one ring's head, if there was one.
    pub head_watch: Option<HeadWatch>,
    /// Probe plan.
    pub plan: Vec<PlanRow>,
    /// Records of sampled positions of an interval that had ended.
    pub of_other_intervals: u64,
    /// What was missed, the kinds that were not 0 and those that were.
    pub loss: Vec<LossRow>,
    /// Sampler ticks that should have run and those that did.
    pub ticks: (u64, u64),
    /// What it cost.
    pub cost: CostReport,
}

impl Report {
    /// Makes the report of one interval.
    pub fn build(capture: &Capture, told: &Correlated) -> Self {
        let nothing = RingCorrelated::default();
        let mut rings: Vec<RingReport> = capture
            .rings
            .iter()
            .map(|ring| {
                RingReport::build(ring, told.rings.get(&ring.ring).unwrap_or(&nothing), capture)
            })
            .collect();
        // Stable: rings of equal rate stay in the order in which they were met.
        rings.sort_by_key(|ring| std::cmp::Reverse(ring.activity()));
        Self {
            host: capture.host.clone(),
            attached: attached(&capture.plan),
            interval: None,
            duration_ns: capture.duration_ns,
            sampler_hz: capture.sampler_hz,
            notes: capture.notes.clone(),
            rings,
            head_watch: capture.head_watch.clone(),
            plan: capture.plan.clone(),
            of_other_intervals: told.of_other_intervals,
            loss: loss::rows(capture, told),
            ticks: loss::ticks(capture),
            cost: CostReport::build(capture, told),
        }
    }

    /// How the books came out.
    pub fn books(&self) -> BooksSummary {
        let mut summary = BooksSummary::default();
        for equation in self.rings.iter().flat_map(|ring| &ring.equations) {
            match equation.balance {
                Balance::Balanced => summary.balanced += 1,
                Balance::Unbalanced => summary.unbalanced += 1,
                Balance::NotChecked(_) => summary.not_checked += 1,
            }
        }
        summary
    }

    /// Equations that do not balance, each with its ring.
    pub fn unbalanced(&self) -> impl Iterator<Item = (&RingReport, &Equation)> {
        self.rings.iter().flat_map(|ring| {
            ring.equations
                .iter()
                .filter(|equation| equation.balance == Balance::Unbalanced)
                .map(move |equation| (ring, equation))
        })
    }

    /// Everything missed, in all.
    pub fn loss_total(&self) -> u64 {
        self.loss.iter().filter_map(|row| row.count).fold(0, u64::saturating_add)
    }

    /// Whether some kind of loss cannot be known here.
    pub fn loss_unknown(&self) -> bool {
        self.loss.iter().any(|row| row.count.is_none())
    }

    /// Rings whose header cannot be believed.
    pub fn corrupt_rings(&self) -> usize {
        self.rings.iter().filter(|ring| ring.corrupt.is_some()).count()
    }

    /// Nothing lost, books balanced, no ring corrupt: what `--strict` asks.
    pub fn trustworthy(&self) -> bool {
        self.loss_total() == 0 && self.books().unbalanced == 0 && self.corrupt_rings() == 0
    }
}
