//! The figure table: every figure that a report may carry, once. Column heads,
//! JSON keys and definitions are read from here; nothing names a figure again.
//! What a figure's value is in one run lives in `report`.

mod table;

pub use table::{FIGURES, FigureId};

/// What a figure is counted or measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Things a second.
    PerSecond,
    /// A part of a whole, 0 to 1.
    Share,
    /// A mean number of one thing for each of another.
    Ratio,
    /// Nanoseconds.
    Nanoseconds,
    /// Items of a ring.
    Items,
}

impl Unit {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::PerSecond => "per second",
            Self::Share => "share, 0 to 1",
            Self::Ratio => "ratio",
            Self::Nanoseconds => "nanoseconds",
            Self::Items => "items",
        }
    }

    /// What follows the figure's id in a JSON key.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Count | Self::Ratio => "",
            Self::PerSecond => "_per_s",
            Self::Share => "_share",
            Self::Nanoseconds => "_ns",
            Self::Items => "_items",
        }
    }
}

/// What sort of value a figure has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// A value of the whole interval.
    Gauge,
    /// A distribution of exact values, in buckets 6.25 % wide.
    Histogram,
    /// A distribution of values that are each known as an interval.
    IntervalHistogram,
}

/// Which loss makes a figure a lower bound (printed with `>=`), or, where it is
/// derived, an estimate (`~`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossClass {
    /// Hits of the probes on arrivals and adds.
    Hits,
    /// Hits of the probes on system calls and the worker, and their per-thread maps.
    Threads,
    /// None: an interval or a distribution that says itself what it rests on.
    Own,
}

/// What can be relied on, whatever the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exactness {
    /// A count; a lower bound while the matching loss is not 0.
    Counted,
    /// Made of counts, some in a denominator: no bound while the matching loss
    /// is not 0.
    Derived,
    /// Every event is in it, in buckets 6.25 % wide; count, sum and maximum
    /// are exact.
    EveryEvent,
    /// Each value is an interval that holds the truth.
    Interval,
    /// Seen by the sampler: a share of its looks.
    Sampled,
    /// An upper bound.
    AtMost,
    /// A lower bound.
    AtLeast,
}

impl Exactness {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Counted => "exact; a lower bound (>=) while the matching loss is not 0",
            Self::Derived => "made of counts; an estimate (~) while the matching loss is not 0",
            Self::EveryEvent => {
                "every event, in buckets 6.25 % wide; count, sum and max exact, lower bounds (>=) while \
                 the matching loss is not 0"
            }
            Self::Interval => "an interval that holds the truth, for each sampled position",
            Self::Sampled => "sampled: a share of the looks",
            Self::AtMost => "an upper bound (<=)",
            Self::AtLeast => "a lower bound (>=)",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Which.
    pub id: FigureId,
    /// Stem of its JSON key and the word for `uepoll help`.
    pub name: &'static str,
    /// Column or row head for people.
    pub head: &'static str,
    /// Unit.
    pub unit: Unit,
    /// Kind.
    pub kind: Kind,
    /// Matching loss.
    pub loss: LossClass,
    /// Probed functions and tracepoints without which it is not known.
    pub needs: &'static [&'static str],
    /// One line: what it is.
    pub definition: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// What can be relied on.
    pub exactness: Exactness,
    /// What to do about it; empty where there is nothing to say.
    pub next: &'static str,
}

impl Figure {
    /// Its JSON key: name and unit.
    pub fn key(&self) -> String {
        format!("{}{}", self.name, self.unit.suffix())
    }
}

/// What the figures need, by names of the probe plan.
pub mod needs {
    /// The callback.
    pub const CALLBACK: &[&str] = &["ep_poll_callback"];
    /// Adds to the ring.
    pub const ADD: &[&str] = &["ep_add_event_to_uring"];
    /// What became of an arrival.
    pub const OUTCOME: &[&str] = &["ep_poll_callback", "ep_add_event_to_uring"];
    /// Items that go.
    pub const REMOVE: &[&str] = &["ep_remove_user_item"];
    /// Wake-ups without flags.
    pub const WAKEUP: &[&str] = &["ep_poll_wakeup"];
    /// The offload worker.
    pub const WORK: &[&str] = &["ep_poll_callback_work"];
    /// Both sides of an offload.
    pub const OFFLOAD: &[&str] = &["ep_poll_wakeup", "ep_poll_callback_work"];
    /// Calls of epoll_ctl.
    pub const CONTROL: &[&str] = &["do_epoll_ctl", "sys_exit_epoll_ctl"];
    /// The cause of a refused ADD.
    pub const CAUSE: &[&str] = &["do_epoll_ctl", "sys_exit_epoll_ctl", "ep_get_bit"];
    /// Calls of epoll_wait and its relatives.
    pub const WAIT: &[&str] =
        &["do_epoll_wait", "sys_exit_epoll_wait", "sys_exit_epoll_pwait", "sys_exit_epoll_pwait2"];

    /// The end of a sleep.
    pub const WAKE: &[&str] = &[
        "sched_wakeup",
        "do_epoll_wait",
        "sys_exit_epoll_wait",
        "sys_exit_epoll_pwait",
        "sys_exit_epoll_pwait2",
    ];
    /// The sampler.
    pub const SAMPLER: &[&str] = &["cpu-clock"];
    /// The sampler, and adds under way: without either no slot spin is seen.
    pub const SLOTS: &[&str] = &["cpu-clock", "ep_add_event_to_uring"];
    /// Nothing in particular.
    pub const NOTHING: &[&str] = &[];

    /// Functions whose work the kernel side infers from elsewhere where they
    /// are inlined: a figure without them is an estimate rather than absent.
    pub const INFERRED: &[&str] = &["ep_add_event_to_uring", "ep_get_bit"];
}

impl FigureId {
    /// The figure's row.
    pub fn row(self) -> &'static Figure {
        // In range: ids and rows are declared together by one macro.
        &FIGURES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn rows_stand_at_the_index_of_their_id() {
        for (index, figure) in FIGURES.iter().enumerate() {
            assert_eq!(figure.id as usize, index);
            assert_eq!(figure.id.row().name, figure.name);
        }
    }

    #[test]
    fn no_key_occurs_twice() {
        let keys: BTreeSet<_> = FIGURES.iter().map(Figure::key).collect();
        assert_eq!(keys.len(), FIGURES.len());
    }

    #[test]
    fn times_and_depth_carry_their_unit_in_the_key() {
        assert_eq!(FigureId::Residency.row().key(), "residency_ns");
        assert_eq!(FigureId::Depth.row().key(), "depth_items");
        assert_eq!(FigureId::PublishedRate.row().key(), "published_per_s");
    }
}
