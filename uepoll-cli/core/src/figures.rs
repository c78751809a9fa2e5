//! The figure table: every figure that a report may carry, once. Column heads,
//! JSON keys and definitions are read from here; nothing names a figure again.
//! What a figure's value is in one run lives in `report`.

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

/// Which loss makes a figure a lower bound (printed with `>=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossClass {
    /// Hits of the probes on arrivals and adds.
    Hits,
    /// Hits of the probes on system calls and the worker, and their per-thread maps.
    Threads,
    /// None: an interval or a distribution that says itself what it rests on.
    Own,
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

    /// Functions whose work the kernel side infers from elsewhere where they
    /// are inlined: a figure without them is an estimate rather than absent.
    pub const INFERRED: &[&str] = &["ep_add_event_to_uring", "ep_get_bit"];
}

/// Declares ids and rows together, so that neither exists without the other.
macro_rules! figures {
    ($($id:ident, $name:literal, $head:literal, $unit:ident, $kind:ident, $loss:ident, $needs:ident,
       $definition:literal, $source:literal;)+) => {
        /// Id of a figure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FigureId { $(#[doc = $definition] $id,)+ }

        /// The table, in the order of [`FigureId`].
        pub const FIGURES: &[Figure] = &[$(Figure {
            id: FigureId::$id,
            name: $name,
            head: $head,
            unit: Unit::$unit,
            kind: Kind::$kind,
            loss: LossClass::$loss,
            needs: needs::$needs,
            definition: $definition,
            source: $source,
        },)+];
    };
}

impl FigureId {
    /// The figure's row.
    pub fn row(self) -> &'static Figure {
        // In range: ids and rows are declared together by one macro.
        &FIGURES[self as usize]
    }
}

figures! {
    Arrivals, "arrivals", "arrivals", Count, Counter, Hits, CALLBACK,
        "entries of the callback for items of this ring", "ep_poll_callback";
    ArrivalsOffloaded, "arrivals_offloaded", "from the worker", Count, Counter, Hits, CALLBACK,
        "arrivals that came from the offload worker", "ep_poll_callback";
    Published, "published", "published", Count, Counter, Hits, ADD,
        "adds that made a new slot, from any source", "ep_add_event_to_uring";
    PublishedRate, "published", "published", PerSecond, Gauge, Hits, ADD,
        "published, each second of the interval", "ep_add_event_to_uring";
    PublishedInsert, "published_insert", "by insert", Count, Counter, Hits, ADD,
        "published because EPOLL_CTL_ADD found the source ready", "ep_add_event_to_uring";
    PublishedModify, "published_modify", "by modify", Count, Counter, Hits, ADD,
        "published because EPOLL_CTL_MOD found the source ready", "ep_add_event_to_uring";
    Merged, "merged", "merged", Count, Counter, Hits, ADD,
        "adds that found the item already ready: they take no slot", "ep_add_event_to_uring";
    MergedInsert, "merged_insert", "by insert", Count, Counter, Hits, ADD,
        "merged, from EPOLL_CTL_ADD", "ep_add_event_to_uring";
    MergedModify, "merged_modify", "by modify", Count, Counter, Hits, ADD,
        "merged, from EPOLL_CTL_MOD", "ep_add_event_to_uring";
    MergedShare, "merged", "merged", Share, Gauge, Own, ADD,
        "merged, as a share of all adds", "ep_add_event_to_uring";
    Filtered, "filtered", "filtered", Count, Counter, Hits, OUTCOME,
        "arrivals with no flag that the item asked for", "ep_poll_callback";
    Disarmed, "disarmed", "disarmed", Count, Counter, Hits, OUTCOME,
        "arrivals dropped because EPOLLONESHOT has disarmed the item", "ep_poll_callback";
    Removed, "removed", "removed", Count, Counter, Hits, REMOVE,
        "items removed while ready", "ep_remove_user_item";
    Consumed, "consumed", "consumed", Count, Counter, Hits, ADD,
        "slots that head has passed", "head of the ring, its 2^32 wraps told by published";
    EventsPerWait, "events_per_wait", "events per wait", Ratio, Gauge, Own, WAIT,
        "consumed, for each wait", "head of the ring; do_epoll_wait";
    EnospcRate, "enospc", "ENOSPC", PerSecond, Gauge, Threads, CONTROL,
        "ADDs refused with ENOSPC, each second of the interval", "do_epoll_ctl";
    EnospcShare, "enospc_adds", "ENOSPC per ADD", Share, Gauge, Own, CONTROL,
        "ADDs refused with ENOSPC, as a share of all ADDs", "do_epoll_ctl";
    EnospcFull, "enospc_ring_full", "ring full", Count, Counter, Threads, CAUSE,
        "ADDs refused because every item of the ring is used", "ep_get_bit";
    EnospcWatches, "enospc_user_watches", "user watches", Count, Counter, Threads, CAUSE,
        "ADDs refused for another cause: the max_user_watches limit", "do_epoll_ctl";
    Adds, "adds", "ADDs", Count, Counter, Threads, CONTROL,
        "EPOLL_CTL_ADD calls that returned, whatever the result", "do_epoll_ctl";
    EstaleRate, "estale", "ESTALE", PerSecond, Gauge, Threads, WAIT,
        "waits that returned ESTALE without having slept (the race to sleep, lost), each second",
        "exit of the wait";
    EstaleShare, "estale_waits", "ESTALE per wait", Share, Gauge, Own, WAIT,
        "waits that returned ESTALE without having slept, as a share of all waits",
        "exit of the wait";
    Residency, "residency", "in ring", Nanoseconds, IntervalHistogram, Own, ADD,
        "published to consumed, each sampled position as an interval that holds the truth",
        "sampled positions between snapshots of head";
    OffloadDelay, "offload_delay", "offload", Nanoseconds, Histogram, Own, OFFLOAD,
        "wake-up without flags to the entry of its worker",
        "ep_poll_wakeup to ep_poll_callback_work";
    OffloadRun, "offload_run", "offload run", Nanoseconds, Histogram, Own, WORK,
        "entry to return of the offload worker", "ep_poll_callback_work";
    OffloadWakeups, "offload_wakeups", "keyless wakeups", Count, Counter, Threads, WAKEUP,
        "wake-ups without flags: the source must be polled by the worker", "ep_poll_wakeup";
    OffloadRuns, "offload_runs", "runs", Count, Counter, Threads, WORK,
        "runs of the offload worker", "ep_poll_callback_work";
    OffloadEmpty, "offload_empty", "empty runs", Count, Counter, Threads, WORK,
        "runs of the offload worker that found no event", "ep_poll_callback_work";
    OffloadCollapsed, "offload_collapsed", "collapsed", Count, Counter, Own, OFFLOAD,
        "wake-ups without flags that shared a run with another", "wakeups - runs";
    PublishDirect, "publish_direct", "publish", Nanoseconds, Histogram, Own, ADD,
        "callback entry to add exit in the waker, cost of the probes included",
        "ep_poll_callback to ep_add_event_to_uring";
    PublishOffloaded, "publish_offloaded", "publish off.", Nanoseconds, Histogram, Own, ADD,
        "callback entry to add exit in the offload worker, cost of the probes included",
        "ep_poll_callback to ep_add_event_to_uring";
    Blocked, "blocked", "in wait", Nanoseconds, Histogram, Own, WAIT,
        "entry to return of epoll_wait on this ring", "do_epoll_wait, exit of the system call";
    Waits, "waits", "waits", Count, Counter, Threads, WAIT,
        "epoll_wait calls on this ring that returned", "exit of the wait";
    WaitsSlept, "waits_slept", "slept", Count, Counter, Threads, WAIT,
        "waits that slept: the voluntary switches of the task changed", "exit of the wait";
    WaitsStaleAtOnce, "waits_estale_at_once", "ESTALE at once", Count, Counter, Threads, WAIT,
        "waits that returned ESTALE without having slept", "exit of the wait";
    WaitsStaleSlept, "waits_estale_slept", "ESTALE slept", Count, Counter, Threads, WAIT,
        "waits that returned ESTALE after having slept: woken by an event", "exit of the wait";
    WaitsTimedOut, "waits_timed_out", "timed out", Count, Counter, Threads, WAIT,
        "waits that returned 0", "exit of the wait";
    WaitsInterrupted, "waits_interrupted", "EINTR", Count, Counter, Threads, WAIT,
        "waits that a signal interrupted", "exit of the wait";
    WaitsOther, "waits_other", "other", Count, Counter, Threads, WAIT,
        "waits with any other result", "exit of the wait";
    Depth, "depth", "depth", Items, Histogram, Own, ADD,
        "tail - head at each publish; may pass the capacity while a consumer is in mid-step",
        "ep_add_event_to_uring";
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
