//! The rows of the figure table, one for every figure of a ring. A new figure
//! is a new row here, and the line in `report` that says where its value is.

use super::{Exactness, Figure, Kind, LossClass, Unit, needs};

/// Declares ids and rows together, so that neither exists without the other.
macro_rules! figures {
    ($($id:ident, $name:literal, $head:literal, $unit:ident, $kind:ident, $loss:ident, $needs:ident,
       $exactness:ident, $definition:literal, $source:literal, $next:literal;)+) => {
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
            exactness: Exactness::$exactness,
            definition: $definition,
            source: $source,
            next: $next,
        },)+];
    };
}

figures! {
    Arrivals, "arrivals", "arrivals", Count, Counter, Hits, CALLBACK, Counted,
        "entries of the callback for items of this ring",
        "ep_poll_callback",
        "";
    ArrivalsOffloaded, "arrivals_offloaded", "from the worker", Count, Counter, Hits, CALLBACK, Counted,
        "arrivals that came from the offload worker",
        "ep_poll_callback",
        "";
    Published, "published", "published", Count, Counter, Hits, ADD, Counted,
        "adds that made a new slot, from any source",
        "ep_add_event_to_uring",
        "";
    PublishedRate, "published", "published", PerSecond, Gauge, Hits, ADD, Counted,
        "published, each second of the interval",
        "ep_add_event_to_uring",
        "";
    PublishedInsert, "published_insert", "by insert", Count, Counter, Hits, ADD, Counted,
        "published because EPOLL_CTL_ADD found the source ready",
        "ep_add_event_to_uring",
        "";
    PublishedModify, "published_modify", "by modify", Count, Counter, Hits, ADD, Counted,
        "published because EPOLL_CTL_MOD found the source ready",
        "ep_add_event_to_uring",
        "";
    Merged, "merged", "merged", Count, Counter, Hits, ADD, Counted,
        "adds that found the item already ready: they take no slot",
        "ep_add_event_to_uring",
        "";
    MergedInsert, "merged_insert", "by insert", Count, Counter, Hits, ADD, Counted,
        "merged, from EPOLL_CTL_ADD",
        "ep_add_event_to_uring",
        "";
    MergedModify, "merged_modify", "by modify", Count, Counter, Hits, ADD, Counted,
        "merged, from EPOLL_CTL_MOD",
        "ep_add_event_to_uring",
        "";
    MergedShare, "merged", "merged", Share, Gauge, Hits, ADD, Derived,
        "merged, as a share of all adds",
        "ep_add_event_to_uring",
        "much merging: events come faster than the ring is drained; a plain completion ring would \
         carry each of them";
    Filtered, "filtered", "filtered", Count, Counter, Hits, OUTCOME, Counted,
        "arrivals with no flag that the item asked for",
        "ep_poll_callback",
        "many: the source wakes for what nobody asked for (an eventfd's readers wake its writers)";
    Disarmed, "disarmed", "disarmed", Count, Counter, Hits, OUTCOME, Counted,
        "arrivals dropped because EPOLLONESHOT has disarmed the item",
        "ep_poll_callback",
        "";
    Removed, "removed", "removed", Count, Counter, Hits, REMOVE, Counted,
        "items removed while ready",
        "ep_remove_user_item",
        "";
    Consumed, "consumed", "consumed", Count, Counter, Hits, ADD, Counted,
        "slots that head has passed",
        "head of the ring, its 2^32 wraps told by published",
        "";
    EventsPerWait, "events_per_wait", "events per wait", Ratio, Gauge, Threads, WAIT, Derived,
        "consumed, for each wait",
        "head of the ring; do_epoll_wait",
        "near 1: the program sleeps after every event, and the ring saves it little";
    EnospcRate, "enospc", "ENOSPC", PerSecond, Gauge, Threads, CONTROL, Counted,
        "ADDs refused with ENOSPC, each second of the interval",
        "do_epoll_ctl",
        "ring full: create the ring with more items; user watches: raise \
         fs.epoll.max_user_watches";
    EnospcShare, "enospc_adds", "ENOSPC per ADD", Share, Gauge, Threads, CONTROL, Derived,
        "ADDs refused with ENOSPC, as a share of all ADDs",
        "do_epoll_ctl",
        "";
    EnospcFull, "enospc_ring_full", "ring full", Count, Counter, Threads, CAUSE, Counted,
        "ADDs refused because every item of the ring is used",
        "ep_get_bit",
        "create the ring with more items (epoll_create2)";
    EnospcWatches, "enospc_user_watches", "user watches", Count, Counter, Threads, CAUSE, Counted,
        "ADDs refused for another cause: the max_user_watches limit",
        "do_epoll_ctl",
        "raise fs.epoll.max_user_watches";
    Adds, "adds", "ADDs", Count, Counter, Threads, CONTROL, Counted,
        "EPOLL_CTL_ADD calls that returned, whatever the result",
        "do_epoll_ctl",
        "";
    EstaleRate, "estale", "ESTALE", PerSecond, Gauge, Threads, WAIT, Counted,
        "waits that returned ESTALE without having slept (the race to sleep, lost), each second",
        "exit of the wait",
        "not an error: an event came between the last look at the ring and the sleep; often: look \
         a little longer before waiting";
    EstaleShare, "estale_waits", "ESTALE per wait", Share, Gauge, Threads, WAIT, Derived,
        "waits that returned ESTALE without having slept, as a share of all waits",
        "exit of the wait",
        "see estale_per_s";
    Residency, "residency", "in ring", Nanoseconds, IntervalHistogram, Own, ADD, Interval,
        "published to consumed, each sampled position as an interval that holds the truth",
        "sampled positions between snapshots of head",
        "long: the consumer works, sleeps elsewhere, or is off the CPU; wide bounds: the report \
         names the -F that narrows them";
    OffloadDelay, "offload_delay", "offload", Nanoseconds, Histogram, Threads, OFFLOAD, EveryEvent,
        "wake-up without flags to the entry of its worker",
        "ep_poll_wakeup to ep_poll_callback_work",
        "long: workqueue threads do not get a CPU";
    OffloadRun, "offload_run", "offload run", Nanoseconds, Histogram, Threads, WORK, EveryEvent,
        "entry to return of the offload worker",
        "ep_poll_callback_work",
        "";
    OffloadWakeups, "offload_wakeups", "keyless wakeups", Count, Counter, Threads, WAKEUP, Counted,
        "wake-ups without flags: the source must be polled by the worker",
        "ep_poll_wakeup",
        "";
    OffloadRuns, "offload_runs", "runs", Count, Counter, Threads, WORK, Counted,
        "runs of the offload worker",
        "ep_poll_callback_work",
        "";
    OffloadEmpty, "offload_empty", "empty runs", Count, Counter, Threads, WORK, Counted,
        "runs of the offload worker that found no event",
        "ep_poll_callback_work",
        "many: the source wakes without having anything to tell";
    OffloadCollapsed, "offload_collapsed", "collapsed", Count, Counter, Threads, OFFLOAD, Derived,
        "wake-ups without flags that shared a run with another",
        "wakeups - runs",
        "";
    PublishDirect, "publish_direct", "publish", Nanoseconds, Histogram, Hits, ADD, EveryEvent,
        "callback entry to add exit in the waker, cost of the probes included",
        "ep_poll_callback to ep_add_event_to_uring",
        "compare with publish_floor_ns: what is not above it is the price of looking";
    PublishOffloaded, "publish_offloaded", "publish off.", Nanoseconds, Histogram, Hits, ADD, EveryEvent,
        "callback entry to add exit in the offload worker, cost of the probes included",
        "ep_poll_callback to ep_add_event_to_uring",
        "";
    Blocked, "blocked", "in wait", Nanoseconds, Histogram, Threads, WAIT, EveryEvent,
        "entry to return of epoll_wait on this ring",
        "do_epoll_wait, exit of the system call",
        "together with waits_slept it tells how long the program had nothing to do";
    Waits, "waits", "waits", Count, Counter, Threads, WAIT, Counted,
        "epoll_wait calls on this ring that returned",
        "exit of the wait",
        "";
    WaitsSlept, "waits_slept", "slept", Count, Counter, Threads, WAIT, Counted,
        "waits that slept: the voluntary switches of the task changed",
        "exit of the wait",
        "";
    WaitsStaleAtOnce, "waits_estale_at_once", "ESTALE at once", Count, Counter, Threads, WAIT, Counted,
        "waits that returned ESTALE without having slept",
        "exit of the wait",
        "";
    WaitsStaleSlept, "waits_estale_slept", "ESTALE slept", Count, Counter, Threads, WAIT, Counted,
        "waits that returned ESTALE after having slept: woken by an event",
        "exit of the wait",
        "";
    WaitsTimedOut, "waits_timed_out", "timed out", Count, Counter, Threads, WAIT, Counted,
        "waits that returned 0",
        "exit of the wait",
        "";
    WaitsInterrupted, "waits_interrupted", "EINTR", Count, Counter, Threads, WAIT, Counted,
        "waits that a signal interrupted",
        "exit of the wait",
        "";
    WaitsOther, "waits_other", "other", Count, Counter, Threads, WAIT, Counted,
        "waits with any other result",
        "exit of the wait",
        "";
    Depth, "depth", "depth", Items, Histogram, Hits, ADD, EveryEvent,
        "tail - head at each publish and each look of the sampler; may pass the capacity while a consumer is in mid-step",
        "ep_add_event_to_uring",
        "near the capacity: the consumer does not keep up";
    WakeUp, "wake_up", "wake-up", Nanoseconds, Histogram, Threads, WAKE, EveryEvent,
        "last wake-up of a sleeping waiter to the return of its wait",
        "sched_wakeup to the exit of the wait",
        "long: the woken thread does not get a CPU (other threads, a low priority, a sleeping \
         core)";
    PublishFloor, "publish_floor", "floor", Nanoseconds, Gauge, Own, ADD, AtMost,
        "upper edge of the lowest bucket of publish_direct: what every publish at least takes, \
         probes included, is no more than this",
        "publish_direct",
        "";
    ConsumerOnCpu, "consumer_on_cpu", "on CPU", Share, Gauge, Own, SAMPLER, Sampled,
        "sampler ticks that found a consumer on the CPU outside of its waits, in CPUs (two consumers \
         can be 2); not told from fewer than 30 ticks of a CPU",
        "sampler",
        "";
    ConsumerBusy, "consumer_busy", "busy", Share, Gauge, Own, SAMPLER, AtLeast,
        "consumer on the CPU outside of its waits and the ring not known to be empty: on CPU less \
         empty, by ticks, at 95 %; ticks that did not run count as idle",
        "sampler",
        "near 1 and the depth grows: the consumer is the bottleneck";
    ConsumerEmpty, "consumer_empty", "ring empty on CPU", Share, Gauge, Own, SAMPLER, AtMost,
        "consumer in user mode while head == tail: an upper bound of spinning on an empty ring, \
         since one that advances head before it works looks the same; by ticks, at 95 %; ticks that \
         did not run count as empty",
        "sampler",
        "high, with the consumer's own probe saying that it spins: a smaller spin budget frees the \
         CPU";
    ConsumerWaiting, "consumer_waiting", "waiting", Share, Gauge, Threads, WAIT, Counted,
        "time that the consumers spent in epoll_wait on this ring, as a share of the interval and \
         of all consumers, asleep or running inside the call",
        "entry to exit of the wait, waits under way included",
        "";
    SlotSpin, "slot_spin", "slot spin", Share, Gauge, Own, SLOTS, Sampled,
        "looks of the sampler that saw the slot at head empty while an add for exactly that \
         position was under way: whoever consumes there must spin (v2 and v3 only)",
        "sampler; adds under way",
        "above 0: a waker was interrupted between tail and slot, as when a virtual CPU naps; \
         slot_exposure_ns bounds how long";
    SlotSpinSightings, "slot_spin_sightings", "slot spin sightings", Count, Counter, Own, SLOTS, Sampled,
        "the looks that slot_spin is made of",
        "sampler",
        "";
    SamplerLooks, "sampler_looks", "sampler looks", Count, Counter, Own, SAMPLER, Sampled,
        "looks of the sampler at this ring",
        "sampler",
        "";
    SlotExposure, "slot_exposure", "slot exposed", Nanoseconds, Histogram, Hits, ADD, EveryEvent,
        "entry to exit of the add that made a new slot: for no longer was tail ahead of the slot \
         (v2 and v3 only)",
        "ep_add_event_to_uring",
        "the bound of slot_spin";
    SpinEpisodes, "spin_episodes", "spin episodes", Count, Counter, Own, NOTHING, Counted,
        "ends of spinning on the empty ring, told by the consumer's own probe",
        "user-space probe of the consumer",
        "docs/spin-probe.md puts the probe into a consumer";
    SpinIterations, "spin_iterations", "spin iterations", Count, Counter, Own, NOTHING, Counted,
        "iterations of these episodes",
        "user-space probe of the consumer",
        "";
    Snapshots, "snapshots", "snapshots", Count, Counter, Own, NOTHING, Counted,
        "reads of head and tail between two clocks: at publishes, waits and ticks",
        "every probe that reads head",
        "";
    SnapshotsEmpty, "snapshots_empty", "saw it empty", Count, Counter, Own, NOTHING, Counted,
        "snapshots that saw head == tail",
        "every probe that reads head",
        "nearly all: the ring is drained faster than it fills, and each event meets a waiting or \
         spinning consumer";
    SnapshotSpacing, "snapshot_spacing", "between snapshots", Nanoseconds, Gauge, Own, NOTHING, Derived,
        "mean time between snapshots, reads of a watched head included",
        "interval / snapshots",
        "bounds of residency are useful where this is no longer than the residency itself; -F \
         shortens it";
}
