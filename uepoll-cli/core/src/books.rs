//! The books of a ring: equations that must hold between what was counted in
//! different places. measurement.md, "The books". Which figure they make
//! doubtful, and how they are printed, is elsewhere.

use std::fmt;

use uepoll_common::abi::MAX_ITEMS;
use uepoll_common::counter::RingCounter;

use crate::capture::{Attached, PlanRow, RingCapture};
use crate::correlate::RingCorrelated;
use crate::figures::needs;

/// One summand of an equation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What was counted.
    pub name: &'static str,
    /// How many.
    pub value: u64,
}

/// How an equation came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Both sides are equal.
    Balanced,
    /// They are not.
    Unbalanced,
    /// One side could not be counted, for this reason.
    NotChecked(String),
}

/// One equation, with its terms so that an unbalanced one can be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equation {
    /// Short name, unique within a ring.
    pub name: &'static str,
    /// Left side.
    pub left: Vec<Term>,
    /// Right side.
    pub right: Vec<Term>,
    /// Outcome.
    pub balance: Balance,
}

impl Equation {
    fn new(name: &'static str, left: Vec<Term>, right: Vec<Term>) -> Self {
        let balance =
            if sum(&left) == sum(&right) { Balance::Balanced } else { Balance::Unbalanced };
        Self { name, left, right, balance }
    }

    fn not_checked(name: &'static str, reason: String) -> Self {
        Self { name, left: vec![], right: vec![], balance: Balance::NotChecked(reason) }
    }

    /// Left side, in all. Wide enough for any number of 64-bit terms.
    pub fn left_sum(&self) -> u128 {
        sum(&self.left)
    }

    /// Right side, in all.
    pub fn right_sum(&self) -> u128 {
        sum(&self.right)
    }
}

impl fmt::Display for Equation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |terms: &[Term]| {
            terms.iter().map(|t| format!("{} {}", t.name, t.value)).collect::<Vec<_>>().join(" + ")
        };
        let sign = match &self.balance {
            Balance::Balanced => "=",
            Balance::Unbalanced => "!=",
            Balance::NotChecked(reason) => return write!(f, "not checked: {reason}"),
        };
        write!(f, "{} {sign} {}", side(&self.left), side(&self.right))
    }
}

fn sum(terms: &[Term]) -> u128 {
    terms.iter().map(|term| u128::from(term.value)).sum()
}

fn term(name: &'static str, value: u64) -> Term {
    Term { name, value }
}

/// Head and tail at the end of the interval, `None` if neither the capture nor
/// a close told them.
pub fn last_head_and_tail(ring: &RingCapture, told: &RingCorrelated) -> Option<(u32, u32)> {
    ring.last
        .as_ref()
        .map(|last| (last.head, last.tail))
        .or_else(|| told.closed.as_ref().map(|closed| (closed.head, closed.tail)))
}

/// Adds that made a new slot, from any source.
pub fn published(ring: &RingCapture) -> u64 {
    [RingCounter::PublishedCallback, RingCounter::PublishedInsert, RingCounter::PublishedModify]
        .into_iter()
        .map(|counter| ring.counters.get(counter))
        .fold(0, u64::saturating_add)
}

/// Slots that head has passed, `None` where head and tail at the end are not
/// known or contradict each other. Head says it modulo 2^32; of the numbers
/// that agree with it, the one nearest to what was published is taken.
pub fn consumed(ring: &RingCapture, told: &RingCorrelated) -> Option<u64> {
    let (head, tail) = last_head_and_tail(ring, told)?;
    let left = left_in_ring(head, tail)?;
    let before = left_in_ring(ring.first_head, ring.first_tail)?;
    const WRAP: i128 = 1 << 32;
    let moved = i128::from(head.wrapping_sub(ring.first_head));
    let expected = i128::from(before) + i128::from(published(ring)) - i128::from(left);
    let wraps = (expected - moved + WRAP / 2).div_euclid(WRAP).max(0);
    u64::try_from(moved + wraps * WRAP).ok()
}

/// Positions between head and tail, `None` if head is beyond tail.
pub fn left_in_ring(head: u32, tail: u32) -> Option<u32> {
    let depth = tail.wrapping_sub(head);
    // All items, and as many consumers in mid-step (rfc.md, trap 11).
    (depth <= 2 * MAX_ITEMS).then_some(depth)
}

/// The row of the plan for something needed that is not attached, if there is
/// one: before others the row of something that cannot be inferred either.
pub fn missing<'a>(plan: &'a [PlanRow], needed: &[&str]) -> Option<&'a PlanRow> {
    let rows = || plan.iter().filter(|row| is_absent(row) && names(row, needed));
    rows().find(|row| !is_inferred(row)).or_else(|| rows().next())
}

/// Whether a row has no probe, and something is lost by that.
pub fn is_absent(row: &PlanRow) -> bool {
    row.attached == Attached::Missing && row.lost.is_some()
}

/// Whether what a row would have seen is inferred from elsewhere instead.
pub fn is_inferred(row: &PlanRow) -> bool {
    names(row, needs::INFERRED)
}

/// Whether a row is about one of these functions or tracepoints; the latter
/// carry their category before a colon.
fn names(row: &PlanRow, of: &[&str]) -> bool {
    let name = row.symbol.rsplit(':').next().unwrap_or_default();
    of.contains(&name)
}

/// Why an equation over these cannot be checked, if so.
fn unattached(plan: &[PlanRow], needed: &[&str]) -> Option<String> {
    missing(plan, needed).map(no_probe)
}

/// The sentence for a row without a probe.
pub fn no_probe(row: &PlanRow) -> String {
    format!("no probe on {} ({})", row.symbol, row.point)
}

/// All equations of one ring; none is checked of one that is `unfinished`:
/// its counters moved while they were read.
pub fn balance(
    ring: &RingCapture,
    told: &RingCorrelated,
    plan: &[PlanRow],
    unfinished: bool,
) -> Vec<Equation> {
    let equations = [
        arrivals_equation(ring, plan),
        slots_equation(ring, told, plan),
        offload_equation(ring, plan),
        samples_equation(ring, told),
    ];
    if !unfinished {
        return equations.into();
    }
    let reason = "the counters moved while they were read";
    equations.map(|equation| Equation::not_checked(equation.name, reason.into())).into()
}

fn arrivals_equation(ring: &RingCapture, plan: &[PlanRow]) -> Equation {
    const NAME: &str = "arrivals";
    if let Some(reason) = unattached(plan, needs::OUTCOME) {
        return Equation::not_checked(NAME, reason);
    }
    let count = |counter| ring.counters.get(counter);
    Equation::new(
        NAME,
        vec![term("arrivals", count(RingCounter::Arrivals))],
        vec![
            term("published", count(RingCounter::PublishedCallback)),
            term("merged", count(RingCounter::MergedCallback)),
            term("filtered", count(RingCounter::Filtered)),
            term("disarmed", count(RingCounter::Disarmed)),
        ],
    )
}

fn slots_equation(ring: &RingCapture, told: &RingCorrelated, plan: &[PlanRow]) -> Equation {
    const NAME: &str = "slots";
    if let Some(reason) = unattached(plan, needs::ADD) {
        return Equation::not_checked(NAME, reason);
    }
    let Some((head, tail)) = last_head_and_tail(ring, told) else {
        return Equation::not_checked(NAME, "head and tail could not be read at the end".into());
    };
    let (Some(left), Some(before), Some(consumed)) = (
        left_in_ring(head, tail),
        left_in_ring(ring.first_head, ring.first_tail),
        consumed(ring, told),
    ) else {
        return Equation::not_checked(NAME, "head is beyond tail: the ring is corrupt".into());
    };
    Equation::new(
        NAME,
        vec![term("in the ring before", u64::from(before)), term("published", published(ring))],
        vec![term("consumed", consumed), term("left in the ring", u64::from(left))],
    )
}

fn offload_equation(ring: &RingCapture, plan: &[PlanRow]) -> Equation {
    const NAME: &str = "offload";
    if let Some(reason) = unattached(plan, needs::OFFLOAD) {
        return Equation::not_checked(NAME, reason);
    }
    let wakeups = ring.counters.get(RingCounter::WakeupsKeyless);
    let runs = ring.counters.get(RingCounter::OffloadRuns);
    let surplus = runs.saturating_sub(wakeups);
    // Runs of a ring that existed before may stem from wake-ups before: at most
    // one for each item, since a queued work item is not queued again.
    let queued_before = if ring.created { 0 } else { surplus.min(u64::from(ring.max_items)) };
    Equation::new(
        NAME,
        vec![term("keyless wakeups", wakeups), term("queued before", queued_before)],
        vec![term("runs", runs), term("collapsed", wakeups.saturating_sub(runs))],
    )
}

fn samples_equation(ring: &RingCapture, told: &RingCorrelated) -> Equation {
    let count = |counter| ring.counters.get(counter);
    // Received rather than sent: what the kernel side sent and what arrived
    // must be the same, and what was pending at the end arrives as unconsumed.
    Equation::new(
        "samples",
        vec![term("due", count(RingCounter::SampledDue))],
        vec![
            term("received", told.resolved),
            term("lost", count(RingCounter::SampledLost)),
            term("doubtful", count(RingCounter::SampledDoubtful)),
            term("found no place", count(RingCounter::SampledPendingFull)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{LastState, RingCounters};
    use uepoll_common::counter::RING_COUNTERS;

    fn ring(counts: &[(RingCounter, u64)], first: (u32, u32), last: (u32, u32)) -> RingCapture {
        let mut counters = RingCounters([0; RING_COUNTERS]);
        for (counter, value) in counts {
            counters.0[*counter as usize] = *value;
        }
        RingCapture {
            ring: 0,
            owner: None,
            holders: Vec::new(),
            consumers: Vec::new(),
            observed_ns: 1,
            waiters_seen: 0,
            waiting_ns: 0,
            spins_heard: None,
            max_items: 8,
            first_head: first.0,
            first_tail: first.1,
            last: Some(LastState {
                head: last.0,
                tail: last.1,
                items_used: Some(8),
                header_right: true,
            }),
            closed: false,
            created: true,
            counters,
            histograms: None,
            sample_shift: 0,
        }
    }

    fn outcome(ring: &RingCapture, name: &str) -> Balance {
        let equations = balance(ring, &RingCorrelated::default(), &[], false);
        equations.into_iter().find(|e| e.name == name).expect("known equation").balance
    }

    #[test]
    fn arrivals_are_published_merged_filtered_or_disarmed() {
        let counts = |filtered| {
            [
                (RingCounter::Arrivals, 100),
                (RingCounter::PublishedCallback, 60),
                (RingCounter::MergedCallback, 30),
                (RingCounter::Filtered, filtered),
                (RingCounter::Disarmed, 3),
                // From insert: no arrival.
                (RingCounter::MergedInsert, 5),
            ]
        };
        let equal = ring(&counts(7), (0, 0), (60, 60));
        assert_eq!(outcome(&equal, "arrivals"), Balance::Balanced);
        let short = ring(&counts(6), (0, 0), (60, 60));
        assert_eq!(outcome(&short, "arrivals"), Balance::Unbalanced);
    }

    #[test]
    fn slots_balance_from_any_source_across_the_wrap() {
        let counts = [
            (RingCounter::PublishedCallback, 5),
            (RingCounter::PublishedInsert, 2),
            (RingCounter::PublishedModify, 1),
        ];
        for (first, last, expected) in [
            ((0, 0), (8, 8), Balance::Balanced),
            ((0, 0), (6, 8), Balance::Balanced),
            ((u32::MAX - 3, u32::MAX - 2), (4, 6), Balance::Unbalanced),
            ((u32::MAX - 3, u32::MAX - 2), (4, 5), Balance::Balanced),
            ((0, 0), (7, 7), Balance::Unbalanced),
        ] {
            assert_eq!(
                outcome(&ring(&counts, first, last), "slots"),
                expected,
                "{first:?} {last:?}"
            );
        }
    }

    #[test]
    fn more_than_2_to_the_32_positions_balance_too() {
        let published = (3u64 << 32) + 5;
        let ring = ring(&[(RingCounter::PublishedCallback, published)], (0, 0), (1, 5));
        assert_eq!(outcome(&ring, "slots"), Balance::Balanced);
        assert_eq!(consumed(&ring, &RingCorrelated::default()), Some((3u64 << 32) + 1));
    }

    #[test]
    fn head_beyond_tail_is_not_checked_rather_than_wrong() {
        let ring = ring(&[], (0, 0), (9, 8));
        assert!(matches!(outcome(&ring, "slots"), Balance::NotChecked(_)));
        assert_eq!(consumed(&ring, &RingCorrelated::default()), None);
    }

    #[test]
    fn more_runs_than_wakeups_are_right_only_for_a_ring_met_in_mid_life() {
        let counts = [(RingCounter::WakeupsKeyless, 10), (RingCounter::OffloadRuns, 12)];
        let mut met = ring(&counts, (0, 0), (0, 0));
        assert_eq!(outcome(&met, "offload"), Balance::Unbalanced);
        met.created = false;
        assert_eq!(outcome(&met, "offload"), Balance::Balanced);
        met.max_items = 1;
        assert_eq!(outcome(&met, "offload"), Balance::Unbalanced);
    }

    #[test]
    fn a_sample_that_never_arrived_unbalances_the_books() {
        let counts = [(RingCounter::SampledDue, 10), (RingCounter::SampledLost, 4)];
        let ring = ring(&counts, (0, 0), (0, 0));
        let told = |resolved| RingCorrelated { resolved, ..RingCorrelated::default() };
        assert_eq!(samples_equation(&ring, &told(6)).balance, Balance::Balanced);
        let short = samples_equation(&ring, &told(5));
        assert_eq!(short.balance, Balance::Unbalanced);
        assert_eq!(
            short.to_string(),
            "due 10 != received 5 + lost 4 + doubtful 0 + found no place 0"
        );
    }

    #[test]
    fn an_absent_probe_leaves_its_equation_unchecked_and_says_which() {
        let plan = [PlanRow {
            point: "publish",
            symbol: "ep_add_event_to_uring".into(),
            attached: Attached::Missing,
            why_not_better: None,
            lost: Some("merged".into()),
        }];
        let equations =
            balance(&ring(&[], (0, 0), (5, 5)), &RingCorrelated::default(), &plan, false);
        assert_eq!(
            equations[0].to_string(),
            "not checked: no probe on ep_add_event_to_uring (publish)"
        );
        assert_eq!(equations[2].balance, Balance::Balanced);
    }

    #[test]
    fn tracepoints_are_known_without_their_category_and_what_is_worse_comes_first() {
        let row = |symbol: &str| PlanRow {
            point: "control",
            symbol: symbol.into(),
            attached: Attached::Missing,
            why_not_better: None,
            lost: Some("something".into()),
        };
        let plan = [row("ep_get_bit"), row("syscalls:sys_exit_epoll_ctl")];
        let found = |needed| missing(&plan, needed).map(|row| row.symbol.as_str());
        assert_eq!(found(needs::CAUSE), Some("syscalls:sys_exit_epoll_ctl"));
        assert_eq!(found(needs::WAIT), None);
        assert_eq!(missing(&plan[..1], needs::CAUSE).map(is_inferred), Some(true));
        assert_eq!(missing(&plan[..1], needs::CONTROL), None);
    }
}
