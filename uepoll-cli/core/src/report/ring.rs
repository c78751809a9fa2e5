//! One ring of a report: who owns it, what state it is in, and a value for
//! each row of the figure table.

use uepoll_common::counter::RingCounter;
use uepoll_common::record::RingNumber;

use super::Value;
use super::narrower;
use super::values::Source;
use crate::books::{self, Equation};
use crate::capture::{Capture, Consumer, Holder, Owner, RingCapture};
use crate::correlate::{Anomalies, Before, RingCorrelated};
use crate::figures::{FIGURES, FigureId};

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
    /// What was in the ring when it was first looked at.
    pub before: Option<Before>,
    /// Snapshots that came too late for their order to be checked.
    pub late: u64,
    /// What would narrow the bounds of residency, where they are too wide to
    /// be useful.
    pub narrower: Option<String>,
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
            before: before(ring, told, capture),
            late: told.late,
            narrower: narrower::advice(ring, told, capture),
            equations: books::balance(ring, told, &capture.plan, capture.unfinished),
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

/// What was in the ring before, up to the end of the interval.
fn before(ring: &RingCapture, told: &RingCorrelated, capture: &Capture) -> Option<Before> {
    let mut before = told.before?;
    let end_ns = match (&told.closed, ring.closed) {
        // Its last look was then, and nothing grows older in a ring that is gone.
        (Some(closed), _) => Some(closed.time_ns),
        (None, true) => None,
        // It was read at the end of the interval, or later.
        (None, false) => Some(capture.start_ns.saturating_add(capture.duration_ns)),
    };
    if let (Some(end_ns), Some(last)) = (end_ns, ring.last.filter(|last| last.header_right)) {
        before.look(end_ns, last.head);
    }
    Some(before)
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
